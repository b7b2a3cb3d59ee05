"""python -m nets: what it prints, how it fails, and that the same command continues."""

from __future__ import annotations

import dataclasses
import io
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import rich.console
import tyro

import nets
import nets.__main__ as command_line
from nets import checkpoint
from nets.__main__ import main
from sparsopt.errors import CheckpointError

COMMANDS: Any = command_line.COMMANDS
SMALL = ["--data", "digits", "--model", "lenet-300-100", "--epochs", "0.5", "--seed", "3"]


def test_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    out = capsys.readouterr().out
    for name in (*nets.methods(), "lenet-300-100", "cifar10"):
        assert name in out


def test_prune_prints_the_outcome_and_nothing_else_when_piped(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["prune", *SMALL, "--method", "rigl", "--sparsity", "0.9", "--out", str(tmp_path / "run")]
    assert main(arguments) == 0
    first = capsys.readouterr()
    assert "sparsity   90.0000% (5020 of 50200 prunable weights kept)" in first.out and first.err == ""
    assert "accuracy" in first.out and "of head.weight" in first.out
    began = time.monotonic()
    assert main(arguments) == 0 and time.monotonic() - began < 5
    assert capsys.readouterr().out == first.out, "the same command, the same result, found again"


def test_variants_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    """A narrower network, other first weights, dropout: each changes what is trained."""
    said = []
    for variant in ([], ["--width", "0.5"], ["--init", "signed-constant"], ["--dropout", "0.5"]):
        assert main(["prune", *SMALL, "--method", "imp", "--set", "rounds=1", *variant]) == 0
        said.append(next(line for line in capsys.readouterr().out.splitlines() if line.startswith("accuracy")))
    assert len(set(said)) == 4


def test_train_is_dense(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SMALL, "--recipe", "sgd", "--learning-rate", "0.05", "--batch", "32"]) == 0
    out = capsys.readouterr().out
    assert "0.0000% (50200 of 50200" in out and "20 steps" in out


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--method", "impp"], "nets: unknown network method 'impp'; did you mean imp or"),
        (["--sparsity", "1.0"], "nets: sparsity = 1.0 would keep no weight of 50200"),
        (["--sparsity", "nan"], "nets: sparsity = nan is no fraction; give 0 <= sparsity"),
        (["--epochs", "0"], "nets: epochs = 0.0: one training must have a positive length"),
        (["--budget", "3"], "nets: a budget of 3 steps is too small for imp"),
        (["--model", "lenet"], "nets: unknown model 'lenet'; did you mean lenet-5?"),
        (["--init", "zeros"], "nets: unknown initialisation 'zeros'"),
        (["--dropout", "1.0"], "nets: lenet-300-100: dropout=1.0 needs hidden linear layers"),
        (["--data", "digit"], "nets: unknown data set 'digit'"),
        (["--device", "warp"], "nets: device 'warp' cannot be used here"),
        (["--learning-rate", "-1"], "nets: learning_rate = -1.0: give a finite number"),
        (["--recipe", "lion"], "nets: unknown recipe 'lion'; known are adam, sgd, "),
        (["--recipe", "lth-lenet"], "nets: unknown recipe 'lth-lenet'; did you mean lth-lenet-300-100"),
        (["--method", "imp+reinitt"], "nets: unknown control 'reinitt'; did you mean reinit"),
        (["--method", "dense+inverted"], "nets: 'dense' ranks weights by no score"),
        (["--validation", "2"], "nets: fraction=2.0 of 1297 training samples holds 2594 out"),
        (["--recipe", "sgd", "--learning-rate", "1e30"], "nets: training diverged after step"),
        (["--out", "/dev/null/run"], "nets: /dev/null/run/run.json could not be written"),
    ],
)
def test_errors_are_one_line_and_2(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", *SMALL, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(sentence) and captured.err.count("\n") == 1 and captured.out == ""


def test_a_full_disk_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise CheckpointError("checkpoint.pt could not be written (No space left on device)")

    monkeypatch.setattr(checkpoint, "save", full)
    assert main(["prune", *SMALL, "--method", "random", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "nets: checkpoint.pt could not be written (No space left on device)\n"


@pytest.mark.parametrize("arguments", [["bogus"], ["prune", "--sparsity", "much"], ["prune", "--epochs", "few"]])
def test_usage_errors_are_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def interrupted(out: Path, epochs: int) -> tuple[list[str], int, str, str]:
    """A real process and a real signal, sent once there is a checkpoint: (command, exit code, stdout, stderr)."""
    options = ["--method", "gmp", "--epochs", str(epochs), "--save-every", "0", "--out", str(out)]
    command = [sys.executable, "-m", "nets", "prune", *SMALL[:4], *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not (out / "checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    return command, process.returncode, stdout, stderr


def test_ctrl_c_is_one_line_and_130_and_the_same_command_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for epochs in (100, 1000, 10_000):  # on a busy machine a short run may be over before the signal comes
        out = tmp_path / str(epochs)
        command, code, stdout, stderr = interrupted(out, epochs)
        if code != 0:
            break
    assert (code, stdout, stderr) == (130, "", f"nets: interrupted; the same command continues {out}\n")
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint.pt", "run.json"]
    again = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 0 and f"{20 * epochs} steps" in again.stdout and again.stderr == ""


def test_a_terminal_sees_one_line_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    terminal = rich.console.Console(file=shown, force_terminal=True, width=80)
    monkeypatch.setattr(rich.console, "Console", lambda stderr: terminal)
    assert main(["prune", *SMALL, "--method", "gmp"]) == 0
    pieces = shown.getvalue().split("\r")
    lines = [piece for piece in pieces if "step" in piece]
    assert lines and all("weights" in line and "accuracy" in line for line in lines)
    assert "step" not in pieces[-1] and shown.getvalue().count("\n") <= 1, "one line, cleared at the end"


def test_the_examples_of_the_module_are_commands() -> None:
    """Every line `python -m nets ...` of the docstring parses."""
    lines = [
        line.split()[3:] for line in str(command_line.__doc__).splitlines() if line.strip().startswith("python -m nets")
    ]
    assert len(lines) == 8
    for words in lines:
        if "--help" not in words:
            assert dataclasses.is_dataclass(tyro.cli(COMMANDS, args=words))
