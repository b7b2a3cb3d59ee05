"""One random layer more than the target has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.strong_tickets.augmented import activations, augment, augmented, copied
from nets.strong_tickets.collapsed import Collapsed
from nets.strong_tickets.constructions.pieces import Masks, at_least_one, masked, pair, run_pair
from nets.strong_tickets.gadget import Gadget, Signed
from nets.strong_tickets.network import Network
from nets.strong_tickets.source import Floats, Frozen, Mask, Source, Uniform, chunks
from nets.strong_tickets.steps import Activation, Step, linear_steps, walk
from nets.strong_tickets.sums import Rule, Tally, settle
from sparsopt.errors import MissingCapability


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
    density, locked   see `Frozen` (locked weights: in all layers but the first)

    Flattening and residual blocks pass: copies of a unit stay together, a wire carries each copy on, the constant takes
    the shortcut. The first and the last linear step must not be in a block.

    Proved (Burkholz 2022, "Most activation functions can win the lottery without excessive depth", Theorem 2.3): width
    factor log(1/eps) again, with the tolerance of layer l divided by what later layers amplify (`shares.Shared`). What
    amplifies is the sum of the *selected* |weights| of a row, because copies err differently; `Subset("smallest")`
    halves it.
    """

    copies: int = 24
    first: int = 40
    constants: int | None = None
    shrink: float = 1.0
    density: float = 1.0
    locked: float = 0.0

    def __post_init__(self) -> None:
        at_least_one(copies=self.copies, first=self.first, constants=self.constants)

    def activation(self, steps: tuple[Step, ...]) -> Activation:
        """The one activation of the target; raises MissingCapability for steps that copies cannot pass."""
        found = set(activations(steps)) or {Activation("relu")}
        ends = [step for step in steps if step.linear_steps()]
        if len(found) > 1 or not all(step.linear_steps() == (step,) for step in (ends[0], ends[-1])):
            raise MissingCapability(
                f"OneMore realises networks with one kind of activation whose first and last linear step are in no "
                f"block, not {steps}: use TwoForOne, which takes all"
            )
        return found.pop()

    def sizes(self, steps: tuple[Step, ...]) -> list[tuple[int, int, Any]]:
        """(units with copies before, after, step) for each linear step of the augmented target."""
        wide, copies = linear_steps(augmented(steps)), self._copies(steps)
        return [
            (s.inputs * before, s.outputs * after, s)
            for s, before, after in zip(wide, (1, *copies[:-1]), copies, strict=True)
        ]

    def gadget(self, steps: tuple[Step, ...]) -> Gadget:
        """The first two layers; the constant 1 of the augmented input is the gadget's constant."""
        _, after, step = self.sizes(steps)[0]
        kind = self.activation(steps).kind
        constants = self.first if self.constants is None else self.constants
        return Gadget("first", "layer1", step.inputs - 1, after, step.taps, step.centre, self.first, constants, kind)

    def tensors(self, steps: tuple[Step, ...]) -> tuple[Frozen, ...]:
        early = pair(self.gadget(steps), Uniform(self.shrink), Uniform(1 / self.shrink), self.density, self.locked)
        later = (
            Frozen(f"layer{l}", (after, before, *step.taps), density=self.density, locked=self.locked)
            for l, (before, after, step) in enumerate(self.sizes(steps)[1:], start=2)
        )
        return (*early, *later)

    def choose(self, source: Source, target: Network, nonnegative: bool, rule: Rule, tally: Tally) -> dict[str, Mask]:
        """Masks for the target, last layer first; nonnegative: whether its inputs are."""
        wide, g, masks, gain = augment(target), self.gadget(target.steps), dict[str, Mask](), 1.0
        layers = list(zip(wide.weights, self._copies(target.steps), strict=True))
        for l, (weight, c) in reversed(list(enumerate(layers[1:], start=1))):
            name = f"layer{l + 1}"
            masks[name] = self._direct(source, name, np.repeat(weight, c, axis=0), rule.layer(l, gain), tally)
            gain *= self._row_sum(source, name, masks[name])
        early = np.repeat(wide.weights[0], layers[0][1], axis=0)
        bias = early.reshape(*early.shape[:2], -1)[:, -1, g.centre]
        mine = rule.layer(0, gain * g.kind.doubled)
        masks["first"], masks["layer1"] = g.choose(source, early[:, :-1], bias, nonnegative, mine, tally)
        return masks

    def _row_sum(self, source: Source, name: str, mask: Mask) -> float:
        """The largest sum of the absolute weights that are kept for one output."""
        kept = np.flatnonzero(mask)
        rows = kept // (mask.size // len(mask))
        return float(np.bincount(rows, np.abs(source.values(name, kept)), len(mask)).max(initial=0.0))

    def _copies(self, steps: tuple[Step, ...]) -> tuple[int, ...]:
        return (*(self.copies,) * (len(linear_steps(steps)) - 1), 1)

    def _direct(self, source: Source, name: str, weight: Floats, rule: Rule, tally: Tally) -> Mask:
        """One sum a weight and copy of its output: items are the fresh weights from the copies of the input."""
        inputs, area = weight.shape[1], int(np.prod(weight.shape[2:], dtype=int))
        targets, each = weight.reshape(len(weight), inputs, area), inputs * self.copies * area
        mask = np.zeros((len(weight), inputs, self.copies, area), dtype=bool)
        for part in chunks(len(weight), max(1, (1 << 22) // each)):
            index = np.arange(part.start * each, part.stop * each)
            shape = (-1, inputs, self.copies, area)
            items = source.values(name, index).reshape(shape).transpose(0, 1, 3, 2).reshape(-1, self.copies)
            locked = source.locked(name, index).reshape(shape).transpose(0, 1, 3, 2).reshape(-1, self.copies)
            chosen = settle(rule, items, targets[part].reshape(-1), locked, tally)
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
        return Collapsed(copied(steps, self.copies), tuple(layers), self._copies(steps), augmented=True)

    def _later(self, steps: tuple[Step, ...]) -> Iterator[tuple[str, Any]]:
        yield from ((f"layer{l}", step) for l, step in enumerate(linear_steps(steps)[1:], start=2))

    def run(self, source: Source, steps: tuple[Step, ...], masks: Masks, x: Floats) -> Floats:
        """The masked source itself, all L + 1 layers."""
        g = self.gadget(steps)
        layers: list[Callable[[Any, Floats], Floats]] = [lambda step, x: run_pair(g, step, source, masks, x)]
        for name, _ in self._later(steps):
            layers.append(lambda step, x, name=name: step.linear(masked(source, name, masks[name]), x))
        order = iter(layers)
        return walk(copied(steps, self.copies), x, lambda step, x: next(order)(step, x))
