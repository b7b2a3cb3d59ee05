"""Columns that resemble the sum of the right ones more than each of these does.

>>> hard = decoys(s=3)
>>> [hard.solved(hard.run(method).x) for method in (hard.fails[0], hard.succeeds[0])]
[False, True]
"""

from __future__ import annotations

import math

import numpy as np

from sparsopt import catalogue
from sparsopt.catalogue import cosamp, foba, forward_greedy, frank_wolfe, htp, iht, niht, omp
from sparsopt.errors import InvalidInput
from sparsopt.hard_instances.instance import HardInstance, backward, planted
from sparsopt.moves import Gradient

__all__ = ["coherent_triples", "decoy_value", "decoys"]


def decoys(s: int = 6, decoys: int | None = None, excess: float = 0.1, seed: int = 0) -> HardInstance:
    """The target is a sum of s atoms; each of many decoys looks better than any of them, to every greedy rule, always.

    Atoms e_1..e_s, b = their sum, decoys a 1/sqrt(s) + sqrt(1 - a^2) e_{s+j}, a^2 = (1 + excess)/s: unit columns.
    While only decoys are selected the residual has <atom, r> = alpha/sqrt(s) < a alpha = <unused decoy, r>, so the
    next one is a decoy: after t of them f = `decoy_value`, while f = 0 on the atoms. Decoys in use keep more weight
    than a gradient step of length <= 1 gives an unused one, so thresholding stays, and all exchanges of a decoy for
    a decoy are equal.
    """
    number = 4 * s if decoys is None else decoys
    if not (s >= 2 and 0 < excess < s - 1 and excess < 1 and number >= 3 * s):
        raise InvalidInput(
            f"decoys: s = {s}, decoys = {number}, excess = {excess}; choose s >= 2, 0 < excess < 1, decoys >= 3 s"
        )
    a = math.sqrt((1 + excess) / s)
    A = np.zeros((s + number, s + number))
    A[:s, :s] = np.eye(s)
    A[:s, s:] = a / math.sqrt(s)
    A[s:, s:] = math.sqrt(1 - a * a) * np.eye(number)
    problem, truth = planted(A, np.repeat([1.0, 0.0], [s, number]), s, seed)
    fails = (
        omp(s),
        omp(s, by=Gradient()),
        forward_greedy(s),
        frank_wolfe(s, float(s)),
        foba(s),
        catalogue.replacement(s),
        cosamp(s),
        iht(s),
        htp(s),
        niht(s),
    )
    why = "every unused decoy correlates more with the residual than every atom"
    return HardInstance("decoys", problem, s, truth, fails, (backward(problem, s),), why)


def decoy_value(s: int, excess: float, t: int) -> float:
    """f after t decoys, refitted: (s/2)(1 - a^2)/(1 + a^2 (t - 1)), a^2 = (1 + excess)/s."""
    share = (1 + excess) / s
    return s / 2 * (1 - share) / (1 + share * (t - 1))


def coherent_triples(triples: int = 3, coherence: float = 0.95, drop: float = 0.1, seed: int = 0) -> HardInstance:
    """Two atoms and their blend: the blend is selected first and never replaced, though the two atoms fit exactly.

    Per triple (orthogonal to the others) e_1, e_2, z = a (e_1 + e_2)/sqrt(2) + sqrt(1 - a^2) e_3, b = e_1 + (1 -
    drop) e_2, k = 2 a triple. <z, b> = a (2 - drop)/sqrt(2) > 1 is the largest correlation, so greedy rules take
    every z, then some e_1, which no longer suffices; thresholding keeps (z, e_1), whose weights exceed what a step
    gives e_2. The exchange of z for e_2 is exact.
    """
    if not (triples >= 1 and 0.9 <= coherence < 1 and 0 <= drop <= 0.2):
        raise InvalidInput(
            f"coherent_triples{triples, coherence, drop}: choose triples >= 1, 0.9 <= coherence < 1, 0 <= drop <= 0.2"
        )
    t, k, beside = triples, 2 * triples, math.sqrt(1 - coherence**2)
    A, eye = np.zeros((3 * t, 3 * t)), np.eye(t)
    A[: 2 * t, : 2 * t] = np.eye(2 * t)
    A[:t, 2 * t :] = A[t : 2 * t, 2 * t :] = coherence / math.sqrt(2) * eye
    A[2 * t :, 2 * t :] = beside * eye
    problem, truth = planted(A, np.repeat([1.0, 1 - drop, 0.0], t), k, seed)
    fails = (omp(k), omp(k, by=Gradient()), forward_greedy(k), iht(k), htp(k))
    why = "a blend of two atoms correlates more with their sum than either"
    return HardInstance("coherent-triples", problem, k, truth, fails, (backward(problem, k),), why)
