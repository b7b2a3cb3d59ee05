"""Every loss with every option and every form of X: what a user may combine is right, or refused in a sentence.

The truth is an enumeration of supports; on each of them a loss that is written out here once more is minimised by
SciPy. What is not in `REFUSED` has to be right.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, softmax, xlogy

import sparsopt
from sparsopt import problems
from sparsopt.errors import InvalidInput, MissingCapability

N, P, K = 30, 5, 2
LABELS = np.array([0, 0, 1, 1, 2])
DRAWS = np.random.default_rng(3)
X = DRAWS.standard_normal((N, P)) + 0.5 * DRAWS.standard_normal((N, 1)) + 0.3
X = np.where(DRAWS.random((N, P)) < 0.2, 0.0, X).astype(np.float32).astype(float)  # the same in single precision
ETA, NOISE = X @ [1.0, 0.0, -0.8, 0.5, 0.3], DRAWS.standard_normal(N)
REAL, TWO = ETA + NOISE, np.column_stack([ETA + NOISE, X[:, 1] - ETA + 1])
LABEL, CLASS = (ETA + 2 * NOISE > 0.3).astype(float), np.digitize(ETA + NOISE, [-0.6, 0.8])
COUNT, POSITIVE = DRAWS.poisson(np.exp(ETA / 2)).astype(float), DRAWS.gamma(2.0, np.exp(ETA / 2) / 2) + 0.01
TIME, EVENT = DRAWS.exponential(np.exp(-ETA / 2)).round(1) + 0.1, DRAWS.random(N) < 0.7
WEIGHT = DRAWS.integers(0, 4, N).astype(float)


# ---- the losses once more: scores z (n,) or (n, outputs) -> the loss of each row, and its derivatives by z ---------


def squares(z, y):
    return ((y - z) ** 2 / 2).reshape(N, -1).sum(axis=1), z - y


def logistic(z, y):
    return np.logaddexp(0, z) - y * z, expit(z) - y


def classes(z, y):
    return logsumexp(z, axis=1) - z[np.arange(N), y], softmax(z, axis=1) - np.eye(3)[y]


def hinge(z, y):
    room = np.maximum(0, 1 - (2 * y - 1) * z)
    return room**2, -2 * (2 * y - 1) * room


def huber(z, y, threshold=1.35):
    r = np.abs(y - z)
    return np.where(r <= threshold, r**2 / 2, threshold * (r - threshold / 2)), np.clip(z - y, -threshold, threshold)


def poisson(z, y):
    return np.exp(z) - y * z + xlogy(y, y) - y, np.exp(z) - y


def gamma(z, y):
    return y / np.exp(z) + z - np.log(y) - 1, 1 - y / np.exp(z)


def partial(z, weight):
    """Cox: the weighted sums, event by event."""
    value, slope = 0.0, np.zeros(N)
    for i in np.flatnonzero(EVENT & (weight > 0)):
        risk = (TIME[i] <= TIME) & (weight > 0)
        logs = z[risk] + np.log(weight[risk])
        value += weight[i] * (logsumexp(logs) - z[i])
        slope[risk] += weight[i] * softmax(logs)
        slope[i] -= weight[i]
    return value, slope


LOSSES: dict[str, tuple[Callable, np.ndarray]] = {
    "LeastSquares": (squares, REAL),
    "MultiOutput": (squares, TWO),
    "Logistic": (logistic, LABEL),
    "Softmax": (classes, CLASS),
    "SquaredHinge": (hinge, LABEL),
    "Huber": (huber, REAL),
    "Poisson": (poisson, COUNT),
    "Gamma": (gamma, POSITIVE),
    "Cox": (partial, TIME),
}
OUTPUTS = {"MultiOutput": 2, "Softmax": 3}


def mean_loss(name: str, z: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean loss of scores (n, outputs) and its derivatives."""
    loss, y = LOSSES[name]
    z = z if name in OUTPUTS else z[:, 0]
    if name == "Cox":
        value, slope = loss(z, weight)
    else:
        values, slopes = loss(z, y)
        value, slope = float(weight @ values), (weight * slopes.T).T
    return value / weight.sum(), slope.reshape(N, -1) / weight.sum()


# ---- what a user may ask for ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Option:
    """Arguments of the loss, what is put around it, and which supports that leaves."""

    ridge: float = 0.0
    intercept: bool = True
    weighted: bool = False
    standardised: bool = False
    bounds: tuple[float, float] | None = None
    groups: bool = False
    one_of_a_group: bool = False
    always: int | None = None

    def problem(self, name: str, matrix):
        weight = WEIGHT if self.weighted else None
        if name == "Cox":
            f = problems.Cox(matrix, TIME, EVENT, self.ridge, weight)
        else:
            f = getattr(problems, name)(
                matrix, LOSSES[name][1], ridge=self.ridge, intercept=self.intercept, sample_weight=weight
            )
        return self.around(f)

    def around(self, f):
        labels = np.repeat(LABELS, f.layout.n // P)
        f = problems.standardised(f) if self.standardised else f
        f = f if self.bounds is None else problems.constrained(f, *self.bounds)
        f = problems.grouped(f, labels) if self.groups else f
        f = problems.per_group(f, labels, 1) if self.one_of_a_group else f
        return f if self.always is None else problems.preselected(f, [self.always])

    def supports(self):
        """Those that no larger one contains."""
        if self.groups:
            return [np.flatnonzero(np.isin(LABELS, chosen)) for chosen in itertools.combinations(range(3), K)]
        pairs = (np.array(pair) for pair in itertools.combinations(range(P), K))
        pairs = [pair for pair in pairs if not self.one_of_a_group or LABELS[pair[0]] != LABELS[pair[1]]]
        return [pair for pair in pairs if self.always is None or self.always in pair]


OPTIONS = {
    "nothing": Option(),
    "ridge": Option(ridge=0.1),
    "no intercept": Option(intercept=False),
    "weights": Option(weighted=True),
    "always selected": Option(always=4),
    "non-negative": Option(bounds=(0.0, np.inf)),
    "in a box": Option(bounds=(-0.3, 0.4)),
    "groups": Option(groups=True),
    "one of a group": Option(one_of_a_group=True),
    "standardised": Option(standardised=True, ridge=0.1),
    "ridge, weights, no intercept": Option(ridge=0.1, weighted=True, intercept=False),
    "standardised, weights, box": Option(ridge=0.1, weighted=True, standardised=True, bounds=(-0.3, 0.4)),
    "groups, box, weights": Option(groups=True, weighted=True, bounds=(-0.3, 0.4)),
    "one of a group, standardised, always": Option(ridge=0.1, one_of_a_group=True, standardised=True, always=1),
    "always, non-negative, ridge": Option(ridge=0.1, always=0, bounds=(0.0, np.inf)),
}
SHARED = [option for option in OPTIONS if "group" in option]  # rows of coefficients are groups already
REFUSED = {(name, option) for name in OUTPUTS for option in SHARED}
CELLS = [(name, option) for name in LOSSES for option in OPTIONS if not (name == "Cox" and "no inter" in option)]


@functools.cache
def truth(name: str, option: Option) -> float:
    return min(refit(name, option, tuple(support.tolist())) for support in option.supports())


def refit(name: str, option: Option, support: tuple[int, ...]) -> float:
    """The least loss on a support, by a general solver."""
    weight = WEIGHT if option.weighted else np.ones(N)
    A = X[:, support]
    if option.standardised:
        about = np.average(A, axis=0, weights=weight) if option.intercept else 0.0
        A = A / np.sqrt(np.average((A - about) ** 2, axis=0, weights=weight))
    sizes = np.array([np.abs(X[:, j]).max() / np.abs(A[:, i]).max() for i, j in enumerate(support)])
    outputs, columns = OUTPUTS.get(name, 1), len(support)
    constant = option.intercept and name != "Cox"

    def f(v):
        W, b = v[: columns * outputs].reshape(columns, outputs), v[columns * outputs :]
        value, slope = mean_loss(name, A @ W + (b if constant else 0.0), weight)
        g = np.concatenate([(A.T @ slope + option.ridge * W).ravel(), slope.sum(axis=0) if constant else []])
        return value + option.ridge / 2 * float((W**2).sum()), g

    low, high = option.bounds or (-np.inf, np.inf)
    limits = [(low * size, high * size) for size in sizes for _ in range(outputs)]
    limits += [(None, None)] * (outputs if constant else 0)
    found = minimize(
        f, np.zeros(len(limits)), jac=True, method="L-BFGS-B", bounds=limits, options={"ftol": 1e-15, "gtol": 1e-10}
    )
    return float(found.fun)


@pytest.mark.parametrize(("name", "option"), CELLS)
def test_every_loss_with_every_option_is_enumeration_or_refused(name, option):
    asked = OPTIONS[option]
    if (name, option) in REFUSED:
        with pytest.raises(InvalidInput, match="already has the structure Rows"):
            asked.problem(name, X)
        return
    best = truth(name, asked)
    for matrix in (X, sparse.csr_array(X)):
        result = sparsopt.solve(asked.problem(name, matrix), K)
        assert math.isclose(result.value, best, rel_tol=1e-7, abs_tol=1e-9)
        assert result.lower_bound <= best + 1e-9


def float_matrices():
    return {
        "float32": X.astype(np.float32),
        "Fortran order": np.asfortranarray(X),
        "a view": np.repeat(X, 2, axis=1)[:, ::2],
        "read-only": np.frombuffer(X.tobytes()).reshape(X.shape),
        "csc": sparse.csc_matrix(X),
        "coo": sparse.coo_array(X),
        "csr of float32": sparse.csr_array(X.astype(np.float32)),
    }


ALL = Option(ridge=0.1, weighted=True, bounds=(-0.5, np.inf), always=3)


@pytest.mark.parametrize("form", float_matrices())
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_takes_every_form_of_x(name, form):
    result = sparsopt.solve(ALL.problem(name, float_matrices()[form]), K)
    assert math.isclose(result.value, truth(name, ALL), rel_tol=1e-5 if "32" in form else 1e-7)
    assert result.x.dtype == (np.float32 if "32" in form else np.float64)


@pytest.mark.parametrize("width", ["float32", "float64"])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_takes_tensors(name, width):
    torch = pytest.importorskip("torch")
    result = sparsopt.solve(ALL.problem(name, torch.tensor(X, dtype=getattr(torch, width))), K)
    assert math.isclose(result.value, truth(name, ALL), rel_tol=1e-5 if width == "float32" else 1e-7)


@pytest.mark.parametrize("name", ["Logistic", "Poisson", "Cox"])
def test_whole_numbers_are_numbers(name):
    """Integers and booleans, which overflow or saturate where they are not turned into floats first."""
    whole = (X > 0.5).astype(np.int8) * 100
    expected = sparsopt.solve(Option(ridge=0.1).problem(name, whole.astype(float)), K)
    for matrix in (whole, sparse.csr_array(whole), whole.astype(object)):
        assert math.isclose(sparsopt.solve(Option(ridge=0.1).problem(name, matrix), K).value, expected.value)
    bits = sparsopt.solve(Option().problem(name, whole > 0), K)
    assert math.isclose(bits.value, sparsopt.solve(Option().problem(name, (whole > 0) * 1.0), K).value)


# ---- functions -----------------------------------------------------------------------------------------------------


def functions():
    """Least squares without intercept, as a quadratic, as callables and in Torch."""
    H, c, constant = X.T @ X / N + 0.1 * np.eye(P), X.T @ REAL / N, REAL @ REAL / (2 * N)
    made = {
        "Quadratic": problems.Quadratic(H, c, constant),
        "Smooth": problems.Smooth(lambda x: float(x @ H @ x / 2 - c @ x + constant), lambda x: H @ x - c, P),
    }
    try:
        import torch
    except ImportError:
        return made
    A, b = torch.from_numpy(X), torch.from_numpy(REAL)
    made["TorchFunction"] = problems.TorchFunction(lambda x: ((b - A @ x) ** 2).mean() / 2 + 0.05 * x @ x, P)
    return made


@pytest.mark.parametrize("option", [option for option in OPTIONS if "weights" not in option and "inter" not in option])
@pytest.mark.parametrize("name", ["Quadratic", "Smooth", "TorchFunction"])
def test_functions_with_every_option(name, option):
    if name not in (made := functions()):
        pytest.skip("needs torch")
    asked = OPTIONS[option]
    if asked.standardised:
        with pytest.raises(MissingCapability, match="has no columns to standardise"):
            asked.around(made[name])
        return
    same = Option(
        0.1, False, bounds=asked.bounds, groups=asked.groups, one_of_a_group=asked.one_of_a_group, always=asked.always
    )
    assert math.isclose(sparsopt.solve(asked.around(made[name]), K).value, truth("LeastSquares", same), rel_tol=1e-7)
