"""Removing whole filters: how often it misses, over source draws, also where no one can find the masks.

A kernel of D = d^2 c_out numbers is to be a sum of vectors u_k v_k, u and v normal, u > 0 (see `structured`). For D up
to 4 all subsets are searched, and misses counted. Beyond, they are predicted without solving anything: given the
vectors, subset sums near the target are about a Poisson process of the saddlepoint intensity lambda, so that

    P[no subset within tolerance, sup norm] = E exp(-(2 tolerance)^D lambda)        (`sparsopt.subset_sum.predict`).

With so few vectors that is too low, by some 0.1 to 0.2 near one half (100 draws, D = 1..4: 0.38, 0.41, 0.49, 0.42
predicted; 0.44, 0.60, 0.60, 0.59 searched), which is one or two vectors. The number that is needed grows about linearly
in D (19, 52, 115, 254 for D = 4, 9, 18, 36 at tolerance 0.1), not as D^3: the theorem's (da Cunha, d'Amore and Natale
2023) is an upper bound.

>>> rows = list(study((1, 2), draws=40))
>>> [row.low <= row.predicted <= row.high for row in rows], rows[0].filters < rows[1].filters
([True, True], True)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from nets.strong_tickets.source import Floats
from sparsopt.errors import InvalidInput
from sparsopt.subset_sum.predict import failure_probability
from sparsopt.subset_sum.statistics import clopper_pearson
from sparsopt.subset_sum.vectors import solve_vectors

SEARCHED = 4  # dimensions up to which all subsets are searched
MOST = 22  # vectors up to which they are


@dataclass(frozen=True)
class Row:
    """One kernel size.

    dimension  D; filters: the fewest whose predicted miss probability is at most a half, for inputs of one sign
    predicted  that probability, with a 95 % interval over draws (bootstrap); low, high
    missed     searched instances of `draws` that missed, with a Clopper-Pearson interval; -1 where none was searched
    """

    dimension: int
    filters: int
    predicted: float
    low: float
    high: float
    draws: int
    missed: int = -1
    missed_low: float = 0.0
    missed_high: float = 1.0


def source(dimension: int, filters: int, draws: int, seed: int = 0) -> tuple[Floats, Floats]:
    """u_k v_k with u > 0 (draws, filters, D), prefixes nested in `filters`; kernels (draws, D) with |kernel|_1 <= 1."""
    items = np.empty((draws, filters, dimension))
    for k in range(draws):
        z = np.random.default_rng([seed, dimension, k]).normal(size=(filters, dimension + 1))
        items[k] = np.abs(z[:, :1]) * z[:, 1:]
    kernels = np.random.default_rng([seed, dimension]).uniform(-1, 1, (draws, dimension)) / dimension
    return items, kernels


def study(
    dimensions: Iterable[int] = (1, 2, 3, 4, 9, 18, 36), tolerance: float = 0.1, draws: int = 100, seed: int = 0
) -> Iterator[Row]:
    """The filters that half of the draws need, and how sure that is, for every kernel size."""
    if not (0 < tolerance < float("inf") and draws >= 2):
        raise InvalidInput(f"tolerance = {tolerance} must be a number > 0, draws = {draws} at least 2")
    for dimension in dimensions:
        items, kernels = source(dimension, 64 + 24 * dimension, draws, seed)
        filters = _needed(items, kernels, tolerance)
        rates = failure_probability(items[:, :filters], kernels, tolerance)
        again = np.random.default_rng(seed).choice(rates, (1000, draws)).mean(axis=1)
        low, high = np.quantile(again, (0.025, 0.975))
        row = Row(dimension, filters, float(rates.mean()), float(low), float(high), draws)
        yield _searched(row, items[:, :filters], kernels, tolerance)


def _needed(items: Floats, kernels: Floats, tolerance: float) -> int:
    """By bisection; predictions fall with the number of vectors."""
    low, high = max(2, 2 * items.shape[2]), items.shape[1]
    while low < high:
        middle = (low + high) // 2
        enough = failure_probability(items[:, :middle], kernels, tolerance).mean() <= 0.5
        low, high = (low, middle) if enough else (middle + 1, high)
    return low


def _searched(row: Row, items: Floats, kernels: Floats, tolerance: float) -> Row:
    if row.dimension > SEARCHED or row.filters > MOST:
        return row
    missed = int((~solve_vectors(items, kernels, tolerance).success).sum())
    low, high = clopper_pearson(missed, row.draws)
    return Row(row.dimension, row.filters, row.predicted, row.low, row.high, row.draws, missed, low, high)


def table(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """Rows of text, the first the names."""
    found: list[tuple[str, ...]] = [
        ("d^2 c_out", "filters", "predicted miss", "95 % interval", "searched miss", "95 % interval")
    ]
    for row in rows:
        searched = (f"{row.missed} of {row.draws}", f"{row.missed_low:.2f}..{row.missed_high:.2f}")
        searched = searched if row.missed >= 0 else ("out of reach", "")
        predicted = (f"{row.predicted:.2f}", f"{row.low:.2f}..{row.high:.2f}")
        found.append((str(row.dimension), str(row.filters), *predicted, *searched))
    return found
