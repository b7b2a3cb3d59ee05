"""Rules of the house that a program can check: what a user configures is frozen, and the library never prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {"__main__.py", "command.py", "sweep.py"}  # these speak to a shell


def nodes(*packages: str) -> Iterator[tuple[Path, ast.AST]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield from ((path, node) for node in ast.walk(ast.parse(path.read_text())))


def test_dataclasses_of_the_convex_world_are_frozen() -> None:
    """All but the trace, which a run appends to."""
    classes = [node for _, node in nodes("sparsopt") if isinstance(node, ast.ClassDef)]
    made = {node.name: ast.unparse(d) for node in classes for d in node.decorator_list if "dataclass" in ast.unparse(d)}
    assert len(made) > 80
    assert [name for name, how in made.items() if "frozen=True" not in how] == ["Trace"]


def test_the_library_never_prints() -> None:
    calls = [path for path, node in nodes("sparsopt", "nets") if isinstance(node, ast.Name) and node.id == "print"]
    assert {path.name for path in calls} <= COMMANDS and len(calls) > 10
