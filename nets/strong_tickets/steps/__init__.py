"""Networks as a sequence of steps, so that a target, its ticket and its certificates walk the same path.

A step knows its shape and what it does to values, to the difference of two networks and to Euclidean norms; it holds
no weights. What happens at a linear step is up to who walks: the target multiplies by W, a ticket by two masked
random matrices, a certificate propagates bounds. Steps are frozen dataclasses: their repr is valid Python, and they
serialise as JSON.

>>> import numpy as np
>>> steps = (Dense(2, 3), Activation("relu"), Dense(3, 1))
>>> walk(steps, np.ones((1, 2)), lambda step, x: x @ np.ones((step.inputs, step.outputs)))
array([[6.]])
"""

from __future__ import annotations

from nets.strong_tickets.steps.attention import MeanTokens, Merged, SelfAttention
from nets.strong_tickets.steps.linear import Conv, Dense, interval, matrix_norm, safe
from nets.strong_tickets.steps.others import KINDS, Activation, Flatten, Kind, MaxPool, MeanPool, Residual
from nets.strong_tickets.steps.step import Floats, Known, Layer, Step, bound, linear_steps, nonnegative, signs, walk

__all__ = [
    "KINDS",
    "Activation",
    "Conv",
    "Dense",
    "Flatten",
    "Floats",
    "Kind",
    "Known",
    "Layer",
    "MaxPool",
    "MeanPool",
    "MeanTokens",
    "Merged",
    "Residual",
    "SelfAttention",
    "Step",
    "bound",
    "interval",
    "linear_steps",
    "matrix_norm",
    "nonnegative",
    "safe",
    "signs",
    "walk",
]
