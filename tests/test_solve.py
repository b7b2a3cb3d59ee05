"""`solve`, `methods`, the public names and the command line: what a user meets first."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest

import sparsopt
from sparsopt import __main__ as command
from sparsopt import catalogue, support
from sparsopt.certificates import Certificates
from sparsopt.errors import InvalidInput, InvalidResult, MissingCapability, SparsoptError
from sparsopt.exact import enumerate_supports
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Everything, Keep
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from sparsopt.result import Result, Status, Trace
from sparsopt.solvers import methods, solve
from sparsopt.state import Layout, State
from tests.toys import Quadratic as Toy
from tests.toys import random_quadratic

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 10))
Y = X @ np.array([2.0, 0, 0, -1.0, 0, 0, 0.5, 0, 0, 0]) + 0.1 * RNG.standard_normal(80)
PROBLEM = LeastSquares(X, Y)


# ---- what comes back -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["auto", *catalogue.METHODS])
@pytest.mark.parametrize("k", [0, 1, 3, 9, 10, 99])
def test_every_name_and_every_k(name, k):
    result = solve(PROBLEM, k, method=name)
    assert support.count(result.support) <= min(k, 10) and (result.x[~result.support] == 0).all()
    assert result.value == PROBLEM.value(result.x) and result.lower_bound <= result.value + 1e-12 and result.gap >= 0
    assert (result.status is Status.CLIPPED) == (k >= 10)


def test_the_answer_is_right_and_proved():
    result = solve(PROBLEM, 3)
    assert np.flatnonzero(result.support).tolist() == [0, 3, 6] and result.status is Status.BEST_OF_SEVERAL
    assert result.value == pytest.approx(enumerate_supports(PROBLEM, 3)[1], rel=1e-12)
    assert result.gap <= 0.05 * result.value


def test_k_is_zero():
    result = solve(PROBLEM, 0)
    assert not result.x.any() and not result.support.any() and result.status is Status.FINISHED
    assert result.value == pytest.approx(Y @ Y / 160) and result.gap == pytest.approx(0, abs=1e-12)


def test_k_is_everything():
    """The unrestricted minimiser, on the full support, and a status that says so. Never an index error."""
    for k in (10, 11, 10**9):
        result = solve(PROBLEM, k, method="iht")
        np.testing.assert_allclose(result.x, np.linalg.lstsq(X, Y, rcond=None)[0], rtol=1e-9)
        assert result.support.all() and "nothing is sparse" in str(result.status)
        assert result.certificates.k == 10 and result.gap <= 1e-9


def test_certificates_are_of_the_point_that_is_returned():
    result = solve(PROBLEM, 3, method="htp")
    other = Certificates(PROBLEM, result.x, result.support, 3)
    assert (result.value, result.lower_bound, result.gap) == (other.value, other.lower_bound, other.gap)
    assert result.certificates.feasible


def test_certificates_wait_until_they_are_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(LeastSquares, "strong_convexity", lambda *a: asked.append(1) or 0.0)
    result = solve(PROBLEM, 3, method="omp")
    assert not asked
    assert result.lower_bound <= result.value and asked


def test_print_tells_what_happened():
    lines = str(solve(PROBLEM, 3, method="omp")).splitlines()
    assert [line.split()[0] for line in lines] == ["method", "status", "support", "value", "lower", "shown", "phases"]
    assert lines[2].endswith("3 of 10 coordinates (3 non-zero)") and re.search(r"\(gap \S+\)", lines[4])
    wide = LeastSquares(X[:5], Y[:5])
    assert "none known" in str(solve(wide, 3, method="omp")) or "lower bound" in str(solve(wide, 3, method="omp"))
    assert "auto" in str(solve(PROBLEM, 3))


def test_support_is_not_the_number_of_non_zeros():
    """A repeated column can be selected and weigh nothing; both numbers are reported."""
    result = solve(Quadratic(np.eye(3), [1.0, 0.0, 0.0]), 2, method="omp")
    assert support.count(result.support) == 2 and "2 of 3 coordinates (1 non-zero)" in str(result)


def test_seeds_matter_to_random_methods_only():
    values = {solve(PROBLEM, 3, "randomised", seed=seed).value for seed in range(10)}
    assert len(values) > 1 and solve(PROBLEM, 3, "randomised", seed=4).value in values
    assert solve(PROBLEM, 3, "randomised", 4).value == solve(PROBLEM, 3, "randomised", 4).value


def test_auto_is_no_worse_than_its_parts():
    for seed in range(10):
        problem = random_problem(seed)
        best = min(solve(problem, 4, name).value for name in ("omp", "htp"))
        assert solve(problem, 4).value <= best + 1e-12 * abs(best)


def random_problem(seed):
    toy = random_quadratic(seed, n=12, condition=200)
    return Quadratic(toy.H, toy.c)


def test_auto_is_a_run_that_went_on():
    """For an f without a search of its own: the trace is that of a start and of the swaps after it."""
    problem = random_problem(1)
    problem.portfolio = None
    result = solve(problem, 4, seed=7)
    assert result.state.seed == 7 and max(row.stage for row in result.trace) == 1 and result.seconds > 0


@pytest.mark.parametrize("make", [lambda X, y: LeastSquares(X, y), lambda X, y: Logistic(X, y > 0, ridge=0.01)])
def test_constant_zero_and_repeated_columns(make):
    bad = X.copy()
    bad[:, 0], bad[:, 1], bad[:, 2] = 7.0, 0.0, bad[:, 3]
    for name in methods():
        result = solve(make(bad, Y), 4, method=name)
        assert np.isfinite(result.x).all() and support.count(result.support) <= 4


# ---- methods of one's own ------------------------------------------------------------------------------------------


def test_a_method_object():
    mine = Method("mine", (Stage((Phase(Everything(), catalogue.Exact()), Phase(Keep(3), catalogue.Exact()))),))
    result = solve(PROBLEM, 3, method=mine)
    assert result.method is mine and np.flatnonzero(result.support).tolist() == [0, 3, 6]
    np.testing.assert_array_equal(result.x, run(mine, PROBLEM, PROBLEM.start()).x)
    faster = solve(PROBLEM, 3, method=catalogue.iht(3, step_size=1.0))
    assert np.flatnonzero(faster.support).tolist() == [0, 3, 6]


class Fixed:
    """A solver that is no method."""

    def __init__(self, x, chosen):
        self.x, self.chosen = np.array(x, dtype=float), np.array(chosen)

    def solve(self, problem, k, seed):
        return Result(State(self.x, self.chosen, seed), Status.FINISHED, Trace(), self, 0.0)


def test_any_object_that_solves():
    result = solve(Toy(np.eye(2), [1.0, 2.0]), 1, method=Fixed([0, 2], [False, True]), seed=3)
    assert result.state.seed == 3 and result.value == Toy(np.eye(2), [1.0, 2.0]).value(np.array([0.0, 2.0]))
    assert "method       Fixed" in str(dataclasses.replace(result, method=Fixed)) or result.method.__class__ is Fixed


def test_results_are_checked_whoever_made_them():
    problem = Toy(np.eye(3), [1.0, 2.0, 3.0])
    with pytest.raises(InvalidResult, match="'iht' returned a support of 2 coordinates for k = 1; was it built for"):
        solve(problem, 1, method=catalogue.iht(2))
    with pytest.raises(InvalidResult, match="'Fixed' returned 1 non-zero weights off its support"):
        solve(problem, 1, method=Fixed([0, 2, 1], [False, True, False]))


@pytest.mark.parametrize("entry", [catalogue.iht, catalogue.iht_with_feedback, catalogue.htp])
def test_divergence_is_a_status_and_the_result_is_feasible(entry):
    result = solve(PROBLEM, 3, method=entry(3, step_size=1e6))
    assert support.count(result.support) == 3 and (result.x[~result.support] == 0).all()
    assert np.isfinite(result.x).all()
    if entry is not catalogue.htp:
        assert result.status is Status.NOT_FINITE


def test_divergence_in_mid_round_keeps_the_largest():
    @dataclasses.dataclass(frozen=True)
    class Break:
        def __call__(self, oracle, state):
            return state.but(x=state.x * np.nan)

    stages = (Stage((Phase(Everything(), catalogue.Exact()), Phase(Everything(), Break()))),)
    result = solve(Toy(np.eye(3), [1.0, -3.0, 2.0]), 2, method=Method("broken", stages))
    assert result.x.tolist() == [0, -3, 2] and result.support.tolist() == [False, True, True]
    assert result.status is Status.NOT_FINITE


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "sentence"),
    [
        (-1, "k = -1 is negative; a non-negative integer is needed"),
        (True, "k = True is a truth value"),
        (np.bool_(False), "k = False is a truth value"),
        (2.0, "k = 2.0 is no integer"),
        (None, "k = None is no integer"),
        ("3", "k = '3' is no integer"),
        (np.array([1, 2]), "is no integer"),
    ],
)
def test_k_that_makes_no_sense(k, sentence):
    with pytest.raises(InvalidInput, match=re.escape(sentence)):
        solve(PROBLEM, k)


def test_numpy_integers_are_integers():
    assert solve(PROBLEM, np.int64(2), "omp").support.sum() == 2


def test_names_that_are_not_there():
    with pytest.raises(InvalidInput, match="unknown method 'opm'; did you mean omp"):
        solve(PROBLEM, 2, method="opm")
    with pytest.raises(InvalidInput, match="unknown method 'forward_greedy'; did you mean forward-greedy"):
        solve(PROBLEM, 2, method="forward_greedy")
    with pytest.raises(InvalidInput, match=r"unknown method 'qqqq'; known are auto, .*forward-greedy"):
        solve(PROBLEM, 99, method="qqqq")
    with pytest.raises(InvalidInput, match=r"method is 7; a name out of sparsopt.methods\(\), a Method such as"):
        solve(PROBLEM, 2, method=7)  # type: ignore[arg-type]


def test_seeds_and_problems_that_make_no_sense():
    with pytest.raises(InvalidInput, match="seed = -1 is negative"):
        solve(PROBLEM, 2, seed=-1)
    with pytest.raises(InvalidInput, match=r"seed = 0\.5 is no integer"):
        solve(PROBLEM, 2, seed=0.5)  # type: ignore[arg-type]
    with pytest.raises(MissingCapability, match=r"ndarray has no layout, .*LeastSquares\(X, y\), Logistic"):
        solve(X, 2)


def test_nan_is_refused_before_anything_runs():
    bad = X.copy()
    bad[3, 4] = np.nan
    with pytest.raises(InvalidInput, match="X has 1 entry NaN or infinite, the first at row 3, column 4"):
        solve(LeastSquares(bad, Y), 2)


class Limited:
    """A problem with a gradient and a value, and nothing else."""

    layout = Layout.single(3)

    def start(self, seed):
        return State(np.zeros(3), np.zeros(3, dtype=bool), seed)

    def open(self):
        return self

    def at(self, state):
        return self

    def value(self, x):
        return float(x @ x / 2 - x.sum())

    def gradient(self, x):
        return x - 1


def test_what_a_problem_cannot_do_is_named():
    for name in methods():
        with pytest.raises(MissingCapability, match=r"Limited"):
            solve(Limited(), 2, method=name)
    with pytest.raises(MissingCapability, match=r"Exact of method 'unrestricted' needs minimise_on\(\)"):
        solve(Limited(), 3)
    result = solve(Limited(), 2, method=catalogue.iht(2, step_size=0.5))
    np.testing.assert_allclose(result.x, [1, 1, 0])
    assert result.value == -1.0


class Halfway(Limited):
    """With a minimiser and curvature, but no smoothness: IHT cannot run, OMP can."""

    def minimise_on(self, support, x=None):
        return np.where(support, 1.0, 0.0), -support.sum() / 2

    def curvature(self):
        return np.ones(3)


def test_auto_leaves_out_what_the_problem_cannot_do():
    assert solve(Halfway(), 2).value == -1.0
    with pytest.raises(MissingCapability, match="smoothness"):
        solve(Halfway(), 2, method="iht")


# ---- public names --------------------------------------------------------------------------------------------------


def test_methods_says_one_line_each():
    table = methods()
    assert next(iter(table)) == "auto" and set(catalogue.METHODS) < set(table)
    assert all(line and "\n" not in line and line.endswith((".", ":")) for line in table.values())
    assert table["omp"].startswith("Orthogonal matching pursuit")


def test_public_names_exist():
    for name in sparsopt.__all__:
        assert getattr(sparsopt, name) is not None and name in dir(sparsopt)
    assert sparsopt.solve is solve and sparsopt.support is support
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sparsopt.nonsense  # type: ignore[attr-defined]


def python(*words, check=True):
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


HEAVY = ("torch", "sklearn", "cvxpy", "matplotlib", "pandas", "scipy", "numba", "tyro")


def test_import_is_light():
    """No heavy module at import, and none for a solve of least squares either, but for scipy."""
    code = f"""
import sys, time
began = time.perf_counter()
import sparsopt, sparsopt.support, sparsopt.method, sparsopt.catalogue
seconds = time.perf_counter() - began
print(seconds, [m for m in {HEAVY} if m in sys.modules])
import numpy as np
X = np.random.default_rng(0).standard_normal((20, 5))
assert sparsopt.solve(sparsopt.LeastSquares(X, X[:, 1]), 1).support[1]
sparsopt.subset_sum
print([m for m in {HEAVY} if m in sys.modules and m != "scipy"])
"""
    first, second = python("-c", code).stdout.splitlines()
    seconds, heavy = first.split(maxsplit=1)
    assert heavy == "[]" == second
    assert float(seconds) < 3  # 0.3 s on a quiet machine; the bound here only catches a heavy import


# ---- the command line ----------------------------------------------------------------------------------------------


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
    assert "ends in .csv or .npz" in complaint(capsys, written("y\n1", "table.txt"), *rest)
    assert "a header and at least one row" in complaint(capsys, written("a,y\n"), *rest)
    assert "line 3: 1 cells under a header of 2" in complaint(capsys, written("a,y\n1,2\n3\n"), *rest)
    assert "line 2, column 'a': 'blue' is not a finite" in complaint(capsys, written("a,y\nblue,2\n"), *rest)
    assert "line 3, column 'y': nothing there" in complaint(capsys, written("a,y\n1,2\n1,\n"), *rest)
    assert "'nan' is not a finite" in complaint(capsys, written("a,y\nnan,2\n"), *rest)
    assert "2 columns named 'y'" in complaint(capsys, written("y,y\n1,2\n"), *rest)
    assert "cannot be read" in complaint(capsys, written(b"a,y\x00\n1,2\n"), *rest)
    assert "not an NPZ file" in complaint(capsys, written("nothing", "bad.npz"), *rest)
    assert "at least one" in complaint(capsys, written("y\n1\n2\n"), *rest, "--folds", "0")  # no columns are left for X
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


def test_the_command_line_in_a_process(table):
    """Exit code 2 without a traceback, for the library's errors and for argparse's own."""
    for words in (["fit"], ["nonsense"], [], ["fit", str(table), "--target", "out", "--k", "x"]):
        done = python("-m", "sparsopt", *words, check=False)
        assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr
    done = python("-m", "sparsopt", "fit", str(table), "--target", "nope", "--k", "1", check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


def test_all_errors_are_of_the_family():
    assert issubclass(InvalidResult, SparsoptError) and issubclass(InvalidInput, ValueError)
    assert issubclass(MissingCapability, TypeError)
