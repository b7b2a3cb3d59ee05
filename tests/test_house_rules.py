"""Rules of the house that a program can check: what a user configures is frozen, and the library never prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from nets.controls import Shuffle
from nets.moves import CosineShare, Redistribute, SwapShare
from nets.scores import SNIP, GraSP, Inverted
from sparsopt.fits import Restrict
from sparsopt.method import Phase, Stage, autonomous
from sparsopt.moves import Keep, Move

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {"__main__.py", "command.py", "sweep.py"}  # these speak to a shell


def nodes(*packages: str) -> Iterator[tuple[Path, ast.AST]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield from ((path, node) for node in ast.walk(ast.parse(path.read_text())))


def test_dataclasses_of_the_convex_world_are_frozen() -> None:
    """All but the trace, which a run appends to."""
    classes = [node for _, node in nodes("sparsopt") if isinstance(node, ast.ClassDef)]
    how = [
        (node.name, ast.unparse(d)) for node in classes for d in node.decorator_list if "dataclass" in ast.unparse(d)
    ]
    assert len(how) > 80
    assert [name for name, words in how if "frozen=True" not in words] == ["Trace"]


@pytest.mark.parametrize(
    "move",
    [
        Shuffle(),
        SwapShare(CosineShare(0.5, 9)),
        Redistribute(CosineShare(0.5, 9)),
        *(Keep(3, by=score) for score in (SNIP(), GraSP(), Inverted(SNIP()))),
    ],
    ids=repr,
)
def test_moves_that_draw_or_count_rounds_say_so(move: Move) -> None:
    """Or a run would take a state that comes back for a cycle."""
    assert not autonomous(Stage((Phase(move, Restrict()),), 9)) and autonomous(Stage((Phase(Keep(3), Restrict()),), 9))


def test_the_library_never_prints() -> None:
    calls = [path for path, node in nodes("sparsopt", "nets") if isinstance(node, ast.Name) and node.id == "print"]
    assert {path.name for path in calls} <= COMMANDS and len(calls) > 10
