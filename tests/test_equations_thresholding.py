"""GSM, AC/DC, Top-KAST and early-bird against plain loops written from their papers' equations alone."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections import deque
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from nets.catalogue import METHODS, Plan
from nets.catalogue.thresholding import early_bird
from nets.gates import (
    Exploring,
    Gate,
    Lasso,
    StraightThrough,
    TopProducts,
)
from nets.recipe import SGD, Constant, Cosine, Recipe
from nets.training import Network
from nets.weights import BatchNormScales
from sparsopt import catalogue as convex
from sparsopt.errors import InvalidInput
from sparsopt.judges import SupportStable
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Everything, Keep
from sparsopt.result import Status
from sparsopt.state import Layout, State
from tests.equations import (
    HEAVY,
    STEPS,
    after,
    agree,
    batches,
    clear,
    dense,
    flat,
    gradients,
    largest,
    masked_step,
    prunable,
    training_copy,
    uniform,
)
from tests.networks import ADAM, MOMENTUM, blobs, module, network, plan_of, rebuilt, states

BARE = Recipe(0.1, Constant(), SGD(0.0, weight_decay=0.0), batch=16, name="bare")


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


def kast(world: Network, k: int, decay: float, recipe: Recipe = BARE, explored: float = 2.0) -> Method:
    return METHODS["top-kast"](Plan(world.layout, k, 160, recipe), decay=decay, period=4, explored=explored)


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
