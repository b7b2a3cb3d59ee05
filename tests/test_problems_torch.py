"""X and y as Torch tensors: the same answers as NumPy, and full products on the device of X."""

from __future__ import annotations

import math

import numpy as np
import pytest

import sparsopt
from sparsopt.errors import InvalidInput
from sparsopt.problems import LeastSquares, MultiOutput, Poisson, check_problem, dense_design, designs, standardised
from tests.worked import data, everything, losses

torch = pytest.importorskip("torch")
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
NAMES = ["least squares", "logistic", "poisson", "gamma", "huber", "squared hinge", "softmax", "multi-output", "cox"]


def twin(name, device, dtype=torch.float64):
    """A loss on NumPy and the same one on a tensor."""
    problem = losses(2, 0.05)[name]
    X = torch.as_tensor(problem.design.X, dtype=dtype, device=device)
    design = designs.design(X, problem.design.weight, problem.design.centred)
    other = problem._with(design)
    other.dtype = design.dtype
    return problem, other


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_arrays(name, device, monkeypatch):
    for size in ("BLOCK", "NEAR"):
        monkeypatch.setattr(dense_design, size, 50)
    first, second = twin(name, device)
    assert type(second.design).__name__ == "TorchDense"
    x, v = np.random.default_rng(0).standard_normal((2, first.p)) / 3
    assert math.isclose(first.value(x), second.value(x), rel_tol=1e-12)
    np.testing.assert_allclose(first.gradient(x), second.gradient(x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(first.hessian_product(x, v), second.hessian_product(x, v), rtol=1e-9, atol=1e-12)
    support = np.repeat(np.arange(7) % 2 == 0, first.p // 7)
    np.testing.assert_allclose(first.minimise_on(support)[0], second.minimise_on(support)[0], rtol=1e-7, atol=1e-10)
    state = first.start().but(x=x)
    np.testing.assert_allclose(first.at(state).curvature(), second.at(state).curvature(), rtol=1e-9)
    for method in ("auto", "omp"):
        a, b = sparsopt.solve(first, 2, method), sparsopt.solve(second, 2, method)
        assert (a.support == b.support).all() and math.isclose(a.value, b.value, rel_tol=1e-9)
    assert isinstance(second.gradient(x), np.ndarray)


@pytest.mark.parametrize("device", DEVICES)
def test_parts_of_a_design(device):
    first, second = (problem.design for problem in twin("least squares", device))
    some = np.array([5, 0, 3])
    for ask in (
        lambda d: d.gram(),
        lambda d: np.vstack(d.normal(np.arange(50.0))),
        lambda d: d.outer(),
        lambda d: d.gram_columns(some),
        lambda d: d.take(some),
        lambda d: d.restricted(some).gram(),
        lambda d: d.absolute().tdot(d.shares),
        lambda d: d.second,
        lambda d: d.scaled(np.arange(1.0, 8.0)).variance,
        lambda d: d.least_norm(np.arange(50.0), 0.0),
        lambda d: np.array(d.extremes),
    ):
        np.testing.assert_allclose(ask(first), ask(second), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("device", DEVICES)
def test_few_columns_of_a_plain_tensor_are_searched(device):
    """Doubles without intercept or weights, of which arrays form the quadratic in one product."""
    X = np.random.default_rng(0).standard_normal((40, 6))
    y = X[:, 1] - 2 * X[:, 4] + 0.1 * X[:, 0]
    ours, theirs = (LeastSquares(A, y) for A in (X, torch.tensor(X, device=device)))
    for found, expected in zip(theirs.as_quadratic(), ours.as_quadratic(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(sparsopt.solve(theirs, 2).x, sparsopt.solve(ours, 2).x, rtol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
def test_labels_targets_and_weights_may_be_tensors(device):
    X, eta, draws = data(4)
    y, s = eta + draws.standard_normal(50), draws.random(50) + 0.1
    there = [torch.as_tensor(a, device=device) for a in (X, y, s)]
    first, second = LeastSquares(X, y, 0.1, True, s), LeastSquares(*there[:2], 0.1, True, there[2])
    result, other = sparsopt.solve(first, 3), sparsopt.solve(second, 3)
    np.testing.assert_allclose(result.x, other.x, rtol=1e-9)
    assert math.isclose(result.lower_bound, other.lower_bound, rel_tol=1e-9)
    labels = torch.as_tensor(y > 0, device=device)
    assert sparsopt.Logistic(there[0], labels, 0.1).value(np.zeros(7)) == sparsopt.Logistic(X, y > 0, 0.1).value(
        np.zeros(7)
    )
    Y = np.column_stack([y, eta])
    outputs = MultiOutput(there[0], Y, 0.1), MultiOutput(X, Y, 0.1)
    np.testing.assert_allclose(outputs[0].gradient(np.ones(14)), outputs[1].gradient(np.ones(14)), rtol=1e-9)
    scaled = standardised(second)
    assert math.isclose(sparsopt.solve(scaled, 2).value, sparsopt.solve(standardised(first), 2).value, rel_tol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
def test_single_precision_and_other_types(device):
    first, second = twin("least squares", device, torch.float32)
    x, value = second.minimise_on(everything(second))
    assert x.dtype == np.float32 and math.isclose(value, first.minimise_on(everything(first))[1], rel_tol=1e-5)
    report = check_problem(second)
    assert report.ok, str(report)
    X = torch.arange(6, device=device).reshape(3, 2)
    assert LeastSquares(X, [1, 2, 3]).dtype == np.float64
    assert LeastSquares(X.half(), [1, 2, 3]).dtype == np.float64


def test_bad_tensors_are_named():
    X = torch.ones((3, 2))
    X[1, 1] = torch.nan
    with pytest.raises(InvalidInput, match="X has 1 entry NaN or infinite, the first at row 1, column 1"):
        LeastSquares(X, [1, 2, 3])
    with pytest.raises(InvalidInput, match=r"X has shape \(3,\)"):
        LeastSquares(torch.ones(3), [1, 2, 3])
    with pytest.raises(InvalidInput, match="whose squares overflow in float32"):
        LeastSquares(torch.ones((3, 2)) * 1e18, [1, 2, 3])
    with pytest.raises(InvalidInput, match="a dense one of real numbers is needed"):
        LeastSquares(torch.eye(3).to_sparse(), [1, 2, 3])
    with pytest.raises(InvalidInput, match="a dense one of real numbers is needed"):
        LeastSquares(torch.ones((3, 2)) * 1j, [1, 2, 3])
    needs_gradient = torch.ones((3, 2), requires_grad=True)
    assert Poisson(needs_gradient, torch.ones(3)).value(np.zeros(2)) == 0.0
