"""Optimal brain surgeon on any f that knows the inverse of its Hessian: removals, and how others make up for them.

>>> Surgeon(), SurgeonUpdate()
(Surgeon(), SurgeonUpdate())
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sparsopt import support as sp
from sparsopt.fits import restricted
from sparsopt.state import Array, State

__all__ = ["Surgeon", "SurgeonUpdate"]


@dataclass(frozen=True)
class Surgeon:
    """x_j^2 / (2 [H^-1]_jj): the least increase of a quadratic at its minimum when x_j becomes 0 and others may move.

    Source: Hassibi and Stork (1993), equation 5.
    """

    needs: ClassVar = ("inverse_diagonal",)

    def __call__(self, f: Any, state: State) -> Array:
        h = f.inverse_diagonal()
        return sp.restrict(state.x * state.x / (2 * h + (h <= 0)), h > 0)


@dataclass(frozen=True)
class SurgeonUpdate:
    """x - sum over removed j of x_j H^-1 e_j / [H^-1]_jj, then zero off the support.

    For one removed weight the exact minimiser of the quadratic without it. For several it is the sum of what each
    removal alone would ask, as WoodFisher does; `Exact` is the joint minimiser.
    Source: Hassibi and Stork (1993), equation 5; Singh and Alistarh (2020), section 4.
    """

    needs: ClassVar = ("inverse_diagonal", "inverse_product")

    def __call__(self, oracle: Any, state: State) -> State:
        f = oracle.at(state)
        h = f.inverse_diagonal()
        removed = ~state.support & (h > 0)
        ask = sp.restrict(state.x / (h + (h <= 0)), removed)
        return restricted(state.but(x=state.x - f.inverse_product(ask)))
