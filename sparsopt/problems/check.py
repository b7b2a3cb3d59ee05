"""Does a problem tell the truth about itself? `check_problem` compares what it says with what it does.

>>> from sparsopt.problems import Quadratic
>>> report = check_problem(Quadratic(np.eye(3), np.ones(3)))
>>> report.ok
True

For a loss of your own, print the report: every line names a claim, the number found, and what it should have been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsopt.state import Array, State

__all__ = ["Line", "Report", "check_problem"]

DIRECTIONS = 8
STEPS = 2.0 ** -np.arange(0, 24)  # from 1 downwards, times a length that suits the point


@dataclass(frozen=True)
class Line:
    """One claim: what was checked, the number found, what it should be, and whether it is."""

    claim: str
    found: str
    expected: str
    ok: bool

    def __str__(self) -> str:
        return f"{'ok  ' if self.ok else 'FAIL'}  {self.claim:<34} {self.found:<24} {self.expected}"


@dataclass(frozen=True)
class Report:
    """The lines of a check; `ok` if all are, and then printing it is short."""

    problem: str
    lines: tuple[Line, ...]

    @property
    def ok(self) -> bool:
        return all(line.ok for line in self.lines)

    @property
    def failures(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if not line.ok)

    def __str__(self) -> str:
        head = f"{self.problem}: {'all claims hold' if self.ok else f'{len(self.failures)} claims do not hold'}"
        return "\n".join([head, *map(str, self.lines)])


def check_problem(problem: Any, seed: int = 0) -> Report:
    """Compares values, gradients, Hessian products, curvature bounds and restricted minimisers with each other.

    The remainder f(x + t d) - f(x) - t g'd has to fall with slope 2.00 +- 0.05 in t (where it is above rounding);
    bounds have to hold along random directions, and a restricted minimiser has to be stationary on its support and no
    worse than random points there. Capabilities that a problem does not have are left out. Raises nothing: an
    exception becomes a line that failed. Costs about 200 evaluations of f.
    """
    checks: list[Callable[[_Probe], Iterator[Line]]] = [_slopes, _floor, _convex, _hessian, _bounds, _minimiser]
    lines: list[Line] = []
    try:
        probe = _Probe(problem, seed)
    except Exception as error:
        return Report(repr(problem), (Line("start, value and gradient", _said(error), "no exception", False),))
    for check in checks:
        try:
            lines.extend(check(probe))
        except Exception as error:
            lines.append(Line(check.__name__.strip("_"), _said(error), "no exception", False))
    return Report(repr(problem), tuple(lines))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class _Probe:
    """Points and directions of a sensible size to look at a problem with."""

    def __init__(self, problem: Any, seed: int) -> None:
        self.f, self.seed = problem, seed
        zero = problem.start(seed).x
        self.eps = float(np.finfo(zero.dtype).eps)
        self.p, self.dtype = zero.shape[0], zero.dtype
        self.scale = self._scale(np.asarray(problem.gradient(zero), dtype=np.float64))
        self.x = self.point(0)
        self.value = float(problem.value(self.x))
        self.gradient = np.asarray(problem.gradient(self.x), dtype=np.float64)

    def _scale(self, g: Array) -> float:
        """The length of a step from 0 along -g that changes the gradient by a tenth to a half: the unit of x.

        (Changes of more than that may come from far beyond where f bends.)
        """
        size, length = float(np.linalg.norm(g)), 1.0
        for _ in range(40):
            x = (-length / size * g if size else np.ones(self.p)).astype(self.dtype)
            change = float(np.linalg.norm(np.asarray(self.f.gradient(x), dtype=np.float64) - g))
            if not size or 0.1 * size <= change <= 0.5 * size:
                break
            length *= 4.0 if change < 0.1 * size else 0.25
        return length

    def random(self, number: int) -> Array:
        """A random direction of length 1, exactly representable with x, (p,)."""
        d = np.random.default_rng((self.seed, number)).standard_normal(self.p)
        return d / np.linalg.norm(d)

    def steepest(self) -> Array:
        """The direction of the gradient, or a random one where that is 0."""
        size = float(np.linalg.norm(self.gradient))
        return self.gradient / size if size > 0 else self.random(0)

    def point(self, number: int) -> Array:
        return (self.scale * self.random(1000 + number)).astype(self.dtype)

    def moved(self, t: float, d: Array) -> tuple[Array, Array]:
        """x + t d as it is rounded, and the step that this really is."""
        y = (self.x + t * self.scale * d).astype(self.dtype)
        return y, y.astype(np.float64) - self.x


def _slope(steps: list[float], remainders: list[float]) -> float:
    """The slope of the log-log plot at the smallest steps that stand clear of rounding, extrapolated to step 0.

    Slopes between neighbouring steps are 2 + O(t); twice the next minus the present one takes the O(t) away.
    """
    if len(steps) < 4:
        return np.nan
    slopes = np.diff(np.log(remainders)) / np.diff(np.log(steps))
    return float(np.median((2 * slopes[1:] - slopes[:-1])[-5:]))


def _slopes(probe: _Probe) -> Iterator[Line]:
    """Taylor: f(x + t d) - f(x) - t g'd = O(t^2)."""
    slopes = []
    for number in range(3):
        d = probe.random(number) if number else probe.steepest()
        steps, remainders = [], []
        for t in STEPS:
            y, step = probe.moved(t, d)
            value, linear = float(probe.f.value(y)), float(probe.gradient @ step)
            terms = abs(value) + abs(probe.value) + float(np.abs(probe.gradient) @ abs(step))
            remainder = abs(value - probe.value - linear)
            if remainder > 1e3 * probe.eps * terms:
                steps.append(t)
                remainders.append(remainder)
        slopes.append(_slope(steps, remainders))
    known = [slope for slope in slopes if not np.isnan(slope)]
    worst = max(known, key=lambda slope: abs(slope - 2), default=2.0)
    found = f"slope {worst:.3f}" if known else "linear up to rounding"
    yield Line("value and gradient agree", found, "2.00 +- 0.05", abs(worst - 2) <= 0.05)


def _floor(probe: _Probe) -> Iterator[Line]:
    """What f never goes below."""
    floor = float(probe.f.floor()) if hasattr(probe.f, "floor") else -np.inf
    if np.isfinite(floor):
        least = min(float(probe.f.value(probe.point(number))) for number in range(DIRECTIONS))
        yield Line("floor() is below f", f"f = {least:.4g}", f">= {floor:.4g}", least >= floor)


def _convex(probe: _Probe) -> Iterator[Line]:
    """f(y) >= f(x) + g'(y - x) at random pairs."""
    worst = np.inf
    for number in range(DIRECTIONS):
        y, step = probe.moved(2.0, probe.random(10 + number))
        value, linear = float(probe.f.value(y)), float(probe.gradient @ step)
        worst = min(worst, (value - probe.value - linear) / (abs(value) + abs(probe.value) + abs(linear) + 1e-300))
    ok = worst >= -100 * probe.eps
    yield Line("convex along random directions", f"margin {worst:.2g}", ">= 0 up to rounding", ok)


def _hessian(probe: _Probe) -> Iterator[Line]:
    """The Hessian product against central differences of the gradient."""
    if not hasattr(probe.f, "hessian_product"):
        return
    worst = 0.0
    for number in range(3):
        v = probe.random(20 + number).astype(probe.dtype)
        product = np.asarray(probe.f.hessian_product(probe.x, v), dtype=np.float64)
        errors = []
        for t in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5):
            ahead, behind = probe.moved(t, v)[0], probe.moved(-t, v)[0]
            change = np.asarray(probe.f.gradient(ahead), dtype=np.float64) - probe.f.gradient(behind)
            errors.append(float(np.linalg.norm(change / (2 * t * probe.scale) - product)))
        worst = max(worst, min(errors) / (float(np.linalg.norm(product)) + 1e-300))
    limit = max(1e-6, probe.eps**0.5)
    if hasattr(probe.f, "hessian"):
        v = probe.random(20).astype(probe.dtype)
        product = np.asarray(probe.f.hessian_product(probe.x, v), dtype=np.float64)
        error = float(np.linalg.norm(probe.f.hessian(probe.x) @ v - product)) / (
            float(np.linalg.norm(product)) + 1e-300
        )
        yield Line(
            "hessian() is that of the products", f"relative error {error:.2g}", f"<= {limit:.1g}", error <= limit
        )
    yield Line("hessian_product", f"relative error {worst:.2g}", f"<= {limit:.1g}", worst <= limit)


def _bounds(probe: _Probe) -> Iterator[Line]:
    """Smoothness, strong convexity and h_j against the mean curvature of f between two points."""
    slack = 1e3 * probe.eps
    pairs = [probe.moved(2.0**-number, probe.random(30 + number)) for number in range(DIRECTIONS)]
    pairs.append(probe.moved(1.0, probe.steepest()))
    bends = []
    for y, step in pairs:
        change = np.asarray(probe.f.gradient(y), dtype=np.float64) - probe.gradient
        size = float(step @ step)
        noise = slack * float(np.linalg.norm(probe.gradient)) / np.sqrt(size)
        bends.append((float(change @ step) / size, noise))
    if hasattr(probe.f, "smoothness"):
        bound, most = float(probe.f.smoothness()), max(bend - noise for bend, noise in bends)
        ok = most <= bound * (1 + slack)
        yield Line("smoothness bounds the curvature", f"curvature {most:.4g}", f"<= {bound:.4g}", ok)
    if hasattr(probe.f, "strong_convexity"):
        bound, least = float(probe.f.strong_convexity()), min(bend + noise for bend, noise in bends)
        ok = least >= bound * (1 - slack)
        yield Line("strong convexity bounds it below", f"curvature {least:.4g}", f">= {bound:.4g}", ok)
    if hasattr(probe.f, "curvature"):
        yield _coordinates(probe, slack)


def _coordinates(probe: _Probe, slack: float) -> Line:
    """h_j on up to 32 coordinates."""
    h, worst = np.asarray(probe.f.curvature()), 0.0
    for j in np.random.default_rng((probe.seed, 50)).permutation(probe.p)[:32]:
        y, step = probe.moved(1.0, np.eye(1, probe.p, int(j))[0])
        bend = (float(probe.f.gradient(y)[j]) - float(probe.gradient[j])) / step[j]
        noise = slack * (float(np.abs(probe.gradient).max()) / abs(step[j]) + h[j])
        worst = max(worst, (bend - noise) / h[j] if h[j] > 0 else float(bend > noise) * np.inf)
    return Line("curvature() bounds each coordinate", f"share {worst:.4g} of h_j", "<= 1", worst <= 1)


def _minimiser(probe: _Probe) -> Iterator[Line]:
    """The restricted minimiser: zero off the support, its value, stationary, and no worse than points around it."""
    if not hasattr(probe.f, "minimise_on"):
        return
    if hasattr(probe.f, "working"):  # in the units in which it is solved
        probe = _Probe(probe.f.working, probe.seed)
    draws = np.random.default_rng((probe.seed, 60))
    for size in sorted({0, 1, (probe.p + 1) // 2}):
        support = np.zeros(probe.p, dtype=bool)
        support[draws.permutation(probe.p)[: min(size, 50)]] = True
        x, value = probe.f.minimise_on(support, None)
        name = f"minimise_on, {int(support.sum())} coordinates"
        off = int(np.count_nonzero(x[~support]))
        yield Line(f"{name}: support", f"{off} non-zeros off it", "0", off == 0)
        real = float(probe.f.value(x))
        close = abs(real - value) <= 1e4 * probe.eps * (abs(value) + abs(probe.value))
        yield Line(f"{name}: value", f"{value:.12g}", f"{real:.12g}", close)
        g = np.asarray(probe.f.at(State(x, support)).gradient(x), dtype=np.float64)[support]  # what remains in bounds
        start = np.asarray(probe.f.gradient(0 * x), dtype=np.float64)
        left = float(np.abs(g).max(initial=0.0)) / (float(np.abs(start).max(initial=0.0)) + 1e-300)
        limit = max(1e-8, 1e3 * probe.eps)
        yield Line(f"{name}: stationary", f"relative gradient {left:.2g}", f"<= {limit:.1g}", left <= limit)
        around = [float(probe.f.value(_near(probe, x, support, number))) for number in range(DIRECTIONS)]
        best = min([*around, float(probe.f.value(0 * x))])
        ok = value <= best + 1e4 * probe.eps * (abs(value) + abs(best))
        yield Line(f"{name}: best", f"{value:.8g}", f"<= {best:.8g}", ok)


def _near(probe: _Probe, x: Array, support: Array, number: int) -> Array:
    step = probe.scale * 4.0**-number * probe.random(70 + number)
    near = np.where(support, x + step, 0).astype(probe.dtype)
    return probe.f.project(near) if hasattr(probe.f, "project") else near
