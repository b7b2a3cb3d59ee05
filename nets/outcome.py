"""What pruning a network gives back.

>>> outcome = nets.prune(model, data, method="rigl", sparsity=0.95)
>>> outcome.masks["linear1.weight"].float().mean()      # the density of a layer
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from nets import diagnostics, flops
from nets.plan import evaluations
from nets.training import Network
from sparsopt import support as sp
from sparsopt.result import Result, Status, Trace
from sparsopt.state import State
from sparsopt.support import Elements, Structure, unit_labels

__all__ = ["Outcome", "outcome_of"]


@dataclass(frozen=True)
class Outcome:
    """What pruning gave.

    model       a copy of the module with the pruned weights set to zero: plain parameters, loads anywhere
    masks       parameter name -> boolean tensor, True where a weight is kept
    sparsity    1 - kept / prunable, exact; `prunable` is the denominator: weights, or `unit` (channels)
    accuracy    on the test split after the last step (nan for data without one)
    cost        "steps" trained in all, "gradients" evaluated to choose weights beside them, "seconds" over all
                sessions; "flops" of steps and gradients with the masks of their time, "dense_flops" of the steps with
                all weights (`nets.flops`)
    effective_sparsity  1 - weights on some path from the input to the output / prunable; nan where that is not known
                (recurrent layers; `nets.diagnostics`)
    collapses   layer without any weight left -> sparsity of the network when it lost its last one
    reports     what the method has found out beside the mask, by name (the "gap_k" of inertial-manifold); mostly none
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
    effective_sparsity: float
    collapses: Mapping[str, float]
    unit: str = "weights"
    reports: Mapping[str, float] = field(default_factory=dict)

    @property
    def collapsed(self) -> tuple[str, ...]:
        """Names of layers without any weight left: nothing passes through them."""
        return tuple(self.collapses)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about layers that have died, and about a network without a path through it."""
        return diagnostics.warnings(self.collapses, self.effective_sparsity)

    @property
    def _choosing(self) -> str:
        count = self.cost.get("gradients", 0)
        return f" and {count:.0f} gradients to choose by" if count else ""

    def __str__(self) -> str:
        kept = round((1 - self.sparsity) * self.prunable)
        effective = "" if math.isnan(self.effective_sparsity) else f"; effective {self.effective_sparsity:.4%}"
        paid = f"{self.cost['flops']:.3g} FLOPs ({self.cost['dense_flops']:.3g} if dense)"
        rows = [
            ("status", str(self.status)),
            ("sparsity", f"{self.sparsity:.4%} ({kept} of {self.prunable} prunable {self.unit} kept){effective}"),
            ("accuracy", f"{self.accuracy:.4f} on the test split, last step"),
            ("cost", f"{self.cost['steps']:.0f} steps{self._choosing}, {self.cost['seconds']:.1f} s, {paid}"),
            *(("found", f"{name} {value:.6g}") for name, value in self.reports.items()),
            *(("warning", sentence) for sentence in self.warnings),
        ]
        return "\n".join(f"{name:<10} {text}" for name, text in rows)


def reports(state: State) -> dict[str, float]:
    """Numbers that fits have left in slots called "report.NAME"."""
    found = ((name.removeprefix("report."), value) for name, value in sorted(state.slots.items()) if "report." in name)
    return {name: float(value) for name, value in found}


def _gradients(result: Result) -> int:
    """What the moves that were made have cost, from the trace."""
    stages = result.method.stages
    return sum(evaluations(stages[row.stage].phases[row.phase].move) for row in result.trace)


def outcome_of(
    network: Network, result: Result, seconds: float, one: flops.Forward, structure: Structure = Elements()
) -> Outcome:
    """The outcome of a finished run; every number is taken anew from the state that it ended in.

    one: the operations of a forward pass of a sample; structure: what sparsity counts.
    """
    units = int(unit_labels(structure, network.layout.n).max(initial=-1)) + 1
    state, model = result.state, network.module(result.state)
    paid = flops.spent(result.method, result.trace, one, min(network.recipe.batch, len(network.data.labels)))
    loss, accuracy = network.test(state)
    masks = {name: mask.cpu().clone() for name, mask in network.weights.blocks(state.support)}
    return Outcome(
        model=model,
        masks=masks,
        sparsity=1 - sp.size(structure, state.support) / units,
        accuracy=accuracy,
        loss=loss,
        prunable=units,
        densities=network.weights.densities(state.support),
        cost={"steps": state.cost, "gradients": _gradients(result), "seconds": seconds, **paid},
        trace=result.trace,
        status=result.status,
        effective_sparsity=diagnostics.effective_sparsity(model, masks, network.samples()),
        collapses=diagnostics.collapses(masks, result.trace),
        unit="weights" if structure == Elements() else "channels",
        reports=reports(state),
    )
