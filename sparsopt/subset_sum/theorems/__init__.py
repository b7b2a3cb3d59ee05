"""The random subset sum theorems as experiments with a verdict.

>>> verdict = Quantised(draws=200).verify()
>>> verdict.holds, verdict.sentence
(True, 'Kumar and Natale 2025: consistent with the claim')
"""

from sparsopt.subset_sum.theorems.base import Check, Row, Theorem, Verdict
from sparsopt.subset_sum.theorems.quantised import Quantised
from sparsopt.subset_sum.theorems.scalar import DaCunha, Lueker
from sparsopt.subset_sum.theorems.sizes import FixedSize
from sparsopt.subset_sum.theorems.vectors import Becchetti, Structured

THEOREMS: dict[str, type[Theorem]] = {
    "lueker": Lueker,
    "da-cunha": DaCunha,
    "vectors": Becchetti,
    "structured": Structured,
    "fixed-size": FixedSize,
    "quantised": Quantised,
}

__all__ = [
    "THEOREMS",
    "Becchetti",
    "Check",
    "DaCunha",
    "FixedSize",
    "Lueker",
    "Quantised",
    "Row",
    "Structured",
    "Theorem",
    "Verdict",
]
