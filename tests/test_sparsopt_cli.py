"""`python -m sparsopt`: fit and methods, and mistakes that end in one line."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from sparsopt import __main__ as command
from sparsopt.certificates import Standing
from sparsopt.errors import NotFinite
from sparsopt.fitting import enumeration, fit
from sparsopt.problems import Logistic
from sparsopt.result import Result, Status, Trace
from sparsopt.solvers import methods, solve
from sparsopt.tables import Table, read
from tests.processes import python
from tests.regression import X, Y


@pytest.fixture
def table(tmp_path):
    rows = [",".join(["first", "second", "third", "out"])]
    rows += [f"{a:.17g},{b:.17g},{c:.17g},{1 + 2 * b - c:.17g}" for a, b, c in X[:, :3]]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_fit_a_csv_file(table, capsys):
    assert command.main(["fit", str(table), "--target", "out", "--k", "2"]) == 0
    shown = capsys.readouterr().out
    last = [line.split() for line in shown.splitlines()[-3:]]
    assert [name for name, _ in last] == ["second", "third", "(intercept)"]
    np.testing.assert_allclose([float(weight) for _, weight in last], [2, -1, 1], rtol=1e-6)
    assert "support      2 of 3 coordinates" in shown


def test_fit_an_npz_file_with_names(tmp_path, capsys):
    path = tmp_path / "table.npz"
    names = np.array([f"gene {j}" for j in range(10)])
    np.savez(path, X=X, label=(Y > 0).astype(int), names=names)
    words = ["--target", "label", "--k", "2", "--loss", "logistic", "--ridge", "0.1", "--method", "omp"]
    assert command.main(["fit", str(path), *words]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "method       omp" and shown[-3].startswith("gene 0")
    np.savez(path, X=X, label=Y)
    assert command.main(["fit", str(path), "--target", "label", "--k", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-2].startswith("X[0]")


def test_the_methods_command(capsys):
    assert command.main(["methods"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(methods())


def complaint(capsys, *words):
    assert command.main(["fit", *map(str, words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and captured.err.startswith("sparsopt: ")
    return captured.err


def test_bad_files_end_in_one_line(table, tmp_path, capsys):
    def written(text, name="bad.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    rest = ("--target", "y", "--k", "1")
    assert "no column 'y'; the columns are first, second" in complaint(capsys, table, *rest)
    assert "cannot be read (No such file" in complaint(capsys, tmp_path / "none.csv", *rest)
    assert "ends in .csv or .npz" in complaint(capsys, written("y\n1", "table.xlsx"), *rest)
    assert "a header and at least one row" in complaint(capsys, written("a,y\n"), *rest)
    assert "line 3: 1 cells under a header of 2" in complaint(capsys, written("a,y\n1,2\n3\n"), *rest)
    assert "line 2, column 'a': 'blue' is not a finite" in complaint(capsys, written("a,y\nblue,2\n"), *rest)
    assert "line 3, column 'y': nothing there" in complaint(capsys, written("a,y\n1,2\n1,\n"), *rest)
    assert "'nan' is not a finite" in complaint(capsys, written("a,y\nnan,2\n"), *rest)
    assert "2 columns named 'y'" in complaint(capsys, written("y,y\n1,2\n"), *rest)
    assert "cannot be read" in complaint(capsys, written(b"a,y\x00\n1,2\n"), *rest)
    assert "not an NPZ file" in complaint(capsys, written("nothing", "bad.npz"), *rest)
    assert "no column is left beside the target" in complaint(capsys, written("y\n1\n2\n"), *rest)
    np.savez(tmp_path / "a.npz", X=X)
    assert "no array 'y'; the arrays are X" in complaint(capsys, tmp_path / "a.npz", *rest)
    np.savez(tmp_path / "a.npz", X=X, y=Y, names=np.array(["one"]))
    assert "1 names for 10 columns" in complaint(capsys, tmp_path / "a.npz", *rest)
    np.savez(tmp_path / "a.npz", X=np.array([{}], dtype=object), y=Y)
    assert "not an NPZ file of plain arrays" in complaint(capsys, tmp_path / "a.npz", *rest)


def test_bad_options_end_in_one_line(table, capsys):
    for words, sentence in [
        (("--k", "-1"), "k = -1 is negative"),
        (("--k", "1", "--ridge", "-1"), "ridge = -1.0 is negative"),
        (("--k", "1", "--method", "opm"), "did you mean omp"),
        (("--k", "1", "--loss", "logistic"), "distinct values"),
        (("--k", "1", "--seed", "-3"), "seed = -3 is negative"),
    ]:
        assert sentence in complaint(capsys, table, "--target", "out", *words)


def test_k_is_chosen_from_a_range(table, tmp_path, capsys):
    for more, rule in (([], "5-fold cross-validation"), (["--folds", "0"], "EBIC")):
        words = ["fit", str(table), "--target", "out", "--k", "0:3", *more, "--out", str(tmp_path / "out")]
        assert command.main(words) == 0
        shown = capsys.readouterr().out
        assert f"k = 2 was chosen from 0 to 3 by {rule}" in shown and "support      2 of 3" in shown
        assert shown.splitlines()[-3:-1] == ["", str(tmp_path / "out" / "fit.json")]
        saved = json.loads((tmp_path / "out" / "fit.json").read_text())
        assert saved["k"] == 2 and saved["chosen_from"] == [0, 1, 2, 3] == [row["k"] for row in saved["path"]]
        assert saved["path"][2]["intercept"] == pytest.approx(saved["intercept"]) == pytest.approx(1)
    for given in ("3:1", "a", "-1:2", "1-5", ":4"):
        with pytest.raises(SystemExit):
            command.main(["fit", str(table), "--target", "out", f"--k={given}"])
        assert "is neither a number nor a range such as 0:10" in capsys.readouterr().err


def test_a_target_of_two_labels_is_pointed_to_the_logistic_loss(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("a,b,y\n" + "".join(f"{x},{z},{'yes' if x > 0 else 'no'}\n" for x, z in X[:, :2]))
    assert command.main(["fit", str(path), "--target", "y", "--k", "1"]) == 0
    assert "--loss logistic would model its odds" in capsys.readouterr().out
    assert command.main(["fit", str(path), "--target", "y", "--k", "1", "--loss", "logistic", "--ridge", "0.1"]) == 0
    assert "would model" not in capsys.readouterr().out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_an_output_that_nobody_reads_or_that_is_full(table):
    """No traceback: a reader that has gone is no mistake, a full disk is one sentence."""
    words = [sys.executable, "-m", "sparsopt", "fit", str(table), "--target", "out", "--k", "1", "--folds", "0"]
    read, write = os.pipe()
    os.close(read)
    for place, code, said in ((write, 0, ""), (os.open("/dev/full", os.O_WRONLY), 2, "the output cannot be written")):
        done = subprocess.run(words, stdout=place, stderr=subprocess.PIPE, text=True, check=False)
        os.close(place)
        assert done.returncode == code and said in done.stderr and done.stderr.count("\n") == (code > 0)


def test_the_command_line_in_a_process(table):
    """Exit code 2 without a traceback, for the library's errors and for argparse's own."""
    for words in (["fit"], ["nonsense"], [], ["fit", str(table), "--target", "out", "--k", "x"]):
        done = python("-m", "sparsopt", *words, check=False)
        assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr
    done = python("-m", "sparsopt", "fit", str(table), "--target", "nope", "--k", "1", check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


def test_few_supports_are_all_refitted(tmp_path, capsys, monkeypatch):
    """Without a ridge no bound proves a logistic fit; 84 supports do. A worse model is told how far it is off."""
    rng = np.random.default_rng(3)
    A = rng.standard_normal((120, 9))
    labels = (A[:, 0] - A[:, 4] + 0.7 * A[:, 6] + rng.logistic(size=120) > 0).astype(int)
    table = Table(A, labels.astype(float), [f"c{j}" for j in range(9)])
    found = fit(table, 3, "logistic", folds=0)
    best = min(found.problem.minimise_on(np.isin(np.arange(9), S))[1] for S in itertools.combinations(range(9), 3))
    assert found.result.certificates.standing is Standing.FEASIBLE and found.result.value == pytest.approx(best)
    assert found.result.gap <= 1e-9 and found.result.lower_bound == pytest.approx(best, abs=1e-12)
    sentence = "Optimal: all 84 supports were refitted, each up to rounding."
    assert found.standing == found.summary()["standing"] == sentence and f"shown        {sentence}\n" in str(found)
    worse = fit(table, 3, "logistic", method=Last(), folds=0)
    gap = worse.result.value - best
    assert (
        gap > 0.01
        and worse.standing == f"Not optimal, by {gap:.3g}: all 84 supports were refitted, each up to rounding."
    )
    monkeypatch.setattr(enumeration, "FEW", 83)
    assert fit(table, 3, "logistic", folds=0).standing == str(Standing.FEASIBLE)


class Last:
    """A method that takes the last k columns."""

    def solve(self, problem, k, seed):
        support = np.arange(problem.layout.n) >= problem.layout.n - k
        x, value = problem.minimise_on(support)
        state = problem.start(seed).but(x=x, support=support, value=value)
        return Result(state, Status.FINISHED, Trace(), self, 0.0)


def test_a_finished_search_is_what_is_shown(table):
    found = fit(read(table, "out"), 1, method="branch-and-bound", folds=0)
    assert found.standing == str(Status.PROVED) and "\nshown" not in str(found)


class Falling(Logistic):
    """Without a minimum wherever column 0 is in."""

    def minimise_on(self, support, x=None):
        if support[0]:
            raise NotFinite("no minimum")
        return super().minimise_on(support, x)


def test_where_one_support_has_no_minimum_nothing_is_claimed():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40, 4))
    labels = A[:, 2] + rng.logistic(size=40) > 0
    result = solve(Logistic(A, labels), 1)
    assert enumeration.enumerated(Falling(A, labels), 1, result) is result
    assert enumeration.enumerated(Logistic(A, labels), 1, result).proof.nodes == 4
