"""Where the published files are, on disk and on the network.

A source knows its file names, the folders they are usually kept in, and their checksums. `read(root)` finds and reads
them, `download(source, root)` fetches what is missing.

    >>> from pathlib import Path
    >>> from nets.data.sources import CATALOGUE
    >>> images, labels, test_images, test_labels = CATALOGUE["mnist"].read(Path("data"))    # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NoReturn, Protocol

import numpy as np

from nets.data.formats import (
    CIFAR_IMAGE,
    CIFAR_RECORD,
    Bytes,
    check_labels,
    read_bytes,
    read_cifar10,
    read_idx,
    read_members,
)
from sparsopt.errors import DataError

Splits = tuple[Bytes, Bytes, Bytes, Bytes]  # training images (N, C, H, W) and labels (N,), test images and labels


@dataclass(frozen=True)
class Remote:
    """A file to download: base URL + name, with its published MD5; put into `folder` of the cache."""

    url: str
    name: str
    md5: str
    folder: str


class Source(Protocol):
    """A published set. `folders` are tried in order; `flip` and `crop_padding` are its customary augmentation."""

    classes: ClassVar[int]
    flip: ClassVar[bool]
    crop_padding: ClassVar[int]

    @property
    def folders(self) -> tuple[str, ...]: ...
    @property
    def remotes(self) -> tuple[Remote, ...]: ...
    def read(self, root: Path) -> Splits: ...
    def complete(self, root: Path) -> bool: ...


@dataclass(frozen=True)
class Idx:
    """A set kept as MNIST is: four IDX files, with or without .gz.

    `sha256` is of the uncompressed files. It is always compared: sets of this family share their file names, and in a
    flat folder one would otherwise pass for another.
    """

    folders: tuple[str, ...]
    url: str
    md5: tuple[str, str, str, str]
    sha256: tuple[str, str, str, str]
    counts: tuple[int, int] = (60_000, 10_000)
    image: tuple[int, int] = (28, 28)

    classes: ClassVar[int] = 10
    flip: ClassVar[bool] = False
    crop_padding: ClassVar[int] = 0
    files: ClassVar[tuple[str, ...]] = (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )

    @property
    def remotes(self) -> tuple[Remote, ...]:
        pairs = zip(self.files, self.md5, strict=True)
        return tuple(Remote(self.url, f"{file}.gz", md5, self.folders[0]) for file, md5 in pairs)

    def complete(self, root: Path) -> bool:
        return all(self._find(root, file) for file in self.files)

    def read(self, root: Path) -> Splits:
        train, test = self.counts
        shapes = ((train, *self.image), (train,), (test, *self.image), (test,))
        paths = [self._find(root, file) or _missing(root, self, file) for file in self.files]
        arrays = [read_idx(*each) for each in zip(paths, shapes, self.sha256, strict=True)]
        check_labels(arrays[1], paths[1], self.classes)
        check_labels(arrays[3], paths[3], self.classes)
        return arrays[0][:, None], arrays[1], arrays[2][:, None], arrays[3]

    def _find(self, root: Path, file: str) -> Path | None:
        """The first of the usual places; unzipped first, which reads faster."""
        return _first(root / folder / (file + end) for folder in self.folders for end in ("", ".gz"))


@dataclass(frozen=True)
class Cifar10:
    """CIFAR-10's binary version: six files of records, unpacked or in the published archive.

    `per_class` are the published numbers of training and test images of each class. They are compared: with them a
    batch that stands in for another, which no size tells, is found out.
    """

    url: str
    md5: str
    records: int = 10_000
    per_class: tuple[int, int] = (5_000, 1_000)
    folders: tuple[str, ...] = ("cifar-10-batches-bin", "cifar10", "CIFAR10/cifar-10-batches-bin", "")

    classes: ClassVar[int] = 10
    flip: ClassVar[bool] = True
    crop_padding: ClassVar[int] = 4
    archive: ClassVar[str] = "cifar-10-binary.tar.gz"
    inside: ClassVar[str] = "cifar-10-batches-bin"
    files: ClassVar[tuple[str, ...]] = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")

    @property
    def remotes(self) -> tuple[Remote, ...]:
        return (Remote(self.url, self.archive, self.md5, ""),)

    @property
    def size(self) -> int:
        return self.records * CIFAR_RECORD

    def complete(self, root: Path) -> bool:
        return self._archive(root) is not None or all(self._find(root, file) for file in self.files)

    def read(self, root: Path) -> Splits:
        n = self.records
        images, labels = np.empty((6 * n, *CIFAR_IMAGE), np.uint8), np.empty(6 * n, np.uint8)
        for i, (name, content) in enumerate(self._contents(root)):
            images[i * n : (i + 1) * n], labels[i * n : (i + 1) * n] = read_cifar10(content, name, n)
        for split, wanted in zip((labels[: 5 * n], labels[5 * n :]), self.per_class, strict=True):
            found = np.bincount(split, minlength=self.classes).tolist()
            if found != [wanted] * self.classes:
                raise DataError(
                    f"{root}: expected {wanted} CIFAR-10 images of each class in the batches of one split, "
                    f"found {found}; one of the files is damaged or a copy of another"
                )
        return images[: 5 * n], labels[: 5 * n], images[5 * n :], labels[5 * n :]

    def _contents(self, root: Path) -> Iterable[tuple[str, bytes]]:
        """(name, bytes) of the six batches, in their order."""
        archive = self._archive(root)
        if archive is None or all(self._find(root, file) for file in self.files):
            needed = [self._find(root, file) or _missing(root, self, file) for file in self.files]
            return ((str(path), read_bytes(path, self.size)) for path in needed)
        members = read_members(archive, {f"{self.inside}/{file}": self.size for file in self.files})
        return ((f"{archive}:{file}", members[f"{self.inside}/{file}"]) for file in self.files)

    def _find(self, root: Path, file: str) -> Path | None:
        return _first(root / folder / file for folder in self.folders)

    def _archive(self, root: Path) -> Path | None:
        return _first(root / folder / self.archive for folder in self.folders)


def cache() -> Path:
    """The folder of downloads, as pooch places it for this user and system."""
    import pooch

    return Path(pooch.os_cache("sparsopt"))


def download(source: Source, root: Path) -> None:
    """Fetch the source's files into `root` and compare their MD5, unless they are there already."""
    if source.complete(root):
        return
    import pooch

    for remote in source.remotes:
        try:
            pooch.retrieve(remote.url + remote.name, f"md5:{remote.md5}", remote.name, root / remote.folder)
        except (OSError, ValueError) as error:  # the network's errors are OSErrors, a wrong checksum is a ValueError
            raise DataError(
                f"{root / remote.folder / remote.name} is missing and could not be downloaded: {error}. "
                f"{_advice(source.remotes)}"
            ) from error


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if os.path.exists(path)), None)


def _missing(root: Path, source: Source, file: str) -> NoReturn:
    places = ", ".join(str(root / folder) for folder in source.folders)
    raise DataError(f"{file} is missing: expected it in one of {places}; found it in none. {_advice(source.remotes)}")


def _advice(remotes: tuple[Remote, ...]) -> str:
    files = ", ".join(f"{remote.url}{remote.name} (MD5 {remote.md5})" for remote in remotes)
    return (
        f"Get {files}; put them into a folder and name it by folder=... or by the environment variable SPARSOPT_DATA. "
        "With neither, nets.data downloads them itself where the network allows"
    )


CATALOGUE: dict[str, Source] = {
    "mnist": Idx(
        folders=("MNIST/raw", "MNIST", "mnist", ""),
        url="https://ossci-datasets.s3.amazonaws.com/mnist/",
        md5=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "fashion": Idx(
        folders=("FashionMNIST/raw", "FashionMNIST", "fashion-mnist", "fashion", ""),
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        md5=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    "cifar10": Cifar10(url="https://www.cs.toronto.edu/~kriz/", md5="c32a1d4ab5d03f1284b67883e8d87530"),
}
