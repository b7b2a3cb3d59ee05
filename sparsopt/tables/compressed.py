"""Files as they are, or as gzip, bzip2 and xz have packed them.

>>> parts(Path("a.csv.gz")), parts(Path("b.NPZ"))
(('.csv', '.gz'), ('.npz', ''))
"""

from __future__ import annotations

import importlib
import zlib
from pathlib import Path

from sparsopt.errors import DataError

__all__ = ["content", "parts"]

PACKERS = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}


def parts(path: Path) -> tuple[str, str]:
    """What the name says a file is, and how it is packed (or nothing)."""
    last = path.suffix.lower()
    return (Path(path.stem).suffix.lower(), last) if last in PACKERS else (last, "")


def content(path: Path) -> bytes:
    """The bytes, unpacked. Raises `DataError` for what is not packed as the name says, or torn."""
    packed = parts(path)[1]
    if not packed:
        return path.read_bytes()
    library = importlib.import_module(PACKERS[packed])
    raw = path.read_bytes()
    try:
        return library.decompress(raw)
    except (OSError, EOFError, ValueError, zlib.error, getattr(library, "LZMAError", OSError)) as error:
        raise DataError(
            f"{path}: cannot be unpacked by {PACKERS[packed]} ({error}); is it torn, or misnamed?"
        ) from None
