"""ThiNet's selection against the published loop and enumeration, and what it sees of networks against their outputs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from torch import nn

import nets
import sparsopt
from nets.catalogue import METHODS
from nets.local_models import Layerwise, Solve
from nets.structured import Channels
from nets.structured.contributions import Samples, contributions
from nets.structured.rule import FoundChannels
from nets.structured.thinet import Deletion, Eliminate, Elimination, Reweigh, coefficients, eliminated, members
from nets.training import Network
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.fits import Exact, Restrict
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Stay
from sparsopt.schedules import Geometric, Linear
from tests.channels import IMAGES, ZOO, lived_in
from tests.conftest import scaled
from tests.networks import CLASSES, MOMENTUM, blobs
from tests.worlds import draw, torch_world

EVERYTHING = Samples(10**6, 3)


def world(name: str) -> tuple[Network, Any]:
    """A network of the zoo whose x are its channels, and their structure."""
    model = lived_in(name)
    rule = Channels().found(model, IMAGES)
    network = Network(model, blobs(), prunable=rule, recipe=MOMENTUM)
    return network, rule.structure(network.layout)


# ---- the selection ---------------------------------------------------------------------------------------------------


def published(X: np.ndarray, k: int) -> set[int]:
    """The loop of the authors' code: the removed columns' sum stays as small as it can, column by column."""
    gone: list[int] = []
    while len(gone) < X.shape[1] - k:
        left = [c for c in range(X.shape[1]) if c not in gone]
        gone.append(min(left, key=lambda c: float(np.linalg.norm(X[:, [*gone, c]].sum(1)))))
    return set(range(X.shape[1])) - set(gone)


@given(st.integers(0, 2**31), st.integers(1, 6))
@profile(max_examples=scaled(40))
def test_the_selection_is_the_published_loop(seed: int, k: int) -> None:
    """And at most as good as the best of all subsets, which it is for one column too many."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((20, 7)) * rng.uniform(0.1, 2, 7)
    stays = eliminated(sparsopt.LeastSquares(X, X.sum(1)), k)
    assert set(np.flatnonzero(stays)) == published(X, k)
    best = min(np.linalg.norm(X[:, list(out)].sum(1)) for out in itertools.combinations(range(7), 7 - k))
    found = np.linalg.norm(X[:, ~stays].sum(1))
    assert found >= best - 1e-12 and (k < 6 or found == pytest.approx(best))


@given(st.integers(0, 2**31))
@profile(max_examples=scaled(40))
def test_a_deletion_costs_what_it_says(seed: int) -> None:
    """At any point, on any quadratic: f without a coordinate, less f."""
    rng = np.random.default_rng(seed)
    problem = sparsopt.LeastSquares(rng.standard_normal((9, 4)), rng.standard_normal(9))
    state = problem.start(0).but(x=rng.standard_normal(4))
    for j, cost in enumerate(Deletion()(problem, state)):
        without = np.where(np.arange(4) == j, 0.0, state.x)
        assert cost == pytest.approx(problem.value(without) - problem.value(state.x), abs=1e-10)


def test_other_searches_and_the_ends() -> None:
    rng = np.random.default_rng(0)
    problem = sparsopt.LeastSquares(X := rng.standard_normal((30, 8)), X.sum(1))
    assert (eliminated(problem, 3, "omp") == sparsopt.solve(problem, 3, "omp").support).all()
    assert not eliminated(problem, 0).any() and eliminated(problem, 8).all()
    with pytest.raises(InvalidInput, match="unknown method 'ompp'"):
        eliminated(problem, 3, "ompp")


@given(st.integers(0, 2**31), st.integers(1, 7))
@profile(max_examples=scaled(40))
def test_coefficients_are_the_restricted_minimiser(seed: int, rank: int) -> None:
    """The restricted minimiser of y = X 1; where there are many, the one nearest to 1."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((20, rank)) @ rng.standard_normal((rank, 7))
    stays = rng.permutation(7) < 4
    w = coefficients(X, stays)
    nearest = 1 + np.linalg.lstsq(X[:, stays], X[:, ~stays].sum(1), rcond=1e-9)[0]
    np.testing.assert_allclose(w[stays], nearest, rtol=1e-5, atol=1e-6)
    if rank == 7:
        exact = sparsopt.LeastSquares(X, X.sum(1)).minimise_on(stays, None)[0]
        np.testing.assert_allclose(w[stays], exact[stays], rtol=1e-6, atol=1e-7)


# ---- what is seen of a network ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["grouped", "depthwise", "dense", "flattened", "tied", "residual", "resnet"])
def test_a_row_is_an_output_and_its_parts_are_what_channels_change(name: str) -> None:
    """Sums are outputs less their bias; without a channel of layers that only feed forward a sum lacks its part."""
    network, structure = world(name)
    state = network.start(0)
    outputs: dict[str, list[float]] = {}
    names = {id(p): name for name, p in network.engine.model.named_parameters()}  # shared ones by their first name
    for module in network.engine.model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):

            def look(module: Any, _: Any, out: torch.Tensor, name: str = names[id(module.weight)]) -> None:
                bias = 0.0 if module.bias is None else module.bias.view(-1, *[1] * (module.weight.dim() - 2))
                outputs.setdefault(name, []).extend((out - bias).detach().flatten().tolist())

            module.register_forward_hook(look)
    for number in range(len(set(structure.layers))):
        layer = members(structure, number)
        outputs.clear()
        reads = contributions(network, state, structure, layer, EVERYTHING, (3, number))
        assert reads and {c for read in reads for c in read.columns.tolist() if c >= 0} <= set(range(len(layer)))
        for read in reads:
            whole = read.columns.min() >= 0  # no channel of another layer
            values = np.sort(np.array(outputs[read.name]))
            near = np.searchsorted(values, read.X.sum(1)).clip(1, len(values) - 1)
            gap = np.minimum(abs(values[near] - read.X.sum(1)), abs(values[near - 1] - read.X.sum(1)))
            assert not whole or gap.max() < 1e-5
        if name not in ("resnet", "tied"):  # there a channel reads itself, further on
            off = torch.from_numpy(structure.units(network.layout.n) != layer[0])
            fewer = contributions(network, state.but(x=state.x * off), structure, layer, EVERYTHING, (3, number))
            for read, less in zip(reads, fewer, strict=True):
                np.testing.assert_allclose(less.X[:, 1:], read.X[:, 1:], atol=1e-5)
                assert not less.X[:, 0].any() and (name == "residual" or read.X[:, 0].any())


def test_images_of_each_class_and_places_by_key() -> None:
    network, structure = world("flattened")
    layer, state = members(structure, 0), network.start(0)
    sizes = {n: len(contributions(network, state, structure, layer, Samples(n, 2), (0,))[0].X) for n in (1, 4, 99)}
    assert sizes == {1: 2 * CLASSES, 4: 8 * CLASSES, 99: 2 * 70}
    one, again, other = (contributions(network, state, structure, layer, Samples(4, 2), (s,))[0].X for s in (0, 0, 1))
    assert (one == again).all() and not (one == other).all()
    with pytest.raises(InvalidInput, match="at least one image"):
        Samples(0)


class Volumes(nn.Module):
    """The next layer is a convolution of volumes."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv3d(1, 3, 1), nn.Conv3d(3, 2, 1), nn.Linear(2, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.two(self.one(x.unsqueeze(2)).relu()).mean((2, 3, 4)))


def test_a_next_layer_that_cannot_be_seen_is_named() -> None:
    with pytest.raises(MissingCapability, match=r"what two.weight receives.*l1-filters"):
        nets.prune(Volumes(), blobs(), "thinet", 0.3, MOMENTUM, epochs=1)


# ---- two worlds ------------------------------------------------------------------------------------------------------


def linear(hidden: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, hidden), nn.ReLU(), nn.Linear(hidden, 1)).double()


def test_a_hidden_layer_and_the_convex_problem_are_one() -> None:
    """One output, every image: the same supports as backward elimination on LeastSquares, and outputs X w."""
    for seed in range(scaled(10)):
        model, k = linear(9, seed), 1 + seed % 8
        data = nets.data.from_arrays(blobs().images.double(), blobs().labels % 2 * 0)
        rule = Channels().found(model, IMAGES.double())
        network = Network(model, data, prunable=rule, recipe=MOMENTUM)
        structure = rule.structure(network.layout)
        parts = Eliminate(k, structure, Samples(10**6, 1)), Reweigh(structure, Samples(10**6, 1))
        pruned = run(Method("layer", (Stage((Phase(*parts),)),)), network, network.start(seed))

        ((inputs, _),) = data.evaluation(data.images, data.labels, dtype=torch.float64)
        with torch.no_grad():
            hidden = model[:3](inputs).numpy()  # type: ignore[index]
            after = network.module(pruned.state)(inputs).numpy()[:, 0]
        bias = float(model[3].bias.detach())  # type: ignore[index]
        X = hidden * model[3].weight.detach().numpy()  # type: ignore[index]
        problem = sparsopt.LeastSquares(X, X.sum(1))
        stages = sparsopt.catalogue.backward_elimination(Linear(9, k, 9 - k), Deletion(), Restrict()).stages
        start = problem.start(0).but(x=np.ones(9), support=np.ones(9, dtype=bool))
        convex = run(Method("convex", (*stages, Stage((Phase(Stay(), Exact()),)))), problem, start)
        kept = set(structure.units(network.layout.n)[pruned.support.numpy()])
        assert kept == set(np.flatnonzero(convex.support)) and len(kept) == k
        np.testing.assert_allclose(after, X @ convex.x + bias, rtol=1e-9, atol=1e-9)


def test_single_weights_are_chosen_alike_in_both_worlds() -> None:
    """On one linear layer: elimination on LeastSquares from its weights, and `Solve` on the layer's local model."""
    for seed in range(scaled(20)):
        X, y, w, k, _ = draw(seed)
        network, n = torch_world(X, y, w), X.shape[1]
        move = Solve(k, Layerwise(10**6, 1e-12), Elimination(6))
        support = move(network.at(network.start(seed)), network.start(seed)).numpy()
        problem = sparsopt.LeastSquares(X, X @ w)
        start = problem.start(0).but(x=w, support=np.ones(n, dtype=bool))
        convex = sparsopt.catalogue.backward_elimination(Geometric(n, k, 6), Deletion(), Restrict())
        assert (run(convex, problem, start).support == support).all()


# ---- whole runs ------------------------------------------------------------------------------------------------------


def test_layers_are_cut_in_turn_and_made_up_for() -> None:
    """Every round takes from one layer only; the outputs change least with the least-squares coefficients."""
    network, structure = world("flattened")
    plan = nets.Plan(network.layout, 5, 10, MOMENTUM, structure)
    method = METHODS["thinet"](plan, tune=0.0)
    main = method.stages[1]
    state = network.start(0).but(stage=0)
    for number in range(main.rounds):
        now = state.but(round=number)
        support = main.phases[0].move(network.at(now), now)
        gone = np.unique(structure.units(network.layout.n)[(state.support & ~support).numpy()])
        layer = members(structure, number)
        assert set(gone) <= set(layer) and len(layer) - len(gone) == (2, 3)[number]
        read, *_ = contributions(network, state, structure, layer, Samples(), (0, number))
        stays = ~np.isin(layer, gone)
        left = np.linalg.norm(
            read.X @ (coefficients(read.X, stays) - 1) + read.X @ ~stays * 0 - read.X[:, ~stays].sum(1)
        )
        assert left <= np.linalg.norm(read.X[:, ~stays].sum(1)) + 1e-9
        before = network.module(state).get_parameter(read.name)
        state = main.phases[0].fit(network, now.but(support=support))
        after = network.module(state).get_parameter(read.name)
        scale = np.append(coefficients(read.X, stays), 1.0)[read.columns]
        shape = (1, -1, *[1] * (before.dim() - 2))
        expected = before.detach() * torch.from_numpy(scale).to(before).view(shape)
        inside = torch.from_numpy(np.append(stays, True)[read.columns])
        torch.testing.assert_close(after[:, inside], expected[:, inside])
    assert structure.size(state.support) == 5


def test_nothing_to_remove_changes_nothing() -> None:
    data, model = blobs(), lived_in("resnet")
    one, two = (nets.prune(model, data, m, 0.0, MOMENTUM, epochs=2) for m in ("l1-filters", "thinet"))
    assert one.sparsity == two.sparsity == 0.0
    network, structure = world("resnet")
    state = network.start(0)
    found = Reweigh(structure)(network, state)
    assert torch.equal(found.x, state.x) and torch.equal(found.slots["rest"], state.slots["rest"])


def test_settings() -> None:
    assert isinstance(Channels().found(lived_in("resnet"), IMAGES), FoundChannels)
    outcome = nets.prune(lived_in("resnet"), blobs(), "thinet", 0.5, MOMENTUM, epochs=1, settings={"search": "omp"})
    assert outcome.sparsity == 0.5 and outcome.unit == "channels" and outcome.cost["gradients"] == 4
    with pytest.raises(InvalidInput, match="tune = -1"):
        nets.prune(lived_in("resnet"), blobs(), "thinet", 0.5, MOMENTUM, epochs=1, settings={"tune": -1.0})
    assert set(ZOO) >= {"resnet", "flattened"}
