"""Search: masks on the same frozen sources, found by gradient instead of subset sums.

A construction needs a trained target and comes with a certificate; a search needs data and comes with an accuracy. Both
choose among the same fixed numbers, so at equal source size they can be compared:

    found = search(TwoForOne(30), trained.network.steps, seed=0, data=trained.data, method="edge-popup")
    found.ticket, found.accuracy           # a ticket as any other: seed, architecture, masks

The searches are entries of `nets.catalogue`, Gem-Miner's without the training of weights that follows it there: they
leave the weights as they were drawn and end with exactly k of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nets.catalogue.searches import edge_popup, mining, supermask
from nets.plan import Entry, Plan
from nets.recipe import Recipe
from nets.strong_tickets.build import build
from nets.strong_tickets.constructions import Construction, OneMore, TwoForOne
from nets.strong_tickets.source import Source
from nets.strong_tickets.steps import Activation, Dense, Step, linear_steps
from nets.strong_tickets.sums import Rule, Subset
from nets.strong_tickets.ticket import Ticket
from nets.training import Network
from nets.weights import Matrices
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.method import run
from sparsopt.names import lookup

BATCHES = Recipe(batch=64)
SEARCHES: dict[str, Entry] = {"edge-popup": edge_popup, "supermask": supermask, "gem-miner": mining}


class SourceModule(nn.Module):
    """A source as a module: its tensors are parameters, scaled layer by layer so that activations keep their size.

    For relu and leaky the scaling changes outputs by one known factor and nothing else: constants inside the network
    are scaled along. Takes inputs as the data set normalises them, and undoes that: sources see pixels in [0, 1].
    """

    def __init__(self, source: Source, construction: Construction, steps: tuple[Step, ...], data: Any) -> None:
        super().__init__()
        activations = {step for step in steps if isinstance(step, Activation)}
        homogeneous = {Activation("relu"), Activation("leaky")}
        if not all(isinstance(s, Activation) or type(s) is Dense for s in steps) or not activations <= homogeneous:
            raise MissingCapability(f"search takes fully connected relu and leaky networks, not {steps}")
        if isinstance(construction, TwoForOne) and Activation(construction.inner) not in homogeneous:
            raise MissingCapability(f"search takes relu and leaky as inner activation, not {construction.inner}")
        self.plan, self.constants = list(_layers(construction, steps)), []
        so_far = 1.0
        for name, _, constant in self.plan:
            weight = torch.from_numpy(source.dense(name)).float()
            factor = float((2.0 / weight.square().mean().clamp(min=1e-12) / weight.shape[1]) ** 0.5) * 2**0.5
            self.constants.append(so_far if constant else None)
            so_far *= factor
            self.register_parameter(name, nn.Parameter(factor * weight))
        mean, deviation = (torch.tensor(v or (default,)).view(-1, 1, 1) for v, default in
                           ((data.mean, 0.0), (data.std, 1.0)))  # fmt: skip
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.get_buffer("deviation") + self.get_buffer("mean") if x.dim() == 4 else x
        x = x.flatten(1)
        for (name, activation, _), constant in zip(self.plan, self.constants, strict=True):
            if constant is not None:
                x = torch.cat([x, x.new_full((len(x), 1), constant)], dim=1)
            x = ACTIVATIONS[activation](x @ self.get_parameter(name).T)
        return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky": nn.functional.leaky_relu,
    "none": lambda x: x,
}


def _layers(construction: Construction, steps: tuple[Step, ...]) -> Iterator[tuple[str, str, bool]]:
    """(tensor, activation behind it, whether a constant joins its input) for every layer of a source."""
    outer = [step.name for step in steps if isinstance(step, Activation)] + ["none"]
    if isinstance(construction, OneMore):
        yield "first", outer[0], True
        yield from ((f"layer{l}", outer[l - 1], False) for l in range(1, len(linear_steps(steps)) + 1))
    else:
        for l in range(1, len(linear_steps(steps)) + 1):
            yield f"first{l}", construction.inner, True
            yield f"second{l}", outer[l - 1], False


@dataclass(frozen=True, eq=False)
class Found:
    """A searched ticket: exactly k weights; accuracy on the test split, by the masked source; seconds of search."""

    ticket: Ticket
    accuracy: float
    seconds: float


def search(
    construction: Construction,
    steps: tuple[Step, ...],
    seed: int,
    data: Any,
    method: str = "edge-popup",
    density: float = 0.5,
    length: int = 1000,
    scores: Recipe | None = None,
    device: str = "cpu",
) -> Found:
    """Search the source of (seed, construction) for masks that classify `data`.

    density  share of the source's weights to keep, met exactly
    length   training steps
    scores   how scores train; default by search, see `nets.catalogue.searches.SCORES`
    device   where it runs: sources are as large as weights times inputs
    """
    if not 0 < density <= 1:
        raise InvalidInput(f"density = {density} must be in (0, 1]")
    entry = lookup(SEARCHES, method, "search")
    source = Source(seed, construction.tensors(steps))
    network = Network(SourceModule(source, construction, steps, data), data, prunable=Matrices(), recipe=BATCHES,
                      device=device)  # fmt: skip
    plan = Plan(network.layout, max(1, round(density * network.layout.n)), length, BATCHES)
    began = time.perf_counter()
    result = run(entry(plan, scores), network, network.start(seed))
    seconds = time.perf_counter() - began
    masks = {name: mask.cpu().numpy().copy() for name, mask in network.weights.blocks(result.state.support)}
    accuracy = network.test(result.state)[1]
    return Found(
        Ticket(seed, steps, construction, {name: np.asarray(m) for name, m in masks.items()}), accuracy, seconds
    )


def compare(
    trained: Any,
    construction: Construction,
    seeds: Iterable[int] = range(3),
    rule: Rule = Subset(),
    density: float = 0.5,
    length: int = 1000,
    device: str = "cpu",
) -> Iterator[tuple[str, int, int, float, float]]:
    """(how the masks were found, seed, weights kept, test accuracy, seconds) on the same sources, method by method.

    trained  a `study.Trained`: the construction uses its network, the searches its training data
    """
    for seed in seeds:
        built = build(trained.network, construction, seed, rule, trained.domain)
        accuracy = trained.accuracy(built.ticket.collapsed)
        yield "construction", seed, built.ticket.kept, accuracy, built.seconds
    for name in sorted(SEARCHES):
        for seed in seeds:
            found = search(
                construction, trained.network.steps, seed, trained.data, name, density, length, device=device
            )
            yield name, seed, found.ticket.kept, found.accuracy, found.seconds
