"""The problems of the side-by-side: P1 to P8, real data, and one planted problem of growing shape.

All are functions of a seed (real data have one). Objectives are |y - Xw|^2 / (2 n) + ridge/2 |w|^2 and the mean
logistic loss + ridge/2 |w|^2, without intercept. P1 to P4 and P7 are planted with correlation rho^|i - j|; P5, P6 and
P8 are scikit-learn's diabetes and breast-cancer data with products of their columns. At seed 0 they are the problems
that other packages were measured on: the objective at P1's true support is 5.401193.

>>> case = PROBLEMS["P8"].draw(0)
>>> case.X.shape, case.k, case.loss
((442, 64), 6, 'squares')
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks import designs
from sparsopt.errors import InvalidInput
from sparsopt.names import lookup

Floats = NDArray[np.float64]
BEST = {"P1": 5.4011925, "P2": 12.4473979, "P3": 0.2180706, "P4": 0.3015873, "P5": 0.2183370, "P6": 0.0479543,
        "P7": 3.0055322, "P8": 0.2387836}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Case:
    """Minimise the loss of (X, y) plus ridge/2 |w|^2 over w with at most k non-zeros. X (n, p); y (n,), or 0 and 1."""

    loss: str
    X: Floats
    y: Floats
    k: int
    ridge: float = 0.0
    truth: NDArray[np.int64] | None = None

    def problem(self) -> Any:
        """The same as an object of sparsopt."""
        from sparsopt.problems import LeastSquares, Logistic

        if self.loss == "squares":
            return LeastSquares(self.X, self.y, ridge=self.ridge)
        return Logistic(self.X, self.y, ridge=self.ridge, intercept=False)


class Source(Protocol):
    """draw(seed) -> Case. random: another seed is another problem; data: a file that it needs, "" for none."""

    @property
    def loss(self) -> str: ...
    @property
    def random(self) -> bool: ...
    @property
    def data(self) -> str: ...
    def draw(self, seed: int) -> Case: ...


@dataclass(frozen=True)
class Squares:
    """Least squares on a design of the convex panel."""

    design: designs.Design
    loss: str = "squares"
    data: str = ""

    @property
    def random(self) -> bool:
        return self.design.random

    def draw(self, seed: int) -> Case:
        X, y, truth = self.design.draw(seed)
        return Case("squares", X, y, self.design.k, truth=truth)


@dataclass(frozen=True)
class PlantedLogistic:
    """Labels from logits of deviation 4."""

    name: str
    n: int
    p: int
    k: int
    rho: float
    ridge: float = 1e-4
    random: bool = True
    loss: str = "logistic"
    data: str = ""

    def draw(self, seed: int) -> Case:
        rng = np.random.default_rng([seed, sum(map(ord, self.name))])
        X = designs.correlated(rng, self.n, self.p, self.rho)
        truth = rng.choice(self.p, self.k, replace=False)
        logits = X[:, truth] @ (rng.choice([-1, 1], self.k) * rng.uniform(1, 2, self.k))
        logits *= 4 / logits.std()
        y = (rng.random(self.n) < 1 / (1 + np.exp(-logits))).astype(float)
        return Case("logistic", X, y, self.k, self.ridge, truth)


@dataclass(frozen=True)
class BreastCancer:
    """scikit-learn's breast-cancer data with all products of two columns, standardised."""

    k: int
    ridge: float = 1e-4
    random: bool = False
    loss: str = "logistic"
    data: str = ""

    def draw(self, seed: int) -> Case:
        from sklearn.datasets import load_breast_cancer

        bunch: Any = load_breast_cancer()
        X = _with_products(designs.standardised(bunch.data))
        return Case("logistic", X, bunch.target.astype(float), self.k, self.ridge)


@dataclass(frozen=True)
class Stored:
    """X and y of convex/NAME.npz under the folder that SPARSOPT_DATA names; columns standardised.

    loss: squares (y standardised too) or logistic (1 for the classes that are `positive`, by default the larger of
    two); products: of every two columns, too.
    """

    name: str
    loss: str
    k: int
    ridge: float = 0.0
    positive: tuple[int, ...] = ()
    products: bool = False
    random: bool = False

    @property
    def data(self) -> str:
        return self.name

    def draw(self, seed: int) -> Case:
        X, y = designs.stored(self.name)
        X, y = designs.standardised(X.astype(float)), y.astype(float)
        X = _with_products(X) if self.products else X
        if self.loss == "squares":
            return Case("squares", X, designs.standardised(y[:, None])[:, 0], self.k, self.ridge)
        if not self.positive and np.unique(y).size != 2:
            raise InvalidInput(f"{self.name}: y has {np.unique(y).size} values; logistic loss needs two")
        return Case("logistic", X, np.isin(y, self.positive or y.max()).astype(float), self.k, self.ridge)


def _with_products(base: Floats) -> Floats:
    """The columns and the products of every two, standardised."""
    pairs = itertools.combinations_with_replacement(range(base.shape[1]), 2)
    return designs.standardised(np.column_stack([base, *(base[:, i] * base[:, j] for i, j in pairs)]))


def _planted(name: str, n: int, p: int, k: int, rho: float, snr: float) -> Squares:
    return Squares(designs.Planted(name, n, p, k, rho, snr, (k,)))


CORE: Mapping[str, Source] = {
    "P1": _planted("P1", 1000, 10_000, 50, 0.5, 10.0),
    "P2": _planted("P2", 5000, 1000, 100, 0.5, 10.0),
    "P3": _planted("P3", 200, 20_000, 20, 0.5, 100.0),
    "P4": PlantedLogistic("P4", 2000, 5000, 30, 0.5),
    "P5": Squares(designs.Diabetes(3, 10, (10,))),
    "P6": BreastCancer(8),
    "P7": _planted("P7", 500, 2000, 25, 0.9, 10.0),
    "P8": Squares(designs.Diabetes(2, 6, (6,))),
}
REAL: Mapping[str, Source] = {
    "riboflavin": Stored("riboflavin", "squares", 10),
    "communities": Stored("communities_crime", "squares", 7),
    "bardet": Stored("bardet_gglasso", "squares", 8),
    "housing": Stored("cal_housing", "squares", 8, products=True),
    "prostate-esl": Stored("prostate_esl", "squares", 5, products=True),
    "leukemia": Stored("leukemia_golub", "logistic", 10, 1e-3),
    "colon": Stored("colon_alon", "logistic", 10, 1e-3),
    "prostate": Stored("prostate_singh", "logistic", 10, 1e-3),
    "breast": Stored("breast_west_duke", "logistic", 5, 1e-3),
    "arcene": Stored("arcene", "logistic", 10, 1e-3),
    "nci60": Stored("nci60_esl", "logistic", 5, 1e-3, positive=(9,)),
    "madelon": Stored("madelon", "logistic", 10, 1e-3),
    "spam": Stored("spam_esl", "logistic", 15, 1e-3),
    "saheart": Stored("saheart_esl", "logistic", 6, 1e-3, products=True),
    "a9a": Stored("a9a", "logistic", 15, 1e-3),
    "w8a": Stored("w8a", "logistic", 15, 1e-3),
    "ijcnn1": Stored("ijcnn1_val", "logistic", 10, 1e-3, products=True),
    "mushrooms": Stored("mushrooms", "logistic", 8, 1e-3),
    "phishing": Stored("phishing", "logistic", 15, 1e-3),
    "usps": Stored("usps_zip_esl", "logistic", 15, 1e-3, positive=(1, 3, 5, 7, 9)),
    "basehock": Stored("basehock", "logistic", 15, 1e-3),
    "pcmac": Stored("pcmac", "logistic", 15, 1e-3),
    "relathe": Stored("relathe", "logistic", 15, 1e-3),
}
GROWTH: Mapping[str, Squares] = {
    **{f"n={n}": _planted(f"n={n}", n, 1000, 20, 0.5, 10.0) for n in (500, 2000, 8000, 32_000)},
    **{f"p={p}": _planted(f"p={p}", 500, p, 20, 0.5, 10.0) for p in (1000, 4000, 16_000, 64_000)},
}
SUITES: Mapping[str, Mapping[str, Source]] = {"core": CORE, "real": REAL, "growth": GROWTH}
PROBLEMS: Mapping[str, Source] = {**CORE, **REAL, **GROWTH}


def source(name: str) -> Source:
    """A problem by name. Raises `InvalidInput`."""
    return lookup(PROBLEMS, name, "problem")
