"""What a user hands over, checked once: a complaint names the argument, what was found and what would work.

>>> check_ridge(-1.0)
Traceback (most recent call last):
...
sparsopt.errors.InvalidInput: ridge = -1.0 is negative; give a number >= 0
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput
from sparsopt.state import Array, Mask
from sparsopt.support import is_tensor, to_numpy

__all__ = [
    "check_intercept",
    "check_labels",
    "check_matrix",
    "check_moments",
    "check_ridge",
    "check_support",
    "check_vector",
    "check_weighted_labels",
    "check_weights",
]


def check_matrix(X: Any, entries: bool = True, name: str = "X") -> Any:
    """X as a float matrix: a NumPy array or Torch tensor (not copied if of float64 or float32), or a scipy CSC matrix.

    Other numbers become float64. Raises `InvalidInput` for anything that is not a finite, non-empty, numeric matrix,
    and for entries so large that their squares overflow. entries: whether those of an array are looked at, one by one.
    """
    if is_tensor(X):
        return _tensor(X.detach(), name)
    if hasattr(X, "tocsc"):
        X = X.tocsc()
        X = X if X.dtype in (np.float64, np.float32) else X.astype(np.float64)
        if not X.has_sorted_indices or not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
    else:
        X = _numeric(X, name)
    _check_shape(X, name)
    if entries or not isinstance(X, np.ndarray):
        _check_entries(X, name)
    return X


def check_moments(X: Any, second: Array) -> None:
    """What `check_matrix` left open, from second moments with equal weights (n times smaller than sums of squares).

    They have to be known for almost everything, and a pass over X costs more than the arithmetic. Raises
    `InvalidInput`.
    """
    if isinstance(X, np.ndarray) and not float(second.sum()) * X.shape[0] <= _largest(X) ** 2:  # also for NaN
        _check_entries(X, "X")


def check_vector(y: Any, rows: int, name: str = "y") -> Array:
    """A finite float64 vector with one number for each of `rows` rows."""
    y = np.asarray(_numeric(y, name), dtype=np.float64)
    if y.ndim != 1:
        hint = f"; {name}.ravel() would do" if y.size == rows else ""
        raise InvalidInput(f"{name} has shape {y.shape}; a vector ({rows},) is needed{hint}")
    if y.shape[0] != rows:
        raise InvalidInput(f"{name} has {y.shape[0]} entries for {rows} rows; one entry a row is needed")
    _check_entries(y, name)
    return y


def check_labels(y: Any, rows: int) -> Array:
    """Labels as a float64 vector of -1 and 1, from {0, 1}, {-1, 1} or booleans. Both values have to occur."""
    y = check_vector(y, rows)
    values = np.unique(y)
    for pair in ((-1.0, 1.0), (0.0, 1.0)):
        if np.array_equal(values, pair):
            return np.where(y == 1.0, 1.0, -1.0)
    shown = ", ".join(f"{value:g}" for value in values[:5]) + (", ..." if values.size > 5 else "")
    raise InvalidInput(
        f"y has {values.size} distinct value{'s' * (values.size != 1)} ({shown}); "
        "labels {0, 1} or {-1, 1} are needed, and both have to occur"
    )


def check_weighted_labels(y: Any, shares: Array) -> Array:
    """The same for rows with these shares, of which those above zero have to hold both values."""
    labels = check_labels(y, shares.size)
    check_labels(labels[shares > 0], int(np.count_nonzero(shares)))
    return labels


def check_weights(sample_weight: Any, rows: int) -> Array:
    """The share of each row in the mean loss: 1/n (a number) without weights, else (n,) shares that sum to one."""
    if sample_weight is None:
        return np.float64(1 / rows)
    weights = check_vector(sample_weight, rows, "sample_weight")
    wrong = np.flatnonzero(weights < 0)
    if wrong.size:
        raise InvalidInput(
            f"sample_weight has {wrong.size} negative {_entries(wrong.size)}, the first at row {wrong[0]} "
            f"({weights[wrong[0]]:g}); give weights >= 0"
        )
    if not weights.sum() > 0:
        raise InvalidInput("sample_weight is zero everywhere; at least one row needs a positive weight")
    return weights / weights.sum()


def check_ridge(ridge: Any) -> float:
    """The ridge as a float >= 0."""
    try:
        number = float(ridge)
    except (TypeError, ValueError):
        raise InvalidInput(f"ridge = {ridge!r} is not a number; give a number >= 0") from None
    if not math.isfinite(number):
        raise InvalidInput(f"ridge = {number} is not finite; give a number >= 0")
    if number < 0:
        raise InvalidInput(f"ridge = {number} is negative; give a number >= 0")
    return number


def check_intercept(intercept: Any) -> bool:
    """Whether there is an intercept: "no" and None are more likely a slip than a truth value."""
    if not isinstance(intercept, (bool, np.bool_)):
        raise InvalidInput(f"intercept = {intercept!r} is neither True nor False")
    return bool(intercept)


def check_support(support: Mask, p: int) -> Mask:
    """A boolean mask with one entry a coordinate."""
    if getattr(support, "dtype", None) != np.bool_ or support.shape != (p,):
        found = f"{getattr(support, 'dtype', type(support).__name__)} of shape {np.shape(support)}"
        raise InvalidInput(f"support is {found}; a boolean mask of shape ({p},) is needed")
    return support


def _numeric(values: Any, name: str) -> Array:
    """A float array. Strings are not numbers here, even where NumPy could read them as such."""
    if np.ma.is_masked(values):
        raise InvalidInput(f"{name} is a masked array with masked entries; fill them, or drop their rows")
    array = to_numpy(values) if is_tensor(values) else np.asarray(values)
    if array.dtype in (np.float64, np.float32):
        return array
    if array.dtype.kind == "O":
        for entry in array.flat:
            if not isinstance(entry, (int, float, np.number, np.bool_)):
                raise InvalidInput(f"{name} has an entry {entry!r} that is not a number; encode it as one first")
    elif array.dtype.kind not in "biuf":
        raise InvalidInput(f"{name} has entries of type {array.dtype}; real numbers are needed")
    return array.astype(np.float64)


def _tensor(X: Any, name: str) -> Any:
    """A checked Torch matrix, on the device where it is."""
    if X.is_complex() or X.layout is not type(X)().layout:
        raise InvalidInput(f"{name} is a {X.layout} tensor of type {X.dtype}; a dense one of real numbers is needed")
    X = X if X.is_floating_point() and X.dtype.itemsize >= 4 else X.double()
    _check_shape(X, name)
    low, high = (float(bound) for bound in X.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)) or max(-low, high) > 1e15:
        _check_entries(to_numpy(X), name)  # which says what and where
    return X


def _check_shape(X: Any, name: str) -> None:
    if X.ndim != 2:
        hint = f"; for a single column {name}.reshape(-1, 1) would do" if X.ndim == 1 else ""
        raise InvalidInput(f"{name} has shape {tuple(X.shape)}; a matrix (rows, columns) is needed{hint}")
    for size, what in zip(X.shape, ("rows", "columns"), strict=True):
        if size == 0:
            raise InvalidInput(f"{name} has shape {tuple(X.shape)}: it has no {what}; at least one is needed")


def _check_entries(values: Any, name: str) -> None:
    """Finite, and small enough to be squared and summed. min and max see a NaN and need no memory."""
    stored = values.data if hasattr(values, "tocsc") else values
    if stored.size == 0 or _surely_fine(stored):
        return
    low, high = float(stored.min()), float(stored.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        _refuse_not_finite(values, stored, name)
    limit = _largest(stored)
    if max(-low, high) > limit:
        raise InvalidInput(
            f"{name} has entries up to {max(-low, high):.3g}, whose squares overflow in {stored.dtype}; rescale {name}"
        )


def _largest(stored: Array) -> float:
    return _root(stored.dtype)


@functools.cache
def _root(dtype: Any) -> float:
    return math.sqrt(float(np.finfo(dtype).max)) * 1e-4


def _surely_fine(stored: Array) -> bool:
    """Whether the sum of squares, one pass and no memory, says already that all entries are finite and small."""
    if not stored.flags.forc:
        return False
    flat = stored.ravel(order="K")
    with np.errstate(all="ignore"):
        return math.sqrt(abs(float(np.dot(flat, flat)))) <= _largest(stored)  # False for NaN


def _refuse_not_finite(values: Any, stored: Array, name: str) -> None:
    wrong = np.flatnonzero(~np.isfinite(stored).ravel())
    if hasattr(values, "tocsc"):
        row, column = int(values.indices[wrong[0]]), int(np.searchsorted(values.indptr, wrong[0], side="right")) - 1
        where = f"at row {row}, column {column}"
    else:
        places = np.unravel_index(wrong[0], stored.shape)
        names = ("row", "column") if stored.ndim == 2 else ("row",)
        where = "at " + ", ".join(f"{word} {place}" for word, place in zip(names, places, strict=True))
    raise InvalidInput(
        f"{name} has {wrong.size} {_entries(wrong.size)} NaN or infinite, the first {where}; drop or impute them first"
    )


def _entries(number: int) -> str:
    return "entry" if number == 1 else "entries"
