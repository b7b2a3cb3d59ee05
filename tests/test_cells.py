"""Cells are found again, continued, and never trusted when unfinished."""

from __future__ import annotations

import dataclasses
import errno
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

import nets
from benchmarks import cells, environment, networks, runner
from benchmarks.cells import Store
from benchmarks.networks import NetworkCell

# ---- the store -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Toy:
    """A cell that squares, fails, or cannot write, as it is told."""

    number: float
    trouble: str = ""

    kind: ClassVar[str] = "toy"
    packages: ClassVar[tuple[str, ...]] = ("numpy",)
    sources: ClassVar[tuple[str, ...]] = ("benchmarks/cells.py",)
    label = "toy"
    weight = 1.0
    calls: ClassVar[list[float]] = []

    def compute(self, folder: Path, threads: int) -> dict[str, Any]:
        self.calls.append(self.number)
        if self.trouble and not (folder.parent / "mended").exists():
            raise {"value": ValueError("it is broken\nand more"), "disk": OSError(errno.ENOSPC, "no space")}[
                self.trouble
            ]
        return {"square": self.number**2}


def test_a_cell_is_computed_once_and_its_failure_is_kept_and_retried(tmp_path: Path) -> None:
    store, good, bad = Store(tmp_path), Toy(3.0), Toy(4.0, "value")
    Toy.calls.clear()
    failures = runner.execute([good, bad, good], store, 1)
    assert [(f.cell, f.reason) for f in failures] == [(bad, "ValueError: it is broken")]
    assert store.find(good) == {"square": 9.0} and store.find(bad) is None
    (store.folder(bad) / "mended").touch()
    assert runner.execute([good, bad], store, 1) == []
    assert sorted(Toy.calls) == [3.0, 4.0, 4.0] and not (store.folder(bad) / "failure.json").exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"result": {"square": 1}}', '{"configuration": {}, "result": {}}'])
def test_what_is_not_a_whole_result_of_this_configuration_is_unfinished(tmp_path: Path, damage: str) -> None:
    store, cell = Store(tmp_path), Toy(3.0)
    store.compute(cell)
    (store.folder(cell) / "result.json").write_text(damage)
    assert store.find(cell) is None
    store.compute(cell)
    assert store.find(cell) == {"square": 9.0}


def test_everything_that_decides_a_number_is_in_its_name(tmp_path: Path) -> None:
    cell = NetworkCell("digits", "lenet-300-100", "imp", 0.9, 0, 2.0)
    changes: list[dict[str, Any]] = [
        *({"method": "rigl"}, {"sparsity": 0.95}, {"seed": 1}, {"epochs": 3.0}, {"trainings": 4.0}, {"device": "cuda"}),
        *({"part": "validation"}, {"recipe": dataclasses.replace(cell.recipe, batch=32)}),
    ]
    names = {Store(tmp_path).name(dataclasses.replace(cell, **change)) for change in ({}, *changes)}
    assert len(names | {Store(tmp_path, threads=2).name(cell)}) == len(changes) + 2
    assert Store(tmp_path).name(cell) == Store(tmp_path / "elsewhere").name(cell)


def test_source_digests_see_code_and_no_comments(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        environment._meaning.cache_clear()
        (tmp_path / "a.py").write_text(text)
        return environment.source_digest(("*.py",), tmp_path)

    base = digest('"""One."""\ndef f(x):\n    """Two."""\n    return x + 1\n')
    assert digest("# none\ndef f(x):\n\n    return x + 1  # said\n") == base
    assert digest("def f(x):\n    return x + 2\n") != base
    nested = "match 0:\n case _:\n  try:\n   pass\n  except E:\n   def g():\n    {}\n    pass\n"
    assert digest(nested.format("'said'")) == digest(nested.format("")) != digest(nested.format("f('said')"))


def test_other_code_in_a_worker_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path, code={"toy": {"versions": {}, "source": "of yesterday"}})
    with pytest.raises(cells.StaleCode, match="start it again"):
        store.compute(Toy(3.0))


def test_a_full_disk_stops_everything_and_leaves_what_was_there(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "a.json"
    cells.write(path, {"a": 1})
    with pytest.raises(OSError, match="no space"):
        runner.execute([Toy(1.0, "disk")], Store(tmp_path), 1)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        cells.write(path, {"a": 2})
    assert cells.read(path) == {"a": 1} and os.listdir(tmp_path) == ["a.json"]


# ---- networks --------------------------------------------------------------------------------------------------------


def test_equal_cost_is_equal_and_own_cost_is_not(tmp_path: Path) -> None:
    made = list(networks.cells("digits", "lenet-300-100", ("dense", "imp", "rigl"), (0.9, 0.5), (0,), 1.0,
                               {"equal": 4.0, "own": None}))  # fmt: skip
    assert len(made) == 2 * (1 + 2 + 2) and len(set(made)) == len(made)
    found = [(cell, cell.compute(tmp_path / str(i), 1)) for i, cell in enumerate(made)]
    budget = 4 * (1297 // 60)
    for cell, result in found:
        trainings = 1 if cell.method != "imp" else {0.9: 12, 0.5: 5}[cell.sparsity]
        assert result["steps"] == trainings * 21 if cell.cost == "own" else budget - 12 < result["steps"] <= budget
        assert result["kept"] == round((1 - cell.sparsity) * 50200) and result["prunable"] == 50200
        assert result["samples"] == 500 and (result["accuracy"] * 500).is_integer()


def test_a_killed_cell_continues(tmp_path: Path, monkeypatch: Any) -> None:
    store, cell = Store(tmp_path), NetworkCell("digits", "lenet-300-100", "imp", 0.5, 0, 0.5)
    whole = cell.compute(tmp_path / "whole", 1)
    from nets import checkpoint

    calls, save = [], checkpoint.save

    def dies(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(nets, "prune", functools.partial(nets.prune, save_every=0.0))
    monkeypatch.setattr(checkpoint, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        store.compute(cell)
    assert store.find(cell) is None and (store.folder(cell) / "run" / "checkpoint.pt").exists()
    calls.clear()
    calls.extend([1] * 10)
    store.compute(cell)
    again = store.find(cell)
    assert again is not None and {**again, "seconds": 0} == {**whole, "seconds": 0}
    assert not (store.folder(cell) / "run").exists()
