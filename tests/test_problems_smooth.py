"""Functions given as callables or by Torch, and what goes wrong in them."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import sparsopt
from sparsopt.errors import InvalidInput, MissingCapability, NotFinite
from sparsopt.problems import Logistic, Quadratic, Smooth, TorchFunction, check_problem
from sparsopt.problems import newton as newton_module
from tests.worked import data, truth


def quadratic(seed, p=6):
    A = np.random.default_rng(seed).standard_normal((p + 2, p))
    H, c = A.T @ A + 0.1 * np.eye(p), np.random.default_rng(seed + 1).standard_normal(p)
    return H, c, Quadratic(H, c)


def logistic(seed):
    """Logistic regression without intercept, as callables and as itself."""
    X, eta, draws = data(seed)
    t = np.where(eta + draws.standard_normal(50) > 0, 1.0, -1.0)

    def value(x):
        return float(np.logaddexp(0, -t * (X @ x)).mean() + 0.05 * x @ x)

    def gradient(x):
        return -X.T @ (t / (1 + np.exp(t * (X @ x)))) / 50 + 0.1 * x

    return value, gradient, Logistic(X, t, 0.1, intercept=False), X, t


@pytest.mark.parametrize("given", ["gradient", "hessian", "smoothness"])
def test_callables_are_the_problem_that_they_stand_for(given):
    for seed in (0, 4):
        value, gradient, problem, _, _ = logistic(seed)
        options = {
            "gradient": {},
            "hessian": {"hessian_product": problem.hessian_product},
            "smoothness": {"smoothness": problem.smoothness()},
        }[given]
        f = Smooth(value, gradient, 7, **options)
        report = check_problem(f, seed)
        assert report.ok, str(report)
        for k in (2,):
            expected = truth(problem, k)
            assert math.isclose(truth(f, k), expected, rel_tol=1e-10)
            assert math.isclose(sparsopt.solve(f, k).value, expected, rel_tol=1e-9)
            assert sparsopt.solve(f, k).lower_bound == -math.inf  # nothing is known
        assert np.abs(f.gradient(f.minimise_on(np.ones(7, dtype=bool))[0])).max() < 1e-10


def test_capabilities_follow_from_what_was_given():
    value, gradient, problem, _, _ = logistic(0)
    plain, bounded = Smooth(value, gradient, 7), Smooth(value, gradient, 7, smoothness=problem.smoothness())
    for method in ("iht", "momentum-iht"):
        with pytest.raises(MissingCapability, match=r"smoothness\(\), which Smooth does not have"):
            sparsopt.solve(plain, 2, method)
        assert sparsopt.solve(bounded, 2, method).value < value(np.zeros(7))
    assert sparsopt.solve(plain, 2, "omp").support.sum() == 2


def test_many_coordinates_are_solved_by_lbfgs(monkeypatch):
    monkeypatch.setattr(newton_module, "DENSE", 3)
    H, c, problem = quadratic(0)
    f = Smooth(lambda x: float(x @ H @ x / 2 - c @ x), lambda x: H @ x - c, 6)
    x, value = f.minimise_on(np.ones(6, dtype=bool))
    expected, best = problem.minimise_on(np.ones(6, dtype=bool))
    np.testing.assert_allclose(x, expected, atol=1e-5)
    assert math.isclose(value, best, rel_tol=1e-9)


def test_a_function_with_a_domain():
    """sum x_j - log x_j - log(1 + x_j) on x > -1/2: inf outside, the minimum inside."""

    def value(x):
        return float((x - 0.3 * np.log(x + 0.5)).sum()) if (x > -0.5).all() else np.inf

    f = Smooth(value, lambda x: 1 - 0.3 / (x + 0.5), 3)
    x, _ = f.minimise_on(np.array([True, False, True]))
    np.testing.assert_allclose(x, [-0.2, 0.0, -0.2], atol=1e-9)


def nan_from(limit, bad):
    """|x - 5|^2 / 2, and `bad` where a coordinate is beyond the limit."""
    return lambda x: bad if (x > limit).any() else float(((x - 5) ** 2).sum() / 2)


@pytest.mark.parametrize("method", ["auto", "omp", "replacement", "niht", "cosamp"])
@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_nan_from_a_users_function_is_an_error_with_a_sentence(method, bad):
    f = Smooth(nan_from(1.0, bad), lambda x: x - 5, 4)
    with pytest.raises(
        NotFinite, match=r"value\(x\) of Smooth\(n=4\) is (nan|-inf) at x with x\[.\] = .*return numbers"
    ):
        _ = sparsopt.solve(f, 2, method).value  # (NIHT itself never asks for values)


def test_other_slips_of_a_users_function():
    good, gradient = nan_from(9.0, math.nan), lambda x: x - 5
    with pytest.raises(NotFinite, match=r"value\(x\) of Smooth\(n=4\) is nan at x = 0"):
        Smooth(lambda x: math.nan, gradient, 4)
    with pytest.raises(NotFinite, match=r"gradient\(x\) of Smooth\(n=4\) is nan in entry 2 at x = 0"):
        Smooth(good, lambda x: np.array([1, 1, np.nan, 1]), 4)
    with pytest.raises(InvalidInput, match=r"gradient\(x\) of Smooth\(n=4\) has shape \(3,\); \(4,\) is needed"):
        Smooth(good, lambda x: x[:3], 4)
    with pytest.raises(InvalidInput, match=r"value\(x\) of Smooth\(n=4\) is not a number"):
        Smooth(lambda x: x, gradient, 4)
    with pytest.raises(InvalidInput, match="n = 0; the number of coordinates"):
        Smooth(good, gradient, 0)
    with pytest.raises(InvalidInput, match="smoothness = -1"):
        Smooth(good, gradient, 4, smoothness=-1)
    kept = np.zeros(4)

    def shared(x):
        kept[:] = x - 5
        return kept  # the same array every time: has to be copied

    assert np.abs(sparsopt.solve(Smooth(good, shared, 4), 4).x - 5).max() < 1e-9
    with pytest.raises(InvalidInput, match=r"is not a number: it is the text 'much'"):
        Smooth(lambda x: "much", lambda x: x, 4)


def test_torch_functions():
    torch = pytest.importorskip("torch")
    for seed in range(2):
        _, _, problem, X, t = logistic(seed)
        A = torch.from_numpy(X * t[:, None])
        f = TorchFunction(lambda x, A=A: torch.nn.functional.softplus(-(A @ x)).mean() + 0.05 * x @ x, 7)
        report = check_problem(f, seed)
        assert report.ok, str(report)
        x, v = np.random.default_rng(seed).standard_normal((2, 7))
        assert math.isclose(f.value(x), problem.value(x), rel_tol=1e-12)
        np.testing.assert_allclose(f.gradient(x), problem.gradient(x), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(f.hessian_product(x, v), problem.hessian_product(x, v), rtol=1e-9, atol=1e-12)
        assert math.isclose(sparsopt.solve(f, 2).value, truth(problem, 2), rel_tol=1e-9)
    linear = TorchFunction(lambda x: x.sum(), 3)
    np.testing.assert_array_equal(linear.hessian_product(np.zeros(3), np.ones(3)), np.zeros(3))
    with pytest.raises(NotFinite, match=r"gradient\(x\) of TorchFunction\(n=2\) is (nan|inf)"):
        TorchFunction(lambda x: x.norm().sqrt(), 2)


# ---- functions that are wrong --------------------------------------------------------------------------------------

TARGET = np.array([3.0, -2.0, 1.0, 0.5, 4.0])


def bowl(x):
    return float((x - TARGET) @ (x - TARGET)) / 2


def slope(x):
    return x - TARGET


class After:
    """A function that turns bad after some calls."""

    def __init__(self, calls, good, bad):
        self.calls, self.good, self.bad, self.done = calls, good, bad, 0

    def __call__(self, x):
        self.done += 1
        return self.good(x) if self.done <= self.calls else self.bad(x)


def own(*given):
    raise LookupError("a user's own")


def changed(x):
    x *= 2
    return bowl(x / 2)


WRONG = {
    "value is text": (lambda x: "3", slope, None, InvalidInput, "not a number: it is the text '3'"),
    "value is complex": (lambda x: 1j, slope, None, InvalidInput, "value.* is not a number"),
    "value is nan later": (After(6, bowl, lambda x: np.nan), slope, None, NotFinite, r"value\(x\) .* is nan at x"),
    "value is -inf later": (After(6, bowl, lambda x: -np.inf), slope, None, NotFinite, "is -inf at x"),
    "value is inf everywhere": (
        lambda x: np.inf,
        slope,
        None,
        NotFinite,
        r"\(n=5\) on . coordinates is inf where",
    ),
    "value raises": (After(6, bowl, own), slope, None, LookupError, "a user's own"),
    "value is no function": (3.0, slope, None, InvalidInput, "have to be functions"),
    "gradient is nan later": (bowl, After(3, slope, lambda x: x * np.nan), None, NotFinite, "is nan in entry 0"),
    "gradient is inf later": (bowl, After(3, slope, lambda x: x + np.inf), None, NotFinite, "is inf in entry 0"),
    "gradient is short later": (
        bowl,
        After(3, slope, lambda x: x[1:]),
        None,
        InvalidInput,
        r"has shape \(4,\); \(5,\)",
    ),
    "gradient is a column": (bowl, lambda x: slope(x)[:, None], None, InvalidInput, r"has shape \(5, 1\)"),
    "gradient is a number": (bowl, lambda x: 1.0, None, InvalidInput, r"has shape \(\)"),
    "gradient is nothing": (bowl, lambda x: None, None, InvalidInput, r"has shape \(\)"),
    "gradient is ragged": (bowl, lambda x: [1.0, [2.0], 3, 4, 5], None, InvalidInput, "is no vector"),
    "gradient is rounded": (bowl, lambda x: slope(x).astype(int), None, InvalidInput, "type int64; floats are needed"),
    "gradient is complex": (bowl, lambda x: slope(x) + 0j, None, InvalidInput, "type complex128; floats are needed"),
    "gradient is text": (bowl, lambda x: np.array(["a"] * 5), None, InvalidInput, "type <U1; floats are needed"),
    "gradient raises": (bowl, After(3, slope, own), None, LookupError, "a user's own"),
    "gradient has the wrong sign": (bowl, lambda x: -slope(x), None, InvalidInput, "do not fit together at x = 0"),
    "gradient is scaled": (bowl, lambda x: 1.1 * slope(x), None, InvalidInput, "do not fit together at x = 0"),
    "gradient lacks one": (bowl, lambda x: slope(x) * [1, 0, 1, 1, 1], None, InvalidInput, "do not fit together"),
    "product is nan": (bowl, slope, lambda x, v: v * np.nan, NotFinite, r"hessian_product\(x, v\) .* is nan"),
    "product is short": (bowl, slope, lambda x, v: v[:3], InvalidInput, r"hessian_product.* has shape \(3,\)"),
    "product is complex": (bowl, slope, lambda x, v: v * 1j, InvalidInput, "hessian_product.* type complex128"),
    "product is zero": (bowl, slope, lambda x, v: 0.0 * v, NotFinite, "does not fit together"),
    "product raises": (bowl, slope, own, LookupError, "a user's own"),
    "linear": (lambda x: float(x.sum()), np.ones_like, None, NotFinite, "not bounded below"),
    "concave": (lambda x: -bowl(x), lambda x: -slope(x), None, NotFinite, "not bounded below|is -inf"),
}


@pytest.mark.parametrize("method", ["auto", "omp", "htp"])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_functions_are_errors_not_numbers(name, method):
    value, gradient, product, error, sentence = WRONG[name]
    for function in (value, gradient):
        if isinstance(function, After):
            function.done = 0
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            found = sparsopt.solve(Smooth(value, gradient, 5, product), 2, method)
        except error as said:
            assert re.search(sentence, str(said)), str(said)
        else:  # a way that does not ask for what is wrong
            assert name == "product is zero" and method == "htp" and math.isclose(found.value, 2.625)


HESSIAN = quadratic(0, 5)[0]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, v: 1.01 * HESSIAN @ v,
        lambda x, v: 0.0 * v,
        lambda x, v: np.triu(HESSIAN) @ v,
        lambda x, v: np.diag(HESSIAN) * v,
        lambda x, v: HESSIAN @ v + 0.01 * x,
    ],
)
def test_a_check_finds_a_wrong_hessian_product(wrong):
    """And a right one, and differences in its place, pass."""

    def value(x):
        return float(x @ HESSIAN @ x) / 2 - x.sum()

    def report(product):
        return check_problem(Smooth(value, lambda x: HESSIAN @ x - 1, 5, product))

    assert [line.claim for line in report(wrong).failures if "hessian" in line.claim] == ["hessian_product"]
    assert report(lambda x, v: HESSIAN @ v).ok and report(None).ok


@pytest.mark.parametrize("place", range(3))
def test_what_a_function_raises_is_noted_with_its_name(place):
    functions = [bowl, slope, lambda x, v: v]
    functions[place] = own
    with pytest.raises(LookupError) as caught:
        sparsopt.solve(Smooth(functions[0], functions[1], 5, functions[2]), 2, "omp")
    name = ("value(x)", "gradient(x)", "hessian_product(x, v)")[place]
    assert caught.value.__notes__ == [f"raised by {name} of Smooth(n=5), called with x = 0"]


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_right_gradients_are_not_doubted(scale):
    """Where the slope is 0, where f is in single precision, steep, flat, offset, linear, or has a domain."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((30, 6))

    def squares(A, b, scale, offset):
        return (
            lambda x: scale * np.sum((A @ x.astype(A.dtype) - b) ** 2) + offset,
            lambda x: 2 * scale * (A.T @ (A @ x.astype(A.dtype) - b)),
        )

    for b in (np.zeros(30), A[:, 0], 1e-8 * A[:, 0], 1e4 * rng.standard_normal(30)):
        for offset in (0.0, 1.0, 1e6):
            Smooth(*squares(A, b, scale, offset), 6)
        Smooth(*squares(A.astype(np.float32), b.astype(np.float32), np.float32(scale), np.float32(0)), 6)
    with np.errstate(over="ignore"):
        Smooth(lambda x: float(np.exp(scale * x).sum()), lambda x: scale * np.exp(scale * x), 6)
    Smooth(lambda x: scale * x.sum(), lambda x: np.full(6, scale), 6)
    Smooth(lambda x: -np.log1p(x / scale).sum() if (x > -scale).all() else np.inf, lambda x: -1 / (scale + x), 6)


def test_functions_may_do_to_x_what_they_like():
    expected = sparsopt.solve(Smooth(bowl, slope, 5), 2).x
    np.testing.assert_allclose(sparsopt.solve(Smooth(changed, slope, 5), 2).x, expected)
    np.testing.assert_allclose(sparsopt.solve(Smooth(bowl, lambda x: x.__isub__(TARGET), 5), 2).x, expected)
    mine = Smooth(bowl, slope, 5, lambda x, v: v.__imul__(1.0))
    np.testing.assert_allclose(sparsopt.solve(mine, 2, "htp").x, expected)
    np.testing.assert_allclose(sparsopt.solve(Smooth(bowl, lambda x: slope(x).tolist(), 5), 2).x, expected)


def test_tensors_and_single_precision_are_gradients():
    torch = pytest.importorskip("torch")
    expected = sparsopt.solve(Smooth(bowl, slope, 5), 2).x
    for gradient in (
        lambda x: torch.tensor(slope(x), requires_grad=True),
        lambda x: torch.tensor(slope(x)).float(),
        lambda x: slope(x).astype(np.float32),
    ):
        np.testing.assert_allclose(sparsopt.solve(Smooth(lambda x: torch.tensor(bowl(x)), gradient, 5), 2).x, expected)


def test_wrong_torch_functions_are_errors():
    torch = pytest.importorskip("torch")
    hidden = "does not depend on x as Torch sees it"
    for function, error, sentence in (
        (lambda x: x, InvalidInput, r"returned a torch.float64 tensor of shape \(5,\); a real tensor with one element"),
        (lambda x: 3.0, InvalidInput, "returned float; a real tensor"),
        (lambda x: None, InvalidInput, "returned NoneType"),
        (lambda x: (x + 0j).sum(), InvalidInput, "returned a torch.complex128 tensor"),
        (lambda x: ((x.detach() - 1) ** 2).sum(), InvalidInput, hidden),
        (lambda x: torch.tensor(1.0), InvalidInput, hidden),
        (lambda x: x.sum() * math.nan, NotFinite, "is nan at x = 0"),
        (lambda x: x.sum(), NotFinite, "not bounded below"),
        (own, LookupError, "a user's own"),
        (lambda x: x[7], IndexError, "out of bounds"),
    ):
        with pytest.raises(error, match=sentence):
            sparsopt.solve(TorchFunction(function, 5), 2)
    with pytest.raises(InvalidInput, match="dtype = 'float6'"):
        TorchFunction(lambda x: x.sum(), 5, dtype="float6")
    with pytest.raises(InvalidInput, match="smoothness = '1'"):
        TorchFunction(lambda x: (x**2).sum(), 5, smoothness="1")  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["nowhere", "cuda:99"])
def test_a_device_that_is_not_there_is_said(device):
    pytest.importorskip("torch")
    with pytest.raises(InvalidInput, match=f"device = '{device}' is not there"):
        TorchFunction(lambda x: x.sum(), 3, device=device)
