"""Methods that remove whole channels, in comparisons: what their sparsity counts, and what is really left.

    python -m benchmarks compare --panel networks --costs own --data cifar10 --model resnet-20 --sparsity 0.4 \
        --methods dense l1-filters thinet network-slimming soft-filter-pruning scratch-E scratch-B

Their sparsity is the share of the *channels* that were removed. It leaves another share of the weights, another of the
operations, and none of them is the seconds: all stand in a table of their own, the last as measured on the shrunk
network. *scratch-E* and *scratch-B* train it from fresh weights (`nets.structured.scratch`): by themselves the one that
keeps the same share of every layer's channels, as l1-filters, thinet and soft-filter-pruning do; after a method's name,
as in network-slimming+scratch-B, the one that it has found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nets.weights import ConvolutionsAndLinear, Rule

SCRATCH = {"scratch-E": "equal-epochs", "scratch-B": "equal-flops"}
SAME_SHARE = "l1-filters"  # its channels of each layer are known before anything is trained
BATCH, REPEATS = 64, 15  # of the latency

Prune = Callable[..., Any]  # (method, folder, **changes) -> Outcome


def find(method: str) -> Any:
    """The entry of a method; that of the network which a scratch training takes. Raises InvalidInput."""
    from nets import catalogue

    return catalogue.find(_parts(method)[0])


def counted(method: str, otherwise: Rule) -> Rule:
    """What a method's sparsity counts: the channels that its entry names, else the weights of the setting."""
    from nets.structured.rule import asked_for

    return asked_for(find(method)) or otherwise


def from_scratch(method: str) -> bool:
    """Whether a smaller network is trained from fresh weights at the end."""
    return bool(_parts(method)[1])


def _parts(method: str) -> tuple[str, str]:
    """A method and how the network that it leaves is trained from scratch, if it is."""
    if method in SCRATCH:
        return SAME_SHARE, method
    name, _, last = method.rpartition("+")
    return (name, last) if last in SCRATCH else (method, "")


def outcome(method: str, prune: Prune, data: Any, epochs: float, folder: Path, **options: Any) -> tuple[Any, dict]:
    """(outcome, what is left of the network). prune: `nets.prune` with everything bound but its method and folder.

    A scratch training's outcome has the accuracy and the cost of that training (and of finding the network, where a
    method had to), and the channels of the network that it took.
    """
    base, budget = _parts(method)
    if not budget:
        done = prune(base, folder)
        return done, left(done, data)
    known = method in SCRATCH
    pruned = prune(base, None, epochs=1e-9, budget=None, settings={"tune": 0.0}) if known else prune(base, folder / "a")
    small, rest = _shrunk(pruned, data)
    from nets.structured.scratch import scratch

    done = scratch(small, data, epochs, SCRATCH[budget], out=folder / "b", **options)
    cost = dict(done.cost) if known else {name: done.cost[name] + pruned.cost[name] for name in done.cost}
    found = {
        name: getattr(pruned, name)
        for name in ("masks", "sparsity", "effective_sparsity", "prunable", "densities", "unit")
    }
    return dataclasses.replace(done, cost=cost, **found), rest


def left(outcome: Any, data: Any) -> dict[str, float]:
    """Shares of the weights and of a forward pass's operations; seconds before and after, where it can be shrunk."""
    if outcome.unit != "weights":
        return _shrunk(outcome, data)[1]
    from nets import flops

    one = flops.forward(outcome.model, _images(data, 2), list(outcome.masks))
    masks = outcome.masks.values()
    return {
        "weights_left": sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks),
        "flops_left": one.sparse([outcome.densities[name] for name in outcome.masks]) / one.dense,
    }


def _shrunk(pruned: Any, data: Any) -> tuple[Any, dict[str, float]]:
    from nets.export import shrink
    from nets.weights import Weights

    small = shrink(pruned.model, pruned.masks, _images(data, BATCH), REPEATS)
    before, after = (Weights(model, ConvolutionsAndLinear()).layout.n for model in (pruned.model, small.model))
    return small, {
        "weights_left": after / before,
        "flops_left": small.flops[1] / small.flops[0],
        "latency": small.seconds[0],
        "latency_left": small.seconds[1],
    }


def _images(data: Any, count: int) -> Any:
    (inputs, _), *_ = data.evaluation(data.test_images[:count], data.test_labels[:count])
    return inputs
