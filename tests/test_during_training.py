"""Methods during training, held against plain PyTorch loops that are written from the papers' equations alone."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from nets.catalogue import METHODS, Plan
from nets.catalogue.compressible import decay_for, soft_threshold
from nets.catalogue.replacement import granet as granet_of
from nets.catalogue.thresholding import early_bird
from nets.data import Batches
from nets.gates import (
    Averaging,
    CompressionAware,
    Exploring,
    Gate,
    Lasso,
    Masked,
    SoftThreshold,
    StraightThrough,
    TopProducts,
)
from nets.moves import CosineShare, Redistribute, SwapShare, shared_out
from nets.recipe import SGD, Constant, Cosine, Recipe
from nets.training import Network, Train
from nets.weights import BatchNormScales
from sparsopt import catalogue as convex
from sparsopt.errors import InvalidInput
from sparsopt.judges import SupportStable
from sparsopt.method import Method, Phase, Stage, parts, run
from sparsopt.moves import Everything, Keep, Magnitude, Stay
from sparsopt.result import Status
from sparsopt.schedules import Uniform
from sparsopt.state import Layout, State
from tests.networks import ADAM, MOMENTUM, blobs, difference, module, network, plan_of, rebuilt, states

STEPS = 15
HEAVY = Recipe(0.05, Constant(), SGD(0.9, weight_decay=1e-2), batch=16, name="heavy")
BARE = Recipe(0.1, Constant(), SGD(0.0, weight_decay=0.0), batch=16, name="bare")
ONE = Layout(("a",), ((2, 5),))
GATES = (
    Averaging(0.5), Exploring((4,), ONE, 0.1), TopProducts(3), CompressionAware(3, 0.1), SoftThreshold(ONE), Lasso(0.1),
)  # fmt: skip


def dense(gate: Gate, recipe: Recipe = HEAVY, steps: int = STEPS) -> Method:
    return Method("dense", (Stage((Phase(Everything(), Train(steps, recipe, gate)),)),))


def after(method: Method, world: Network) -> State:
    return run(method, world, world.start(0)).state


def batches(world: Network, recipe: Recipe, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    source = Batches(world.data, recipe.batch, 0)
    yield from (source.at(step) for step in range(steps))


def prunable(world: Network, model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if name in world.layout.names}


def flat(tensors: Any) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def gradients(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    loss = cross_entropy(model(batch[0]), batch[1])
    return dict(zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())), strict=True))


def largest(score: Tensor, k: int, within: Tensor | float = 1.0) -> Tensor:
    """A mask of the k largest of those in another mask, by sorting."""
    mask, allowed = torch.zeros(score.numel()), torch.as_tensor(within).expand_as(score) > 0
    mask[score.detach().masked_fill(~allowed, -1.0).reshape(-1).argsort(descending=True, stable=True)[:k]] = 1
    return mask.view_as(score)


def clear(parameters: dict[str, nn.Parameter], mask: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
    """Weights and momentum are zero off the mask."""
    for name, p in parameters.items():
        p.data *= mask[name]
        if p in optimiser.state:
            optimiser.state[p]["momentum_buffer"] *= mask[name]


def training_copy(world: Network) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """The module in training mode, and its prunable parameters."""
    model = copy.deepcopy(world.template).train()
    return model, prunable(world, model)


def masked_step(
    model: nn.Module,
    parameters: dict[str, nn.Parameter],
    mask: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
) -> dict[str, Tensor]:
    """A step on the mask; returns the whole gradient."""
    optimiser.zero_grad()
    cross_entropy(model(batch[0]), batch[1]).backward()
    whole = {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
    for name, p in parameters.items():
        p.grad = whole[name] * mask[name]
    optimiser.step()
    return whole


def agree(world: Network, state: State, model: nn.Module, tolerance: float = 1e-6) -> None:
    """x, everything that trains along, and buffers."""
    expected = flat(prunable(world, model).values())
    torch.testing.assert_close(state.x, expected, rtol=tolerance, atol=tolerance)
    trained = world.module(state).state_dict()
    for name, value in model.state_dict().items():
        if name not in world.layout.names:
            torch.testing.assert_close(trained[name], value, rtol=tolerance, atol=tolerance)


# ---- all weights train ---------------------------------------------------------------------------------------------


def test_gsm_is_its_equation() -> None:
    """Z <- beta Z + eta W + B g,  W <- W - alpha Z;  B: the Q largest |W g|."""
    world, k = network("residual", HEAVY), 40
    model, buffer = copy.deepcopy(world.template), {}
    model.train()
    for batch in batches(world, HEAVY, STEPS):
        slope = gradients(model, batch)
        inside = prunable(world, model)
        products = flat((p * slope[name]).abs() for name, p in inside.items())
        threshold = products.topk(k).values[-1]
        for name, p in model.named_parameters():
            B = ((p * slope[name]).abs() >= threshold).float() if name in inside else 1.0
            buffer[name] = 0.9 * buffer.get(name, 0.0) + 1e-2 * p.detach() + B * slope[name]
            p.data -= 0.05 * buffer[name]
    agree(world, after(dense(TopProducts(k)), world), model)


def test_gsm_starts_over_from_a_trained_network() -> None:
    """Two trainings, each with its own momentum and a learning rate from the start; then the k largest |w|."""
    recipe = dataclasses.replace(HEAVY, schedule=Cosine())
    world, T = network("residual", recipe), 20
    plan = Plan(world.layout, 40, T, recipe)
    sparse: Any = METHODS["gsm"](plan).stages[2].phases[0].fit
    (model, inside), data = training_copy(world), batches(world, recipe, 2 * T)
    for fit, k in ((plan.train(T), plan.n), (sparse, plan.k)):
        sgd = fit.recipe.optimiser
        optimiser = torch.optim.SGD(model.parameters(), 1.0, sgd.momentum, weight_decay=sgd.weight_decay)
        for t in range(T):
            optimiser.param_groups[0]["lr"] = fit.recipe.learning_rate * Cosine()(t / T)
            optimiser.zero_grad()
            inputs, targets = next(data)
            cross_entropy(model(inputs), targets).backward()
            B = world.weights.blocks(largest(flat((p * p.grad).abs() for p in inside.values()), k))
            for name, mask in B:
                inside[name].grad *= mask
            optimiser.step()
    for name, mask in world.weights.blocks(largest(flat(inside.values()).abs(), plan.k)):
        inside[name].data *= mask
    agree(world, after(METHODS["gsm"](plan), world), model, 1e-5)


def test_gsm_rewind_trains_its_mask_from_the_first_weights() -> None:
    world = network("residual", HEAVY)
    plan = Plan(world.layout, 40, 20, HEAVY)
    found, start = after(METHODS["gsm"](plan), world), world.start(0)
    result, seen = states(METHODS["gsm-rewind"](plan), world)
    assert torch.equal(result.support, found.support)
    (rewound,) = [state for state in seen if (state.stage, state.phase) == (4, 1)]
    assert torch.equal(rewound.x, start.x * found.support) and rewound.clock == 0


def test_gsm_lets_no_more_than_k_gradients_through_even_where_products_tie() -> None:
    g, v = torch.ones(10), torch.ones(10)
    TopProducts(4).gradient(g, v, None)
    assert g.tolist() == [1.0] * 4 + [0.0] * 6


def test_gsm_with_all_weights_is_sgd() -> None:
    world = network("residual", HEAVY)
    assert torch.equal(after(dense(TopProducts(world.layout.n)), world).x, after(dense(Gate()), world).x)


def test_passive_weights_of_gsm_have_shrunk_as_far_as_the_paper_lets_them() -> None:
    """What decay alone makes of a weight in the second training: exp(-8), of the first 500 + 600 epochs' setting."""
    plan = plan_of(network(), steps=3000)
    fit: Any = METHODS["gsm"](plan).stages[2].phases[0].fit
    sgd, w, z = fit.recipe.optimiser, 1.0, 0.0
    for t in range(plan.steps):
        z = sgd.momentum * z + sgd.weight_decay * w
        w -= fit.recipe.rate(t, fit.total) * z
    assert math.log(w) == pytest.approx(-8, rel=0.05)
    paper = sum(5e-3 * f * 781 * epochs for f, epochs in ((1, 400), (0.1, 100), (0.01, 100))) * 1e-4 / (1 - 0.98)
    assert paper == pytest.approx(8, rel=0.02)


@pytest.mark.parametrize("share", [0.0, 1.0, 0.5])
def test_cram_is_its_equation(share: float) -> None:
    """g(C(w + rho g(w))) on the support of C, + share * g(w); batch norm keeps the statistics of the first pass."""
    world, k, rho = network("perceptron", HEAVY), 50, 0.05
    model = copy.deepcopy(world.template)
    optimiser = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=1e-2)
    for batch in batches(world, HEAVY, STEPS):
        model.train()
        first = gradients(model, batch)
        ascended = copy.deepcopy(model)
        for name, p in ascended.named_parameters():
            p.data += rho * first[name]
        inside = prunable(world, ascended)
        threshold = flat(inside.values()).abs().topk(k).values[-1]
        C = {name: (p.abs() >= threshold).float() for name, p in inside.items()}
        for name, p in inside.items():
            p.data *= C[name]
        second = gradients(ascended, batch)
        for name, p in model.named_parameters():
            p.grad = second[name] * C.get(name, 1.0) + share * first[name]
        optimiser.step()
    agree(world, after(dense(CompressionAware(k, rho, share)), world), model)


def test_cram_without_ascent_and_cut_is_sgd() -> None:
    world = network("residual", HEAVY)
    sgd = after(dense(Gate()), world)
    same = after(dense(CompressionAware(world.layout.n, radius=0.0, dense=0.0)), world)
    assert torch.equal(same.x, sgd.x) and all(torch.equal(same.slots[name], a) for name, a in sgd.slots.items())
    assert not torch.equal(after(dense(CompressionAware(5)), world).x, sgd.x)


def test_after_the_cut_cram_corrects_the_statistics_of_batch_norm_and_nothing_else() -> None:
    world = network("residual", HEAVY)
    _, seen = states(METHODS["cram"](Plan(world.layout, 40, 60, HEAVY)), world)
    trained, last = seen[-2], seen[-1]
    assert last.cost - trained.cost == 3 and torch.equal(last.x, trained.x * last.support)
    assert torch.equal(last.slots["rest"], trained.slots["rest"])
    assert not torch.equal(last.slots["buffer.norm.running_var"], trained.slots["buffer.norm.running_var"])


def test_str_is_its_equation() -> None:
    """W = sign(V) relu(|V| - sigmoid(s)), everything by autograd and one SGD, s with a decay of its own."""
    world, start, decay = network("residual", HEAVY), -3.0, 0.3
    model = copy.deepcopy(world.template)
    s = {name: nn.Parameter(torch.tensor(start)) for name in world.layout.names}
    groups = [{"params": list(model.parameters())}, {"params": list(s.values()), "weight_decay": decay}]
    optimiser = torch.optim.SGD(groups, 0.05, 0.9, weight_decay=1e-2)

    def soft() -> dict[str, Tensor]:
        inside = prunable(world, model).items()
        return {name: p.sign() * torch.relu(p.abs() - torch.sigmoid(s[name])) for name, p in inside}

    model.train()
    for inputs, targets in batches(world, HEAVY, STEPS):
        optimiser.zero_grad()
        cross_entropy(functional_call(model, soft(), (inputs,)), targets).backward()
        optimiser.step()
    state = after(dense(SoftThreshold(world.layout, start, decay, momentum=0.9)), world)
    agree(world, state.but(x=state.slots["latent"]), model)
    torch.testing.assert_close(state.slots["thresholds"], torch.stack(list(s.values())).detach())
    torch.testing.assert_close(state.x, flat(soft().values()))
    moved = state.slots["thresholds"] - start
    assert (moved > 0.1).all() and moved.unique().numel() == len(moved) and (state.x == 0).any()


def test_str_with_a_threshold_of_zero_is_sgd() -> None:
    world = network("residual", HEAVY)
    assert torch.equal(after(dense(SoftThreshold(world.layout, -1e4, 0.0)), world).x, after(dense(Gate()), world).x)


def test_str_is_measured_as_it_will_be() -> None:
    """In the middle of a run, what is tested are the shrunk weights, not the variables behind them."""
    world = network("residual", HEAVY)
    state = after(dense(SoftThreshold(world.layout, start=0.0)), world)
    assert not state.x.any() and state.slots["latent"].any()
    assert not any(p.any() for p in prunable(world, world.module(state)).values())


@pytest.mark.parametrize("sparsity", [0.3, 0.85])
def test_the_decay_of_str_is_found_by_bisection(sparsity: float) -> None:
    """It leaves k weights, or nearly so, where the entry's own guess leaves others; the entry cuts to k anyhow."""
    world = network("perceptron", HEAVY)
    plan = plan_of(world, sparsity, steps=60)

    def left(decay: float | None) -> int:
        soft: Any = soft_threshold(plan, decay=decay).stages[0].phases[0]
        return int(after(Method("soft", (Stage((soft,)),)), world).x.count_nonzero())

    found = decay_for(world, plan)
    assert abs(left(found) - plan.k) < 0.03 * plan.n < 0.1 * plan.n < abs(left(None) - plan.k)
    result = run(soft_threshold(plan, decay=found), world, world.start(0))
    assert int(result.support.sum()) == plan.k


# ---- Top-KAST ------------------------------------------------------------------------------------------------------


def kast(world: Network, k: int, decay: float, recipe: Recipe = BARE, explored: float = 2.0) -> Method:
    return METHODS["top-kast"](Plan(world.layout, k, 160, recipe), decay=decay, period=4, explored=explored)


def uniform(world: Network, k: int) -> list[int]:
    return list(Uniform(k)(0, world.layout))


def test_top_kast_is_its_equation() -> None:
    """alpha = theta on A;  theta_B <- theta_B - eta (g(alpha) + penalty), theta on A and theta / D on B minus A."""
    world, decay = network("residual", BARE), 0.05
    k = world.layout.n // 5
    D = k / world.layout.n
    model, inside = training_copy(world)
    for step, (inputs, targets) in enumerate(batches(world, BARE, 160)):
        if step % 4 == 0:
            A = {n: largest(p.abs(), m) for (n, p), m in zip(inside.items(), uniform(world, k), strict=True)}
            B = {n: largest(p.abs(), m) for (n, p), m in zip(inside.items(), uniform(world, 2 * k), strict=True)}
        alpha = {n: (p.detach() * A[n]).requires_grad_() for n, p in inside.items()}
        rest = {n: p for n, p in model.named_parameters() if n not in inside}
        loss = cross_entropy(functional_call(model, alpha, (inputs,)), targets)
        slopes = torch.autograd.grad(loss, [*alpha.values(), *rest.values()])
        for (n, p), g in zip({**inside, **rest}.items(), slopes, strict=True):
            penalty = decay * p * (A[n] + (B[n] - A[n]) / D) if n in inside else 0.0
            p.data -= 0.1 * (g + penalty) * B.get(n, 1.0)
    for (_, p), m in zip(inside.items(), uniform(world, k), strict=True):
        p.data *= largest(p.abs(), m)
    agree(world, after(kast(world, k, decay), world), model, 1e-5)


@pytest.mark.parametrize("recipe", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_weights_outside_the_backward_set_stand_still_and_enter_it_at_rest(recipe: Recipe) -> None:
    """Whatever weight decay and momentum there is; and A is in B, both of exact size, at every moment."""
    entered = left = 0

    class Watching(Network):
        last: Any = None

        def train(self, state: State, recipe: Recipe, gate: Any, steps: int, total: int) -> State:
            nonlocal entered, left
            new = super().train(state, recipe, gate, steps, total)
            if not isinstance(gate, Exploring):
                return new
            B = new.slots["backward"]
            assert B[state.support].all() and int(B.sum()) == 2 * k and int(state.support.sum()) == k
            assert torch.equal(new.x[~B], state.x[~B]) and not torch.equal(new.x[B], state.x[B])
            at_rest = gate.enter(state)
            slots = [a for name, a in at_rest.slots.items() if name.startswith("momentum.") and name.endswith(".x")]
            if self.last is not None:
                fresh = B & ~self.last
                entered, left = entered + int(fresh.sum()), left + int((self.last & ~B).sum())
                assert slots and not any(a[fresh].any() for a in slots) and any(a[B].any() for a in slots)
            self.last = B
            return new

        def open(self) -> Any:
            return self

    world = Watching(module(), blobs(), recipe=recipe)
    k = world.layout.n // 5
    run(kast(world, k, 1e-4, recipe), world, world.start(0))
    assert entered == left > 20


def test_the_network_runs_on_the_forward_mask_alone() -> None:
    """Counted in the module itself, in every forward pass in training mode."""
    counted: set[int] = set()
    model = module("residual")
    world = Network(model, blobs(), recipe=BARE)
    names, k = world.layout.names, world.layout.n // 5

    def count(own: nn.Module, *_: Any) -> None:
        if own.training:
            counted.add(sum(int(own.get_parameter(name).count_nonzero()) for name in names))

    model.register_forward_pre_hook(count)
    world = Network(model, blobs(), recipe=BARE)
    run(kast(world, k, 1e-2), world, world.start(0))
    assert counted == {k}


def test_top_kast_that_trains_everything_is_dpf_at_a_fixed_k() -> None:
    world = network("residual", HEAVY)
    k = world.layout.n // 5
    method = kast(world, k, 0.0, HEAVY, explored=5.1)
    same = rebuilt(method, lambda part: StraightThrough() if isinstance(part, Exploring) else part)
    assert same != method and torch.equal(after(method, world).x, after(same, world).x)


def test_top_kast_that_explores_nothing_is_magnitude_masking_with_a_period() -> None:
    """B = A: what is outside keeps its first value for ever, and comes back with it or not at all."""
    world = network("residual", HEAVY)
    method, start = kast(world, world.layout.n // 5, 0.0, HEAVY, explored=1.0), world.start(0)
    _, seen = states(method, world)
    ever = torch.zeros_like(start.support)
    for state in seen[:-1]:
        ever |= state.support
        assert torch.equal(state.x[~ever], start.x[~ever])
    assert not ever.all()


# ---- sparse momentum -----------------------------------------------------------------------------------------------


def test_snfs_is_its_equation() -> None:
    """M <- beta M + (1 - beta) g everywhere; drop a share of each layer, regrow by mean |M| between, by |M| within."""
    world, steps = network("residual", HEAVY), 20
    plan = Plan(world.layout, world.layout.n // 4, steps, HEAVY)
    method = METHODS["snfs"](plan)
    _, seen = states(method, world)
    model, inside = training_copy(world)
    mask = {n: m.float() for n, m in world.weights.blocks(seen[0].support)}
    optimiser = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=1e-2)
    M = {n: torch.zeros_like(p) for n, p in inside.items()}
    moved = 0
    for step, batch in enumerate(batches(world, HEAVY, steps)):
        if step:
            share = 0.005 + 0.495 * (1 + math.cos(math.pi * (step - 1) / (steps - 1))) / 2
            means = [float((M[n].abs() * mask[n]).sum() / mask[n].sum().clamp(min=1)) for n in inside]
            gone = {n: math.ceil(share * int(mask[n].sum())) for n in inside}
            kept = {n: largest(p.abs(), int(mask[n].sum()) - gone[n], mask[n]) for n, p in inside.items()}
            grown = shared_out(sum(gone.values()), means, [int((1 - kept[n]).sum()) for n in inside])
            moved += sum(grown[i] != gone[n] for i, n in enumerate(inside))
            for m, n in zip(grown, inside, strict=True):
                mask[n] = kept[n] + largest(M[n].abs(), m, 1 - kept[n])
        clear(inside, mask, optimiser)
        slope = masked_step(model, inside, mask, optimiser, batch)
        M = {n: 0.9 * M[n] + 0.1 * slope[n] for n in inside}
    assert moved > 10
    state = seen[-1]
    assert torch.equal(flat(mask.values()).bool(), state.support)
    agree(world, state, model)
    torch.testing.assert_close(state.slots["average"], flat(M.values()), rtol=1e-5, atol=1e-7)


def test_an_average_without_memory_is_the_last_gradient_and_training_is_masked() -> None:
    """beta = 0; and the weights take the very steps of `Masked`, whatever is averaged."""
    world = network("residual", HEAVY)
    keep = Keep(60)
    results = [
        after(Method("m", (Stage((Phase(keep, Train(STEPS, HEAVY, gate)),)),)), world)
        for gate in (Averaging(beta=0.0), Averaging(), Masked())
    ]
    memoryless, averaged, masked = results
    assert torch.equal(memoryless.x, masked.x) and torch.equal(averaged.x, masked.x)
    before = after(Method("m", (Stage((Phase(keep, Train(STEPS - 1, HEAVY)),)),)), world)
    assert torch.equal(memoryless.slots["average"], world.at(before).gradient(before.x))


@pytest.mark.parametrize("recipe", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_averages_outside_the_support_move_nothing(recipe: Recipe) -> None:
    """Mistake 11: the average knows weights that are masked; x and the optimiser's own slots stay zero there."""
    world = network("residual", recipe)
    _, seen = states(METHODS["snfs"](plan_of(world, 0.8, steps=30)), world)
    for state in seen:
        off = ~state.support
        slots = [a for name, a in state.slots.items() if name.startswith("momentum.") and name.endswith(".x")]
        assert slots and not any(a[off].any() for a in (state.x, *slots)) and state.slots["average"][off].any()


def test_without_redistribution_snfs_is_replacement_by_the_average() -> None:
    """One layer: there is nowhere else to go, and the move is GraNet's with another score."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    world = Network(model, blobs(), recipe=HEAVY)
    method = METHODS["snfs"](Plan(world.layout, 30, 40, HEAVY))
    swap = rebuilt(method, lambda p: SwapShare(p.share, into=p.by) if isinstance(p, Redistribute) else p)
    assert swap != method and torch.equal(after(swap, world).x, after(method, world).x)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30)), min_size=1, max_size=6),
    st.integers(0, 100),
)
def test_shared_out(parts: list[tuple[float, int]], total: int) -> None:
    """Exact, within the room, and where nothing is full each share rounded up or down."""
    weights, room = [w for w, _ in parts], [r for _, r in parts]
    counts = shared_out(total, weights, room)
    assert sum(counts) == min(total, sum(room)) and all(0 <= c <= r for c, r in zip(counts, room, strict=True))
    if sum(weights) > 0 and all(total * w / sum(weights) <= r for w, r in zip(weights, room, strict=True)):
        assert all(abs(c - total * w / sum(weights)) < 1 + 1e-9 for c, w in zip(counts, weights, strict=True))


# ---- GraNet --------------------------------------------------------------------------------------------------------


def test_granet_is_its_equation() -> None:
    """Prune globally to k_r, drop a share of each layer, grow as many by |gradient| at the pruned weights, at zero."""
    world, steps, rounds = network("residual", HEAVY), 60, 59
    n = world.layout.n
    plan = Plan(world.layout, n // 8, steps, HEAVY)
    _, seen = states(METHODS["granet"](plan), world)
    model, inside = training_copy(world)
    mask = {name: m.float() for name, m in world.weights.blocks(seen[0].support)}
    optimiser = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=1e-2)
    for step, batch in enumerate(batches(world, HEAVY, steps)):
        if step:
            t = min(step / int(0.6875 * steps), 1.0)
            k = math.floor(plan.k + (n // 2 - plan.k) * (1 - t) ** 3 + 0.5)
            left = largest(flat(inside.values()).abs(), k, flat(mask.values()))
            mask = {name: m.float() for name, m in world.weights.blocks(left)}
            clear(inside, mask, optimiser)
            slope = gradients(copy.deepcopy(model), batch)
            share = 0.005 + 0.495 * (1 + math.cos(math.pi * (step - 1) / rounds)) / 2
            for name, p in inside.items():
                size = int(mask[name].sum())
                gone = math.ceil(share * size)
                kept = largest(p.abs(), size - gone, mask[name])
                mask[name] = kept + largest(slope[name].abs(), gone, 1 - kept)
        clear(inside, mask, optimiser)
        masked_step(model, inside, mask, optimiser, batch)
    assert torch.equal(flat(mask.values()).bool(), seen[-1].support) and int(seen[-1].support.sum()) == plan.k
    agree(world, seen[-1], model, 1e-5)


@pytest.mark.parametrize("recipe", [HEAVY, ADAM], ids=["momentum", "adam"])
def test_granet_that_regrows_nothing_from_a_dense_start_is_gmp(recipe: Recipe) -> None:
    """Backward elimination on the same cubic, bit for bit."""
    world = network("residual", recipe)
    plan = Plan(world.layout, world.layout.n // 8, 120, recipe)
    granet = granet_of(plan, initial=1.0, share=0.0)
    still = rebuilt(granet, lambda p: CosineShare(0.0, p.rounds, 0.0) if isinstance(p, CosineShare) else p)
    rounds = granet.stages[1].rounds
    (cubic,) = {p.k for p in parts(granet) if isinstance(p, Keep)}
    chunk = 120 // (rounds + 1)
    gmp = convex.backward_elimination(cubic, Magnitude(), plan.train(chunk))
    rest = Stage((Phase(Stay(), plan.train(chunk)),), rounds - cubic.rounds)
    state, expected = after(still, world), after(Method("gmp", (*gmp.stages, rest)), world)
    assert torch.equal(state.x, expected.x) and torch.equal(state.support, expected.support)
    assert not torch.equal(after(granet_of(plan, initial=1.0), world).x, state.x)


# ---- RigL and AC/DC ------------------------------------------------------------------------------------------------


def test_rigl_is_its_equation() -> None:
    """Every chunk drop 0.3/2 (1 + cos(pi t)) of each layer's count, grow as many by |gradient|, at zero."""
    world, T = network("residual", HEAVY), 80
    plan = Plan(world.layout, world.layout.n // 5, T, HEAVY)
    _, seen = states(METHODS["rigl"](plan), world)
    model, inside = training_copy(world)
    mask = {name: m.float() for name, m in world.weights.blocks(seen[0].support)}
    sizes = {name: int(m.sum()) for name, m in mask.items()}
    optimiser = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=1e-2)
    moved = 0
    for step, batch in enumerate(batches(world, HEAVY, T)):
        if step and step % 2 == 0 and step <= 60:
            slope = gradients(copy.deepcopy(model), batch)
            share = 0.3 / 2 * (1 + math.cos(math.pi * (step // 2 - 1) / 30))
            for name, p in inside.items():
                gone = int(share * sizes[name])
                kept = largest(p.abs(), sizes[name] - gone, mask[name])
                moved += gone
                mask[name] = kept + largest(slope[name].abs(), gone, 1 - kept)
        clear(inside, mask, optimiser)
        masked_step(model, inside, mask, optimiser, batch)
    assert moved > 100 and torch.equal(flat(mask.values()).bool(), seen[-1].support)
    agree(world, seen[-1], model, 1e-5)


def test_acdc_is_its_schedule() -> None:
    """Of 200 epochs: compressed at 10, 50, 90, 130, 170, opened again at 30, 70, 110, 150, without momentum."""
    world, epochs = network("residual", HEAVY), 200
    plan = Plan(world.layout, world.layout.n // 5, epochs, HEAVY)
    model, inside = training_copy(world)
    mask = {name: torch.ones_like(p) for name, p in inside.items()}
    optimiser = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=1e-2)
    for epoch, batch in enumerate(batches(world, HEAVY, epochs)):
        if epoch in (10, 50, 90, 130, 170):
            mask = {n: m.float() for n, m in world.weights.blocks(largest(flat(inside.values()).abs(), plan.k))}
            clear(inside, mask, optimiser)
        if epoch in (30, 70, 110, 150):
            mask = {name: torch.ones_like(p) for name, p in inside.items()}
            optimiser.state.clear()
        masked_step(model, inside, mask, optimiser, batch)
    state = after(METHODS["acdc"](plan), world)
    assert torch.equal(flat(mask.values()).bool(), state.support)
    agree(world, state, model, 1e-4)


# ---- early-bird ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, tolerance", [("perceptron", 0.3), ("residual", 0.3), ("residual", 0.0)])
def test_early_bird_is_the_authors_loop_on_channels(name: str, tolerance: float) -> None:
    """A queue of five masks of the scales of batch norm, l1 subgradients on them, Hamming distances to the newest."""
    recipe = Recipe(0.3, Constant(), SGD(0.9, weight_decay=1e-3), batch=16)
    world = Network(module(name), blobs(), prunable=BatchNormScales(), recipe=recipe)
    plan = Plan(world.layout, 5, 80, recipe)
    result = run(early_bird(plan, tolerance=tolerance, strength=0.1), world, world.start(0))
    model = copy.deepcopy(world.template)
    model.train()
    (gamma,) = prunable(world, model).values()
    optimiser = torch.optim.SGD(model.parameters(), 0.3, 0.9, weight_decay=1e-3)
    queue: deque[Tensor] = deque(maxlen=5)
    drawn, mask = None, torch.ones(8)
    for step, (inputs, targets) in enumerate(batches(world, recipe, 80)):
        optimiser.zero_grad()
        cross_entropy(model(inputs), targets).backward()
        gamma.grad += 0.1 * gamma.detach().sign() * (drawn is None)
        gamma.grad *= mask
        optimiser.step()
        if drawn is None and step % 2 == 1:
            queue.append(largest(gamma.abs(), 5))
            apart = [float((queue[-1] != other).float().mean()) for other in list(queue)[:-1]]
            if (len(queue) == 5 and max(apart) <= tolerance) or step == 79:
                drawn, mask = step, queue[-1]
                gamma.data *= mask
                optimiser.state[gamma]["momentum_buffer"] *= mask
    found = [row for row in result.trace if row.stage == 0][-1].cost - 1
    assert found == drawn and (result.status is Status.SUPPORT_STABLE) == (drawn < 79)
    assert torch.equal(mask.bool(), result.support) and result.state.cost == 80
    agree(world, result.state, model, 1e-5)


def test_the_tolerance_is_of_what_masks_can_differ_in() -> None:
    """Two masks of 5 % differ in at most 10 % of n: a tolerance of 0.1 n would end the search at once."""
    layout = Layout.single(1000)
    for k, tolerance in ((50, 0.01), (300, 0.06), (500, 0.1), (700, 0.1)):
        judge: Any = early_bird(Plan(layout, k, 400)).stages[0].judge
        assert judge == SupportStable(4, pytest.approx(tolerance))


def test_an_early_bird_that_any_mask_pleases_is_dense_training_cut_once() -> None:
    """tolerance 1: as soon as there are masks to compare with, the training goes on on the newest."""
    world = network("residual", HEAVY)
    plan = Plan(world.layout, 60, 40, HEAVY)
    method = early_bird(plan, window=1, tolerance=1.0 / min(1.0, 120 / plan.n), strength=0.0)
    result = run(method, world, world.start(0))
    stages = (
        Stage((Phase(Everything(), plan.train(1)),)),
        Stage((Phase(Keep(60), plan.train(39)),)),
    )
    assert result.status is Status.SUPPORT_STABLE
    assert torch.equal(result.x, after(Method("by hand", stages), world).x)


def test_early_bird_is_the_rule_that_ends_iterative_hard_thresholding() -> None:
    """The same judge, the same kind of stage: a look at what thresholding would keep."""
    stage = early_bird(plan_of(network(), steps=400)).stages[0]
    iht = convex.iht(5, judge=SupportStable(4, 0.1)).stages[0]
    assert type(stage.judge) is type(iht.judge)
    assert [type(p.move) for p in stage.phases] == [type(p.move) for p in iht.phases]


def test_channels_need_batch_norm() -> None:
    with pytest.raises(InvalidInput, match=r"no parameter of Tied is prunable by BatchNormScales\(\).*Give a rule"):
        Network(module("tied"), blobs(), prunable=BatchNormScales())


def test_lasso_is_the_subgradient_of_the_l1_norm() -> None:
    g, v = torch.zeros(3), torch.tensor([2.0, 0.0, -0.5])
    Lasso(0.1).gradient(g, v, None)
    assert torch.equal(g, torch.tensor([0.1, 0.0, -0.1]))


# ---- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: type(gate).__name__)
def test_a_gates_repr_is_python(gate: Gate) -> None:
    names = {type(g).__name__: type(g) for g in GATES}
    assert eval(repr(gate), {**names, "Layout": Layout}) == gate


@pytest.mark.parametrize("recipe", [HEAVY, ADAM], ids=["momentum", "adam"])
@pytest.mark.parametrize("gate", range(len(GATES)), ids=[type(gate).__name__ for gate in GATES])
def test_a_fit_that_is_interrupted_goes_on_as_if_it_had_not_been(gate: int, recipe: Recipe) -> None:
    """All that a gate gathers is in the state: bit for bit, from every chunk, in a world that is new each time."""
    whole = network("residual", recipe)
    n, layout = whole.layout.n, whole.layout
    through = (
        Averaging(), Exploring(tuple(uniform(whole, n // 2)), layout, 0.1), TopProducts(n // 4),
        CompressionAware(n // 4), SoftThreshold(layout, -3.0, 0.1), Lasso(0.1),
    )[gate]  # fmt: skip
    method = Method("m", (Stage((Phase(Keep(n // 3), Train(13, recipe, through)),), rounds=2),))
    expected = after(method, whole)
    _, seen = states(method, network("residual", recipe, chunk=4))
    assert len(seen) == 8
    for state in seen:
        again = run(method, network("residual", recipe, chunk=3), state).state
        assert difference(again, expected) == ""


@pytest.mark.parametrize("method", ["granet", "snfs", "top-kast", "early-bird", "gsm", "cram", "str"])
def test_what_is_measured_last_is_at_the_sparsity_asked_for(method: str) -> None:
    """Mistake 12: an accuracy from before the weights were gone. The last row is of k weights, and none follows it."""
    world = network("residual", HEAVY)
    plan = Plan(world.layout, world.layout.n // 5, 60, HEAVY)
    result = run(METHODS[method](plan), world, world.start(0), measure=lambda s: {"accuracy": world.test(s)[1]})
    last = list(result.trace)[-1]
    assert last.size == plan.k == int(result.support.sum())
    assert last.measured["accuracy"] == world.test(result.state)[1]
