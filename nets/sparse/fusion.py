"""Batch norm, the addition of a shortcut and ReLU as one pass over memory instead of five.

At low densities a step's time is the memory that it touches, not its products. So in the graph of a module, as
`torch.fx` finds it, relu(norm(x)) and relu(norm(x) + other) become one call of the norm. Modules whose graph is no
complete account of what they do (branches, hooks, random numbers or state of their own) are left as they are.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

RELU = (torch.relu, nn.functional.relu, "relu", "relu_", torch.relu_)
ADD = (operator.add, operator.iadd, torch.add, "add", "add_")


def fused(model: nn.Module) -> Callable[..., Any] | None:
    """A forward pass of the model's own layers with fewer calls; None where there is none.

    Norms are then called as norm(x, other or None, True): they must take that.
    """
    graph = _graph(model)
    if graph is None:
        return None
    found = [node for node in graph.nodes if _is_relu(model, node) and _fuse(model, graph, node)]
    if not found:
        return None
    return fx.GraphModule(model, graph).forward


def _graph(model: nn.Module) -> fx.Graph | None:
    if any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules()):
        return None
    random, state = torch.get_rng_state(), _state(model)
    try:
        graph = fx.Tracer().trace(model)
    except Exception:  # what cannot be traced stays as it is
        graph = None
    drawn = not torch.equal(random, torch.get_rng_state())
    torch.set_rng_state(random)
    return None if drawn or state != _state(model) else graph


def _state(model: nn.Module) -> list[Any]:
    """What a forward pass might change besides tensors."""
    return [(k, v) for m in model.modules() for k, v in vars(m).items() if isinstance(v, int | float | str | tuple)]


def _is_relu(model: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return type(model.get_submodule(str(node.target))) is nn.ReLU
    return node.target in RELU


def _fuse(model: nn.Module, graph: fx.Graph, relu: fx.Node) -> bool:
    """Replace relu(norm(x)) or relu(norm(x) + other), unless somebody else needs what is between."""
    inner, other = relu.args[0], None
    between: Any = inner
    if isinstance(inner, fx.Node) and inner.target in ADD and len(inner.args) == 2 and not inner.kwargs:
        a, b = inner.args
        if len(inner.users) > 1 or a is b or not isinstance(a, fx.Node) or not isinstance(b, fx.Node):
            return False
        inner, other = (a, b) if _is_norm(model, a) else (b, a)
    if not isinstance(inner, fx.Node) or not _is_norm(model, inner):
        return False
    with graph.inserting_before(relu):
        relu.replace_all_uses_with(graph.call_module(str(inner.target), (inner.args[0], other, True)))
    for node in dict.fromkeys((relu, between, inner)):
        graph.erase_node(node)
    return True


def _is_norm(model: nn.Module, node: fx.Node) -> bool:
    """A norm whose outputs go one way."""
    known = node.op == "call_module" and type(model.get_submodule(str(node.target))) is nn.BatchNorm2d
    return known and len(node.users) == 1 and len(node.args) == 1
