"""Files that appear whole or not at all: written beside their place, flushed to disk, then moved over it.

>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "new" / "numbers.txt"
>>> write_atomically(path, lambda file: file.write(b"1 2 3"))
>>> path.read_text(), [file.name for file in path.parent.iterdir()]
('1 2 3', ['numbers.txt'])
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from sparsopt.errors import DataError, SparsoptError

__all__ = ["replacing", "write_atomically"]


@contextlib.contextmanager
def replacing(path: Path, failure: type[SparsoptError] = DataError) -> Iterator[Path]:
    """Where to write a file that takes its place when the block ends: a name beside it, with the same ending.

    At any moment the old file or the new one is there, whole. Folders are made. On any failure, Ctrl-C included, the
    old file stays and no part of the new one is left; an OSError becomes a `failure` that names the file.
    """
    part = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with open(part, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        reason = error.strerror or error
        raise failure(f"{path} could not be written ({reason}); what was there before is intact") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def write_atomically(
    path: Path, write: Callable[[IO[bytes]], object], failure: type[SparsoptError] = DataError
) -> None:
    """Lets `write` fill a file, then puts it in place. Errors as for `replacing`."""
    with replacing(path, failure) as part, open(part, "wb") as file:
        write(file)
