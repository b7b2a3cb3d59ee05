"""Worst cases from proofs, as constructors: problems on which some methods provably fail although the answer is easy.

An instance carries the problem, k, the support of the answer, the catalogue methods that provably fail and those that
provably do not, and the reason. Columns come in a random order with random signs (`seed`), which changes no proof.

>>> hard = decoys(s=4)
>>> hard.solved(hard.run(hard.fails[0]).x), hard.solved(hard.run(hard.succeeds[0]).x)
(False, True)
>>> sorted(INSTANCES)
['coherent-triples', 'decoys', 'diagonal', 'diagonal-start', 'flat', 'sharp', 'sharp-below']

f(w) = |A w - b|^2 / 2 in all of them: least squares on X = sqrt(n) A, y = sqrt(n) b.
"""

from __future__ import annotations

from collections.abc import Callable

from sparsopt.hard_instances.curvatures import diagonal, diagonal_start, flat
from sparsopt.hard_instances.instance import HardInstance
from sparsopt.hard_instances.isometry import sharp, sharp_below
from sparsopt.hard_instances.look_alikes import coherent_triples, decoy_value, decoys

__all__ = [
    "INSTANCES",
    "HardInstance",
    "coherent_triples",
    "decoy_value",
    "decoys",
    "diagonal",
    "diagonal_start",
    "flat",
    "sharp",
    "sharp_below",
]

INSTANCES: dict[str, Callable[..., HardInstance]] = {
    "diagonal": diagonal,
    "decoys": decoys,
    "diagonal-start": diagonal_start,
    "flat": flat,
    "coherent-triples": coherent_triples,
    "sharp": sharp,
    "sharp-below": sharp_below,
}
