"""What a local model of a network is made from: gradients of many mini-batches, and the inputs of its layers.

All are taken at given weights in evaluation mode, on training samples (not augmented) that are a function of a key,
and come as NumPy arrays, because the models made of them are convex problems.

    >>> A = gradients(network, state, state.x, count=100, batch=16, key=(0, 0))      # (100, n)
    >>> A.T @ A / 100                                                                # the empirical Fisher matrix

Gradients of single batches are taken one after the other: this works on every module, recurrent ones included.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nets import seeds
from nets.engine import BUFFER
from nets.sampled import Opened
from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.state import State

Matrix = NDArray[Any]
Key = tuple[int, ...]

FEW = 32  # images whose patches are unfolded at a time


def chosen(total: int, count: int, key: Key) -> NDArray[np.intp]:
    """`count` sample numbers below `total`, in random order, none twice before all have come: a function of the key."""
    order = np.argsort(seeds.keys(total, "probe", *key), kind="stable")
    return order[np.arange(count) % total]


def signs(shape: tuple[int, int], key: Key) -> Matrix:
    """Random signs, a function of the key."""
    return 1.0 - 2.0 * (seeds.keys(shape[0] * shape[1], "signs", *key) >> np.uint64(63)).reshape(shape).astype(float)


class Memory:
    """The last probe of a run and what it was taken at: a move and the fit after it ask for the same."""

    def __init__(self) -> None:
        self._asked: tuple[Any, ...] = ()
        self._at: list[Tensor] = []
        self._found: Any = None

    def once(self, asked: tuple[Any, ...], state: State, x: Tensor, compute: Callable[[], Any]) -> Any:
        """compute(), or what it gave when the same was asked at the same weights, rest and buffers."""
        at = [x, *(state.slots[name] for name in sorted(state.slots) if name == "rest" or name.startswith(BUFFER))]
        same = asked == self._asked and all(map(torch.equal, at, self._at))
        if not same:
            self._asked, self._at, self._found = (), [], None  # its memory is free before the next is taken
            self._asked, self._at, self._found = asked, at, compute()
        return self._found


# ---- gradients -----------------------------------------------------------------------------------------------------


def gradients(network: Opened, state: State, x: Tensor, count: int, batch: int, key: Key) -> Matrix:
    """(count, n): the gradient in x of the mean loss of each of `count` mini-batches."""

    def backward(inputs: Tensor, targets: Tensor, _: int) -> None:
        network.recipe.loss(network.engine.model(inputs), targets).backward()

    return _rows(network, state, x, backward, count, batch, key)


def square_roots(network: Opened, state: State, x: Tensor, count: int, key: Key) -> Matrix:
    """(count, n): rows a_i with E a_i a_i' = J_i' L_i J_i, the generalised Gauss-Newton matrix of sample i.

    J_i is the Jacobian of the outputs, L_i = R R' the Hessian of the loss in them; a_i = J_i' R e for random signs e.
    For a single output there is nothing random.
    """

    def backward(inputs: Tensor, targets: Tensor, row: int) -> None:
        outputs = network.engine.model(inputs)
        flat = outputs.detach().reshape(-1).double()
        loss = lambda z: network.recipe.loss(z.view_as(outputs), targets)  # noqa: E731
        values, Q = torch.linalg.eigh(torch.autograd.functional.hessian(loss, flat))  # type: ignore[arg-type]
        e = torch.from_numpy(signs((count, len(flat)), key)[row]).to(flat)
        outputs.backward((Q @ (values.clamp(min=0).sqrt() * e)).to(outputs.dtype).view_as(outputs))

    return _rows(network, state, x, backward, count, 1, key)


def _rows(
    network: Opened,
    state: State,
    x: Tensor,
    backward: Callable[[Tensor, Tensor, int], None],
    count: int,
    batch: int,
    key: Key,
) -> Matrix:
    """What `backward(inputs, targets, row)` leaves as gradient in x, for each batch."""
    if count < 1 or batch < 1:
        raise InvalidInput(f"{count} gradients of batches of {batch}: both must be at least 1")
    engine, data = network.engine, network.data
    samples = torch.from_numpy(chosen(len(data.labels), count * batch, key)).to(data.labels.device)
    A = np.empty((count, engine.n), dtype=np.float64 if x.dtype == torch.float64 else np.float32)
    with engine._at(state, x, "eval"), _recurrence_differentiable(engine.model):
        for row, picked in enumerate(samples.split(batch)):
            ((inputs, targets),) = data.evaluation(data.images[picked], data.labels[picked], dtype=x.dtype)
            engine.slope.zero_()
            backward(inputs, targets, row)
            A[row] = engine.slope[: engine.n].cpu().numpy()
    if not np.isfinite(A.sum(dtype=np.float64)):
        raise NotFinite("a gradient for the local model is NaN or infinite: has training diverged before?")
    return A


@contextlib.contextmanager
def _recurrence_differentiable(model: nn.Module) -> Iterator[None]:
    """cuDNN's recurrent layers have no gradient in evaluation mode: the plain ones run instead."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    with torch.backends.cudnn.flags(enabled=not recurrent, benchmark=False, deterministic=True, allow_tf32=False):
        yield


# ---- inputs of layers ----------------------------------------------------------------------------------------------


def grams(network: Opened, state: State, x: Tensor, samples: int, key: Key) -> list[Matrix | None]:
    """For each block of the layout the second moments of what its weights are multiplied with, (groups, d, d) float64.

    A block of rows w_r (r in group g) computes w_r'u for inputs u (d,), one a sample or, in a convolution, one a
    sample and position; entry g is the sum of u u' divided by the number of samples. None where inputs cannot be seen:
    for weights that are not those of an nn.Linear or an nn.Conv1d or 2d, or whose module was not called (attention
    uses its projections directly).
    """
    engine, data = network.engine, network.data
    number = {name: i for i, name in enumerate(network.layout.names)}
    block_of = {id(engine.model.get_parameter(name)): i for name, i in number.items()}
    found: list[Any] = [None] * len(number)
    hooks = [
        module.register_forward_pre_hook(
            _collector(found, block_of[id(module.weight)], _inputs_of(module)), with_kwargs=True
        )
        for module in engine.model.modules()
        if _inputs_of(module) is not None and id(module.weight) in block_of
    ]
    count = min(samples, len(data.labels))
    rows = torch.from_numpy(chosen(len(data.labels), count, key)).to(data.labels.device)
    try:
        with engine._at(state, x, "eval"):  # with gradients: without, fused attention would pass the layers by
            for picked in rows.split(FEW):
                ((inputs, _),) = data.evaluation(data.images[picked], data.labels[picked], dtype=x.dtype)
                engine.model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return [_averaged(gram, count, name) for name, gram in zip(number, found, strict=True)]


def _collector(found: list[Any], block: int, inputs_of: Any) -> Callable[..., None]:
    """A hook that adds a call's inputs to the block's Gram matrix; calls of shared weights add up."""

    def collect(module: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        inputs = arguments[0] if arguments else named["input"]
        u = inputs_of(module, inputs.detach())  # (groups, vectors, d)
        gram = (u.transpose(1, 2) @ u).double()
        found[block] = gram if found[block] is None else found[block] + gram

    return collect


def _averaged(gram: Tensor | None, count: int, name: str) -> Matrix | None:
    if gram is None:
        return None
    if not bool(gram.isfinite().all()):
        raise NotFinite(f"the inputs of {name} are NaN or infinite: has training diverged before?")
    return (gram / count).cpu().numpy()


def _inputs_of(module: nn.Module) -> Callable[[Any, Tensor], Tensor] | None:
    """How to see a layer's inputs as vectors, if that is known."""
    return next((how for kind, how in LAYERS.items() if isinstance(module, kind)), None)


def _of_linear(module: Any, inputs: Tensor) -> Tensor:
    return inputs.reshape(1, -1, inputs.shape[-1])


def _of_convolution(module: Any, inputs: Tensor) -> Tensor:
    """Patches, in the order of the weight: channel of the group, then place in the kernel."""
    spatial = len(module.kernel_size)
    inputs = inputs.reshape(-1, *inputs.shape[-1 - spatial :])  # without a batch axis, too
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    inputs = nn.functional.pad(inputs, module._reversed_padding_repeated_twice, mode=mode)
    flat = (1,) * (2 - spatial)  # a convolution in one dimension is one in two of height 1
    inputs = inputs.reshape(*inputs.shape[:2], *flat, *inputs.shape[2:])
    kernel, dilation, stride = ((*flat, *size) for size in (module.kernel_size, module.dilation, module.stride))
    patches = nn.functional.unfold(inputs, kernel, dilation, 0, stride)  # (samples, channels * places, positions)
    by_group = patches.unflatten(1, (module.groups, -1))
    return by_group.permute(1, 0, 3, 2).flatten(1, 2)


LAYERS: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.Linear: _of_linear,
    nn.Conv1d: _of_convolution,
    nn.Conv2d: _of_convolution,
}
