"""Sweeps that scale out: commands for any runner, a Dask scheduler with workers that are killed, thousands of cells."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchmarks import convex, networks
from benchmarks.__main__ import main
from benchmarks.cell import parse
from benchmarks.cells import Store
from benchmarks.runner import commands, execute
from nets.recipe import SGD, Adam, Milestones, Recipe, WarmUp
from nets.weights import ConvolutionsAndLinear, Matrices
from sparsopt.errors import InvalidInput

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Slow:
    """A cell that takes a moment, and writes down that it began and that it ended."""

    number: int
    seconds: float = 0.15

    kind: ClassVar[str] = "slow"
    packages: ClassVar[tuple[str, ...]] = ("numpy",)
    sources: ClassVar[tuple[str, ...]] = ("benchmarks/cells.py",)

    @property
    def weight(self) -> float:
        return 1.0

    @property
    def label(self) -> str:
        return f"{self.number}"

    def compute(self, folder: Path, threads: int) -> dict[str, Any]:
        self._say(folder, "began")
        time.sleep(self.seconds)
        self._say(folder, "ended")
        return {"square": self.number**2}

    def _say(self, folder: Path, what: str) -> None:
        root = folder.parent.parent.parent
        root.mkdir(exist_ok=True)
        with (root / f"log-{os.getpid()}").open("a") as file:
            file.write(f"{self.number} {what}\n")


def counted(folder: Path, what: str) -> Counter[int]:
    """How often each cell began or ended, over all processes."""
    lines = [line.split() for path in folder.glob("log-*") for line in path.read_text().splitlines()]
    return Counter(int(number) for number, word in lines if word == what)


# ---- one line a cell -----------------------------------------------------------------------------------------------


CELLS: list[Any] = [
    networks.NetworkCell(
        "digits", "lenet-300-100", "rigl", 0.9, 3, 0.5, None, "cpu", "validation",
        Recipe(0.1, WarmUp(0.1, Milestones((0.5,), 0.2)), SGD(0.9, nesterov=True), name='a "quoted" name'),
        Matrices(("a.b",)), (("period", 3),),
    ),
    networks.NetworkCell("digits", "lenet-300-100", "dense", 0.0, 0, 1, 4.0, recipe=Recipe(1e-3, optimiser=Adam()),
                         prunable=ConvolutionsAndLinear(exclude=("head.weight",))),
    convex.ConvexCell("tall", "omp", 0),
]  # fmt: skip


@pytest.mark.parametrize("cell", CELLS, ids=["network", "adam", "convex"])
def test_a_command_is_the_cell(cell: Any, tmp_path: Path) -> None:
    (line,) = commands([cell], Store(tmp_path, 2))
    words = shlex.split(line)
    assert words[:4] == ["python", "-m", "benchmarks", "cell"] and parse(words[4]) == cell
    assert words[5:] == ["--out", str(tmp_path), "--threads", "2"]


@pytest.mark.parametrize("text", ["nonsense(", "__import__('os').getcwd()", "NetworkCell(1)", "open('x')", "Recipe()"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="cell"):
        parse(text)


def test_commands_do_what_the_comparison_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "--panel", "convex", "--problems", "tall", "--solvers", "omp", "htp", "--seeds", "2"]
    arguments += ["--jobs", "1", "--out", str(tmp_path)]
    assert main([*arguments, "--print-commands"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and not (tmp_path / "cells").exists()
    for line in lines[:3]:
        assert main(shlex.split(line)[3:]) == 0
    capsys.readouterr()
    assert main([*arguments, "--print-commands"]) == 0
    assert capsys.readouterr().out.splitlines() == lines[3:]
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*/result.json")}
    assert main(arguments) == 0 and len(done) == 3
    assert all(path.stat().st_mtime_ns == then for path, then in done.items())


def test_a_cell_that_fails_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = networks.NetworkCell("digits", "lenet-300-100", "dense", 0.0, 0, 0.2, recipe=Recipe(1e9))
    assert main(["cell", repr(cell), "--out", str(tmp_path)]) == 1
    assert "diverged" in capsys.readouterr().out
    assert main(["cell", "Nothing()", "--out", str(tmp_path)]) == 2


# ---- a thousand of them --------------------------------------------------------------------------------------------


def test_a_finished_sweep_computes_nothing(tmp_path: Path) -> None:
    store, cells = Store(tmp_path), [Slow(i, 0.0) for i in range(300)]
    assert execute(cells, store, 1) == []
    assert sum(counted(tmp_path, "began").values()) == 300
    began = time.perf_counter()
    assert execute(cells, Store(tmp_path), 1) == [] and list(commands(cells, store)) == []
    assert time.perf_counter() - began < 60  # 0.3 s where this was written: a guard against something quadratic
    assert sum(counted(tmp_path, "began").values()) == 300


# ---- a cluster -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two workers, as processes of their own."""
    pytest.importorskip("distributed")
    where = tmp_path / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    run = [sys.executable, "-W", "ignore", "-m"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path, "env": environment}
    file = ["--scheduler-file", str(where)]
    started = [
        subprocess.Popen([*run, "distributed.cli.dask_scheduler", *file, "--port", "0", "--no-dashboard"], **quiet)  # type: ignore[call-overload]
    ]
    for _ in range(2):
        worker = ["distributed.cli.dask_worker", *file, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        started.append(subprocess.Popen([*run, *worker], **quiet))  # type: ignore[call-overload]
    deadline = time.monotonic() + 60
    while not where.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    yield json.loads(where.read_text())["address"], started
    for process in reversed(started):
        process.kill()
        process.wait()


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_loses_nothing(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    """The cell that was running there begins again on the other; no finished one does; results as in one process."""
    import threading

    address, (_, first, second) = cluster
    cells, store = [Slow(i) for i in range(24)], Store(tmp_path / "cluster")
    finished: list[int] = []

    def kill() -> None:
        """Once both workers have finished something."""
        victim = tmp_path / "cluster" / f"log-{second.pid}"
        other = tmp_path / "cluster" / f"log-{first.pid}"
        while not (victim.exists() and other.exists() and len(victim.read_text().splitlines()) >= 5):
            time.sleep(0.01)
        second.send_signal(signal.SIGKILL)
        results = [json.loads(path.read_text()) for path in store.root.glob("cells/*/result.json")]
        finished.extend(result["configuration"]["cell"]["number"] for result in results)

    store.root.mkdir()
    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    assert execute(cells, store, 2, scheduler=address) == []
    thread.join(timeout=10)
    ended, began = counted(store.root, "ended"), counted(store.root, "began")
    assert set(ended) == set(range(24)) and sum(began.values()) <= 25  # the one that was running then
    assert len(finished) >= 3 and all(began[number] == 1 for number in finished)
    alone = Store(tmp_path / "alone")
    assert execute([Slow(i, 0.0) for i in range(24)], alone, 1) == []
    one, two = ([store.find(c) for c in cells], [alone.find(Slow(i, 0.0)) for i in range(24)])
    assert one == two and None not in one


def test_no_scheduler_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(InvalidInput, match="no Dask scheduler answers at nowhere"):
        execute([Slow(1)], Store(tmp_path), 2, scheduler="nowhere://")


# ---- python -m nets sweep ------------------------------------------------------------------------------------------


def sweep(*more: str) -> int:
    from nets.__main__ import main as nets_main

    return nets_main(["sweep", "--methods", "dense", "random", "--seeds", "2", "--epochs", "0.2", *more])


def test_a_sweep_prints_a_table_and_finds_it_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "runs"), "--jobs", "1"]
    assert sweep(*out) == 0
    first = capsys.readouterr()
    assert [line.split()[0] for line in first.out.splitlines()] == ["method", "dense", "random"] and first.err == ""
    results = sorted((tmp_path / "runs").glob("*/result.json"))
    assert [path.parent.name for path in results] == [
        "dense-0-seed-0", "dense-0-seed-1", "random-0.9-seed-0", "random-0.9-seed-1",
    ]  # fmt: skip
    then = [path.stat().st_mtime_ns for path in results]
    assert sweep(*out) == 0 and capsys.readouterr().out == first.out
    assert [path.stat().st_mtime_ns for path in results] == then


def test_a_sweep_in_processes_is_the_serial_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("--out", str(tmp_path / "one"), "--jobs", "1") == sweep("--out", str(tmp_path / "two"), "--jobs", "2")
    one, two = ({path.parent.name for path in (tmp_path / name).glob("*/model.pt")} for name in ("one", "two"))
    assert one == two and len(one) == 4
    import torch

    for name in one:
        a, b = (torch.load(tmp_path / folder / name / "model.pt")["model"] for folder in ("one", "two"))
        assert all(torch.equal(tensor, b[key]) for key, tensor in a.items())
    assert capsys.readouterr().out


def test_a_sweeps_commands_are_its_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nets.__main__ import main as nets_main

    out = ["--out", str(tmp_path / "runs"), "--jobs", "1"]
    assert sweep(*out, "--print-commands") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and not (tmp_path / "runs").exists()
    assert nets_main(shlex.split(lines[3])[4:]) == 0
    capsys.readouterr()
    assert sweep(*out, "--print-commands") == 0
    assert capsys.readouterr().out.splitlines() == lines[:3]


def test_runs_that_fail_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("--out", str(tmp_path), "--jobs", "1", "--recipe", "sgd", "--learning-rate", "1e30") == 2
    said = capsys.readouterr()
    assert said.out.count("diverged") == 4 and "4 of 4 runs gave no result" in said.err
    assert sweep("--out", str(tmp_path), "--methods", "impp") == 2 and "did you mean imp" in capsys.readouterr().err
