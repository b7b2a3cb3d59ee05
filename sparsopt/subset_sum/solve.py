"""One call for every question: check the shapes, pick the mode, recompute what came back.

>>> import numpy as np
>>> answer = solve(np.array([[0.5, 0.3, -0.2], [0.9, 0.1, 0.4]]), np.array([0.3, 0.45]), tolerance=0.06)
>>> answer.masks.tolist(), answer.success.tolist()
([[False, True, False], [False, False, True]], [True, True])
>>> solve(np.array([1.0, 2.0, 4.0]), np.array([5.0, 6.5])).errors
array([0. , 0.5])
"""

from __future__ import annotations

import math
from typing import Any

from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.names import lookup
from sparsopt.subset_sum import compiled
from sparsopt.subset_sum.answer import CODE, Answer, Status, errors_of
from sparsopt.subset_sum.libraries import Library, library
from sparsopt.subset_sum.modes import MODES, Found, Mode, best
from sparsopt.subset_sum.shared import nearest_of_one_set, worthwhile


def solve(
    items: Any,
    targets: Any,
    mode: str = "best",
    tolerance: Any = 0.0,
    size: int | None = None,
    backend: str = "auto",
) -> Answer:
    """Choose a subset of each row of items whose sum is near the target.

    items      (n,) or (B, n), real; arrays, lists, or Torch tensors (then solved on their device, float64)
    targets    one a row: () or (B,); or T for every row: (T,) or (B, T)
    mode       "best"      least error
               "any"       the first subset found within the tolerance, otherwise a near one
               "smallest"  fewest items within the tolerance, otherwise a near one
               "size"      least error among subsets of exactly `size` items (any size of 34 items, few of many)
               "shared"    least error, through one table of all sums a row (many targets, n <= 24)
    tolerance  >= 0, a number or one for every target, in the units of the items
    size       the number of items, for mode "size"
    backend    "compiled" (needs numba; faster "any" and "smallest"), "arrays", or "auto": compiled where it is there

    Returns an Answer; masks have the shape of targets + (n,). A miss is a result with its status, never an exception.
    Raises InvalidInput for NaN or infinite input, shapes that do not fit and unknown modes.
    """
    lib = _backend(backend, items)
    a, z, several = _shapes(lib.floats(items), lib.floats(targets))
    t = _tolerances(tolerance, z, lib)
    chosen = lookup(MODES | {"shared": best}, mode, "mode")
    if several and mode in ("best", "shared") and worthwhile(a.shape[1], z.shape[1] if mode == "best" else 1 << 40):
        found = _through_tables(a, z, lib)
    else:
        found = _in_blocks(chosen, *_flat(a, z, several, lib), t.reshape(-1), size, lib)
    return _answer(a, z, t, found, several, tuple(lib.floats(targets).shape), lib)


def _backend(name: str, items: Any) -> Library:
    lib = library(items)
    if name not in ("auto", "arrays", "compiled"):
        raise InvalidInput(f"backend {name!r} is unknown: choose auto, arrays or compiled")
    if name == "compiled" and (lib.name != "numpy" or not compiled.available()):
        raise MissingCapability("the compiled backend needs NumPy items and numba (pip install sparsopt[fast]): "
                                "backend='arrays' answers the same without it")  # fmt: skip
    use = name == "compiled" or (name == "auto" and lib.name == "numpy" and compiled.available())
    return compiled.Compiled() if use else lib


def _in_blocks(mode: Mode, a: Any, z: Any, t: Any, size: int | None, lib: Library) -> Found:
    """The mode on `lib.rows` instances at a time."""
    if len(z) <= lib.rows:
        return mode(a, z, t, size, lib)
    masks, covered = lib.empty(tuple(a.shape), "bool"), lib.empty((len(z),), "bool")
    resolution = lib.empty((len(z),), "float64")
    for start in range(0, len(z), lib.rows):
        rows = slice(start, start + lib.rows)
        found = mode(a[rows], z[rows], t[rows], size, lib)
        masks[rows], covered[rows], resolution[rows] = found.masks, found.covered, found.resolution
    return Found(masks, covered, resolution)


def _shapes(a: Any, z: Any) -> tuple[Any, Any, bool]:
    """Items (B, n) and targets (B,), or (B, T) with True."""
    if a.ndim not in (1, 2) or z.ndim not in (a.ndim - 1, a.ndim) or (a.ndim == 2 and z.shape[0] != a.shape[0]):
        raise InvalidInput(f"items of shape {tuple(a.shape)} do not fit targets of shape {tuple(z.shape)}: "
                           f"give (n,) with () or (T,), or (B, n) with (B,) or (B, T)")  # fmt: skip
    several = z.ndim == a.ndim
    if a.ndim == 1:
        a, z = a[None], z[None]
    reach = abs(a).sum(-1)
    if not (library(a).finite(reach) and library(z).finite(z)):
        raise InvalidInput("items and targets must be finite, and so must the sum of the absolute items")
    return a, z, several


def _tolerances(tolerance: Any, z: Any, lib: Library) -> Any:
    t = lib.floats(tolerance)
    if not bool((t >= 0).all()):
        raise InvalidInput("tolerance must be a number >= 0 (or an array of them)")
    if t.ndim and math.prod(t.shape) != math.prod(z.shape):
        raise InvalidInput(f"tolerance of shape {tuple(t.shape)} does not fit targets of shape {tuple(z.shape)}")
    return (t.reshape(z.shape) if t.ndim else t) + 0.0 * z


def _flat(a: Any, z: Any, several: bool, lib: Library) -> tuple[Any, Any]:
    return (lib.repeat(a, z.shape[1]), z.reshape(-1)) if several else (a, z)


def _through_tables(a: Any, z: Any, lib: Library) -> Found:
    masks = lib.empty((*z.shape, a.shape[1]), "bool")
    resolution = 0.0 * z
    for row in range(a.shape[0]):
        masks[row], resolution[row] = nearest_of_one_set(a[row], z[row], lib)
    flat = resolution.reshape(-1)
    return Found(masks.reshape((flat.shape[0], a.shape[1])), flat == flat, flat)


def _answer(a: Any, z: Any, t: Any, found: Found, several: bool, shape: tuple[int, ...], lib: Library) -> Answer:
    """Sum the chosen items again and say how every instance ended."""
    errors = errors_of(*_flat(a, z, several, lib), found.masks, lib)
    success = errors <= t.reshape(-1)
    missed = lib.where(found.covered, CODE[Status.MISSED], CODE[Status.UNSETTLED])
    codes = lib.where(success, CODE[Status.WITHIN], missed)
    return Answer(
        found.masks.reshape((*shape, a.shape[1])),
        errors.reshape(shape),
        success.reshape(shape),
        codes.reshape(shape),
        found.resolution.reshape(shape),
    )
