"""Which channels of a module stand or fall together, found by following them through its graph (torch.fx).

Every output of a convolution or linear layer starts as a channel of its own. Where channels meet they become one:

    added, multiplied                         channel i of one with channel i of the other (shortcuts)
    depthwise convolution                     each with those that it makes
    grouped convolution                       channel i of every group, so that groups stay equally large
    a layer or a weight that is used twice    with itself
    concatenated, flattened                   they only move to other places

A channel is given up (it always stays) where it meets something that is not known to make zeros of zeros, or to leave
channels apart: the output, a sigmoid, a layer norm, attention, a tensor in another layout. So whatever is removed,
the outputs do not notice.

>>> traced = trace(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), torch.zeros(1, 2))
>>> traced.cuts
(Cut(name='0.weight', axis=0, channels=(0, 1, 2), makes=True), Cut(name='0.bias', axis=0, channels=(0, 1, 2), \
makes=True), Cut(name='2.weight', axis=1, channels=(0, 1, 2), makes=False))
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from sparsopt.errors import InvalidInput

__all__ = ["Cut", "Traced", "trace"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ZERO_STAYS_ZERO = (  # one channel at a time, and zeros of zeros
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.ELU, nn.CELU, nn.SELU, nn.Tanh, nn.Hardswish, nn.Mish,
    nn.Identity, nn.Dropout, nn.Dropout2d,
)  # fmt: skip
POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)  # fmt: skip
FUNCTIONS = {
    torch.relu, F.relu, F.relu6, F.leaky_relu, F.gelu, F.silu, F.elu, torch.tanh, F.dropout, operator.neg, torch.abs,
}  # fmt: skip
POOLING = {F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d}
METHODS = {"relu", "relu_", "tanh", "contiguous", "abs", "neg", "clone"}
SUMS = {operator.add, operator.iadd, operator.sub, torch.add, torch.sub, operator.mul, operator.imul, torch.mul}
FREE = {"size", "dim"}  # methods whose result holds no channels


@dataclass(frozen=True)
class Cut:
    """A tensor, one of its axes, and the channel of each index there (-1: stays). makes: it produces them."""

    name: str
    axis: int
    channels: tuple[int, ...]
    makes: bool


@dataclass(frozen=True)
class Traced:
    """All cuts, and how many channels they speak of; layers: for each channel the first tensor that makes it."""

    cuts: tuple[Cut, ...]
    layers: tuple[int, ...]

    @property
    def count(self) -> int:
        return len(self.layers)


@dataclass
class _Flow:
    """The channels of a tensor: one number an index of `axis`."""

    axis: int
    ids: np.ndarray


@dataclass
class _Channels:
    """Channels as sets that can be joined (union-find). Channel 0 stands for all that stay."""

    parent: list[int] = field(default_factory=lambda: [0])

    def new(self, count: int) -> np.ndarray:
        first = len(self.parent)
        self.parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def find(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, one: Iterable[int], two: Iterable[int]) -> None:
        for i, j in zip(one, two, strict=True):
            a, b = sorted((self.find(int(i)), self.find(int(j))))
            self.parent[b] = a

    def stay(self, ids: Iterable[int]) -> None:
        for i in ids:
            self.join((0,), (i,))


def trace(model: nn.Module, inputs: Tensor) -> Traced:
    """The channels of a module. inputs: a batch of the right shape. The module stays as it is.

    Raises InvalidInput where torch.fx cannot follow the module (control flow that depends on data).
    """
    model = copy.deepcopy(model).cpu().eval()
    try:
        graph = fx.symbolic_trace(model)
    except Exception as error:  # whatever a forward does with a proxy
        raise InvalidInput(f"the channels of {type(model).__name__} cannot be traced: {str(error)[:160]}") from error
    walk = _Walk(graph)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        walk.run(inputs.cpu())
    return walk.traced()


class _Walk(fx.Interpreter):
    """Runs the graph on a batch, and beside every tensor carries its channels."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.channels, self.flows = _Channels(), {}
        self.ends: dict[tuple[str, int], tuple[np.ndarray, bool]] = {}  # (tensor, axis) -> channels, whether it makes
        self.names = {id(t): name for name, t in (*graph.named_parameters(), *graph.named_buffers())}
        self.shared = _used_elsewhere(graph)

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        flows = [self.flows[each] for each in n.all_input_nodes if each in self.flows]
        if n.op == "output":
            self._stay(flows)
        elif isinstance(result, Tensor):
            found = self._through(n, flows, result)
            if found is None:
                self._stay(flows)
            else:
                self.flows[n] = found
        elif not (n.op == "call_method" and n.target in FREE) and n.target is not getattr:
            self._stay(flows)
        return result

    def _stay(self, flows: Iterable[_Flow]) -> None:
        for flow in flows:
            self.channels.stay(flow.ids)

    # ---- one operation -----------------------------------------------------------------------------------------------

    def _through(self, n: fx.Node, flows: list[_Flow], out: Tensor) -> _Flow | None:
        """The channels of the result; None: not known, so that those of the inputs stay."""
        if n.op == "call_module":
            return self._module(self.fetch_attr(str(n.target)), flows, n, out)
        if len(n.all_input_nodes) == 0 or not flows:
            return None
        if n.target in SUMS:
            return self._sum(n, flows)
        if n.target in FUNCTIONS or (n.op == "call_method" and n.target in METHODS):
            return flows[0] if len(n.all_input_nodes) == 1 else None
        if n.target in POOLING:
            return flows[0] if flows[0].axis == 1 and out.dim() > 2 else None
        if n.target in (torch.cat, torch.concat):
            return self._cat(n, flows)
        if n.target in (torch.flatten, "flatten", "view", "reshape", torch.reshape):
            return _flattened(flows[0], self._shape(n), out)
        if n.target in (torch.mean, "mean", torch.sum, "sum"):
            return _reduced(flows[0], n, self._shape(n), out)
        return None

    def _shape(self, n: fx.Node) -> torch.Size:
        return self.env[n.all_input_nodes[0]].shape

    def _module(self, layer: nn.Module, flows: list[_Flow], n: fx.Node, out: Tensor) -> _Flow | None:
        flow = flows[0] if len(flows) == 1 else None
        kind = type(layer)
        if kind in CONVOLUTIONS or kind is nn.Linear:
            return self._layer(layer, flow, n, out)
        if kind in NORMS and flow is not None and flow.axis == 1 and layer.affine:
            self._ends(layer, {"weight": True, "bias": True, "running_mean": False, "running_var": False}, 0, flow.ids)
            return flow
        if kind in ZERO_STAYS_ZERO or (kind in POOLS and out.dim() > 2 and flow is not None and flow.axis == 1):
            return flow
        return _flattened(flow, self._shape(n), out) if kind is nn.Flatten and flow is not None else None

    def _layer(self, layer: Any, flow: _Flow | None, n: fx.Node, out: Tensor) -> _Flow:
        """A convolution or linear layer: reads channels by axis 1 of its weight, makes others by axis 0."""
        convolution = type(layer) in CONVOLUTIONS
        here = 1 if convolution else out.dim() - 1
        made, groups = self.channels.new(len(layer.weight)), getattr(layer, "groups", 1)
        if convolution and out.dim() == layer.weight.dim() - 1:  # an image without a batch
            here = 0
        known = flow is not None and flow.axis == here
        if flow is not None and not known:
            self.channels.stay(flow.ids)
        read = flow.ids if flow is not None and known else np.zeros(layer.weight.shape[1] * groups, dtype=int)
        if groups > 1:
            self._grouped(read.reshape(groups, -1), made.reshape(groups, -1))
        if groups == 1 or layer.weight.shape[1] > 1:
            self._ends(layer, {"weight": False}, 1, read.reshape(groups, -1)[0])
        self._ends(layer, {"weight": True, "bias": True}, 0, made)
        return _Flow(here, made)

    def _grouped(self, read: np.ndarray, made: np.ndarray) -> None:
        if read.shape[1] == 1:  # depthwise: a channel and what is made of it
            for column in made.T:
                self.channels.join(read[:, 0], column)
            return
        for one in (read, made):  # the same place in every group
            for row in one[1:]:
                self.channels.join(one[0], row)

    def _ends(self, layer: nn.Module, tensors: dict[str, bool], axis: int, ids: np.ndarray) -> None:
        """What these tensors of a layer have along an axis are these channels."""
        for short, makes in tensors.items():
            tensor = getattr(layer, short, None)
            if tensor is None:
                continue
            name = self.names[id(tensor)]
            frozen = makes and not tensor.requires_grad
            if id(tensor) in self.shared or frozen:
                self.channels.stay(ids)
            before = self.ends.setdefault((name, axis), (ids, makes))[0]
            self.channels.join(before, ids)

    def _sum(self, n: fx.Node, flows: list[_Flow]) -> _Flow | None:
        """Sums, differences and products of two, and products with a number."""
        tensors = [self.env[each] for each in n.all_input_nodes]
        if len(tensors) == 1 and len([a for a in n.args if a is n.all_input_nodes[0]]) == 1:
            return flows[0] if n.target in (operator.mul, operator.imul, torch.mul) else None
        same = len({tuple(t.shape) for t in tensors if isinstance(t, Tensor)}) == 1 and len(flows) == len(tensors)
        if not same or len({flow.axis for flow in flows}) > 1 or len({len(flow.ids) for flow in flows}) > 1:
            return None
        for flow in flows[1:]:
            self.channels.join(flows[0].ids, flow.ids)
        return flows[0]

    def _cat(self, n: fx.Node, flows: list[_Flow]) -> _Flow | None:
        """One after the other along the channels; along another axis they must be the same."""
        given: Any = n.args[0]
        parts = [self.env[each] for each in given]
        dim = n.kwargs.get("dim", n.args[1] if len(n.args) > 1 else 0)
        axis = int(dim) % parts[0].dim()  # type: ignore[arg-type]
        unknown = [_Flow(axis, np.zeros(part.shape[axis], dtype=int)) for part in parts]
        known = [self.flows.get(each, stays) for each, stays in zip(given, unknown, strict=True)]
        if {flow.axis for flow in known} == {axis}:
            return _Flow(axis, np.concatenate([flow.ids for flow in known]))
        return None

    # ---- the answer --------------------------------------------------------------------------------------------------

    def traced(self) -> Traced:
        """Channels by number, in the order in which layers make them; tensors with one that stays stay whole."""
        find = self.channels.find
        making = [ids for ids, makes in self.ends.values() if makes]
        while any(len({find(int(i)) == 0 for i in ids}) > 1 for ids in making):
            for ids in making:
                if any(find(int(i)) == 0 for i in ids):
                    self.channels.stay(ids)
        number: dict[int, int] = {0: -1}
        layers: list[int] = []
        for place, ids in enumerate(making):
            for i in ids:
                if number.setdefault(find(int(i)), len(layers)) == len(layers):
                    layers.append(place)
        cuts = []
        for (name, axis), (ids, makes) in self.ends.items():
            channels = tuple(number.get(find(int(i)), -1) for i in ids)
            if max(channels, default=-1) >= 0:
                cuts.append(Cut(name, axis, channels, makes))
        return Traced(tuple(cuts), tuple(layers))


def _flattened(flow: _Flow, before: torch.Size, out: Tensor) -> _Flow | None:
    """(N, C, ...) -> (N, C * ...): each channel as often as it has places. The same shape: nothing happens."""
    if out.shape == before:
        return flow
    if flow.axis == 1 and out.dim() == 2 and out.shape[0] == before[0] and len(before) > 1:
        return _Flow(1, np.repeat(flow.ids, out.shape[1] // before[1]))
    return None


def _reduced(flow: _Flow, n: fx.Node, before: torch.Size, out: Tensor) -> _Flow | None:
    """Sums and means over other axes than the channels'."""
    dims = n.kwargs.get("dim", n.args[1] if len(n.args) > 1 else None)
    if dims is None:
        return None
    gone = {int(d) % len(before) for d in (dims if isinstance(dims, (tuple, list)) else (dims,))}  # type: ignore[arg-type]
    if flow.axis in gone:
        return None
    kept = out.dim() == len(before)
    return _Flow(flow.axis if kept else flow.axis - sum(d < flow.axis for d in gone), flow.ids)


def _used_elsewhere(graph: fx.GraphModule) -> set[int]:
    """Tensors that something else than a known layer holds, or that the graph takes by themselves."""
    known = (*CONVOLUTIONS, nn.Linear, *NORMS)
    used = {
        id(tensor)
        for module in graph.modules()
        if type(module) not in known and module is not graph
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
    }
    direct = [_attribute(graph, str(node.target)) for node in graph.graph.nodes if node.op == "get_attr"]
    return used | {id(tensor) for tensor in direct}


def _attribute(module: Any, path: str) -> Any:
    for part in path.split("."):
        module = getattr(module, part)
    return module
