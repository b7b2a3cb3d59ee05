"""Scores of networks against brute force: finite differences over masks, conservation laws, equivariance."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nets.scores
from nets.recipe import Recipe
from nets.sampled import CHUNK, balanced
from nets.scores import SNIP, GraSP, Inverted, SynFlow
from nets.training import Network
from sparsopt import support as sp
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.fits import Restrict
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Keep, Magnitude
from sparsopt.schedules import Geometric
from sparsopt.state import State
from tests.networks import MODULES, blobs, module, network
from tests.toys import random_quadratic

ALL = (SNIP(), GraSP(), SynFlow(), Inverted(SNIP()))
SMOOTH = ("tied", "residual", "attention", "recurrent")


def double(name: str, seed: int = 0) -> tuple[Network, State]:
    """A network in float64 and a state that has lost a third of its weights."""
    world = Network(module(name, seed).double(), blobs(), prunable=MODULES[name][1], recipe=Recipe(batch=16))
    state = world.start(seed)
    third = sp.top(torch.rand(state.x.shape, generator=torch.Generator().manual_seed(seed)), 2 * world.layout.n // 3)
    return world, Restrict()(world, state.but(support=third))


def deep(widths: tuple[int, ...], seed: int = 0) -> Network:
    """A perceptron without biases."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pairs = itertools.pairwise((36, *widths, 3))
        layers = [layer for a, b in pairs for layer in (nn.Linear(a, b, bias=False), nn.ReLU())][:-1]
    return Network(nn.Sequential(nn.Flatten(), *layers), blobs())


def blocks(world: Network, score: Tensor) -> list[Tensor]:
    return [score[block] for block in world.layout.slices]


@pytest.mark.parametrize("score", [GraSP(), SynFlow()], ids=repr)
def test_what_is_off_the_mask_has_no_say(score: Any) -> None:
    """A dense x with a support, as gates keep it, scores as the restricted one."""
    world, state = double("tied")
    dense = state.but(x=state.x + (~state.support) * 0.5)
    torch.testing.assert_close(score(world.at(dense), dense), score(world.at(state), state), rtol=0, atol=0)


# ---- SNIP ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMOOTH)
def test_snip_is_the_derivative_by_the_mask(name: str) -> None:
    """|dL/dm_j| by central differences, at weights that are kept (off the mask w is zero and so is the score)."""
    world, state = double(name)
    f = world.at(state)
    score, sampled, eps = SNIP(4)(f, state), f.sampled(4), 1e-5
    assert not score[~state.support].any()
    for j in state.support.nonzero().squeeze(1)[::11].tolist():
        m = torch.zeros_like(state.x)
        m[j] = eps
        slope = (sampled.value(state.x * (1 + m)) - sampled.value(state.x * (1 - m))) / (2 * eps)
        assert score[j] == pytest.approx(abs(slope), rel=1e-4, abs=1e-8)


def test_snip_of_dense_weights_asks_what_a_return_would_do() -> None:
    """FORCE: w dense, gradient at the masked point; the derivative by the mask at m_j = 0."""
    world, state = double("tied")
    dense = world.start(0).x
    score, f = SNIP(4)(world.at(state), state.but(x=dense)), world.at(state).sampled(4)
    off = (~state.support).nonzero().squeeze(1)
    for j in off[::9].tolist():
        m = torch.zeros_like(dense)
        m[j] = 1e-5
        slope = (f.value(state.x + m * dense) - f.value(state.x - m * dense)) / 2e-5
        assert score[j] == pytest.approx(abs(slope), rel=1e-4, abs=1e-8)
    assert score[off].any()


# ---- GraSP ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMOOTH)
def test_grasp_is_weights_times_hessian_times_gradient(name: str) -> None:
    """H g by differences of gradients along g; attention and LSTM too, whose fast kernels have no second derivative."""
    world, state = double(name)
    f = world.at(state).sampled(4, 200.0)
    g = sp.restrict(f.gradient(state.x), state.support)
    eps = 1e-4 / float(g.norm())
    product = (f.gradient(state.x + eps * g) - f.gradient(state.x - eps * g)) / (2 * eps)
    found = GraSP(4)(world.at(state), state)
    assert torch.allclose(found, state.x * product, rtol=1e-4, atol=1e-6 * float((state.x * product).abs().max()))
    assert found.any()


def test_grasp_says_what_the_gradient_norm_loses() -> None:
    """d|g|^2 / dm_j = 2 w_j (Hg)_j: mistake 10 is the sign. Following the score keeps more gradient flow than not."""
    world, state = double("residual")
    state = state.but(support=sp.everything(state.x), x=world.start(0).x)
    f, score = world.at(state).sampled(4, 200.0), GraSP(4)(world.at(state), state)

    def flow(x: Tensor) -> float:
        return float(f.gradient(x).square().sum())

    for j in range(0, world.layout.n, 37):
        m = torch.zeros_like(state.x)
        m[j] = 1e-5
        slope = (flow(state.x * (1 + m)) - flow(state.x * (1 - m))) / 2e-5
        assert slope == pytest.approx(2 * float(score[j]), rel=1e-3, abs=1e-6 * flow(state.x))
    k = world.layout.n - 10
    kept, inverted = (flow(sp.restrict(state.x, sp.top(by, k))) for by in (score, -score))
    assert kept > flow(state.x) > inverted
    assert torch.equal(Keep(k, GraSP(4))(world.at(state), state), sp.top(score, k)), "the largest are kept"


def test_a_loss_without_curvature_has_no_product() -> None:
    world, state = double("tied")
    f = world.at(state).sampled(2)
    f._loss = lambda outputs, targets: (outputs * 0).sum()  # type: ignore[method-assign]
    assert not f.hessian_product(state.x, state.x).any()


# ---- SynFlow -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_flow_is_conserved(seed: int) -> None:
    """Theorems 1 and 2: the scores of each layer sum to R, and what flows into a unit flows out of it."""
    world = deep((9, 7, 8), seed)
    state = world.start(seed)
    state = Restrict()(world, state.but(support=sp.top(state.x.abs(), 2 * world.layout.n // 3)))
    score = SynFlow()(world.at(state), state)
    R = torch.ones(36, dtype=torch.float64)
    for _, W in world.weights.blocks(state.x.double()):
        R = W.abs() @ R
    parts = [score[b].view(shape) for b, shape in zip(world.layout.slices, world.layout.shapes, strict=True)]
    for part in parts:
        assert float(part.sum()) == pytest.approx(float(R.sum()), rel=1e-12)
    for into, out in itertools.pairwise(parts):
        assert torch.allclose(into.sum(1), out.sum(0), rtol=1e-12)


def test_rescaling_a_layer_rescales_all_flows_alike() -> None:
    world = deep((9, 7))
    state = world.start(0)
    base = SynFlow()(world.at(state), state)
    x = state.x.clone()
    x[world.layout.slices[1]] *= -0.125
    assert torch.allclose(SynFlow()(world.at(state), state.but(x=x)), base / 8, rtol=1e-12)


def collapsed(world: Network, by: Any, k: int, rounds: int) -> int:
    """How many layers have no weight left."""
    method = Method("prune", (Stage((Phase(Keep(Geometric(world.layout.n, k, rounds), by), Restrict()),), rounds),))
    support = run(method, world, world.start(0)).support
    assert sp.count(support) == k
    return sum(count == 0 for count in sp.block_counts(support, world.layout))


@pytest.mark.parametrize("widths", [(30, 30), (40, 20, 10), (100,), (12, 12, 12, 12, 12)])
def test_synflow_never_collapses(widths: tuple[int, ...]) -> None:
    """Theorem 3, down to one weight a layer; magnitude at once, and one round of SynFlow, do."""
    world = deep(widths)
    layers = len(widths) + 1
    for k in (layers, layers + 1, 2 * layers, 50):
        assert collapsed(world, SynFlow(), k, 100) == 0, k
    assert collapsed(world, Magnitude(), layers, 1) > 0
    assert collapsed(world, SynFlow(), layers, 1) > 0


def test_flow_needs_double_precision() -> None:
    """Forty layers of width 100: R is beyond float32."""
    world = deep((100,) * 40)
    state = world.start(0)
    x = state.x * 10
    score = SynFlow()(world.at(state), state.but(x=x))
    assert score.dtype == torch.float64 and score.isfinite().all()
    assert float(blocks(world, score)[0].sum()) > 1e39


def test_flow_of_batch_norm_and_biases_is_that_of_their_sizes() -> None:
    """As the reference code: absolute values of the whole state dict, then one backward pass, in evaluation mode."""
    for name in ("perceptron", "residual"):
        world = network(name)
        state = world.start(0)
        noise = torch.Generator().manual_seed(0)
        slots = {
            key: torch.randn(slot.shape, generator=noise) if slot.is_floating_point() else slot
            for key, slot in state.slots.items()
        }
        state = state.but(slots=slots)
        model = world.module(state).double().eval()
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.abs_()
        model(torch.ones(1, 1, 6, 6, dtype=torch.float64)).sum().backward()
        parameters = [model.get_parameter(block) for block in world.layout.names]
        expected = torch.cat([(p * p.grad).abs().reshape(-1) for p in parameters])  # type: ignore[operator]
        found = SynFlow()(world.at(state), state)
        assert torch.allclose(found, expected, rtol=1e-10, atol=0) and found.any()


# ---- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ALL, ids=repr)
@pytest.mark.parametrize("name", MODULES)
def test_every_module_gets_finite_scores_and_stays_as_it_was(name: str, score: Any) -> None:
    model = module(name)
    before = copy.deepcopy(model.state_dict())
    world = Network(model, blobs(), prunable=MODULES[name][1])
    state, generator = world.start(0), torch.get_rng_state()
    found, again = score(world.at(state), state), score(world.at(state), state)
    assert found.shape == state.x.shape and found.isfinite().all() and found.any() and not found.requires_grad
    assert torch.equal(found, again) and torch.equal(generator, torch.get_rng_state())
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert eval(repr(score), dict(vars(nets.scores))) == score


@pytest.mark.parametrize("score", ALL, ids=repr)
def test_scores_leave_no_trace_in_what_follows(score: Any) -> None:
    """Training mode moves batch norm's statistics, double backward leaves gradients: none of it reaches the next."""
    world = network("perceptron").open()
    state = world.start(0)
    f = world.at(state)
    before = (f.gradient(state.x), f.value(state.x))
    score(f, state)
    assert torch.equal(f.gradient(state.x), before[0]) and f.value(state.x) == before[1]


def test_other_rounds_and_seeds_see_other_samples() -> None:
    world = network("tied")
    state = world.start(0)
    first = SNIP(2)(world.at(state), state)
    for other in (state.but(round=1), state.but(seed=1)):
        assert not torch.equal(SNIP(2)(world.at(other), other), first)
    assert torch.equal(SNIP(2)(world.at(state), state.but(clock=5)), first)


def test_samples_are_balanced() -> None:
    labels = torch.tensor([0] * 50 + [1] * 3 + [3] * 20)
    rows = balanced(labels, 5, 0)
    assert labels[rows].bincount().tolist() == [5, 3, 0, 5] and len(rows.unique()) == 13
    assert torch.equal(rows, balanced(labels, 5, 0)) and not torch.equal(rows, balanced(labels, 5, 1))
    assert labels[balanced(labels, 5, 0)].diff().count_nonzero() > 3, "mixed, not class by class"
    assert len(balanced(labels, 100, 0)) == len(labels)


def test_many_samples_are_summed_in_chunks() -> None:
    """More than fit at once: the mean of all, for value, gradient and second derivative."""
    world = Network(module("tied").double(), blobs(train=2 * CHUNK + 40), recipe=Recipe(batch=16))
    state = world.start(0)
    f = world.at(state).sampled(1000)
    v = torch.randn(state.x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = (torch.tensor(f.value(state.x)), f.gradient(state.x), f.hessian_product(state.x, v))
    assert len(f.chunks) == 3
    f.chunks = [(torch.cat([x for x, _ in f.chunks]), torch.cat([y for _, y in f.chunks]))]
    whole = (torch.tensor(f.value(state.x)), f.gradient(state.x), f.hessian_product(state.x, v))
    for a, b in zip(found, whole, strict=True):
        assert torch.allclose(a.double(), b.double(), rtol=1e-10, atol=1e-12)


def test_the_mode_is_batch_norm() -> None:
    world = network("perceptron")
    state = world.start(0)
    train, evaluation = (SNIP(mode=mode)(world.at(state), state) for mode in ("train", "eval"))
    assert not torch.allclose(train, evaluation, rtol=0.01)


@pytest.mark.parametrize("score", [SNIP(0), SNIP(mode="both"), GraSP(temperature=0.0)], ids=repr)
def test_impossible_scores_are_refused(score: Any) -> None:
    world = network("tied")
    with pytest.raises(InvalidInput, match=r"must be positive, mode = .* one of train, eval"):
        score(world.at(world.start(0)), world.start(0))


@pytest.mark.parametrize("score", ALL, ids=repr)
def test_a_convex_problem_says_what_it_lacks(score: Any) -> None:
    problem = random_quadratic(0)
    method = Method("once", (Stage((Phase(Keep(2, score), Restrict()),)),))
    with pytest.raises(MissingCapability, match=r"needs (sampled|flow)"):
        run(method, problem, problem.start(0))
