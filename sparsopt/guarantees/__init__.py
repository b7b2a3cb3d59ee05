"""Theorems as objects: what is proved about the methods, with constants, and whether it held.

A theorem knows its statement, its source, and how it is known: derived here, with the proof in its docstring, or read
in the source (what is only recalled would be reported, never a gate). It checks a run against a target and returns a
`Verdict`; `tight` is an instance on which its bound is met, or nearly.

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.diag([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0]))
>>> observed = observe(problem, FullyCorrectiveRate().method(2))
>>> FullyCorrectiveRate().check(observed, np.array([3.0, 1.0, 0.0])).holds
True
>>> [row.violations for row in verify(instances=5)]
[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]

`report(problem, result)` says for one's own result what was promised, what was achieved, and the slack;
`python -m sparsopt verify` looks for violations on random instances.
"""

from sparsopt.guarantees.base import Constants, Observed, Proof, Setting, Theorem, Verdict, observe
from sparsopt.guarantees.certified import CertifiedGap
from sparsopt.guarantees.forward import FrankWolfeRate, FullyCorrectiveL1, FullyCorrectiveRate
from sparsopt.guarantees.recovering import ExactRecovery, UnitRecovery
from sparsopt.guarantees.reports import Report, report
from sparsopt.guarantees.sampling import RandomisedIdentity
from sparsopt.guarantees.stepwise import StepwiseRatio
from sparsopt.guarantees.swaps import ReplacementRate, ReplacementRecovery
from sparsopt.guarantees.thresholding import HardThresholding, PursuitDescent, ThresholdingDescent, ThresholdingRate
from sparsopt.guarantees.verification import THEOREMS, Row, verify

__all__ = [
    "THEOREMS",
    "CertifiedGap",
    "Constants",
    "ExactRecovery",
    "FrankWolfeRate",
    "FullyCorrectiveL1",
    "FullyCorrectiveRate",
    "HardThresholding",
    "Observed",
    "Proof",
    "PursuitDescent",
    "RandomisedIdentity",
    "ReplacementRate",
    "ReplacementRecovery",
    "Report",
    "Row",
    "Setting",
    "StepwiseRatio",
    "Theorem",
    "ThresholdingDescent",
    "ThresholdingRate",
    "UnitRecovery",
    "Verdict",
    "observe",
    "report",
    "verify",
]
