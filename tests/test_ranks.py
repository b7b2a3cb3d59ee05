"""Two processes train as one: the same masks and clocks, weights up to rounding, and a folder that both resume from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nets import ranks
from sparsopt.errors import InvalidInput
from tests.conftest import PROFILE

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import sys
import torch
torch.set_num_threads(1)
import nets
from nets import ranks
from nets.recipe import SGD, Recipe

out, method, model, batch = sys.argv[1:5]
folder = None if len(sys.argv) < 6 else sys.argv[5]
data = nets.data.load("digits")
recipe = Recipe(0.05, optimiser=SGD(0.9, weight_decay=1e-3), batch=int(batch))
with ranks.joined():
    module = nets.models.build(model, data.inputs, data.classes, 0)
    outcome = nets.prune(module, data, method, 0.8, recipe, epochs=1, out=folder)
    content = {"model": outcome.model.state_dict(), "masks": dict(outcome.masks), "steps": outcome.cost["steps"]}
    torch.save(content, f"{out}-{ranks.rank()}.pt")
"""


def trained(tmp_path: Path, processes: int, *arguments: str, check: bool = True) -> Any:
    """What each process ended with; or, with check=False, what they said."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    out = tmp_path / f"{processes}"
    start = [sys.executable, "-W", "ignore"]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    quiet = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR", "TMPDIR": str(tmp_path)}  # torchrun leaves folders
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **quiet}
    done = subprocess.run(
        [*start, str(program), str(out), *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    if not check:
        return done.returncode, done.stderr
    assert done.returncode == 0, done.stderr[-2000:]
    return [torch.load(f"{out}-{rank}.pt") for rank in range(processes)]


def same(one: Any, two: Any) -> bool:
    """Bit for bit."""
    return all(torch.equal(tensor, two[key][name]) for key in ("model", "masks") for name, tensor in one[key].items())


def test_two_processes_are_one(tmp_path: Path) -> None:
    """Both end bit for bit alike, and as one process to rounding; the folder is written once, and is no other run's."""
    folder = str(tmp_path / "run")
    first, second = trained(tmp_path, 2, "imp", "lenet-300-100", "60", folder)
    assert same(first, second)
    (one,) = trained(tmp_path, 1, "imp", "lenet-300-100", "60")
    agreeing = [(mask == first["masks"][name]).double().mean().item() for name, mask in one["masks"].items()]
    assert one["steps"] == first["steps"] and min(agreeing) > 0.999 and not same(one, first)
    for name, tensor in one["model"].items():
        assert torch.allclose(tensor, first["model"][name], atol=2e-3), name
    assert json.loads((tmp_path / "run" / "run.json").read_text())["processes"] == 2
    code, said = trained(tmp_path, 1, "imp", "lenet-300-100", "60", folder, check=False)
    assert code != 0 and "processes: 2 there, 1 here" in said


@pytest.mark.skipif(PROFILE != "nightly", reason="a minute; SPARSOPT_PROFILE=nightly")
def test_batch_norm_and_a_finished_folder(tmp_path: Path) -> None:
    """What batch norm remembers is the same in both; a finished run is read by both and not written again."""
    folder = str(tmp_path / "run")
    first, second = trained(tmp_path, 2, "rigl", "resnet-20", "60", folder)
    before = (tmp_path / "run" / "result.json").read_bytes()
    again, other = trained(tmp_path, 2, "rigl", "resnet-20", "60", folder)
    assert same(first, second) and same(first, again) and same(first, other)
    assert (tmp_path / "run" / "result.json").read_bytes() == before


def test_alone_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (ranks.count(), ranks.rank(), ranks.position()) == (1, 0, ())
    batch = (torch.arange(3.0), torch.arange(3))
    assert ranks.share(batch) is batch
    tensor = torch.ones(2)
    ranks.average(tensor)
    ranks.together()
    assert torch.equal(tensor, torch.ones(2))
    monkeypatch.setattr(ranks, "count", lambda: 2)
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    assert [part.tolist() for part in ranks.share((torch.arange(4), torch.arange(4)))] == [[2, 3], [2, 3]]
    with pytest.raises(InvalidInput, match="multiple of 2"):
        ranks.share(batch)
