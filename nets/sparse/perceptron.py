"""Which modules are perceptrons: linear layers with ReLU between them, however they are written.

>>> linear_layers(nets.models.build("lenet-300-100", (1, 28, 28)))
('linear1', 'linear2', 'head')
"""

from __future__ import annotations

import torch
from torch import fx, nn

RELU = (torch.relu, nn.functional.relu, torch.nn.functional.relu_, "relu", "relu_")
FLATTEN = (torch.flatten, "flatten")
THROUGH = (nn.Identity,)


def linear_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the linear layers of a perceptron, from inputs to outputs; () for every other module.

    A perceptron may flatten its inputs first; then linear layers follow with ReLU after each but the last.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            nodes = list(fx.symbolic_trace(model).graph.nodes)
    except Exception:  # what cannot be traced is no chain of layers
        return ()
    names: list[str] = []
    expected = nodes[0] if nodes and nodes[0].op == "placeholder" else None
    activated = True
    for node in nodes[1:]:
        if expected is None or not node.args or node.args[0] is not expected:
            return ()
        if node.op == "output":
            simple = len(set(names)) == len(names) and not activated
            return tuple(names) if simple and node is nodes[-1] else ()
        kind = _kind(model, node)
        if kind == "linear" and activated:
            names.append(str(node.target))
            activated = False
        elif kind == "relu" and names and not activated:
            activated = True
        elif not (kind == "through" or (kind == "flatten" and not names)):
            return ()
        expected = node
    return ()


def _kind(model: nn.Module, node: fx.Node) -> str:
    """linear, relu, flatten, through, or nothing that is known."""
    if node.op == "call_module":
        layer = model.get_submodule(str(node.target))
        if type(layer) is nn.Flatten and layer.start_dim == 1 and layer.end_dim == -1:
            return "flatten"
        kinds = {nn.Linear: "linear", nn.ReLU: "relu", **dict.fromkeys(THROUGH, "through")}
        return kinds.get(type(layer), "")
    if node.target in RELU and len(node.args) == 1:
        return "relu"
    return "flatten" if node.target in FLATTEN and tuple(node.args[1:]) in ((1,), (1, -1)) else ""
