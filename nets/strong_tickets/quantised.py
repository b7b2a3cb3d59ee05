"""Exact tickets: a quantised target and a quantised source, equality of integers.

Kumar and Natale (2025, arXiv 2508.11020), Theorem 1: a target with weights on the grid delta^2 (here step 2^-bits) and
a source on the grid delta (`Grid`) of width O(d log(1/delta)) contain each other exactly with high probability; it
needs no algorithm of its own, only tolerance 0:

    built = build(quantise(target, 10), TwoForOne(120, first=Grid(5), second=Grid(5)), 0, Subset("any", 0.0, 34), ...)

All products and sums are multiples of 2^-bits below 2^53 times it, so float64 computes them without rounding and
"error 0" means equality.
"""

from __future__ import annotations

import numpy as np

from nets.strong_tickets.network import Network
from sparsopt.errors import InvalidInput


def quantise(target: Network, bits: int) -> Network:
    """The target with weights and biases rounded to multiples of 2^-bits."""
    if not 0 <= bits <= 40:
        raise InvalidInput(f"bits = {bits}: between 0 and 40, beyond which float64 sums are not exact")
    weights, biases = ([np.round(a * 2.0**bits) / 2.0**bits for a in many] for many in (target.weights, target.biases))
    return target.but(weights=tuple(weights), biases=tuple(biases))
