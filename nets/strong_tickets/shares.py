"""One error for the whole network, shared among its layers: what may go wrong where.

Let f_l be the target's values in front of layer l (0, 1, ..., L - 1), S_l >= 1 + sum_i sup |f_l,i| over the domain (a
convolution: times the taps of its kernel, sup over places too), and M_l the largest sum of absolute realised weights of
one output of layer l. If every sum of layer l errs by at most

    eps_l = error / (L S_l M_{l+1} ... M_{L-1}),

then |ticket(x) - target(x)| <= error for all x of the domain, every output.

Proof. Let D_l be the largest error in front of layer l; D_0 = 0. Activations and pools are 1-Lipschitz in the sup norm.
A realised weight errs by at most eps_l, summed over the copies of a unit, and so does the bias: they contribute
eps_l S_l. Errors that came in are multiplied by realised weights: D_{l+1} <= eps_l S_l + M_l D_l. Unrolled,
D_L <= sum_l eps_l S_l M_{l+1} ... M_{L-1} = error.

Since M_l is known only when layer l has been chosen, and no layer's sums depend on another's masks, layers are chosen
from the last to the first. Burkholz (2022) allots in the same way, with |W_l|_inf + eps for M_l (recalled); where units
have copies that err differently it must be the sum over what was *selected*.

>>> rule = Shared(0.1, Subset("any"), sizes=(3.0, 5.0))
>>> rule.layer(0, gain=2.0).tolerance, rule.layer(1, gain=1.0).tolerance
(0.008333333333333333, 0.01)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nets.strong_tickets.boxes import Bound
from nets.strong_tickets.network import Network
from nets.strong_tickets.source import Floats
from nets.strong_tickets.steps import Residual, bound, interval
from nets.strong_tickets.sums import Each, Subset
from sparsopt.errors import InvalidInput, MissingCapability


@dataclass(frozen=True)
class Shared(Each):
    """Tolerances such that the network's outputs err by at most `error` if no sum misses.

    base   how a sum is made; its own tolerance is ignored
    sizes  S_l; `build` fills them in
    """

    error: float = 0.1
    base: Subset = Subset()
    sizes: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.error < float("inf"):
            raise InvalidInput(f"error = {self.error} must be a number > 0")

    def over(self, target: Network, domain: Any) -> Shared:
        return replace(self, sizes=sizes(target, domain))

    def layer(self, l: int, gain: float) -> Subset:
        return replace(self.base, tolerance=self.error / (len(self.sizes) * self.sizes[l] * max(gain, 1e-300)))


def sizes(target: Network, domain: Any) -> tuple[float, ...]:
    """S_l of every layer, by boxes."""
    if any(isinstance(step, Residual) for step in target.steps):
        raise MissingCapability("errors are shared along a chain of layers; a residual block is none: give a tolerance")
    found: list[float] = []
    pairs = iter(zip(target.weights, target.biases, strict=True))

    def layer(step: Any, b: Bound) -> Bound:
        weight, bias = next(pairs)
        most = np.maximum(np.abs(b.low), np.abs(b.high))[0]
        found.append(1 + step.area * float(most.reshape(len(most), -1).max(axis=1).sum()))
        low, high = (end + step.per_channel(bias) for end in interval(step, weight, b.low, b.high))
        return _values(low, high)

    bound(target.steps, _values(domain.low[None], domain.high[None]), layer)
    return tuple(found)


def _values(low: Floats, high: Floats) -> Bound:
    return Bound(low, high, np.zeros_like(low), np.zeros_like(low), 0.0, 0.0, False)
