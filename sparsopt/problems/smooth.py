"""Any convex function that is given as callables, or as a Torch function.

>>> target = np.array([3.0, 1.0, 2.0])
>>> problem = Smooth(lambda x: float(np.sum((x - target) ** 2)), lambda x: 2 * (x - target), 3)
>>> sparsopt.solve(problem, 2).x
array([3., 0., 2.])

What the functions return is checked: NaN is an error with a sentence. A function with a domain returns inf outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.problems.base import Last, Problem, Restriction
from sparsopt.problems.inputs import check_support
from sparsopt.problems.newton import minimise
from sparsopt.state import Array, Mask
from sparsopt.support import is_tensor, to_numpy

__all__ = ["Smooth", "TorchFunction"]

STEP = 6e-6  # of differences of the gradient: the cube root of the rounding error
NAMES = ("value(x)", "gradient(x)", "hessian_product(x, v)")
COMPARE = "print(sparsopt.check_problem(problem)) compares them"
DIRECTIONS = 2  # along which the gradient at 0 is compared with values
LENGTHS = (1e-3, 1e-2)  # of steps along them
SLOPE = 1e-2  # share of the gradient at 0 that a restricted minimiser may have left, whatever the rounding of f


class Memory:
    """What one run keeps: the last gradient."""

    def __init__(self) -> None:
        self.gradient = Last()


class Smooth(Problem):
    """A convex f on R^n from value(x) -> number and gradient(x) -> (n,), x (n,) float64.

    hessian_product(x, v) -> (n,): H(x) v; without it, central differences of the gradient. smoothness: a number L with
    |grad f(x) - grad f(y)| <= L |x - y| for all x, y; without it, IHT and HTP need a step_size, coordinate steps
    refuse, and coordinates are ranked by their gradient. Nothing is known about bounds from below, so there are none.

    `minimise_on` takes Newton steps (up to 400 coordinates, one Hessian product each a step; beyond, L-BFGS). Raises
    `NotFinite` where a function returns NaN, -inf, or a gradient that is not finite, `InvalidInput` for a wrong shape,
    and for a gradient at 0 that differences of values contradict. What a function raises gets a note that names it.
    """

    def __init__(
        self,
        value: Callable[[Array], Any],
        gradient: Callable[[Array], Any],
        n: int,
        hessian_product: Callable[[Array, Array], Any] | None = None,
        smoothness: float | None = None,
    ) -> None:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise InvalidInput(f"n = {n!r}; the number of coordinates, a positive integer, is needed")
        super().__init__(int(n))
        self.functions = (value, gradient, hessian_product)
        if not all(callable(given) or given is None for given in self.functions):
            raise InvalidInput("value(x), gradient(x) and hessian_product(x, v) have to be functions")
        if smoothness is None:
            self.curvature_at = self._along_gradient
        elif isinstance(smoothness, str) or not 0 < smoothness < math.inf:
            raise InvalidInput(f"smoothness = {smoothness!r}; give a finite number > 0, or None if there is none")
        else:
            self.bound = float(smoothness)
            self.smoothness, self.curvature = self._smoothness, self._curvature
        start, slope = self.value(np.zeros(self.p)), self.gradient(np.zeros(self.p))
        for number in range(DIRECTIONS):
            d = np.random.default_rng([number, self.p]).standard_normal(self.p) / math.sqrt(self.p)
            if _contradicted(self._quietly, d, start, float(slope @ d)):
                raise InvalidInput(
                    f"value(x) and gradient(x) of {self!r} do not fit together at x = 0: the values fall and rise as "
                    "the gradient does not say"
                )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n={self.p})"

    def memory(self) -> Memory:
        return Memory()

    def value(self, x: Array) -> float:
        """f(x). The functions get copies: what they do to x is their own affair."""
        found = self._asked(0, x)
        try:
            if isinstance(found, str):
                raise TypeError(f"it is the text {found!r}")
            number = float(found)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"value(x) of {self!r} is not a number: {error}") from error
        if math.isnan(number) or number == -math.inf:
            raise NotFinite(
                f"value(x) of {self!r} is {number} at {_shown(x)}; return numbers on the domain of f and inf outside"
            )
        return number

    def gradient(self, x: Array) -> Array:
        return self._gradient(x) if self._memo is None else self._memo.gradient.once(x, self._gradient)

    def hessian_product(self, x: Array, v: Array) -> Array:
        if self.functions[2] is not None:
            return self._checked(self._asked(2, x, v), NAMES[2], x)
        length = float(np.linalg.norm(v))
        if length == 0:
            return np.zeros(self.p)
        t = STEP * (1.0 + float(np.linalg.norm(x))) / length
        return (self._gradient(x + t * v) - self._gradient(x - t * v)) / (2 * t)

    def _gradient(self, x: Array) -> Array:
        return self._checked(self._asked(1, x), NAMES[1], x)

    def _asked(self, which: int, *points: Array) -> Any:
        """What one of the functions returns; what it raises gets a note that names it."""
        function: Any = self.functions[which]
        try:
            with np.errstate(over="ignore"):
                return function(*(point.copy() for point in points))
        except Exception as error:
            error.add_note(f"raised by {NAMES[which]} of {self!r}, called with {_shown(points[0])}")
            raise

    def _quietly(self, x: Array) -> float:
        """f(x), nan where it has none: what is wrong there is said when it is needed there."""
        try:
            return self.value(x)
        except Exception:
            return math.nan

    def _checked(self, found: Any, name: str, x: Array) -> Array:
        """What a function returned, as a new vector."""
        try:
            given = to_numpy(found.detach()) if is_tensor(found) else np.asarray(found)
        except ValueError as error:
            raise InvalidInput(f"{name} of {self!r} is no vector: {error}") from error
        if given.shape != (self.p,):
            raise InvalidInput(f"{name} of {self!r} has shape {given.shape}; ({self.p},) is needed")
        if given.dtype.kind != "f":
            raise InvalidInput(f"{name} of {self!r} has entries of type {given.dtype}; floats are needed")
        vector = given.astype(np.float64)
        wrong = np.flatnonzero(~np.isfinite(vector))
        if wrong.size:
            raise NotFinite(
                f"{name} of {self!r} is {vector[wrong[0]]} in entry {wrong[0]} at {_shown(x)}; f has to be "
                "differentiable wherever value(x) is finite"
            )
        return vector

    def _smoothness(self, s: int | None = None) -> float:
        return self.bound

    def _curvature(self) -> Array:
        return np.full(self.p, self.bound)

    def _along_gradient(self, x: Array) -> Array:
        """g'H g / |g|^2 for every coordinate, (p,); ones where that is not positive."""
        g = self.gradient(x)
        bend, size = float(g @ self.hessian_product(x, g)), float(g @ g)
        return np.full(self.p, bend / size if bend > 0 else 1.0)

    def minimise_on(self, support: Mask, x: Array | None = None) -> tuple[Array, float]:
        """The minimiser among vectors supported there, (p,), and its value, from x, or from 0 if that is lower."""
        indices = np.flatnonzero(check_support(support, self.p))
        part = Restriction(self, indices)
        start = np.zeros(indices.size)
        if x is not None and self.value(np.where(support, x, 0.0)) <= self.value(np.zeros(self.p)):
            start = x[indices]
        free = np.full(indices.size, np.inf)
        found = part.embedded(minimise(part, start, -free, free))
        value = self.value(found)
        left, first = (float(np.abs(self.gradient(at)[indices]).max(initial=0.0)) for at in (found, 0 * found))
        if left > SLOPE * first + 1e-8 * (1 + abs(self.value(0 * found))):
            raise NotFinite(
                f"no minimiser of {part!r} was found: f is not bounded below, or what value, gradient and "
                f"hessian_product say does not fit together; {COMPARE}"
            )
        return found, value


class TorchFunction(Smooth):
    """A convex f that Torch can differentiate: f(tensor (n,)) -> scalar tensor. Gradient and H v by autograd.

    device, dtype (a name, such as "float64"): of the tensors that f sees; outside everything is NumPy float64.
    smoothness as for `Smooth`.

    >>> import torch
    >>> problem = TorchFunction(lambda x: ((x - 2.0) ** 2).sum() + x[0] * x[1], 3)
    >>> problem.gradient(np.zeros(3)), problem.hessian_product(np.zeros(3), np.array([1.0, 0.0, 0.0]))
    (array([-4., -4., -4.]), array([2., 1., 0.]))
    """

    def __init__(
        self,
        f: Callable[[Any], Any],
        n: int,
        smoothness: float | None = None,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> None:
        import torch

        kind = getattr(torch, dtype, None)
        if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
            raise InvalidInput(f"dtype = {dtype!r}; the name of a floating-point type of Torch, such as 'float64'")

        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # Torch asserts that it was built for CUDA
            raise InvalidInput(f"device = {device!r} is not there ({str(error).splitlines()[0]}); 'cpu' is") from None

        def tensor(x: Array) -> Any:
            return torch.tensor(x, dtype=kind, device=device)

        def at(point: Any) -> Any:
            found = f(point)
            if not isinstance(found, torch.Tensor) or found.numel() != 1 or found.is_complex():
                shape = tuple(found.shape) if isinstance(found, torch.Tensor) else None
                shown = type(found).__name__ if shape is None else f"a {found.dtype} tensor of shape {shape}"
                raise InvalidInput(f"f of {self!r} returned {shown}; a real tensor with one element is needed")
            return found

        def slope(point: Any, **more: Any) -> Any:
            found = at(point)
            if not found.requires_grad:
                raise InvalidInput(
                    f"f of {self!r} does not depend on x as Torch sees it; detach(), item() or NumPy inside f hide it"
                )
            return torch.autograd.grad(found, point, **more)[0]

        def gradient(x: Array) -> Array:
            return slope(tensor(x).requires_grad_()).double().numpy(force=True)

        def product(x: Array, v: Array) -> Array:
            point = tensor(x).requires_grad_()
            bending = slope(point, create_graph=True)
            if not bending.requires_grad:  # f is linear
                return np.zeros(len(x))
            (bent,) = torch.autograd.grad(bending @ tensor(v), point, allow_unused=True)
            return np.zeros(len(x)) if bent is None else bent.double().numpy(force=True)

        def value(x: Array) -> float:
            with torch.no_grad():
                return at(tensor(x)).item()

        super().__init__(value, gradient, n, product, smoothness)


def _contradicted(value: Callable[[Array], float], d: Array, start: float, slope: float) -> bool:
    """Whether the slope at 0 lies outside of the one-sided differences of values, between which that of a convex
    function is, by more than rounding in single precision."""

    def outside(t: float) -> bool:
        up, down = value(t * d), value(-t * d)
        slack = 1e-2 * abs(slope) + 1e-6 * (abs(up) + abs(down) + abs(start)) / t
        left, right = sorted(((start - down) / t, (up - start) / t))
        return slope < left - slack or slope > right + slack

    return all(map(outside, LENGTHS))


def _shown(x: Array) -> str:
    inside = np.flatnonzero(x)
    entries = ", ".join(f"x[{j}] = {x[j]:.6g}" for j in inside[:3]) + (", ..." if inside.size > 3 else "")
    return f"x with {entries}" if inside.size else "x = 0"
