"""Readers of two published formats: IDX (MNIST and its kin) and CIFAR-10's binary records.

Files are hostile until shown otherwise: each reader is told what it must find, reads no more than that, and answers
with exactly those numbers or with one DataError that names the file, what was expected and what was found. Nothing is
unpickled, and nothing is extracted from an archive to the disk.

    >>> from pathlib import Path
    >>> from nets.data import formats
    >>> labels = formats.read_idx(Path("t10k-labels-idx1-ubyte.gz"), (10_000,))                      # doctest: +SKIP
    >>> images, labels = formats.read_cifar10(Path("test_batch.bin").read_bytes(), "test_batch.bin")  # doctest: +SKIP
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from sparsopt.errors import DataError

Bytes = NDArray[np.uint8]

# what tarfile lets through when the numbers in a header make no sense (a length of 2**60 is a MemoryError)
NONSENSE = (ValueError, ArithmeticError, LookupError, MemoryError)

CIFAR_IMAGE = (3, 32, 32)  # red, green and blue planes, rows from the top
CIFAR_RECORD = 1 + math.prod(CIFAR_IMAGE)  # a label byte before the pixels


def read_idx(path: Path, shape: tuple[int, ...], sha256: str | None = None) -> Bytes:
    """The uint8 array of an IDX file, plain or gzipped (recognised by its first bytes, not by its name).

    An IDX file is four magic bytes (0, 0, type, number of dimensions), one big-endian uint32 a dimension, then the data
    (LeCun, Cortes and Burges 1998). Type and dimensions must be uint8 and `shape`; `sha256` is that of the uncompressed
    file, and not compared when None.
    """
    expected = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
    size = len(expected) + math.prod(shape)
    content = read_bytes(path, size)
    header = content[: len(expected)]
    if header != expected:
        raise DataError(
            f"{path} is no IDX file of uint8 with shape {shape}: expected the header {expected.hex(' ', 4)}, "
            f"found {header.hex(' ', 4) or 'an empty file'}"
        )
    if sha256 is not None and (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise DataError(
            f"{path} is not the published file: expected SHA-256 {sha256} of the uncompressed content, found {found}. "
            "It is damaged, or belongs to another set with the same file names"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=len(expected)).reshape(shape).copy()


def read_cifar10(content: bytes, name: str, records: int = 10_000) -> tuple[Bytes, Bytes]:
    """Images (records, 3, 32, 32) and labels (records,) of one binary batch; `name` is for the messages."""
    if len(content) != records * CIFAR_RECORD:
        raise DataError(
            f"{name}: expected {records} records of {CIFAR_RECORD} bytes = {records * CIFAR_RECORD} bytes, "
            f"found {_amount(content, records * CIFAR_RECORD)}"
        )
    table = np.frombuffer(content, dtype=np.uint8).reshape(records, CIFAR_RECORD)
    labels = table[:, 0].copy()
    check_labels(labels, name)
    return table[:, 1:].reshape(records, *CIFAR_IMAGE), labels


def check_labels(labels: Bytes, name: object, classes: int = 10) -> None:
    """Raise unless every label is below `classes`."""
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        raise DataError(
            f"{name}: expected labels 0..{classes - 1}, found {labels[wrong[0]]} in record {wrong[0]} "
            f"({len(wrong)} such records)"
        )


def read_bytes(path: Path, size: int) -> bytes:
    """The whole content of a plain or gzipped file; it must be `size` bytes. A longer one is not read through."""
    with _unzipped(path) as stream:
        content = stream.read(size + 1)  # the one byte more takes gzip to the end of the file, where its checksum is
    if len(content) != size:
        raise DataError(f"{path}: expected {size} bytes of content, found {_amount(content, size)}")
    return content


def read_members(archive: Path, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """Contents of the members that `sizes` names, of a tar archive, plain or gzipped.

    Each must be there once, as a regular file of exactly that size. Other members are skipped; none is ever extracted,
    so that links and names with `..` have nothing to act on.
    """
    contents: dict[str, bytes] = {}
    with _unzipped(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            if member.name not in sizes:
                continue
            size = sizes[member.name]
            if not member.isreg() or member.size != size or member.name in contents:
                kind = "a file" if member.isreg() else "a link, folder or device"
                raise DataError(
                    f"{archive}: expected {member.name} once, as a file of {size} bytes, "
                    f"found {kind} of {member.size} bytes{' again' if member.name in contents else ''}"
                )
            contents[member.name] = _whole(tar.extractfile(member), size, f"{archive}:{member.name}")
        while stream.read(1 << 20):  # tar stops at its end mark; gzip's checksum comes after it
            pass
    if missing := [name for name in sizes if name not in contents]:
        raise DataError(f"{archive}: expected a member {missing[0]}, found none of that name")
    return contents


def _whole(stream: IO[bytes] | None, size: int, name: str) -> bytes:
    content = stream.read(size) if stream is not None else b""
    if len(content) != size:
        raise DataError(f"{name}: expected {size} bytes of content, found {_amount(content, size)}")
    return content


def _amount(content: bytes, size: int) -> str:
    return f"{len(content)}" if len(content) <= size else f"{len(content)} or more"


@contextmanager
def _unzipped(path: Path) -> Iterator[IO[bytes]]:
    """The file, through gzip if it is gzipped. What a damaged file makes the standard library raise is a DataError."""
    try:
        with open(path, "rb") as raw:
            if raw.peek(2)[:2] == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=raw) as stream:
                    yield cast("IO[bytes]", stream)
            else:
                yield raw
    except DataError:
        raise
    except (OSError, EOFError, zlib.error, tarfile.TarError, *NONSENSE) as error:
        raise DataError(f"{path}: expected a complete, readable file, found {type(error).__name__}: {error}") from error
