"""The minimiser of a convex function of few variables in a box, by projected Newton steps.

The functions that come here are restrictions to a support. Variables at a bound that the gradient pushes outwards are
held; the others take a Newton step, bent back into the box, shortened until f falls enough (Bertsekas 1982, "Projected
Newton methods for optimization problems with simple constraints"). The Hessian comes from products with it.

>>> from sparsopt.problems import Quadratic
>>> f = Quadratic(np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([1.0, -1.0]))
>>> minimise(f, np.zeros(2), np.zeros(2), np.full(2, np.inf))
array([0.5, 0. ])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsopt.errors import NotFinite
from sparsopt.state import Array

__all__ = ["minimise"]

STEPS = 200
HALVINGS = 40
DENSE = 400  # variables up to which the Hessian is formed; beyond, L-BFGS
TOLERANCE = 1e-12  # of the projected gradient, relative to the largest met


def minimise(f: Any, x: Array, low: Array, high: Array) -> Array:
    """argmin f over low <= x <= high, from x. f: value, gradient, hessian_product. Raises `NotFinite`."""
    x = np.clip(x.astype(np.float64), low, high)
    if not x.size:
        return x
    if x.size > DENSE:
        x = _lbfgs(f, x, low, high)
    value, size = float(f.value(x)), 0.0
    for _ in range(STEPS if x.size <= DENSE else 0):
        g = np.asarray(f.gradient(x), dtype=np.float64)
        free = ~(((x <= low) & (g > 0)) | ((x >= high) & (g < 0)))
        size = max(size, float(np.abs(g).max()))
        if not free.any() or float(np.abs(g[free]).max()) <= TOLERANCE * size:
            break
        better = _step(f, x, value, g, free, low, high)
        if better is None:
            break
        x, value = better
    if not math.isfinite(value):
        raise NotFinite(
            f"{f!r} is {value} where its minimiser was looked for: f has to be finite at 0, and bounded below"
        )
    return x


def _step(f: Any, x: Array, value: float, g: Array, free: Array, low: Array, high: Array) -> tuple[Array, float] | None:
    """A lower point: along Newton's direction, else along the scaled gradient; None where neither leads down."""
    H = _hessian(f, x, np.flatnonzero(free))
    bend = np.maximum(np.abs(np.diagonal(H)), 1e-300)
    for d in (_inwards(H, x, g, free, low, high), _placed(-g[free] / bend, free)):
        if not (np.isfinite(d).all() and float(g @ d) < 0):
            continue
        for halvings in range(HALVINGS):
            new = np.clip(x + d / 2**halvings, low, high)
            there, fall = float(f.value(new)), -float(g @ (new - x))
            if fall > 0 and there < value and there <= value - 1e-4 * fall:
                return new, there
            if 0 < fall <= 1e-11 * abs(value) and _calmer(f, new, g, free):
                return new, there
    return None


def _inwards(H: Array, x: Array, g: Array, free: Array, low: Array, high: Array) -> Array:
    """Newton's direction without the variables at a bound that it would push out: they are held, and it is new."""
    among, kept = np.flatnonzero(free), np.ones(int(free.sum()), dtype=bool)
    while True:
        d = np.zeros(x.size)
        d[among[kept]] = _newton(H[np.ix_(kept, kept)], g[among[kept]])
        out = ((x <= low) & (d < 0)) | ((x >= high) & (d > 0))
        if not out.any():
            return d
        kept &= ~out[among]


def _placed(d: Array, free: Array) -> Array:
    full = np.zeros(free.size)
    full[free] = d
    return full


def _calmer(f: Any, x: Array, g: Array, free: Array) -> bool:
    """Whether the gradient has halved, where f itself no longer tells."""
    return float(np.abs(np.asarray(f.gradient(x))[free]).max()) < 0.5 * float(np.abs(g[free]).max())


def _hessian(f: Any, x: Array, free: Array) -> Array:
    """On the free variables, from one product each."""
    if hasattr(f, "hessian_block"):
        return f.hessian_block(free)
    if hasattr(f, "hessian"):
        return np.asarray(f.hessian(x), dtype=np.float64)[np.ix_(free, free)]
    H = np.empty((free.size, free.size))
    unit = np.zeros(x.size)
    for place, j in enumerate(free):
        unit[j] = 1.0
        H[:, place] = np.asarray(f.hessian_product(x, unit))[free]
        unit[j] = 0.0
    return (H + H.T) / 2


def _newton(H: Array, g: Array) -> Array:
    """-H^-1 g, of least norm on the directions that have curvature."""
    if not (np.isfinite(H).all() and g.size):
        return np.full(g.size, np.nan)
    scale = np.sqrt(np.maximum(np.abs(np.diagonal(H)), 1e-300))
    values, Q = np.linalg.eigh(H / scale / scale[:, None])
    used = values > 1e-13 * len(g) * max(float(values[-1]), 0.0)
    return -(Q[:, used] @ ((Q[:, used].T @ (g / scale)) / values[used])) / scale


def _lbfgs(f: Any, x: Array, low: Array, high: Array) -> Array:
    from scipy.optimize import minimize

    def both(z: Array) -> tuple[float, Array]:
        return float(f.value(z)), np.asarray(f.gradient(z), dtype=np.float64)

    options = {"maxiter": 10_000, "maxfun": 20_000, "ftol": 0.0, "gtol": 1e-13, "maxcor": 30}
    return np.asarray(
        minimize(both, x, jac=True, method="L-BFGS-B", bounds=list(zip(low, high, strict=True)), options=options).x
    )
