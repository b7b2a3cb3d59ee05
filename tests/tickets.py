"""Targets for strong tickets, dense and convolutional, and a ticket's output from its masked source by hand."""

from __future__ import annotations

import itertools

import numpy as np

from nets import strong_tickets as st
from nets.strong_tickets import steps as sp

ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "leaky": lambda x: np.where(x > 0, x, 0.01 * x), "tanh": np.tanh,
               "sigmoid": lambda x: 1 / (1 + np.exp(-x))}  # fmt: skip


def dense(seed, widths=(4, 6, 5, 3), activation="relu", scale=1.0):
    rng = np.random.default_rng([17, seed])
    weights = [scale * rng.uniform(-1, 1, (b, a)) / np.sqrt(a) for a, b in itertools.pairwise(widths)]
    return st.dense_network(widths, activation, weights, [rng.uniform(-0.3, 0.3, b) for b in widths[1:]])


def convolutional(seed, steps):
    rng = np.random.default_rng([18, seed])
    linears = sp.linear_steps(steps)
    weights = tuple(rng.uniform(-0.4, 0.4, (s.outputs, s.inputs, *s.taps)) for s in linears)
    return st.Network(steps, weights, tuple(rng.uniform(-0.2, 0.2, s.outputs) for s in linears))


RELU = sp.Activation("relu")
RESIDUAL = (
    sp.Conv(2, 3, 3, 1, 1), RELU, sp.MaxPool(2),
    sp.Residual((sp.Conv(3, 3, 3, 1, 1), RELU, sp.Conv(3, 3, 3, 1, 1))), RELU,
    sp.Residual((sp.Conv(3, 4, 3, 2, 1),), (sp.Conv(3, 4, 1, 2, 0),)), RELU,
    sp.Flatten(), sp.Dense(4, 3),
)  # fmt: skip
SEQUENTIAL = (
    sp.Conv(2, 3, 3, 1, 1), RELU, sp.MaxPool(2), sp.Conv(3, 4, 3, 1, 1), RELU, sp.MeanPool(), sp.Dense(4, 2)
)  # fmt: skip


def by_hand(ticket, x, phi, inner):
    """A fully connected 2L ticket, from masks * whole source matrices."""
    source = ticket.source
    for l in range(1, len(ticket.masks) // 2 + 1):
        u = source.dense(f"first{l}") * ticket.masks[f"first{l}"]
        v = source.dense(f"second{l}") * ticket.masks[f"second{l}"]
        x = inner(np.hstack([x, np.ones((len(x), 1))]) @ u.T) @ v.T
        x = phi(x) if l < len(ticket.masks) // 2 else x
    return x
