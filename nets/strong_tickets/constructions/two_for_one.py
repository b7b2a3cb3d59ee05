"""Two random layers for each layer of the target."""

from __future__ import annotations

from dataclasses import dataclass

from nets.strong_tickets.collapsed import Collapsed
from nets.strong_tickets.constructions.pieces import Masks, at_least_one, pair, row_sum, run_pair
from nets.strong_tickets.gadget import Gadget
from nets.strong_tickets.network import Network
from nets.strong_tickets.source import Distribution, Floats, Frozen, Mask, Source, Uniform
from nets.strong_tickets.steps import KINDS, Activation, Step, linear_steps, signs, walk
from nets.strong_tickets.sums import Rule, Tally


@dataclass(frozen=True)
class TwoForOne:
    """Two random layers for each layer of the target: depth 2L.

    For every linear layer W (d' x d) of the target, the source has U (n units an input, and n for the constant 1) and
    V (d' x units). U is masked to be block-diagonal (unit (i, k) keeps u_ik), V by one subset sum a weight, or two
    where inputs have both signs; see `gadget`. A convolution becomes a 1 x 1 convolution and one of its own size.

    copies     n, hidden units an input
    constants  hidden units for the bias; default n
    inner      activation between U and V: relu, leaky, tanh, sigmoid
    first, second, density, locked   the distributions of U and V; see `Frozen` (locked weights: in V only; units of the
               constant that have one off the centre of a kernel are pruned in U)

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
        at_least_one(copies=self.copies, constants=self.constants)
        Activation(self.inner)

    def gadgets(self, steps: tuple[Step, ...]) -> list[Gadget]:
        """One gadget a linear step."""
        constants = self.copies if self.constants is None else self.constants
        return [
            Gadget(f"first{l}", f"second{l}", step.inputs, step.outputs, step.taps, step.centre, self.copies, constants,
                   KINDS[step.between or self.inner])
            for l, step in enumerate(linear_steps(steps), start=1)
        ]  # fmt: skip

    def tensors(self, steps: tuple[Step, ...]) -> tuple[Frozen, ...]:
        """What the source consists of."""
        rest = (self.first, self.second, self.density, self.locked)
        return tuple(tensor for g in self.gadgets(steps) for tensor in pair(g, *rest))

    def choose(self, source: Source, target: Network, nonnegative: bool, rule: Rule, tally: Tally) -> dict[str, Mask]:
        """Masks for the target; nonnegative: whether its inputs are."""
        masks: dict[str, Mask] = {}
        known, gain = signs(target.steps, nonnegative), 1.0
        layers = list(zip(self.gadgets(target.steps), target.weights, target.biases, known, strict=True))
        for l, (g, w, b, sign) in reversed(list(enumerate(layers))):
            mine = rule.layer(l, gain * g.kind.doubled)
            masks[g.first], masks[g.second] = g.choose(source, w, b, sign, mine, tally)
            gain *= row_sum(w) + g.inputs * g.area * g.kind.doubled * mine.tolerance
        return masks

    def collapse(self, source: Source, steps: tuple[Step, ...], masks: Masks) -> Collapsed:
        """The network that the masks realise."""
        layers = tuple(g.collapse(source, masks[g.first], masks[g.second]) for g in self.gadgets(steps))
        return Collapsed(steps, layers, (1,) * len(layers))

    def run(self, source: Source, steps: tuple[Step, ...], masks: Masks, x: Floats) -> Floats:
        """The masked source itself, layer by layer, all 2L of them."""
        gadgets = iter(self.gadgets(steps))
        return walk(steps, x, lambda step, x: run_pair(next(gadgets), step, source, masks, x))
