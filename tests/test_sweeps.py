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

import benchmarks.cells
import benchmarks.environment
import nets.sweep
from benchmarks import convex, networks, results
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
        root = self._root(folder)
        root.mkdir(exist_ok=True)
        with (root / f"log-{os.getpid()}").open("a") as file:
            file.write(f"{self.number} {what}\n")

    @staticmethod
    def _root(folder: Path) -> Path:
        return folder.parent.parent.parent


@dataclass(frozen=True)
class Held(Slow):
    """Once some results are there it waits in mid-course until the test says that it has killed."""

    seconds: float = 0.0
    after: int = 6

    def compute(self, folder: Path, threads: int) -> dict[str, Any]:
        root = self._root(folder)
        self._say(folder, "began")
        if len(list(root.glob("cells/*/result.json"))) >= self.after:
            self._say(folder, "waits")
            give_up = time.monotonic() + 100
            while not (root / "killed").exists() and time.monotonic() < give_up:
                time.sleep(0.02)
        self._say(folder, "ended")
        return {"square": self.number**2}


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


@pytest.mark.parametrize("count", [40, 300])
def test_a_finished_comparison_is_only_read(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cell begins again, each is read as often however many there are, and the source is digested once."""
    store, cells = Store(tmp_path), [Slow(i, 0.0) for i in range(count)]
    assert execute(cells, store, 1) == []
    assert sum(counted(tmp_path, "began").values()) == count
    reads: Counter[Path] = Counter()
    digested: list[object] = []
    read, provenance = benchmarks.cells.read, benchmarks.cells.provenance
    monkeypatch.setattr(benchmarks.cells, "read", lambda path: reads.update([path]) or read(path))
    monkeypatch.setattr(benchmarks.cells, "provenance", lambda cell: digested.append(cell) or provenance(cell))
    again = Store(tmp_path)
    assert execute(cells, again, 1) == [] and list(commands(cells, again)) == []
    assert len(results.collect({"slow": [Recorded(i, 0.0) for i in range(count)]}, again)["slow"]) == count
    assert set(reads.values()) == {4} and len(reads) == count and len(digested) == 1
    assert sum(counted(tmp_path, "began").values()) == count


@dataclass(frozen=True)
class Recorded(Slow):
    """With a row in the table of results."""

    def records(self, result: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"number": self.number, **result}]


def test_a_finished_sweep_is_only_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand finished runs: nothing is computed, and each result is opened once."""
    assert sweep("--out", str(tmp_path), "--jobs", "1") == 0
    first = capsys.readouterr().out
    for folder in list(tmp_path.glob("*-seed-0")):
        for seed in range(2, 500):
            (other := tmp_path / folder.name.replace("seed-0", f"seed-{seed}")).mkdir()
            (other / "result.json").write_bytes((folder / "result.json").read_bytes())
    reads: Counter[Path] = Counter()
    read = nets.sweep._result
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nets.sweep, "_result", lambda folder: reads.update([folder]) or read(folder))
        patch.setattr(nets.sweep.Prune, "run", lambda self: pytest.fail("a finished run was computed"))
        assert sweep("--out", str(tmp_path), "--jobs", "1", "--seeds", "500") == 0
    assert set(reads.values()) == {1} and len(reads) == 1000
    assert capsys.readouterr().out.splitlines()[0] == first.splitlines()[0]


# ---- several GPUs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gpus", [1, 3])
def test_gpus_are_given_in_turn(gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a sweep and by a comparison, run after run; "cuda" is then the one whose turn it is."""
    import torch

    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    ran: list[int] = []
    monkeypatch.setattr(nets.sweep.Prune, "run", lambda self: ran.append(self.seed))
    assert sweep("--device", "cuda", "--out", str(tmp_path / "runs"), "--jobs", "1", "--seeds", "4") == 0
    assert len(ran) == 8 and chosen == [i % gpus for i in range(8)]
    chosen.clear()
    monkeypatch.setattr(benchmarks.environment, "machine", lambda device="cpu": {})
    cells = [OnGpu(i, 0.0) for i in range(7)]
    assert execute(cells, Store(tmp_path / "cells"), 1) == [] and chosen == [i % gpus for i in range(7)]


@dataclass(frozen=True)
class OnGpu(Slow):
    device: str = "cuda"


# ---- a cluster -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two workers, as processes of their own."""
    distributed = pytest.importorskip("distributed")
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
    with distributed.Client(scheduler_file=str(where), timeout=60) as client:
        client.wait_for_workers(2, timeout=60)
    yield json.loads(where.read_text())["address"], started
    for process in reversed(started):
        process.kill()
        process.wait()


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_loses_nothing(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    """The cell that was running there begins again on the other; no finished one does; results as in one process.

    The kill comes when both workers wait in the middle of a cell, however slow the machine is.
    """
    import threading

    address, (_, first, second) = cluster
    cells, store = [Held(i) for i in range(24)], Store(tmp_path / "cluster")
    finished: list[int] = []

    def waits(process: subprocess.Popen[bytes]) -> bool:
        log = store.root / f"log-{process.pid}"
        return log.exists() and log.read_text().endswith(" waits\n")

    def kill() -> None:
        give_up = time.monotonic() + 90
        while not (waits(first) and waits(second)) and time.monotonic() < give_up:
            time.sleep(0.01)
        results = [json.loads(path.read_text()) for path in store.root.glob("cells/*/result.json")]
        finished.extend(result["configuration"]["cell"]["number"] for result in results)
        second.send_signal(signal.SIGKILL)
        second.wait()
        (store.root / "killed").touch()

    store.root.mkdir()
    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    assert execute(cells, store, 2, scheduler=address) == []
    thread.join(timeout=100)
    ended, began = counted(store.root, "ended"), counted(store.root, "began")
    assert set(ended) == set(range(24)) and set(ended.values()) == {1}
    assert sum(began.values()) == 25  # the one that was running then
    assert len(finished) >= 6 and all(began[number] == 1 for number in finished)
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
