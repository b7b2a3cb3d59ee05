"""Fits: which values? A fit is a frozen dataclass called with (oracle, state); it returns the next state.

The support has been chosen when a fit starts. Some fits minimise on it (`Exact`), some take steps (`GradientSteps`),
some only rearrange what is there (`Restrict`, `Remember`, `Rewind`).

>>> GradientSteps(step_size=0.1)
GradientSteps(steps=1, step_size=0.1)
"""

from __future__ import annotations

from sparsopt.fits.descending import CoordinateStep, Exact, Extrapolate, Feedback, Fit, FrankWolfeStep, GradientSteps
from sparsopt.fits.rearranging import (
    OPTIMISER,
    Average,
    Clock,
    FreshOptimiser,
    Remember,
    Restrict,
    Rewind,
    is_weightwise,
    restricted,
)
from sparsopt.fits.step_sizes import InverseSmoothness, LineSearch, Normalised, StepSize, step_length
from sparsopt.fits.units import PerCurvature, View, relative_smoothness

__all__ = [
    "OPTIMISER",
    "Average",
    "Clock",
    "CoordinateStep",
    "Exact",
    "Extrapolate",
    "Feedback",
    "Fit",
    "FrankWolfeStep",
    "FreshOptimiser",
    "GradientSteps",
    "InverseSmoothness",
    "LineSearch",
    "Normalised",
    "PerCurvature",
    "Remember",
    "Restrict",
    "Rewind",
    "StepSize",
    "View",
    "is_weightwise",
    "relative_smoothness",
    "restricted",
    "step_length",
]
