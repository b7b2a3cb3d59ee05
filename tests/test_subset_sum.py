"""The batched solvers against brute force, and the identities that need no oracle."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.subset_sum import Status, compiled, kernels, solve
from tests.conftest import scaled

BACKENDS = ["arrays", *(["compiled"] if compiled.available() else [])]
coarse = st.integers(-40, 40).map(lambda k: k / 8)  # many ties, exact hits, zeros
fine = st.floats(-4, 4, allow_nan=False, width=64)
numbers = st.one_of(coarse, fine)
backends = st.sampled_from(BACKENDS)


@st.composite
def instances(draw: st.DrawFn, most: int = 9) -> tuple[np.ndarray, np.ndarray]:
    n, batch = draw(st.integers(0, most)), draw(st.integers(1, 3))
    kind = draw(st.sampled_from([coarse, fine, numbers]))
    items = draw(st.lists(st.lists(kind, min_size=n, max_size=n), min_size=batch, max_size=batch))
    targets = draw(st.lists(numbers, min_size=batch, max_size=batch))
    return np.array(items, dtype=float).reshape(batch, n), np.array(targets)


def every_error(items: np.ndarray, target: float) -> dict[tuple[int, ...], float]:
    n = len(items)
    subsets = itertools.chain.from_iterable(itertools.combinations(range(n), k) for k in range(n + 1))
    return {S: abs(math.fsum([target, *(-items[i] for i in S)])) for S in subsets}


def summed(items: np.ndarray, target: float, mask: np.ndarray) -> float:
    return abs(math.fsum([target, *(-items[mask]).tolist()]))


@given(instances(), backends)
def test_best_is_the_least_of_all_subsets(case: tuple[np.ndarray, np.ndarray], backend: str) -> None:
    items, targets = case
    answer = solve(items, targets, backend=backend)
    for a, z, mask, error, slack in zip(items, targets, answer.masks, answer.errors, answer.resolution, strict=True):
        assert error == summed(a, z, mask)
        assert error <= min(every_error(a, z).values()) + slack
        assert slack <= 1e-10 * (abs(a).sum() + abs(z))


@given(instances(), st.sampled_from([0.0, 0.125, 0.3, 1.0]), backends)
def test_any_and_smallest_agree_with_all_subsets(
    case: tuple[np.ndarray, np.ndarray], tolerance: float, backend: str
) -> None:
    items, targets = case
    some = solve(items, targets, "any", tolerance, backend=backend)
    fewest = solve(items, targets, "smallest", tolerance, backend=backend)
    for row, (a, z) in enumerate(zip(items, targets, strict=True)):
        errors = every_error(a, z)
        clear = 1e-12 * (abs(a).sum() + abs(z))
        exact = bool((a * 8 == np.round(a * 8)).all() and z * 8 == round(z * 8))
        least = [len(S) for S, e in errors.items() if e <= tolerance]
        if exact or not any(tolerance - clear < e <= tolerance for e in errors.values()):
            assert some.success[row] == fewest.success[row] == bool(least)
            assert not least or fewest.masks[row].sum() == min(least)
        for answer in (some, fewest):
            assert answer.errors[row] == summed(a, z, answer.masks[row])
            assert answer.success[row] == (answer.errors[row] <= tolerance)
            assert answer.status[row] is (Status.WITHIN if answer.success[row] else Status.MISSED)


@given(instances(), st.data())
def test_size_is_the_least_of_all_subsets_of_that_size(
    case: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    items, targets = case
    size = data.draw(st.integers(0, items.shape[1]))
    answer = solve(items, targets, "size", size=size)
    assert (answer.sizes == size).all()
    for a, z, error, slack in zip(items, targets, answer.errors, answer.resolution, strict=True):
        assert error <= min(e for S, e in every_error(a, z).items() if len(S) == size) + slack


@pytest.mark.parametrize("mode", ["any", "smallest"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [13, 14, 15, 19])
def test_first_looks_and_later_stages_find_what_best_finds(mode: str, backend: str, n: int) -> None:
    rng = np.random.default_rng(n)
    items, targets = rng.uniform(-1, 1, (300, n)), rng.uniform(-1, 1, 300)
    tolerance = 2.0 ** (3 - n) * rng.uniform(0.2, 8, 300)
    answer = solve(items, targets, mode, tolerance, backend=backend)
    assert (answer.success == solve(items, targets, "best", tolerance, backend="arrays").success).all()
    assert 0 < answer.success.mean() < 1


def test_fewest_items_by_backend_are_equally_few() -> None:
    rng = np.random.default_rng(5)
    items, targets = rng.uniform(-1, 1, (500, 16)), rng.uniform(-1, 1, 500)
    answers = [solve(items, targets, "smallest", 1e-3, backend=backend) for backend in BACKENDS]
    sizes = np.where(answers[0].success, answers[0].sizes, 99)
    for size in range(8):
        exactly = solve(items, targets, "size", 1e-3, size=size)
        assert (sizes[exactly.success] <= size).all() and exactly.success[sizes == size].all()
    assert all((np.where(a.success, a.sizes, 99) == sizes).all() for a in answers)


@given(instances(most=12), st.randoms(use_true_random=False), st.integers(-20, 20))
def test_metamorphic_identities(case: tuple[np.ndarray, np.ndarray], random, power: int) -> None:
    items, targets = case
    assume(items.shape[1] > 0)
    answer = solve(items, targets)
    slack = 2 * answer.resolution + 1e-12 * (abs(items).sum(1) + abs(targets))
    order = list(range(items.shape[1]))
    random.shuffle(order)
    same = {
        "permutation": solve(items[:, order], targets).errors,
        "scaling": solve(items * 2.0**power, targets * 2.0**power).errors * 2.0**-power,
        "complement": solve(items, items.sum(1) - targets).errors,
        "sign flip": solve(np.c_[-items[:, :1], items[:, 1:]], targets - items[:, 0]).errors,
        "zero item": solve(np.c_[items, np.zeros(len(items))], targets).errors,
    }
    for name, errors in same.items():
        assert (abs(errors - answer.errors) <= slack).all(), name
    assert (solve(np.c_[items, targets / 3], targets).errors <= answer.errors + slack).all()
    assert (solve(items, targets, "any", 0.3).errors >= answer.errors - slack).all()


@given(instances(most=8), st.lists(numbers, min_size=1, max_size=40))
def test_many_targets_are_the_same_as_one_by_one(case: tuple[np.ndarray, np.ndarray], targets: list[float]) -> None:
    items, z = case[0], np.array(targets)
    tiled = np.tile(z, (len(items), 1))
    for mode in ("shared", "best"):
        many = solve(items, tiled, mode)
        assert many.masks.shape == (*tiled.shape, items.shape[1])
        single = solve(np.repeat(items, len(z), 0), tiled.ravel())
        slack = many.resolution.ravel() + single.resolution
        assert (abs(many.errors.ravel() - single.errors) <= slack).all()
    assert (solve(items[0], z, "shared").errors == solve(items, tiled, "shared").errors[0]).all()


@given(st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=1, max_size=12), st.floats(-1e3, 1e3))
def test_errors_are_those_of_fsum(items: list[float], target: float) -> None:
    a = np.array(items + [-x * (1 + 2**-40) for x in items])  # cancellation everywhere
    answer = solve(a, target, "size", size=len(items))
    assert float(answer.errors) == summed(a, target, answer.masks)


def test_integers_are_exact() -> None:
    rng = np.random.default_rng(1)
    items = rng.integers(-(2**30), 2**30, (200, 14)).astype(float)
    chosen = rng.random((200, 14)) < 0.5
    answer = solve(items, (items * chosen).sum(1))
    assert (answer.resolution == 0).all() and (answer.errors == 0).all() and answer.success.all()


def test_targets_out_of_reach_are_missed_and_large_searches_say_so() -> None:
    items = np.random.default_rng(2).uniform(-1, 1, (3, 50))
    status = solve(items, np.array([30.0, -30.0, 0.2]), "any", 1e-3).status
    assert [s.name for s in status] == ["MISSED", "MISSED", "WITHIN"]
    hopeless = solve(np.full((2, 48), 1.0), np.array([0.5, 3.5]), "any", 0.1)
    assert [s.name for s in hopeless.status] == ["UNSETTLED", "UNSETTLED"]
    assert [s.name for s in solve(np.full((1, 80), 1.0), np.array([9.5]), "smallest", 0.1).status] == ["UNSETTLED"]

    far = solve(items, np.array([30.0, -30.0, 0.2]), "smallest", 1e-3)
    assert (far.masks[0] == (items[0] > 0)).all() and (far.masks[1] == (items[1] < 0)).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [44, 60])
def test_few_of_many_items_are_found_to_full_precision(n: int, backend: str) -> None:
    """The only subset within the tolerance has 5 items; its keys must not lose the bits that tell it apart."""
    rng = np.random.default_rng(n)
    items = rng.uniform(1, 2, (4, n))
    items[:, :5] = rng.uniform(100, 200, (4, 5))
    targets = items[:, :5].sum(1)
    answer = solve(items, targets, "smallest", 1e-9, backend=backend)
    assert answer.success.all() and (answer.sizes == 5).all() and answer.masks[:, :5].all()
    assert (solve(items, targets, "size", size=5).resolution < 1e-6).all()


def test_nothing_to_solve_is_no_error() -> None:
    for mode in ("best", "any", "smallest", "shared"):
        assert solve(np.zeros((0, 5)), np.zeros(0), mode).errors.shape == (0,)
        assert solve(np.zeros((3, 0)), np.array([0.0, 1.0, -2.0]), mode).errors.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(InvalidInput, match="does not fit"):
        solve(np.ones((3, 2)), np.ones(3), tolerance=np.ones(2))


def test_best_beyond_the_batched_sizes() -> None:
    items = np.random.default_rng(3).uniform(-1, 1, (2, 36))
    answer = solve(items, np.array([0.3, -0.4]))
    assert (answer.errors < 1e-9).all()
    assert (answer.errors <= solve(items[:, :30], np.array([0.3, -0.4])).errors).all()


@given(instances(), st.sampled_from(["best", "any", "smallest", "shared"]))
@settings(max_examples=scaled(25))
def test_torch_gives_the_same_answers(case: tuple[np.ndarray, np.ndarray], mode: str) -> None:
    torch = pytest.importorskip("torch")
    items, targets = case
    mine = solve(items, targets, mode, 0.2, backend="arrays")
    other = solve(torch.tensor(items), torch.tensor(targets), mode, 0.2)
    assert isinstance(other.masks, torch.Tensor) and other.masks.dtype == torch.bool
    assert (mine.success == other.success.numpy()).all() and (mine.status == other.status).all()
    if mode in ("best", "shared"):
        assert (abs(mine.errors - other.errors.numpy()) <= mine.resolution + other.resolution.numpy()).all()


@pytest.mark.parametrize("power", [-600, -40, 0, 300])
def test_any_scale_is_solved_alike(power: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    items, targets = rng.uniform(-1, 1, (40, 11)), rng.uniform(-1, 1, 40)
    expected = solve(items, targets).masks
    items, targets = np.ldexp(items, power), np.ldexp(targets, power)
    assert (solve(items, targets).masks == expected).all()
    assert (solve(torch.tensor(items), torch.tensor(targets)).masks.numpy() == expected).all()


def test_compiled_loops_are_right_without_the_compiler() -> None:
    rng = np.random.default_rng(9)
    items = rng.integers(-1000, 1000, (60, 14))
    targets, enough = rng.integers(-1500, 1500, 60), rng.integers(0, 30, 60)
    plain = [getattr(f, "py_func", f) for f in (kernels.first_look, kernels.few_items)]
    bits, positions = (f(items, targets, enough) for f in plain)
    answer = solve(items.astype(float), targets.astype(float), "smallest", enough.astype(float), backend="arrays")
    for row in range(60):
        if answer.success[row]:
            assert bits[row] >= 0
            chosen = (bits[row] >> np.arange(14)) & 1 == 1
            assert abs(items[row][chosen].sum() - targets[row]) <= enough[row]
        few = positions[row][positions[row] >= 0]
        assert len(few) == len(set(few))
        if answer.success[row] and answer.sizes[row] <= 4:
            assert len(few) == answer.sizes[row]
            assert abs(items[row][few].sum() - targets[row]) <= enough[row]
        else:
            assert len(few) == 0


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidInput, match="do not fit"):
        solve(np.ones((3, 4)), np.ones(2))
    with pytest.raises(InvalidInput, match="finite"):
        solve(np.array([1.0, np.nan]), 0.5)
    with pytest.raises(InvalidInput, match="unknown"):
        solve(np.ones(3), 1.0, "bset")
    with pytest.raises(InvalidInput, match="between 0 and the 3 items"):
        solve(np.ones(3), 1.0, "size", size=4)
    with pytest.raises(InvalidInput, match="tolerance"):
        solve(np.ones(3), 1.0, tolerance=-1.0)
    with pytest.raises(InvalidInput, match="backend"):
        solve(np.ones(3), 1.0, backend="gpu")
    with pytest.raises(MissingCapability, match="arrays"):
        solve(pytest.importorskip("torch").ones(3), 1.0, backend="compiled")


@pytest.mark.parametrize(("law", "misses"), [("uniform", 404), ("product", 3552)])
def test_published_miss_rates(law: str, misses: int) -> None:
    """LT-existence's shipped statistics: misses in 100,000 at n = 15, error .01, targets uniform on [-1, 1]."""
    draws = 60_000
    rng = np.random.default_rng([15, misses])
    items = rng.uniform(-1, 1, (draws, 15))
    items = items if law == "uniform" else items * rng.uniform(-1, 1, (draws, 15))
    ours = int((~solve(items, rng.uniform(-1, 1, draws), "any", 0.01).success).sum())
    from scipy.stats import binom

    low, high = binom.interval(0.999, draws, misses / 1e5)
    assert low <= ours <= high
