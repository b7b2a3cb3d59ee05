"""Perturbed candidates: subset sums whose items may each move a little.

Xiong, Liao and Kyrillidis (2023, AISTATS, arXiv 2210.16589): if every candidate may be changed by at most `limit`, a
subset S whose residual is r = z - sum_S a does whenever |r| <= |S| limit, since r can be spread: a_i + r / |S|. The
number of candidates then falls by a factor O(1 / (1 + limit)). The weights are no longer frozen, so this is a
relaxation of a strong ticket: it is a rule for sums here, and no construction of networks.

Algorithm: for every size s the subset of s items with the least |r| (`solve(..., mode="size")`); of these the one with
the least |r| / s. That is the subset whose items have to move least.

>>> found = solve_perturbed(np.array([[0.5, 0.3, -0.2]]), np.array([0.76]), limit=0.01)
>>> found.masks.tolist(), found.shifts.round(3).tolist(), found.success.tolist()
([[True, True, False]], [-0.02], [False])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nets.strong_tickets.source import Floats, Mask
from sparsopt.errors import InvalidInput
from sparsopt.subset_sum import solve
from sparsopt.subset_sum.statistics import needed, threshold


@dataclass(frozen=True, eq=False)
class Perturbed:
    """masks (B, n); shifts (B,): what each chosen item moves by, so that the sum is the target; success (B,)."""

    masks: Mask
    shifts: Floats
    success: NDArray[np.bool_]


def solve_perturbed(items: Floats, targets: Floats, limit: float) -> Perturbed:
    """The subsets of items (B, n) that meet targets (B,) exactly with the smallest common shift of their items.

    Success: |shift| <= limit. A zero target needs no item. n up to 24 or so: one search for every size.
    """
    if not 0 <= limit < float("inf"):
        raise InvalidInput(f"limit = {limit} must be a number >= 0")
    a, z = np.asarray(items, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    masks, least = np.zeros(a.shape, dtype=bool), np.where(z == 0, 0.0, np.inf)
    for size in range(1, a.shape[1] + 1):
        found = solve(a, z, mode="size", size=size)
        better = found.errors / size < least
        masks[better], least[better] = found.masks[better], found.errors[better] / size
    residuals = z - (a * masks).sum(axis=1)
    shifts = residuals / np.maximum(masks.sum(axis=1), 1)
    return Perturbed(masks, shifts, (least <= limit) & np.isfinite(least))


def items_needed(limit: float, draws: int = 200, sizes: tuple[int, ...] = tuple(range(2, 15)), seed: int = 0) -> float:
    """The n at which half of the draws (U[-1, 1], one target in [-1/2, 1/2]) succeed: falls as the limit grows."""
    rng = np.random.default_rng([seed, draws])
    items, targets = rng.uniform(-1, 1, (draws, max(sizes))), rng.uniform(-0.5, 0.5, draws)
    shifts = np.stack([np.abs(solve_perturbed(items[:, :n], targets, limit).shifts) for n in sizes], axis=1)
    return threshold(needed(np.minimum.accumulate(shifts, axis=1), sizes, limit))
