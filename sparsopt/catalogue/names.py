"""What all families say the same way: what an entry is, a source that several cite, and the units of a problem.

By name, steps and comparisons are made in units in which every coordinate has curvature 1 (`sparsopt.fits.units`):
steps are divided by h_j, and the k largest x_j^2 h_j are kept. Problems without curvature keep their own units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sparsopt.fits import PerCurvature, StepSize
from sparsopt.method import Method
from sparsopt.moves import Magnitude, Removal, Score

__all__ = ["SSZ", "Entry"]

Entry = Callable[[int, Any], Method]  # (k, problem) -> the method, built for both

SSZ = "Shalev-Shwartz, Srebro, Zhang (2010), Trading accuracy for sparsity in optimization problems"


def own_units(f: Any, rule: float | StepSize, **more: Any) -> dict[str, Any]:
    """The step and the comparison in the problem's units."""
    return {"step_size": PerCurvature(rule), "by": Removal(), **more} if _curved(f) else {}


def own_size(f: Any) -> Score:
    """How large a coefficient is, in the problem's units."""
    return Removal() if _curved(f) else Magnitude()


def _curved(f: Any) -> bool:
    """Whether a problem has units of its own: a curvature for each coordinate."""
    return hasattr(f, "curvature") or hasattr(f, "curvature_at")
