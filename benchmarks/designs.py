"""The convex panel's problems: planted correlated least squares, and real data, each a function of a seed.

Planted: rows of X are Gaussian with correlation rho^|i - j| between columns i and j, k coefficients of size 1 to 2 with
random signs, noise such that the signal's variance is `snr` times the noise's. With rho = 0.9 neighbours of a true
column look almost like it, which is what separates the methods. "P7" at seed 0 is the problem that other packages were
measured on: at the true support its objective is 3.005532.

>>> X, y, truth = PROBLEMS["P7"].draw(0)
>>> X.shape, len(truth)
((500, 2000), 25)
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sparsopt.errors import DataError

Floats = NDArray[np.float64]
Drawn = tuple[Floats, Floats, NDArray[np.int64] | None]


class Design(Protocol):
    """draw(seed) -> X (n, p), y (n,), and the true support where there is one.

    sizes: of supports; k: the one to look at closely; singular: there are several unrestricted minimisers;
    random: another seed is another problem.
    """

    @property
    def k(self) -> int: ...
    @property
    def sizes(self) -> tuple[int, ...]: ...
    @property
    def singular(self) -> bool: ...
    @property
    def random(self) -> bool: ...
    def draw(self, seed: int) -> Drawn: ...


@dataclass(frozen=True)
class Planted:
    """Least squares with a known answer. `name` goes into the seed."""

    name: str
    n: int
    p: int
    k: int
    rho: float
    snr: float
    sizes: tuple[int, ...]
    random: bool = True

    @property
    def singular(self) -> bool:
        return self.p >= self.n

    def draw(self, seed: int) -> Drawn:
        rng = np.random.default_rng([seed, sum(map(ord, self.name))])
        X = correlated(rng, self.n, self.p, self.rho)
        truth = rng.choice(self.p, self.k, replace=False)
        w = rng.choice([-1, 1], self.k) * rng.uniform(1, 2, self.k)
        signal = X[:, truth] @ w
        y = signal + rng.standard_normal(self.n) * np.sqrt(signal.var() / self.snr)
        return X - X.mean(0), y - y.mean(), truth

    def __str__(self) -> str:
        return (
            f"planted, n = {self.n}, p = {self.p}, {self.k} true coefficients, correlation {self.rho:g}^|i-j|, "
            f"signal-to-noise {self.snr:g}"
        )


@dataclass(frozen=True)
class Diabetes:
    """scikit-learn's diabetes data (Efron et al. 2004) with all monomials to a degree, everything standardised."""

    degree: int
    k: int
    sizes: tuple[int, ...]
    singular: bool = True  # products with sex, a variable of two values, are collinear
    random: bool = False

    def draw(self, seed: int) -> Drawn:
        from sklearn.datasets import load_diabetes

        bunch: Any = load_diabetes()
        base = standardised(bunch.data)
        terms = [
            base[:, list(columns)].prod(axis=1)
            for degree in range(1, self.degree + 1)
            for columns in itertools.combinations_with_replacement(range(base.shape[1]), degree)
        ]
        return standardised(np.column_stack(terms)), standardised(bunch.target[:, None])[:, 0], None

    def __str__(self) -> str:
        return f"diabetes, n = 442, all monomials of 10 variables to degree {self.degree}, standardised"


def stored(name: str) -> tuple[np.ndarray, np.ndarray]:
    """X and y of convex/NAME.npz under the folder that SPARSOPT_DATA names, without columns that miss numbers.

    Raises DataError where it is not.
    """
    path = stored_at(name)
    if path is None:
        raise DataError(f"{name}: set SPARSOPT_DATA to a folder that has convex/{name}.npz")
    with np.load(path, allow_pickle=False) as file:
        X, y = file["X"] if "X" in file.files else _dense(file), file["y"]
    return X[:, ~np.isnan(X).any(axis=0)], y


def stored_at(name: str) -> Path | None:
    """Where convex/NAME.npz is, None where it is not."""
    folder = os.environ.get("SPARSOPT_DATA")
    path = Path(folder or "") / "convex" / f"{name}.npz"
    return path if folder and path.exists() else None


def _dense(file: Any) -> np.ndarray:
    """A matrix that scipy.sparse.save_npz wrote by rows."""
    from scipy.sparse import csr_matrix

    return csr_matrix((file["data"].astype(float), file["indices"], file["indptr"]), shape=file["shape"]).toarray()


@dataclass(frozen=True)
class Stored:
    """X and y of convex/NAME.npz under the folder that SPARSOPT_DATA names, standardised."""

    name: str
    k: int
    sizes: tuple[int, ...]
    singular: bool = True
    random: bool = False

    def draw(self, seed: int) -> Drawn:
        X, y = stored(self.name)
        return standardised(X), standardised(y[:, None])[:, 0], None

    def __str__(self) -> str:
        return f"{self.name}, standardised"


def correlated(rng: np.random.Generator, n: int, p: int, rho: float) -> Floats:
    """Gaussian rows with correlation rho^|i - j| between columns i and j, (n, p)."""
    Z = rng.standard_normal((n, p))
    X = np.empty_like(Z)
    X[:, 0] = Z[:, 0]
    for j in range(1, p):
        X[:, j] = rho * X[:, j - 1] + np.sqrt(1 - rho**2) * Z[:, j]
    return X


def standardised(X: Floats) -> Floats:
    """Columns with mean 0 and deviation 1; constant columns are dropped."""
    X = X - X.mean(0)
    deviation = X.std(0)
    keep = deviation > 1e-12 * np.abs(X).max()
    return X[:, keep] / deviation[keep]


PROBLEMS: Mapping[str, Design] = {
    "wide": Planted("wide", 250, 1000, 20, 0.9, 10.0, (5, 10, 15, 20, 25)),
    "tall": Planted("tall", 1000, 200, 20, 0.9, 10.0, (5, 10, 15, 20, 25)),
    "diabetes": Diabetes(3, 10, (2, 4, 6, 8, 10)),
    "P7": Planted("P7", 500, 2000, 25, 0.9, 10.0, (5, 10, 15, 20, 25, 30)),
    "diabetes-2": Diabetes(2, 6, (2, 4, 6, 8)),
    "riboflavin": Stored("riboflavin", 10, (2, 4, 6, 8, 10)),
}
DEFAULT = ("wide", "tall", "diabetes")
