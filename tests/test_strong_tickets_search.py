"""Searches on frozen sources, their gates, the LeNet study and the command line."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
import tyro
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import nn

import nets
from nets import models
from nets import strong_tickets as st
from nets.catalogue import Plan, searches
from nets.recipe import SGD, Adam, Constant, Recipe
from nets.relaxations import EdgePopup, GemMiner, Rescaled, Scale, Supermask, TopScores
from nets.strong_tickets import command, search, study
from nets.strong_tickets.steps import Activation, Dense
from nets.training import Network, Train
from sparsopt.errors import DataError, InvalidInput, MissingCapability
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Everything
from tests.conftest import scaled

STEPS = (Dense(64, 12), Activation("relu"), Dense(12, 10))


def toy(seed=0, recipe=Recipe(0.1, Constant(), SGD(0.0, weight_decay=0.0), batch=16)):
    rng = np.random.default_rng(seed)
    data = nets.data.from_arrays(rng.normal(size=(64, 6)), rng.integers(0, 3, 64))
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    data = dataclasses.replace(data, test_images=data.images, test_labels=data.labels)
    return Network(model, data, recipe=recipe), recipe


def gates(network):
    return [
        EdgePopup((20, 10), network.layout), TopScores(k=30), Supermask(), GemMiner(penalty=0.1)
    ]  # fmt: skip


# ---- gates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", range(4))
def test_weights_are_frozen_and_chunks_change_nothing(which):
    network, recipe = toy()
    gate = gates(network)[which]
    method = Method("m", (Stage((Phase(Everything(), Train(12, recipe, gate)),)),))
    start = network.start(3)
    before = torch.get_rng_state()
    whole = run(method, network, start).state
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(whole.x, start.x) and torch.equal(whole.slots["rest"], start.slots["rest"])
    assert not torch.equal(whole.slots["scores"], gate.enter(start).slots["scores"])
    network.chunk = 5
    assert torch.equal(run(method, network, start).state.slots["scores"], whole.slots["scores"])


@given(seed=some.integers(0, 10**4), which=some.integers(0, 3))
@settings(max_examples=scaled(20))
def test_one_step_is_the_papers_update(seed, which):
    """s - rate * (gradient at the masked weights) * w * (the gate's own derivative), by autograd on a plain module."""
    network, recipe = toy(seed)
    gate = gates(network)[which]
    state = gate.enter(network.start(seed))
    s, w = state.slots["scores"].clone(), state.x.clone()
    new = network.open().train(state, recipe, gate, 1, 1).slots["scores"]
    bits = torch.zeros_like(w)
    if which == 0:
        for k, block in zip((20, 10), network.layout.slices, strict=True):
            bits[block.start + s[block].abs().topk(k).indices] = 1
    elif which == 1:
        bits[s.topk(30).indices] = 1
    elif which == 2:
        moved = (new - s).abs() > 0  # which bits were drawn is not known; the update says it through the gradient below
    else:
        bits = (s >= 0.5).to(s)
    if which == 2:
        assert moved.any() and (s.abs() == 2).all() and (s > 0).any() and (s < 0).any()
        return
    x, y = network.batches_of(state, recipe).at(0)
    variable = (w * bits).requires_grad_()
    split = [
        variable[block].view(shape) for block, shape in zip(network.layout.slices, network.layout.shapes, strict=True)
    ]
    biases = network.weights.blocks_of_rest(state.slots["rest"])
    out = torch.relu(x @ split[0].T + biases[0][1]) @ split[1].T + biases[1][1]
    g = torch.autograd.grad(nn.functional.cross_entropy(out, y), variable)[0]
    slope = g * w * s.sign() if which == 0 else g * w + (0.2 * s if which == 3 else 0.0)
    expected = s - 0.1 * slope
    torch.testing.assert_close(new, expected.clamp(0, 1) if which == 3 else expected, rtol=1e-9, atol=1e-12)


def test_supermask_bits_have_their_probability_and_gradient():
    network, _ = toy()
    gate = Supermask()
    state = network.start(0)
    s = torch.linspace(-3, 3, network.layout.n, dtype=torch.float64)
    c, total = gate.context(state), torch.zeros_like(s)
    for seed in range(1000):
        torch.manual_seed(seed)
        gate.weights(s, c, torch.empty_like(s))
        total += c.bits
    p = torch.sigmoid(s)
    assert ((total / 1000 - p).abs() < 5 * (p * (1 - p) / 1000).sqrt() + 1e-3).all()
    g = torch.ones_like(s)
    gate.gradient(g, s, c)
    torch.testing.assert_close(g, state.x * torch.autograd.functional.jacobian(lambda t: torch.sigmoid(t).sum(), s))


def test_rescaled_supermasks_have_the_gradient_of_what_they_compute():
    """Autograd of a linear loss through bits made straight-through, the factor of each layer among them."""
    network, _ = toy()
    layout, state = network.layout, network.start(0)
    gate, s = Rescaled(layout=layout), torch.linspace(-3, 3, network.layout.n, dtype=torch.float64)
    c, out, slope = gate.context(state), torch.empty_like(s), torch.randn(layout.n, dtype=torch.float64)
    torch.manual_seed(1)
    gate.weights(s, c, out)
    variable = s.clone().requires_grad_()
    p = variable.sigmoid()
    bits = c.bits + p - p.detach()
    shown = torch.cat([state.x[b] * bits[b] * bits[b].numel() / bits[b].sum() for b in layout.slices])
    torch.testing.assert_close(out, shown.detach())
    (expected,) = torch.autograd.grad((slope * shown).sum(), variable)
    gate.gradient(slope, s, c)
    torch.testing.assert_close(slope, expected)


@given(k=some.integers(2, 72), seed=some.integers(0, 9))
def test_scaled_weights_pass_on_as_much_as_all_of_them_would(k, seed):
    """edge-popup's `scale` = 1/2: the sum of squares of a layer's k times its density is what it was."""
    network, recipe = toy(seed)
    plan = Plan(network.layout, k, 3, dataclasses.replace(recipe, optimiser=Adam()))
    start = network.start(seed)
    found = run(searches.edge_popup(plan, scale=0.5), network, start).state
    plain = run(searches.edge_popup(plan, scale=0.0), network, start).state
    assert torch.equal(plain.x[plain.support], start.x[plain.support])
    for block, size in zip(network.layout.slices, network.layout.sizes, strict=True):
        kept = found.support[block]
        if kept.any():
            ratio = found.x[block][kept] / start.x[block][kept]
            torch.testing.assert_close(ratio, torch.full_like(ratio, (size / int(kept.sum())) ** 0.5))
    assert torch.equal(Scale((1, 1), network.layout, 0.0)(network, start).x, start.x)


# ---- entries -------------------------------------------------------------------------------------------------------


@given(
    seed=some.integers(0, 100),
    share=some.sampled_from([0.05, 0.3, 0.5, 0.95]),
    name=some.sampled_from(sorted(search.SEARCHES)),
)
@settings(max_examples=scaled(25))
def test_searches_keep_exactly_k_of_the_frozen_weights(seed, share, name):
    network, recipe = toy(seed)
    k = round(share * network.layout.n)
    method = search.SEARCHES[name](Plan(network.layout, k, 20, dataclasses.replace(recipe, optimiser=Adam())))
    result = run(method, network, network.start(seed))
    support, start = result.state.support, network.start(seed)
    assert int(support.sum()) == k and result.state.cost == 20
    assert torch.equal(result.state.x[support], start.x[support]) and not result.state.x[~support].any()
    assert torch.equal(result.state.slots["rest"], start.slots["rest"])
    assert (search.SEARCHES[name].__doc__ or "").splitlines()[0].endswith(".")


def test_edge_popup_keeps_the_same_share_of_each_layer():
    network, recipe = toy()
    result = run(search.edge_popup(Plan(network.layout, 36, 5, recipe)), network, network.start(0))
    assert [int(mask.sum()) for _, mask in network.weights.blocks(result.state.support)] == [24, 12]


@pytest.mark.parametrize("construction", [st.TwoForOne(12), st.OneMore(6, 12)])
def test_the_module_of_a_source_is_the_source(construction):
    """With any masks, module and ticket differ by one factor: the scaling of its layers."""
    data = nets.data.load("digits")
    source = st.Source(2, construction.tensors(STEPS))
    module = search.SourceModule(source, construction, STEPS, data)
    rng = np.random.default_rng(0)
    masks = {t.name: rng.random(t.shape) < 0.6 for t in source.tensors}
    with torch.no_grad():
        for name, mask in masks.items():
            module.get_parameter(name).mul_(torch.from_numpy(mask))
        x, _ = next(iter(data.evaluation(data.test_images[:40], data.test_labels[:40])))
        ours = module(x).double().numpy()
    theirs = st.Ticket(2, STEPS, construction, masks)(study.pixels(data.test_images[:40]))
    factor = (ours * theirs).sum() / (theirs * theirs).sum()
    np.testing.assert_allclose(ours, factor * theirs, rtol=0, atol=2e-5 * np.abs(ours).max())


def test_a_searched_ticket_classifies_as_its_run_said():
    data = nets.data.load("digits")
    found = search.search(st.TwoForOne(12), STEPS, 1, data, "edge-popup", 0.5, 250)
    assert found.ticket.kept == round(0.5 * found.ticket.source.size)
    outputs = found.ticket(study.pixels(data.test_images))
    assert abs((outputs.argmax(1) == data.test_labels.numpy()).mean() - found.accuracy) <= 0.004
    assert found.accuracy > 0.7


def test_supermasks_of_deep_sources_need_first_scores_away_from_zero(monkeypatch):
    """With all bits at p = 1/2 six layers pass on the noise of the draw, and nothing is learned."""
    data, relu = nets.data.load("digits"), Activation("relu")
    steps = (Dense(64, 30), relu, Dense(30, 20), relu, Dense(20, 10))
    accuracy = {}
    for size in (0.0, 2.0):
        monkeypatch.setitem(search.SEARCHES, "supermask", functools.partial(searches.supermask, size=size))
        accuracy[size] = search.search(st.TwoForOne(12), steps, 1, data, "supermask", 0.5, 200).accuracy
    assert accuracy[2.0] > 0.85 and accuracy[0.0] < 0.6


def test_gem_miner_trains_the_weights_that_it_mined():
    """The mask of the search with last = 0 and spare = 1; weights start as drawn, at learning-rate time 0."""
    network, recipe = toy()
    plan = Plan(network.layout, 20, 40, recipe)
    mined = run(searches.mining(plan, rounds=29, last=0.0, spare=1), network, network.start(0)).state
    seen = []
    whole = run(searches.gem_miner(plan), network, network.start(0), save=lambda state, _: seen.append(state)).state
    assert torch.equal(whole.support, mined.support) and int(whole.support.sum()) == 20 and whole.cost == 80
    start = next(state for state in seen if state.stage == 4)
    assert torch.equal(start.x, torch.where(mined.support, network.start(0).x, 0.0)) and start.clock == 0
    assert not any(name.startswith("momentum.") for name in start.slots)
    assert not torch.equal(whole.x, start.x) and not torch.equal(whole.slots["rest"], start.slots["rest"])


@pytest.mark.parametrize("method", ["edge-popup", "supermask", "gem-miner"])
def test_searches_prune_any_network_by_name(method):
    """k of the weights as they were drawn (Gem-Miner trains them), far better than a random mask of them."""
    data = nets.data.load("digits")
    build = lambda seed: models.build("lenet-300-100", (1, 8, 8), 10, seed, 0.5)  # noqa: E731
    outcome = nets.prune(build, data, method, 0.5, seed=3, epochs=12)
    assert outcome.sparsity == pytest.approx(0.5, abs=1e-4)
    assert outcome.accuracy > (0.9 if method == "gem-miner" else 0.6)
    drawn = dict(build(3).named_parameters())
    frozen = all(torch.equal(outcome.model.get_parameter(n)[m], drawn[n][m]) for n, m in outcome.masks.items())
    assert frozen == (method != "gem-miner")


def test_search_refuses_what_it_cannot_do():
    data = nets.data.load("digits")
    with pytest.raises(InvalidInput, match="density"):
        search.search(st.TwoForOne(3), STEPS, 0, data, density=0.0)
    with pytest.raises(InvalidInput, match="unknown search 'edge-popop'; did you mean edge-popup"):
        search.search(st.TwoForOne(3), STEPS, 0, data, "edge-popop")
    with pytest.raises(MissingCapability, match="relu and leaky"):
        search.search(st.TwoForOne(3), (Dense(64, 5), Activation("tanh"), Dense(5, 10)), 0, data)


# ---- study and command line ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    return study.lenet("digits", epochs=8, width=0.2)


def test_the_target_of_a_study_is_the_trained_network(trained):
    assert trained.inputs.min() >= 0 and trained.inputs.max() <= 1
    assert trained.accuracy(trained.network) > 0.8


def test_a_study_counts_failures_and_keeps_accuracy(trained):
    trials = list(study.study(trained, (6, 60), range(3), st.Subset("any", 1e-3)))
    rows = study.table(trials)
    assert len({len(row) for row in rows}) == 1 and len(rows) == 3
    assert rows[1][4] == "3" and int(rows[2][4]) < 3
    best = [t for t in trials if t.built.success]
    assert best and all(abs(t.accuracy_gap) <= 0.01 and t.built.sampled <= t.built.certificate.bound for t in best)
    assert study.aligned(rows).count("\n") == 2
    single = list(study.study(trained, (60,), range(1), st.Nearest(1e-3)))  # Malach's rule needs far larger sources
    assert single[0].built.missed > 0.3 * single[0].built.sums


def cli(*words):
    config = tyro.cli(command.StrongTicket, args=list(words))
    config()


def test_build_verify_and_study_from_the_command_line(tmp_path, capsys):
    small = ("--data", "digits", "--epochs", "1", "--width", "0.05")
    cli("build", *small, "--copies", "40", "--out", str(tmp_path / "t.npz"))
    assert "certificate" in capsys.readouterr().out
    cli("verify", str(tmp_path / "t.npz"))
    shown = capsys.readouterr().out
    assert shown.count("ok  ") == 5 and "FAIL" not in shown
    cli("study", *small, "--copies", "10", "30", "--seeds", "2", "--rule", "digits", "--tolerance", "0.05")
    assert capsys.readouterr().out.count("\n") == 3
    target = st.ticket.load_network(command.beside(tmp_path / "t.npz"))
    target.weights[0][:] += 0.5  # another target: the certificate grows with the error, and the checks still hold
    st.ticket.save_network(target, tmp_path / "other.npz")
    cli("verify", str(tmp_path / "t.npz"), "--target", str(tmp_path / "other.npz"))
    assert "FAIL" not in capsys.readouterr().out
    with pytest.raises(DataError):
        cli("verify", str(tmp_path / "none.npz"))
    cli("compare", *small, "--copies", "8", "--seeds", "1", "--length", "5", "--density", "0.25")
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()] == ["masks", "two-for-one", *sorted(search.SEARCHES)]
