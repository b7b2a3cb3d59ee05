"""Where numbers come from: package versions, the source code that made them, and the machine.

Versions, source and threads decide a result, and so belong to the configuration that is hashed. The machine decides the
seconds only, and is written beside the result.

>>> sorted(versions(("numpy",)))
['numpy', 'python']
"""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Version of Python and of each package, as installed."""
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version(), **found}


def source_digest(patterns: tuple[str, ...], root: Path = ROOT) -> str:
    """A hash of what the Python files that match do: comments, docstrings and layout do not count."""
    files = sorted({path for pattern in patterns for path in root.glob(pattern)})
    with _uncollected():
        parts = [f"{path.relative_to(root)} {_meaning(path)}" for path in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@cache
def _meaning(path: Path) -> str:
    tree = ast.parse(path.read_bytes())
    for node in _statements(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The node and the statements within it, at any depth: of a file's nodes one in ten."""
    yield node
    for name in ("body", "orelse", "handlers", "finalbody", "cases"):
        inside = getattr(node, name, ())
        for statement in inside if isinstance(inside, list) else ():
            yield from _statements(statement)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection: a tree of a hundred files is walked by it again and again, and takes twice the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def machine(device: str = "cpu") -> dict[str, str | int]:
    """Processor, cores and system; the accelerator's name where one is used."""
    found: dict[str, str | int] = {
        "processor": _processor(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if device.startswith("cuda"):
        import torch

        found["accelerator"] = torch.cuda.get_device_name(device)
    return found


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
