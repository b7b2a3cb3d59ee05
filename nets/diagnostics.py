"""What a mask does to a network's shape: layers that have died, and weights that do nothing.

A weight is *effective* if it lies on a path from the input to the output: its input can be reached from the network's
inputs, and its output reaches one of the network's outputs, through weights that are kept. The others, however trained,
change no output as a function of the input. *Effective sparsity* is 1 - effective / prunable, never below the nominal
one (Vysogorets and Kempe 2023, "Connectivity matters", who find many masks far sparser than they say).

    >>> mask = {"0.weight": torch.tensor([[1, 1], [0, 0]]).bool(), "2.weight": torch.tensor([[0, 1]]).bool()}
    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> reachable(model, mask, torch.ones(1, 2))["0.weight"].sum()       # both lead to a unit that leads nowhere
    tensor(0)

One forward and one backward pass find them all, with every kept weight 1 and every layer's output, forward, and its
gradient, backward, replaced by whether it is above zero. Nothing can cancel, overflow or underflow. Conventions:

- biases, and the shifts of norms, are no path: a unit without inputs is a constant, and weights that only carry
  constants are not effective (though they may move an output by that constant);
- norms and activations pass each unit on by itself; max pooling passes on every place of its window;
- attention's weights of one token for another are q k, products, so both must be reached; a token always attends;
- the input is taken to be non-zero everywhere.

Exact for networks of linear layers, convolutions (grouped, strided, dilated, transposed), pooling, activations, norms,
dropout, attention, sums, products by positive numbers, and concatenation, in modules or functions. Recurrent layers
have no such pass: there the answer is None. What a module computes by other means with constants of its own can count
too much, never too little, as long as none of it subtracts.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sparsopt.result import Trace

__all__ = ["collapses", "effective_sparsity", "reachable", "warnings"]


# ---- effective weights ---------------------------------------------------------------------------------------------


def effective_sparsity(model: nn.Module, masks: Mapping[str, Tensor], inputs: Tensor) -> float:
    """1 - effective / prunable; nan where `reachable` does not know."""
    found = reachable(model, masks, inputs)
    if found is None:
        return math.nan
    return 1 - sum(int(kept.sum()) for kept in found.values()) / sum(mask.numel() for mask in masks.values())


def reachable(model: nn.Module, masks: Mapping[str, Tensor], inputs: Tensor) -> dict[str, Tensor] | None:
    """For every parameter of `masks` (boolean, of its shape) which of its weights are effective; None: not known.

    inputs: one batch of the right shape; its values do not matter. The model stays as it is.
    """
    model = copy.deepcopy(model).cpu().eval().requires_grad_(True)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(masks[name].to(p.dtype) if name in masks else (p != 0).to(p.dtype))
        for buffer in model.buffers():
            buffer.copy_(buffer.abs())
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), _Reaching():
            outputs = model(torch.ones_like(inputs, device="cpu"))
            outputs.sum().backward()
    except (NotImplementedError, RuntimeError, TypeError, ValueError):  # a module that computes in another way
        return None
    slopes = {name: model.get_parameter(name).grad for name in masks}  # none: the parameter takes no part
    return {name: mask & False if (g := slopes[name]) is None else mask & (g > 0) for name, mask in masks.items()}


class _Reached(torch.autograd.Function):
    """Whether a number is above zero, forward; whether its gradient is, backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        return (g > 0).to(g.dtype)


def _reached(x: Tensor) -> Tensor:
    return _Reached.apply(x)  # type: ignore[no-any-return]


class _Reaching(TorchFunctionMode):
    """Functions of PyTorch become what they mean for reachability, called by modules or directly."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return MEANING.get(getattr(func, "__name__", ""), _as_it_is)(func, *args, **(kwargs or {}))


Meaning = Callable[..., Any]


def _as_it_is(func: Any, *args: Any, **kwargs: Any) -> Any:
    return func(*args, **kwargs)


def _itself(func: Any, input: Tensor, *_: Any, **__: Any) -> Tensor:
    return input


def _weighted(func: Any, input: Tensor, weight: Tensor, bias: Any = None, *args: Any, **kwargs: Any) -> Tensor:
    return _reached(func(input, weight, None, *args, **kwargs))


def _product(func: Any, *args: Any, **kwargs: Any) -> Tensor:
    return _reached(func(*args, **kwargs))


def _added_product(func: Any, added: Tensor, *factors: Tensor, **_: Any) -> Tensor:
    """addmm and baddbmm, where what is added is a bias."""
    return _reached(factors[0] @ factors[1])


def _pooled(average: Callable[..., Tensor]) -> Meaning:
    """Max pooling by its average: every place of the window, not only the largest."""

    def meaning(
        func: Any, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, **_: Any,
    ) -> Tensor:  # fmt: skip
        if any(d != 1 for d in (dilation if isinstance(dilation, (list, tuple)) else (dilation,))):
            raise NotImplementedError("max pooling with dilation")
        return _reached(average(input, kernel_size, stride or None, padding, ceil_mode))

    return meaning


def _adapted(average: Callable[..., Tensor]) -> Meaning:
    return lambda func, input, size, *_, **__: _reached(average(input, size))


def _attend(scores: Tensor) -> Tensor:
    """In the place of softmax: 1 + q k, and 0 where a mask forbids."""
    return torch.where(scores == -math.inf, scores.new_zeros(()), 1 + scores.clamp_min(0))


def _softmax(func: Any, input: Tensor, *_: Any, **__: Any) -> Tensor:
    return _reached(_attend(input))


def _attention(
    func: Any, query: Tensor, key: Tensor, value: Tensor, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, **_: Any,
) -> Tensor:  # fmt: skip
    scores = query @ key.transpose(-2, -1)
    allowed = torch.ones(scores.shape[-2:], dtype=torch.bool).tril() if is_causal else attn_mask
    if allowed is not None:
        forbidden = ~allowed if allowed.dtype == torch.bool else allowed == -math.inf
        scores = scores.masked_fill(forbidden, -math.inf)
    return _reached(_attend(scores) @ value)


def _multi_head(
    func: Any, query: Tensor, key: Tensor, value: Tensor, width: int, heads: int, in_proj_weight: Any,
    in_proj_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor,
    out_proj_bias: Any, *, use_separate_proj_weight: bool = False, q_proj_weight: Any = None,
    k_proj_weight: Any = None, v_proj_weight: Any = None, attn_mask: Any = None, is_causal: bool = False, **_: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """nn.MultiheadAttention, (tokens, batch, width) as it calls its function."""
    if attn_mask is not None and attn_mask.ndim == 3:
        raise NotImplementedError("a mask for every head")
    projections = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else in_proj_weight.chunk(3)
    q, k, v = (_reached(x @ w.t()) for x, w in zip((query, key, value), projections, strict=True))
    q, k, v = (x.unflatten(-1, (heads, -1)).movedim(0, -2) for x in (q, k, v))  # (..., heads, tokens, width / heads)
    mixed = _attention(func, q, k, v, attn_mask).movedim(-2, 0).flatten(-2)
    return _reached(mixed @ out_proj_weight.t()), None


def _unknown(func: Any, *_: Any, **__: Any) -> Any:
    raise NotImplementedError(func.__name__)


CONVOLUTIONS = tuple(f"conv{kind}{d}d" for kind in ("", "_transpose") for d in (1, 2, 3))
NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm")
ACTIVATIONS = (
    "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "elu", "elu_", "selu", "celu", "gelu",
    "silu", "mish", "hardtanh", "hardsigmoid", "hardswish", "sigmoid", "tanh", "logsigmoid", "softplus", "softsign",
    "tanhshrink", "hardshrink", "softshrink", "threshold", "dropout", "dropout1d", "dropout2d", "dropout3d",
    "alpha_dropout", "feature_alpha_dropout",
)  # fmt: skip
MEANING: dict[str, Meaning] = {
    **dict.fromkeys(("linear", *CONVOLUTIONS), _weighted),
    **dict.fromkeys((*NORMS, *ACTIVATIONS), _itself),
    **dict.fromkeys(("matmul", "__matmul__", "mm", "bmm", "einsum"), _product),
    **dict.fromkeys(("addmm", "baddbmm"), _added_product),
    **{f"max_pool{d}d": _pooled(average) for d, average in ((1, F.avg_pool1d), (2, F.avg_pool2d), (3, F.avg_pool3d))},
    "adaptive_max_pool1d": _adapted(F.adaptive_avg_pool1d),
    "adaptive_max_pool2d": _adapted(F.adaptive_avg_pool2d),
    "adaptive_max_pool3d": _adapted(F.adaptive_avg_pool3d),
    **dict.fromkeys(("softmax", "log_softmax"), _softmax),
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell"), _unknown),
}


# ---- layers that have died -----------------------------------------------------------------------------------------


def collapses(masks: Mapping[str, Tensor], trace: Trace) -> dict[str, float]:
    """Layer without any weight left -> sparsity of the network when it lost its last one (and got none again)."""
    dead = [name for name, mask in masks.items() if not mask.any()]
    n = sum(mask.numel() for mask in masks.values())
    since = dict.fromkeys(dead, 1 - sum(int(mask.sum()) for mask in masks.values()) / n)
    for row in reversed(trace.rows):
        empty = row.measured.get("empty", "").split(",")
        dead = [name for name in dead if name in empty]
        since |= dict.fromkeys(dead, 1 - row.size / n)
    return since


def warnings(collapsed: Mapping[str, float], effective: float) -> tuple[str, ...]:
    """Sentences about a network that can no longer be what it was."""
    found = []
    if collapsed:
        where = ", ".join(f"{name} (since {sparsity:.2%} sparsity)" for name, sparsity in collapsed.items())
        found.append(f"layer collapse: no weight left in {where}; nothing passes through there")
    if effective == 1:
        found.append("no path is left from the input to the output: the network gives the same for every input")
    return tuple(found)
