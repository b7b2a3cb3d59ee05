"""Vectors instead of numbers: subsets of n points of R^d whose sum is near a target, in the largest coordinate.

- `solve_vectors`: exact. Left half sums go into a KD-tree, every right half sum asks it for its nearest partner
  (Euclid's distance serves no one here: the tree answers in the sup norm). n <= 36, or less where d is large.
- `join_lists`: the generalised birthday join (Wagner 2002) on real vectors, for the n and d no exact search reaches:
  eight lists of sums, joined in pairs three times, each join keeping the pairs that almost cancel. It finds good
  subsets, and proves nothing.
- `oracle`: the mixed-integer programme min t, |target - sum x_i a_i| <= t, x in {0, 1}^n, for scipy's HiGHS.

In one dimension `solve_vectors` is `solve`.

>>> import numpy as np
>>> points = np.random.default_rng(0).standard_normal((24, 3))
>>> answer = solve_vectors(points, np.zeros(3) + 0.5)
>>> float(np.abs(points[answer.masks].sum(0) - 0.5).max().round(12)) == float(answer.errors.round(12))
True
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsopt.errors import InvalidInput
from sparsopt.subset_sum.answer import CODE, Answer, Status, errors_of
from sparsopt.subset_sum.libraries import NumPy
from sparsopt.subset_sum.solve import solve

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]
LARGEST = 36


def solve_vectors(items: ArrayLike, targets: ArrayLike, tolerance: float = 0.0, size: int | None = None) -> Answer:
    """The subset with the least sup-norm error |target - sum of chosen rows|, of all or of exactly `size` items.

    items (n, d) or (B, n, d), targets (d,) or (B, d). Errors are recomputed coordinate by coordinate, each correctly
    rounded. Time about 2^(n/2) n^(1/2) to 2^n d as d grows. Raises InvalidInput for more than 36 items, or 36 - log2 d
    from d = 9 on.
    """
    a, z = np.asarray(items, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if a.ndim not in (2, 3) or z.shape != a.shape[:-2] + a.shape[-1:]:
        raise InvalidInput(f"items {a.shape} and targets {z.shape} must be (n, d) and (d,), or (B, n, d) and (B, d)")
    n, d = a.shape[-2:]
    if not (np.isfinite(a).all() and np.isfinite(z).all()):
        raise InvalidInput("items and targets must be finite")
    if d == 1:
        return solve(a[..., 0], z[..., 0], "best" if size is None else "size", tolerance, size)
    if n > most(d):
        raise InvalidInput(
            f"{n} items in {d} dimensions are more than the {most(d)} of an exact search; join_lists takes more"
        )
    if size is not None and not 0 <= size <= n:
        raise InvalidInput(f"size {size} must be between 0 and the {n} items")
    if n == 0:
        return _answer(a, z, np.zeros(a.shape[:-1], dtype=bool), tolerance, covered=True)
    batch = a.reshape(-1, n, d)
    masks = np.array([_nearest(x, y, size) for x, y in zip(batch, z.reshape(-1, d), strict=True)]).reshape(-1, n)
    return _answer(a, z, masks.reshape(a.shape[:-1]), tolerance, covered=True)


def most(d: int) -> int:
    """The largest n of an exact search: in many dimensions the tree helps no more, and 2^n d is the work."""
    return LARGEST if d <= 8 else max(1, LARGEST - math.ceil(math.log2(d)))


def join_lists(
    items: ArrayLike, target: ArrayLike, tolerance: float = 0.0, length: int = 1 << 14, seed: int = 0
) -> Answer:
    """A subset of items (n, d) with a small sup-norm error, from eight lists of about `length` sums.

    Each of three rounds of joins divides the size of the sums by about length^(1/d). The status is WITHIN or UNSETTLED.
    """
    a, z = np.asarray(items, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if a.ndim != 2 or z.shape != a.shape[1:] or len(a) < 8:
        raise InvalidInput(f"items {a.shape} and target {z.shape} must be (n >= 8, d) and (d,)")
    rng = np.random.default_rng(seed)
    parts = np.array_split(rng.permutation(len(a)), 8)
    lists = [_some_sums(a, part, length, rng) for part in parts]
    lists[0] = (lists[0][0] - z, lists[0][1])
    while len(lists) > 1:
        keep = 1 if len(lists) == 2 else length
        lists = [_join(one, two, keep) for one, two in zip(lists[::2], lists[1::2], strict=True)]
    return _answer(a, z, lists[0][1][0], tolerance, covered=False)


def oracle(items: ArrayLike, target: ArrayLike, seconds: float = 60.0) -> Answer:
    """The same minimum by scipy's mixed-integer solver, for items (n,) or (n, d): slow, and independent of ours."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    a = np.asarray(items, dtype=np.float64)
    a = a[:, None] if a.ndim == 1 else a
    z = np.atleast_1d(np.asarray(target, dtype=np.float64))
    n, d = a.shape
    columns = np.vstack([np.c_[a.T, np.ones(d)], np.c_[-a.T, np.ones(d)]])  # t +- (sum x a - z) >= 0
    found = milp(
        np.r_[np.zeros(n), 1.0],
        constraints=LinearConstraint(columns, np.r_[z, -z], np.inf),
        integrality=np.r_[np.ones(n), 0],
        bounds=Bounds(0, np.r_[np.ones(n), np.inf]),
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )
    mask = np.zeros(n, dtype=bool) if found.x is None else found.x[:n] > 0.5
    return _answer(a, z, mask, 0.0, covered=found.status == 0)


def sup_errors(items: Floats, targets: Floats, masks: Masks) -> Floats:
    """max_c |target_c - sum of the chosen items' c-th coordinates|, each coordinate correctly rounded; (B,)."""
    lib = NumPy()
    by_coordinate = [
        errors_of(np.ascontiguousarray(items[..., c]), np.ascontiguousarray(targets[..., c]), masks, lib)
        for c in range(items.shape[-1])
    ]
    return np.max(by_coordinate, axis=0)


def _answer(a: Floats, z: Floats, masks: Masks, tolerance: float, covered: bool) -> Answer:
    n, d = a.shape[-2:]
    many = math.prod(z.shape[:-1])
    errors = sup_errors(a.reshape(many, n, d), z.reshape(many, d), masks.reshape(many, n)).reshape(z.shape[:-1])
    success = errors <= tolerance
    codes = np.where(success, CODE[Status.WITHIN], CODE[Status.MISSED if covered else Status.UNSETTLED])
    rounding = n * 2.0**-51 * (np.abs(a).sum(-2).max(-1) + np.abs(z).max(-1))
    return Answer(masks, errors, success, codes, rounding)


def _nearest(a: Floats, z: Floats, size: int | None) -> Masks:
    """Mask (n,) of the nearest subset: the trees of the left half, one a size if the size matters."""
    half = (len(a) + 1) // 2
    left, right = _sums(a[:half]), z - _sums(a[half:])
    if size is None:
        _, i, j = _closest(left, right)
        return _bits(i | (j << half), len(a))
    best = (math.inf, 0, 0)
    left_sizes, right_sizes = _sizes(half), _sizes(len(a) - half)
    for k in range(max(0, size - (len(a) - half)), min(half, size) + 1):
        mine, other = np.flatnonzero(left_sizes == k), np.flatnonzero(right_sizes == size - k)
        distance, i, j = _closest(left[mine], right[other])
        best = min(best, (distance, int(mine[i]), int(other[j])))
    return _bits(best[1] | (best[2] << half), len(a))


def _closest(left: Floats, right: Floats) -> tuple[float, int, int]:
    """The closest pair of two sets of points in the sup norm, and its positions."""
    from scipy.spatial import KDTree

    swap = len(left) < len(right)  # fewer queries against the larger tree
    tree, asks = KDTree(right if swap else left, balanced_tree=False), left if swap else right
    bound, best = np.inf, (math.inf, 0, 0)
    for start in range(0, len(asks), 1 << 12):
        distance, at = tree.query(asks[start : start + (1 << 12)], p=np.inf, distance_upper_bound=bound)
        k = int(np.argmin(distance))
        if distance[k] < best[0]:
            i, j = int(np.asarray(at)[k]), start + k
            best = (float(distance[k]), j, i) if swap else (float(distance[k]), i, j)
            bound = np.nextafter(best[0], np.inf)
    return best


def _some_sums(a: Floats, part: NDArray[np.int64], length: int, rng: np.random.Generator) -> tuple[Floats, Masks]:
    """All sums of a part of the items, or `length` random ones where there are more."""
    chosen = (np.arange(1 << len(part))[:, None] >> np.arange(len(part))) & 1 if 2 ** len(part) <= length else None
    chosen = rng.random((length, len(part))) < 0.5 if chosen is None else chosen
    masks = np.zeros((len(chosen), len(a)), dtype=bool)
    masks[:, part] = chosen
    return masks @ a, masks


def _join(one: tuple[Floats, Masks], two: tuple[Floats, Masks], keep: int) -> tuple[Floats, Masks]:
    """The `keep` pairs with the smallest sums (sup norm) among every x of `one` with its 4 nearest of -`two`."""
    from scipy.spatial import KDTree

    near = min(4, len(two[0]))
    distance, at = KDTree(-two[0]).query(one[0], k=near, p=np.inf, eps=0.5)
    distance, at = distance.reshape(-1), np.asarray(at).reshape(-1)
    best = np.argpartition(distance, min(keep, len(distance) - 1))[:keep] if keep > 1 else [int(distance.argmin())]
    i, j = np.asarray(best) // near, at[best]
    return one[0][i] + two[0][j], one[1][i] | two[1][j]


def _sums(a: Floats) -> Floats:
    sums = np.zeros((1 << len(a), a.shape[1]))
    for k, row in enumerate(a):
        sums[1 << k : 2 << k] = sums[: 1 << k] + row
    return sums


def _sizes(h: int) -> NDArray[np.int64]:
    return _sums(np.ones((h, 1)))[:, 0].astype(np.int64)


def _bits(code: int, n: int) -> Masks:
    return (code >> np.arange(n)) & 1 == 1
