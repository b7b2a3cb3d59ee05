"""nets.data.sources: layouts against look-alikes, downloads once and with a checksum."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import nets.data
from nets.data import Augmentation
from nets.data.sources import CATALOGUE, Cifar10, Idx
from sparsopt.errors import DataError, InvalidInput
from tests.pictures import cifar_bytes, idx_bytes, regular, some_bytes, tar_bytes


def small_idx(seed: int = 0) -> tuple[Idx, dict[str, bytes], list[np.ndarray]]:
    arrays = [some_bytes((30, 4, 4), seed), some_bytes((30,), seed, 10), some_bytes((20, 4, 4), seed + 1)]
    arrays.append(some_bytes((20,), seed + 1, 10))
    plain = {name: idx_bytes(array) for name, array in zip(Idx.files, arrays, strict=True)}
    zipped = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in plain.items()}
    source = Idx(
        folders=("MNIST/raw", "MNIST", ""),
        url="http://example.invalid/",
        md5=tuple(hashlib.md5(content).hexdigest() for content in zipped.values()),  # type: ignore[arg-type]
        sha256=tuple(hashlib.sha256(content).hexdigest() for content in plain.values()),  # type: ignore[arg-type]
        counts=(30, 20),
        image=(4, 4),
    )
    return source, plain | zipped, arrays


def small_cifar() -> tuple[Cifar10, dict[str, bytes]]:
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 10))
    labels = [*order.reshape(5, 20), np.repeat(np.arange(10), 2)]
    files = {name: cifar_bytes(y, i) for i, (name, y) in enumerate(zip(Cifar10.files, labels, strict=True))}
    packed = tar_bytes(regular({f"{Cifar10.inside}/{name}": content for name, content in files.items()}))
    source = Cifar10("http://example.invalid/", hashlib.md5(packed).hexdigest(), records=20, per_class=(10, 2))
    return source, files | {Cifar10.archive: packed}


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("place", ["MNIST/raw", "MNIST", "."])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_layouts(tmp_path, monkeypatch, place, end):
    source, files, arrays = small_idx()
    monkeypatch.setitem(CATALOGUE, "mnist", source)
    write(tmp_path / place, {name + end: files[name + end] for name in Idx.files})
    monkeypatch.setenv("SPARSOPT_DATA", str(tmp_path))
    for data in (nets.data.load("mnist"), nets.data.load("mnist", tmp_path), nets.data.load("mnist", str(tmp_path))):
        assert np.array_equal(data.images.numpy()[:, 0], arrays[0]) and data.labels.tolist() == arrays[1].tolist()
        assert np.array_equal(data.test_images.numpy()[:, 0], arrays[2])
        assert data.test_labels.tolist() == arrays[3].tolist()
        assert data.augmentation == Augmentation() and data.inputs == (1, 4, 4) and data.images.dtype == torch.uint8


def test_a_set_with_the_same_file_names_does_not_pass(tmp_path, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "mnist", small_idx(seed=0)[0])
    write(tmp_path, small_idx(seed=5)[1])
    with pytest.raises(DataError, match="train-images-idx3-ubyte is not the published file"):
        nets.data.load("mnist", tmp_path)


@pytest.mark.parametrize("place", ["cifar-10-batches-bin", "cifar10", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar_layouts(tmp_path, monkeypatch, place, packed):
    source, files = small_cifar()
    monkeypatch.setitem(CATALOGUE, "cifar10", source)
    write(tmp_path / place, {name: content for name, content in files.items() if (name == Cifar10.archive) == packed})
    data = nets.data.load("cifar10", tmp_path)
    table = np.frombuffer(b"".join(files[name] for name in Cifar10.files), np.uint8).reshape(120, 3073)
    images = torch.cat([data.images, data.test_images]).reshape(120, 3072).numpy()
    assert np.array_equal(images, table[:, 1:])
    assert torch.cat([data.labels, data.test_labels]).tolist() == table[:, 0].tolist()
    assert len(data.labels) == 100 and data.augmentation == Augmentation(flip=True, crop_padding=4)


def test_a_batch_that_stands_in_for_another_is_found_out(tmp_path, monkeypatch):
    source, files = small_cifar()
    monkeypatch.setitem(CATALOGUE, "cifar10", source)
    write(tmp_path, {**{name: files[name] for name in Cifar10.files}, "data_batch_2.bin": files["data_batch_1.bin"]})
    with pytest.raises(DataError, match="copy of another"):
        nets.data.load("cifar10", tmp_path)


@pytest.mark.parametrize(
    "name, first", [("mnist", Idx.files[0]), ("fashion", Idx.files[0]), ("cifar10", "data_batch_1")]
)
def test_missing_files_say_where_and_how(tmp_path, name, first):
    with pytest.raises(DataError) as info:
        nets.data.load(name, tmp_path)
    remote = CATALOGUE[name].remotes[0]
    for part in (first, str(tmp_path), remote.url + remote.name, remote.md5, "SPARSOPT_DATA"):
        assert part in str(info.value)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_one_missing_file_of_several_is_the_one_named(tmp_path, monkeypatch, name):
    source, files = small_idx()[:2] if name == "mnist" else small_cifar()
    monkeypatch.setitem(CATALOGUE, name, source)
    gone = source.files[3]
    write(tmp_path, {file: files[file] for file in source.files if file != gone})
    with pytest.raises(DataError, match=f"{gone} is missing"):
        nets.data.load(name, tmp_path)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL under which this machine serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("SPARSOPT_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(nets.data, "cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_download_once_with_checksum(server, own_cache, monkeypatch, name):
    folder, url = server
    source, files = small_idx()[:2] if name == "mnist" else small_cifar()
    monkeypatch.setitem(CATALOGUE, name, dataclasses.replace(source, url=url))
    remotes = [remote.name for remote in source.remotes]

    with pytest.raises(DataError, match=r"could not be downloaded: 404"):
        nets.data.load(name)
    write(folder, {each: files[each][:-1] + b"?" for each in remotes})
    with pytest.raises(DataError, match=r"could not be downloaded: .*hash"):
        nets.data.load(name)
    assert not [path for path in own_cache.rglob("*") if path.is_file()]

    write(folder, {each: files[each] for each in remotes})
    first = nets.data.load(name)
    for each in remotes:
        (folder / each).unlink()
    assert torch.equal(nets.data.load(name).images, first.images)  # the second time from the cache


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_unpacked_files_in_the_cache_need_no_network(own_cache, monkeypatch, name):
    source, files = small_idx()[:2] if name == "mnist" else small_cifar()
    monkeypatch.setitem(CATALOGUE, name, source)
    monkeypatch.setattr("pooch.retrieve", None)
    write(own_cache / source.folders[0], {file: files[file] for file in source.files})
    assert nets.data.load(name).classes == 10


def test_unknown_name():
    with pytest.raises(InvalidInput, match="known: digits, mnist, fashion, cifar10"):
        nets.data.load("imagenet")
