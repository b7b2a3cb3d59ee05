"""The constructions: which masks of a given random source make a given network.

`TwoForOne` replaces every layer by two random ones; `OneMore` needs one random layer more than the target has. Both
are frozen dataclasses that say what the source looks like; the source is drawn from a seed before the target is known,
`choose` only chooses masks, and `collapse` says what any masks amount to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.strong_tickets.collapsed import Collapsed, augment, with_one
from nets.strong_tickets.gadget import Gadget, Signed
from nets.strong_tickets.network import Network
from nets.strong_tickets.source import Distribution, Floats, Frozen, Mask, Source, Uniform, chunks
from nets.strong_tickets.steps import (
    KINDS,
    Activation,
    Conv,
    Dense,
    MaxPool,
    MeanPool,
    Step,
    linear_steps,
    signs,
    walk,
)
from nets.strong_tickets.sums import Rule, Tally, settle
from sparsopt.errors import InvalidInput, MissingCapability

Masks = Mapping[str, Mask]


def _at_least_one(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise InvalidInput(f"{name} = {number}: at least 1")


@dataclass(frozen=True)
class TwoForOne:
    """Two random layers for each layer of the target: depth 2L.

    For every linear layer W (d' x d) of the target, the source has U (n units an input, and n for the constant 1) and
    V (d' x units). U is masked to be block-diagonal (unit (i, k) keeps u_ik), V by one subset sum a weight, or two
    where inputs have both signs; see `gadget`. A convolution becomes a 1 x 1 convolution and one of its own size.

    copies     n, hidden units an input
    constants  hidden units for the bias; default n
    inner      activation between U and V: relu, leaky, tanh, sigmoid
    first, second, density, locked   the distributions of U and V; see `Frozen` (locked weights: in V only)

    Proved: n >= C log(d d' L / min(eps, delta)) is enough for sup |error| <= eps with probability 1 - delta, weights
    and source in [-1, 1], ReLU (Pensia, Rajput, Nagle, Vishwakarma, Papailiopoulos 2020, Theorem 1; Malach et al. 2020
    with 1/eps^2 for the log; da Cunha, Natale, Viennot 2022, Theorem 1, for convolutions; Gadhikar et al. 2023 and
    Otsuka et al. 2024 for density and locked). The constant C is not known; certificates are computed instead.
    """

    copies: int = 40
    constants: int | None = None
    inner: str = "relu"
    first: Distribution = Uniform()
    second: Distribution = Uniform()
    density: float = 1.0
    locked: float = 0.0

    def __post_init__(self) -> None:
        _at_least_one(copies=self.copies, constants=self.constants)
        Activation(self.inner)

    def gadgets(self, steps: tuple[Step, ...]) -> list[Gadget]:
        """One gadget a linear step."""
        constants = self.copies if self.constants is None else self.constants
        return [
            Gadget(f"first{l}", f"second{l}", step.inputs, step.outputs, step.taps, step.centre, self.copies, constants,
                   KINDS[self.inner])
            for l, step in enumerate(linear_steps(steps), start=1)
        ]  # fmt: skip

    def tensors(self, steps: tuple[Step, ...]) -> tuple[Frozen, ...]:
        """What the source consists of."""
        rest = (self.first, self.second, self.density, self.locked)
        return tuple(tensor for g in self.gadgets(steps) for tensor in _pair(g, *rest))

    def choose(self, source: Source, target: Network, nonnegative: bool, rule: Rule, tally: Tally) -> dict[str, Mask]:
        """Masks for the target; nonnegative: whether its inputs are."""
        masks: dict[str, Mask] = {}
        known = signs(target.steps, nonnegative)
        for g, w, b, sign in zip(self.gadgets(target.steps), target.weights, target.biases, known, strict=True):
            masks[g.first], masks[g.second] = g.choose(source, w, b, sign, rule, tally)
        return masks

    def collapse(self, source: Source, steps: tuple[Step, ...], masks: Masks) -> Collapsed:
        """The network that the masks realise."""
        layers = tuple(g.collapse(source, masks[g.first], masks[g.second]) for g in self.gadgets(steps))
        return Collapsed(steps, layers, (1,) * len(layers))

    def run(self, source: Source, steps: tuple[Step, ...], masks: Masks, x: Floats) -> Floats:
        """The masked source itself, layer by layer, all 2L of them."""
        gadgets = iter(self.gadgets(steps))
        return walk(steps, x, lambda step, x: _run_pair(next(gadgets), step, source, masks, x))


@dataclass(frozen=True)
class OneMore:
    """One random layer more than the target: depth L + 1.

    The target's biases go into a constant unit (`augment`). The first two layers of the source are a gadget whose
    outputs are `copies` copies of every unit of the target's first layer, each by its own fresh weights. From then on
    weight w_ji of every copy of j is one subset sum of the fresh weights from the copies of i, directly. The last
    layer has one copy. The activation is the target's: relu, leaky, tanh, sigmoid.

    copies   copies of each hidden unit = items of each later sum
    first    units an input in the first layer = items of each early sum (twice the items of one sign)
    constants, shrink   units for the constant; the first layer is drawn from U[-shrink, shrink] and the second from
             U[-1/shrink, 1/shrink], which keeps tanh and sigmoid near their linear part (1 for the others)

    Proved (Burkholz 2022, "Most activation functions can win the lottery without excessive depth", Theorem 2.3): width
    factor log(1/eps) again, with the tolerance of layer l divided by what later layers amplify. What amplifies is the
    sum of the *selected* |weights| of a row, because copies err differently; `Subset("smallest")` halves it.
    """

    copies: int = 24
    first: int = 40
    constants: int | None = None
    shrink: float = 1.0
    density: float = 1.0

    def __post_init__(self) -> None:
        _at_least_one(copies=self.copies, first=self.first, constants=self.constants)

    def activation(self, steps: tuple[Step, ...]) -> Activation:
        """The one activation of the target; raises MissingCapability for steps that copies cannot pass."""
        found = {step for step in steps if isinstance(step, Activation)} or {Activation("relu")}
        fits = (Dense, Conv, Activation, MaxPool, MeanPool)
        if len(found) > 1 or not all(isinstance(step, fits) for step in steps):
            raise MissingCapability(
                f"OneMore realises linear steps, pools and one kind of activation, not {steps}: use TwoForOne, "
                "which takes flattening, residual blocks and several activations"
            )
        return found.pop()

    def sizes(self, steps: tuple[Step, ...]) -> list[tuple[int, int, Any]]:
        """(units with copies before, after, step) for each linear step of the augmented target."""
        linears = linear_steps(steps)
        last = len(linears) - 1
        return [
            ((s.inputs + 1) * (self.copies if l else 1), (s.outputs + 1) * self.copies if l < last else s.outputs, s)
            for l, s in enumerate(linears)
        ]

    def gadget(self, steps: tuple[Step, ...]) -> Gadget:
        """The first two layers; the constant 1 of the augmented input is the gadget's constant."""
        _, after, step = self.sizes(steps)[0]
        constants = self.first if self.constants is None else self.constants
        kind = self.activation(steps).kind
        return Gadget("first", "layer1", step.inputs, after, step.taps, step.centre, self.first, constants, kind)

    def tensors(self, steps: tuple[Step, ...]) -> tuple[Frozen, ...]:
        pair = _pair(self.gadget(steps), Uniform(self.shrink), Uniform(1 / self.shrink), self.density, 0.0)
        later = (
            Frozen(f"layer{l}", (after, before, *step.taps), density=self.density)
            for l, (before, after, step) in enumerate(self.sizes(steps)[1:], start=2)
        )
        return (*pair, *later)

    def choose(self, source: Source, target: Network, nonnegative: bool, rule: Rule, tally: Tally) -> dict[str, Mask]:
        wide = augment(target, self.activation(target.steps).apply)
        g, masks = self.gadget(target.steps), dict[str, Mask]()
        copies = self._copies(target.steps)
        early, weights = np.repeat(wide.weights[0], copies[0], axis=0), wide.weights[1:]
        bias = early.reshape(*early.shape[:2], -1)[:, -1, g.centre]
        masks["first"], masks["layer1"] = g.choose(source, early[:, :-1], bias, nonnegative, rule, tally)
        for l, (weight, c) in enumerate(zip(weights, copies[1:], strict=True), start=2):
            masks[f"layer{l}"] = self._direct(source, f"layer{l}", np.repeat(weight, c, axis=0), rule, tally)
        return masks

    def _copies(self, steps: tuple[Step, ...]) -> tuple[int, ...]:
        return (*(self.copies,) * (len(linear_steps(steps)) - 1), 1)

    def _direct(self, source: Source, name: str, weight: Floats, rule: Rule, tally: Tally) -> Mask:
        """One sum a weight and copy of its output: items are the fresh weights from the copies of the input."""
        inputs, area = weight.shape[1], int(np.prod(weight.shape[2:], dtype=int))
        targets, each = weight.reshape(len(weight), inputs, area), inputs * self.copies * area
        mask = np.zeros((len(weight), inputs, self.copies, area), dtype=bool)
        for part in chunks(len(weight), max(1, (1 << 22) // each)):
            v = source.values(name, np.arange(part.start * each, part.stop * each))
            items = v.reshape(-1, inputs, self.copies, area).transpose(0, 1, 3, 2).reshape(-1, self.copies)
            chosen = settle(rule, items, targets[part].reshape(-1), None, tally)
            mask[part] = chosen.reshape(-1, inputs, area, self.copies).transpose(0, 1, 3, 2)
        return mask.reshape(source[name].shape)

    def collapse(self, source: Source, steps: tuple[Step, ...], masks: Masks) -> Collapsed:
        g = self.gadget(steps)
        signed = g.collapse(source, masks["first"], masks["layer1"])
        tail = np.zeros((g.outputs, 1, g.area))
        tail[:, 0, g.centre] = signed.bias
        layers = [
            Signed(
                np.concatenate([signed.positive, tail.reshape(g.outputs, 1, *g.taps)], axis=1),
                np.concatenate([signed.negative, tail.reshape(g.outputs, 1, *g.taps)], axis=1),
                np.zeros(g.outputs),
                None if signed.cubic is None else np.concatenate(
                    [signed.cubic, np.zeros((g.outputs, 1, *g.taps))], axis=1),
            )
        ]  # fmt: skip
        for name, _ in self._later(steps):
            weight = source.dense(name) * masks[name]
            layers.append(Signed(weight, weight, np.zeros(len(weight))))
        return Collapsed(steps, tuple(layers), self._copies(steps), augmented=True)

    def _later(self, steps: tuple[Step, ...]) -> Iterator[tuple[str, Any]]:
        yield from ((f"layer{l}", step) for l, step in enumerate(linear_steps(steps)[1:], start=2))

    def run(self, source: Source, steps: tuple[Step, ...], masks: Masks, x: Floats) -> Floats:
        """The masked source itself, all L + 1 layers."""
        g = self.gadget(steps)
        layers: list[Callable[[Any, Floats], Floats]] = [lambda step, x: _run_pair(g, step, source, masks, x)]
        for name, _ in self._later(steps):
            layers.append(lambda step, x, name=name: step.linear(masked(source, name, masks[name]), x))
        order = iter(layers)
        return walk(steps, x, lambda step, x: next(order)(step, x))


Construction = TwoForOne | OneMore


def masked(source: Source, name: str, mask: Mask) -> Any:
    """mask * source: a SciPy sparse matrix for two dimensions, an array for four."""
    kept = np.flatnonzero(mask)
    values = source.values(name, kept)
    if mask.ndim == 2:
        from scipy.sparse import csr_matrix

        return csr_matrix((values, np.divmod(kept, mask.shape[1])), shape=mask.shape)
    weight = np.zeros(mask.size)
    weight[kept] = values
    return weight.reshape(mask.shape)


def _pair(g: Gadget, first: Distribution, second: Distribution, density: float, locked: float) -> tuple[Frozen, Frozen]:
    return (
        Frozen(g.first, (g.units, g.inputs + 1), first, density),
        Frozen(g.second, (g.outputs, g.units, *g.taps), second, density, locked),
    )


def _run_pair(g: Gadget, step: Any, source: Source, masks: Masks, x: Floats) -> Floats:
    """V phi(U [x; 1]) with the masked tensors."""
    first, wide = masked(source, g.first, masks[g.first]), np.concatenate([x, step.constants(x)], axis=1)
    if g.taps:  # 1 x 1 convolution: a matrix on the channel axis
        flat = wide.transpose(1, 0, 2, 3).reshape(wide.shape[1], -1)
        hidden = (first @ flat).reshape(-1, wide.shape[0], *wide.shape[2:]).transpose(1, 0, 2, 3)
    else:
        hidden = np.asarray((first @ wide.T).T)
    return step.linear(masked(source, g.second, masks[g.second]), g.kind.function(hidden))


__all__ = ["Construction", "OneMore", "TwoForOne", "masked", "with_one"]
