"""All targets at once: how far can the worst target of an interval be from its nearest subset sum?

    rho = sup_{low <= z <= high} min_S |z - sum_S a|

is the covering radius. "Every z is approximable to epsilon", the event of the theorems, is just rho <= epsilon, so
one number per draw answers for every epsilon. `covering_radius` is exact: sort all 2^n sums, take the widest gap.
`covering_radius_bound` works for any n: it keeps one *real* subset sum a cell of width `cell`, so that the widest
gap of what it kept can only exaggerate; the bound is sound, and within a few cells of the truth where sums are dense.

>>> import numpy as np
>>> float(covering_radius([0.5, 0.25, 0.125], low=0.0, high=0.875))
0.0625
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsopt.errors import InvalidInput

Floats = NDArray[np.float64]
LARGEST = 24
BLOCK_BYTES = 1 << 21
MARGIN = 3  # largest items


def covering_radius(items: ArrayLike, low: float = -0.5, high: float = 0.5) -> Floats:
    """rho of items (n,) or of each row of (B, n), exact up to the rounding of float64 sums; () or (B,).

    2^n log 2^n time and 16 * 2^n bytes. Raises InvalidInput beyond 24 items (the bound takes any number).
    """
    a = _checked(items, low, high)
    batch, n = a.reshape(-1, a.shape[-1]), a.shape[-1]
    if n > LARGEST:
        raise InvalidInput(f"{n} items have more than 2^{LARGEST} sums: use covering_radius_bound")
    rows = max(1, BLOCK_BYTES >> (n + 3))
    radii = [np.zeros(0)]
    for k in range(0, len(batch), rows):
        sums = _sums(batch[k : k + rows])
        sums = _relevant(sums, low, high) if rows == 1 else sums
        sums.sort(axis=1)
        radii.append(_widest(sums, low, high))
    return np.concatenate(radii).reshape(a.shape[:-1])


def covering_radius_bound(items: ArrayLike, cell: float, low: float = -0.5, high: float = 0.5) -> float:
    """An upper bound on rho of items (n,), from one real subset sum a cell; n * width / cell time.

    `cell` = epsilon / 8 certifies nearly every epsilon-approximable draw, epsilon / 32 practically all.
    """
    kept = representatives(items, cell, low, high)
    rounding = len(np.asarray(items)) * 2.0**-52 * max(abs(kept[0]), abs(kept[-1]))
    return float(_widest(kept[None], low, high)[0]) + rounding


def representatives(items: ArrayLike, cell: float, low: float = -0.5, high: float = 0.5) -> Floats:
    """Sorted subset sums in and around [low, high], at most one a cell.

    Sums that wander farther than three times the largest item outside the interval are dropped (sound: fewer sums only
    widen gaps); items are taken with alternating signs so that few are.
    """
    a = _checked(items, low, high)
    margin = MARGIN * float(np.abs(a).max(initial=0.0))
    start, cells = min(low, 0.0) - margin, int(np.ceil((max(high, 0.0) - min(low, 0.0) + 2 * margin) / cell)) + 1
    kept = np.full(cells, np.nan)
    kept[_cell(np.zeros(1), start, cell)] = 0.0
    for x in _alternating(a):
        more = kept[~np.isnan(kept)] + x
        at = _cell(more, start, cell)
        fits = (at >= 0) & (at < cells)
        more, at = more[fits], at[fits]
        empty = np.isnan(kept[at])
        kept[at[empty]] = more[empty]
    return np.sort(kept[~np.isnan(kept)])


def _checked(items: ArrayLike, low: float, high: float) -> Floats:
    a = np.asarray(items, dtype=np.float64)
    if a.ndim < 1 or not np.isfinite(a).all() or not low <= high:
        raise InvalidInput(f"finite items (n,) or (B, n) and low <= high are needed, not {a.shape}, [{low}, {high}]")
    return a


def _sums(a: Floats) -> Floats:
    """All subset sums of every row, (B, 2^n)."""
    sums = np.zeros((len(a), 1 << a.shape[1]))
    for k in range(a.shape[1]):
        np.add(sums[:, : 1 << k], a[:, k, None], out=sums[:, 1 << k : 2 << k])
    return sums


def _relevant(sums: Floats, low: float, high: float) -> Floats:
    """The sums of one row inside [low, high] and the next one on either side."""
    below, above = sums < low, sums > high
    nearest = [sums[below].max(initial=-np.inf), sums[above].min(initial=np.inf)]
    return np.concatenate([sums[~(below | above)], np.array(nearest)[np.isfinite(nearest)]])[None]


def _widest(sums: Floats, low: float, high: float) -> Floats:
    """sup over [low, high] of the distance to the nearest entry, for sorted rows.

    On an interval without sums the distance is largest in the middle of a gap or at an end of [low, high].
    """
    middles = ((sums[:, 1:] + sums[:, :-1]) / 2).clip(low, high)
    gaps = np.minimum(middles - sums[:, :-1], sums[:, 1:] - middles).max(axis=1, initial=0.0)
    ends = [np.maximum(sums[:, 0] - low, 0.0), np.maximum(high - sums[:, -1], 0.0)]
    return np.maximum.reduce([gaps, *ends])


def _cell(x: Floats, start: float, cell: float) -> NDArray[np.int64]:
    return np.floor((x - start) / cell).astype(np.int64)


def _alternating(a: Floats) -> Floats:
    """The items in an order in which partial sums of opposite signs balance: + - + - ..., then what is left."""
    plus, minus = np.sort(a[a > 0])[::-1], np.sort(a[a < 0])
    both = min(len(plus), len(minus))
    paired = np.stack([plus[:both], minus[:both]], axis=1).ravel()
    return np.concatenate([paired, plus[both:], minus[both:]])
