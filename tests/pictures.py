"""Images of random bytes, and files as their publishers write them, for the tests of `nets.data`."""

from __future__ import annotations

import io
import struct
import tarfile

import numpy as np

from nets.data import Augmentation, DataSet, from_arrays


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def some_bytes(shape: tuple[int, ...], seed: int, top: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, shape).astype(np.uint8)


def cifar_bytes(labels: np.ndarray, seed: int = 0) -> bytes:
    return np.hstack([labels[:, None].astype(np.uint8), some_bytes((len(labels), 3072), seed)]).tobytes()


def tar_bytes(members: list[tuple[str, bytes, bytes]], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "folder/b.bin"
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def regular(names: dict[str, bytes]) -> list[tuple[str, bytes, bytes]]:
    return [(name, content, tarfile.REGTYPE) for name, content in names.items()]


def image_set(n: int = 60, channels: int = 2, side: int = 5, seed: int = 0, augmentation=Augmentation()) -> DataSet:
    X = some_bytes((n, channels, side, side), seed)
    y = np.random.default_rng([seed, 1]).integers(0, 3, n)
    return from_arrays(X, y, (X[:7], y[:7]), classes=3, augmentation=augmentation)
