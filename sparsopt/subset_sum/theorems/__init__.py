"""The random subset sum theorems as experiments with a verdict.

>>> verdict = Quantised(draws=200).verify()
>>> verdict.holds, verdict.sentence
(True, 'Kumar and Natale 2025: consistent with the claim')
"""

from .base import Check, Row, Theorem, Verdict
from .quantised import Quantised
from .scalar import DaCunha, Lueker
from .sizes import FixedSize
from .vectors import Becchetti, Structured

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
