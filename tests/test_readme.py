"""README is executed: every Python block runs, and the table of methods is what the catalogues contain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
import nets.catalogue
import sparsopt
import sparsopt.catalogue
from nets.structured import Filters
from sparsopt.method import Method, Stage
from sparsopt.state import Layout

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.S)
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in README.splitlines()
    if line.startswith("| `") and line.count("|") == 6
]


def test_blocks_run_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    assert len(BLOCKS) >= 3
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert "status" in capsys.readouterr().out


def _convex(name: str) -> Method:
    problem = sparsopt.Quadratic(np.diag(np.arange(1.0, 31.0)), np.ones(30))
    return sparsopt.catalogue.METHODS[name](5, problem)


def _network(name: str) -> Method:
    """On channels, where the method is about them."""
    entry, layout = nets.catalogue.METHODS[name], Layout(("a", "b"), ((10, 20), (5, 10)))
    if not hasattr(entry, "prunable"):
        return entry(nets.Plan(layout, 40, 1000))
    filters = Filters((tuple(range(10)), tuple(range(10, 15))), (20, 10), (0,) * 10 + (1,) * 5)
    return entry(nets.Plan(layout, 7, 1000, structure=filters))


def _main(method: Method) -> Stage:
    """The stage with the most rounds; of equal ones the last."""
    return max(reversed(method.stages), key=lambda stage: stage.rounds)


def _round(stage: Stage) -> list[tuple[str, str]]:
    return [(type(phase.move).__name__, type(phase.fit).__name__) for phase in stage.phases]


def _claimed(cell: str) -> list[tuple[str, ...]]:
    return [tuple(re.findall(r"`(\w+)`", part)) for part in cell.split(";")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} and {row[2]}")
def test_table(row: list[str]) -> None:
    judges = [word.strip(" `") for word in row[4].split(",")]
    for world, (names, claimed) in enumerate(((row[0], row[1]), (row[2], row[3]))):
        for name in re.findall(r"`([\w-]+)`", names):
            stage = _main((_convex, _network)[world](name))
            assert _round(stage) == _claimed(claimed), name
            expected = judges[min(world, len(judges) - 1)]
            found = "" if stage.judge is None else type(stage.judge).__name__
            assert found == ("" if expected == "none" else expected), name


def test_table_is_complete() -> None:
    """Every method of both catalogues has a row (controls and the dense baseline apart)."""
    named = {name for row in ROWS for cell in (row[0], row[2]) for name in re.findall(r"`([\w-]+)`", cell)}
    assert set(sparsopt.catalogue.METHODS) <= named
    assert set(nets.catalogue.METHODS) - {"dense", "imp-reinit"} <= named


def test_every_network_method_is_verified_against_something() -> None:
    """The table of what each is held against names all of them once, and files that exist."""
    rows = re.search(r"\| network methods \| an independent answer .*?\n\|---.*?\n(.*?)\n\n", README, flags=re.S)
    assert rows is not None
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[1].splitlines()]
    named = [name for row in cells for name in re.findall(r"`([\w-]+)`", row[0])]
    assert sorted(named) == sorted(nets.catalogue.METHODS)
    for pattern in (pattern for row in cells for pattern in re.findall(r"`([\w*]+)`", row[2])):
        assert list(Path(__file__).parent.glob(f"{pattern}.py")), pattern


def test_tests_that_are_named_exist() -> None:
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", README)
    assert len(named) >= 13
    for file, test in named:
        source = (Path(__file__).parent.parent / file).read_text()
        assert re.search(rf"^(async )?def {test}\(", source, flags=re.M), (file, test)
