"""Relaxations with trained weights against loops in plain PyTorch, with gradients by autograd."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from nets import ranks, seeds
from nets.catalogue import Plan
from nets.catalogue.relaxed import bip, continuous_sparsification, l0, movement, variational_dropout
from nets.data import Batches
from nets.joint import (
    K1,
    K2,
    K3,
    HardConcrete,
    Variational,
)  # fmt: skip
from nets.training import Network
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Everything
from tests.equations import agree, clear, training_copy
from tests.networks import HEAVY, network

LOOSE = 3e-6  # several trainings in a row
Shown = Callable[[Tensor, Tensor, Tensor], Tensor]  # (w, s, noise) -> what the network sees


class Loop:
    """Plain PyTorch: weights, scores, an optimiser for each, and gradients by autograd through what is shown."""

    def __init__(self, world: Network, first: Tensor, optimiser: Any) -> None:
        self.world, self.source = world, Batches(world.data, HEAVY.batch, 0)
        self.model, self.w = training_copy(world)
        parts = zip(self.w, first.split([p.numel() for p in self.w.values()]), strict=True)
        self.s = {name: part.view_as(self.w[name]).clone().requires_grad_() for name, part in parts}
        self.of_s = optimiser(list(self.s.values()))
        self.fresh()
        self.time = itertools.count()

    def fresh(self) -> None:
        self.of_w = torch.optim.SGD(self.model.parameters(), 0.0, 0.9, weight_decay=1e-2)

    def noise(self, draw: Any, t: int) -> dict[str, Tensor]:
        """What the engine's seed of step t gives, weight by weight."""
        seed = torch.Generator().manual_seed(seeds.mixed("step", 0, t, *ranks.position()))
        parts = draw(self.world.layout.n, generator=seed).split([p.numel() for p in self.w.values()])
        return {name: part.view_as(p) for (name, p), part in zip(self.w.items(), parts, strict=True)}

    def step(
        self, rate: float, rate_of_s: float, shown: Shown, added: Callable[[], Tensor | float] = lambda: 0.0,
        draw: Any = torch.rand,
    ) -> None:  # fmt: skip
        t = next(self.time)
        images, labels = self.source.at(t)
        noise = self.noise(draw, t)
        seen = {name: shown(p, self.s[name], noise[name]) for name, p in self.w.items()}
        self.of_w.zero_grad()
        self.of_s.zero_grad()
        (cross_entropy(functional_call(self.model, seen, images), labels) + added()).backward()
        self.of_w.param_groups[0]["lr"], self.of_s.param_groups[0]["lr"] = rate, rate_of_s
        self.of_w.step()
        self.of_s.step()

    def best(self, score: Callable[[str], Tensor], k: int) -> dict[str, Tensor]:
        flat = torch.cat([score(name).detach().reshape(-1) for name in self.w])
        mask = torch.zeros_like(flat)
        mask[flat.argsort(descending=True, stable=True)[:k]] = 1
        parts = mask.split([p.numel() for p in self.w.values()])
        return {name: part.view_as(p) for (name, p), part in zip(self.w.items(), parts, strict=True)}

    def train(self, rates: list[float], mask: dict[str, Tensor]) -> None:
        """On a mask, weights alone."""
        clear(self.w, mask, self.of_w)
        for rate in rates:
            images, labels = self.source.at(next(self.time))
            self.of_w.zero_grad()
            cross_entropy(self.model(images), labels).backward()
            for name, p in self.w.items():
                assert p.grad is not None
                p.grad *= mask[name]
            self.of_w.param_groups[0]["lr"] = rate
            self.of_w.step()


def sgd(parameters: list[Tensor]) -> Any:
    return torch.optim.SGD(parameters, 0.0, 0.9)


def milestones(T: int) -> list[float]:
    return [0.05 * (1.0 if t < T / 2 else 0.1 if t < 3 * T / 4 else 0.01) for t in range(T)]


def test_continuous_sparsification_is_its_pseudo_code() -> None:
    world, k, T, s0 = network("residual", HEAVY), 60, 8, -0.1
    loop, scale = Loop(world, torch.full((world.layout.n,), s0), sgd), 1 / torch.tensor(s0).sigmoid()
    then: Any = None
    last: dict[str, Tensor] = {}
    for _ in range(3):
        for t, rate in enumerate(milestones(T)):
            beta = 200 ** (t / (T - 1))
            loop.step(
                rate, 2 * rate, lambda w, s, _, b=beta: w * (b * s).sigmoid() * scale,
                lambda b=beta: 1e-3 * scale * sum((b * s).sigmoid().sum() for s in loop.s.values()),
            )  # fmt: skip
            then = then or copy.deepcopy((loop.model.state_dict(), loop.of_w.state_dict()))
        last = {name: s.detach().clone() for name, s in loop.s.items()}
        for s in loop.s.values():
            s.data = (200 * s.data).clamp(max=s0)
    mask = loop.best(lambda name: last[name], k)
    loop.model.load_state_dict(then[0])
    loop.of_w.load_state_dict(then[1])
    loop.train(milestones(T), mask)
    method = continuous_sparsification(Plan(world.layout, k, T, HEAVY), start=s0, strength=1e-3)
    agree(world, run(method, world, world.start(0)).state, loop.model, LOOSE)


def test_movement_is_its_pseudo_code() -> None:
    """T = 20: 20 steps, 2 with all weights, then 9 rounds of 2; from the seventh on k weights."""
    world, k, T, n = network("tied", HEAVY), 90, 20, network("tied").layout.n
    loop = Loop(world, torch.zeros(n), sgd)
    everything = {name: torch.ones_like(p) for name, p in loop.w.items()}
    loop.train(milestones(T), everything)
    loop.fresh()
    score, rates = {name: torch.zeros_like(p) for name, p in loop.w.items()}, iter(milestones(T))
    for r in range(-1, 9):
        kept = (1 - min(1.0, (r + 1) / 7)) ** 3
        mask = everything if r < 0 else loop.best(lambda name: score[name], int(k + (n - k) * kept + 0.5))
        for _ in range(2):
            rate, images_labels = next(rates), loop.source.at(next(loop.time))
            seen = {name: (p * mask[name]).detach().requires_grad_() for name, p in loop.w.items()}
            loop.of_w.zero_grad()
            cross_entropy(functional_call(loop.model, seen, images_labels[0]), images_labels[1]).backward()
            for name, p in loop.w.items():
                g = seen[name].grad
                assert g is not None
                score[name] -= rate * g * p.detach()
                p.grad = g * mask[name]
            loop.of_w.param_groups[0]["lr"] = rate
            loop.of_w.step()
    mask = loop.best(lambda name: score[name], k)
    clear(loop.w, mask, loop.of_w)
    state = run(movement(Plan(world.layout, k, T, HEAVY), period=2), world, world.start(0)).state
    agree(world, state, loop.model, LOOSE)


def test_bip_is_its_pseudo_code() -> None:
    """g, at the masked weights, is autograd's; so are both straight-through gradients. Each level has its own batch."""
    world, k, T, step = network("residual", HEAVY), 60, 12, 0.5
    loop = Loop(world, torch.zeros(world.layout.n), sgd)
    loop.train(milestones(T), {name: torch.ones_like(p) for name, p in loop.w.items()})
    loop.fresh()
    for name, p in loop.w.items():
        loop.s[name].data = p.detach().clone()
    time = itertools.count(2 * T)

    def look() -> dict[str, Tensor]:
        """The mask of k, and the gradients at a batch that no look had: of s in the scores, of the masked weights."""
        mask = loop.best(lambda name: loop.s[name].abs(), k)
        seen = {name: p * (mask[name] + loop.s[name].abs() - loop.s[name].abs().detach()) for name, p in loop.w.items()}
        images, labels = loop.source.at(next(time))
        for tensor in seen.values():
            tensor.retain_grad()
        loop.of_w.zero_grad()
        loop.of_s.zero_grad()
        cross_entropy(functional_call(loop.model, seen, images), labels).backward()
        for name, s in loop.s.items():
            g = seen[name].grad
            assert g is not None and s.grad is not None
            s.grad -= step * s.detach().sign() * mask[name] * g**2
        return mask

    for rate in milestones(T):
        loop.of_w.param_groups[0]["lr"], loop.of_s.param_groups[0]["lr"] = rate, 2 * rate
        look()
        loop.of_s.step()
        buffers = {name: b.clone() for name, b in loop.model.named_buffers()}
        look()
        loop.of_w.step()
        loop.model.load_state_dict(buffers, strict=False)
    clear(loop.w, loop.best(lambda name: loop.s[name].abs(), k), loop.of_w)
    plan = Plan(world.layout, k, T, HEAVY)
    one, other = (run(bip(plan, step=step_), world, world.start(0)).state for step_ in (step, 0.0))
    agree(world, one, loop.model, LOOSE)
    assert not torch.equal(one.slots["scores"], other.slots["scores"])


def test_bip_s_levels_never_share_a_batch() -> None:
    """Two batches a step, and within an epoch no sample is seen by both levels."""
    asked: list[int] = []

    class Watched(Batches):
        def at(self, step: int) -> tuple[Tensor, Tensor]:
            asked.append(step)
            return super().at(step)

    world = network("perceptron", HEAVY, batches=Watched)
    T = 9
    run(bip(Plan(world.layout, 60, T, HEAVY)), world, world.start(0))
    assert asked == [*range(T), *range(2 * T, 4 * T)]


def test_l0_is_its_pseudo_code() -> None:
    world, k, T, strength = network("residual", HEAVY), 60, 20, 1e-3
    start = HardConcrete().first(world.start(0))
    assert start.abs().max() < 0.06 and start.std() > 0.005
    loop = Loop(world, start, torch.optim.Adam)
    rates = milestones(T)
    for rate in rates[:15]:
        loop.step(
            rate, 0.2 * rate,
            lambda w, s, u: w * (1.2 * ((u.log() - (1 - u).log() + s) / (2 / 3)).sigmoid() - 0.1).clamp(0, 1),
            lambda: strength * sum((s - 2 / 3 * math.log(0.1 / 1.1)).sigmoid().sum() for s in loop.s.values()),
        )  # fmt: skip
    mask = loop.best(lambda name: loop.s[name], k)
    for name, p in loop.w.items():
        p.data *= (1.2 * loop.s[name].detach().sigmoid() - 0.1).clamp(0, 1)
    loop.train(rates[15:], mask)
    state = run(l0(Plan(world.layout, k, T, HEAVY), strength), world, world.start(0)).state
    agree(world, state, loop.model, LOOSE)


def divergence(w: Tensor, s: Tensor) -> Tensor:
    a = s - (w**2).log()
    return K1 - K1 * (K2 + K3 * a).sigmoid() + torch.log1p((-a).exp()) / 2


def test_variational_dropout_is_its_pseudo_code() -> None:
    world, k, T, strength = network("residual", HEAVY), 60, 20, 1e-3
    loop = Loop(world, torch.full((world.layout.n,), -6.0), torch.optim.Adam)
    rates = milestones(T)
    for t, rate in enumerate(rates[:15], 1):
        loop.step(
            rate, 0.2 * rate, lambda w, s, e: w + (s / 2).exp() * e,
            lambda t=t: strength * min(1, t / 7.5) * sum(divergence(p, loop.s[i]).sum() for i, p in loop.w.items()),
            draw=torch.randn,
        )  # fmt: skip
    mask = loop.best(lambda name: (loop.w[name] ** 2).log() - loop.s[name], k)
    loop.train(rates[15:], mask)
    plan = Plan(world.layout, k, T, HEAVY)
    method = variational_dropout(plan, strength)
    gate = Variational(0.2, 15, strength, start=-6.0)
    (stage,) = method.stages
    first = Phase(Everything(), plan.train(15, through=gate))
    method = Method("variational-dropout", (Stage((first, *stage.phases[1:])),))
    agree(world, run(method, world, world.start(0)).state, loop.model, 1e-5)
