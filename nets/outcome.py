"""What pruning a network gives back.

>>> outcome = nets.prune(model, data, method="rigl", sparsity=0.95)
>>> outcome.masks["linear1.weight"].float().mean()      # the density of a layer
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from nets.catalogue.plan import evaluations
from nets.training import Network
from sparsopt import support as sp
from sparsopt.result import Result, Status, Trace

__all__ = ["Outcome", "outcome_of"]


@dataclass(frozen=True)
class Outcome:
    """What pruning gave.

    model      a copy of the module with the pruned weights set to zero: plain parameters, loads anywhere
    masks      parameter name -> boolean tensor, True where a weight is kept
    sparsity   1 - kept / prunable, exact; `prunable` is the denominator
    accuracy   on the test split after the last step (nan for data without one)
    cost       "steps" trained in all, "gradients" evaluated to choose weights beside them, "seconds" over all sessions
    collapsed  names of layers without any weight left: nothing passes through them
    """

    model: nn.Module
    masks: Mapping[str, Tensor]
    sparsity: float
    accuracy: float
    loss: float
    prunable: int
    densities: Mapping[str, float]
    cost: Mapping[str, float]
    trace: Trace
    status: Status
    collapsed: tuple[str, ...]

    @property
    def _choosing(self) -> str:
        count = self.cost.get("gradients", 0)
        return f" and {count:.0f} gradients to choose by" if count else ""

    def __str__(self) -> str:
        kept = sum(int(mask.sum()) for mask in self.masks.values())
        rows = [
            ("status", str(self.status)),
            ("sparsity", f"{self.sparsity:.4%} ({kept} of {self.prunable} prunable weights kept)"),
            ("accuracy", f"{self.accuracy:.4f} on the test split, last step"),
            ("cost", f"{self.cost['steps']:.0f} steps{self._choosing}, {self.cost['seconds']:.1f} s"),
        ]
        if self.collapsed:
            rows.append(("collapsed", f"no weight left in {', '.join(self.collapsed)}: nothing passes through there"))
        return "\n".join(f"{name:<10} {text}" for name, text in rows)


def _gradients(result: Result) -> int:
    """What the moves that were made have cost, from the trace."""
    stages = result.method.stages
    return sum(evaluations(stages[row.stage].phases[row.phase].move) for row in result.trace)


def outcome_of(network: Network, result: Result, seconds: float) -> Outcome:
    """The outcome of a finished run; every number is taken anew from the state that it ended in."""
    state = result.state
    loss, accuracy = network.test(state)
    masks = {name: mask.cpu().clone() for name, mask in network.weights.blocks(state.support)}
    return Outcome(
        model=network.module(state),
        masks=masks,
        sparsity=1 - sp.count(state.support) / network.layout.n,
        accuracy=accuracy,
        loss=loss,
        prunable=network.layout.n,
        densities=network.weights.densities(state.support),
        cost={"steps": state.cost, "gradients": _gradients(result), "seconds": seconds},
        trace=result.trace,
        status=result.status,
        collapsed=tuple(name for name, mask in masks.items() if not mask.any()),
    )
