"""nets.strong_tickets: constructions against plain NumPy and PyTorch, certificates against samples, damaged files."""

from __future__ import annotations

import itertools
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from nets import models
from nets import strong_tickets as st
from nets.strong_tickets import network as nw
from nets.strong_tickets import steps as sp
from nets.strong_tickets.sums import Tally, settle
from nets.strong_tickets.ticket import load_network, save_network
from sparsopt.errors import CheckpointError, DataError, InvalidInput, MissingCapability
from sparsopt.subset_sum.statistics import clopper_pearson
from tests.conftest import scaled

ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "leaky": lambda x: np.where(x > 0, x, 0.01 * x), "tanh": np.tanh,
               "sigmoid": lambda x: 1 / (1 + np.exp(-x))}  # fmt: skip


def dense(seed, widths=(4, 6, 5, 3), activation="relu", scale=1.0):
    rng = np.random.default_rng([17, seed])
    weights = [scale * rng.uniform(-1, 1, (b, a)) / np.sqrt(a) for a, b in itertools.pairwise(widths)]
    return st.dense_network(widths, activation, weights, [rng.uniform(-0.3, 0.3, b) for b in widths[1:]])


def convolutional(seed, steps):
    rng = np.random.default_rng([18, seed])
    linears = sp.linear_steps(steps)
    weights = tuple(rng.uniform(-0.4, 0.4, (s.outputs, s.inputs, *s.taps)) for s in linears)
    return st.Network(steps, weights, tuple(rng.uniform(-0.2, 0.2, s.outputs) for s in linears))


RELU = sp.Activation("relu")
RESIDUAL = (
    sp.Conv(2, 3, 3, 1, 1), RELU, sp.MaxPool(2),
    sp.Residual((sp.Conv(3, 3, 3, 1, 1), RELU, sp.Conv(3, 3, 3, 1, 1))), RELU,
    sp.Residual((sp.Conv(3, 4, 3, 2, 1),), (sp.Conv(3, 4, 1, 2, 0),)), RELU,
    sp.Flatten(), sp.Dense(4, 3),
)  # fmt: skip
SEQUENTIAL = (
    sp.Conv(2, 3, 3, 1, 1), RELU, sp.MaxPool(2), sp.Conv(3, 4, 3, 1, 1), RELU, sp.MeanPool(), sp.Dense(4, 2)
)  # fmt: skip


# ---- the source is first -------------------------------------------------------------------------------------------


def test_source_is_a_function_of_seed_name_and_position():
    frozen = st.source.Frozen("w", (7, 11))
    source = st.Source(3, (frozen,))
    index = np.random.default_rng(0).permutation(77)
    np.testing.assert_array_equal(source.values("w", index), source.dense("w").ravel()[index])
    assert source.digest() != st.Source(4, (frozen,)).digest()
    other = st.Source(3, (st.source.Frozen("v", (7, 11)),))
    assert not np.isin(other.dense("v"), source.dense("w")).any()


@pytest.mark.parametrize(
    ("distribution", "mean", "second"),
    [
        (st.Uniform(2.0), 0.0, 4 / 3),
        (st.Normal(0.5), 0.0, 0.25),
        (st.Signs(), 0.0, 1.0),
        (st.Grid(3), 0.0, sum((k / 8) ** 2 for k in range(-8, 9)) / 17),
        (st.Hyperbolic(0.01), 0.0, (1 - 1e-4) / (2 * np.log(100))),
    ],
)
def test_distributions_have_their_moments(distribution, mean, second):
    x = st.Source(0, (st.source.Frozen("w", (200_000,), distribution),)).dense("w")
    deviation = np.sqrt(second / len(x))
    assert abs(x.mean() - mean) < 5 * deviation
    assert abs((x * x).mean() - second) < 5 * np.sqrt(((x * x).var()) / len(x)) + 1e-12


def test_density_and_locked_fractions():
    source = st.Source(0, (st.source.Frozen("w", (100_000,), density=0.3, locked=0.2),))
    every = np.arange(100_000)
    assert abs((source.dense("w") != 0).mean() - 0.3) < 0.01
    assert abs(source.locked("w", every).mean() - 0.06) < 0.005
    assert not (source.locked("w", every) & (source.dense("w") == 0)).any()


# ---- the collapsed network is the masked network -------------------------------------------------------------------


def by_hand(ticket, x, phi, inner):
    """A fully connected 2L ticket, from masks * whole source matrices."""
    source = ticket.source
    for l in range(1, len(ticket.masks) // 2 + 1):
        u = source.dense(f"first{l}") * ticket.masks[f"first{l}"]
        v = source.dense(f"second{l}") * ticket.masks[f"second{l}"]
        x = inner(np.hstack([x, np.ones((len(x), 1))]) @ u.T) @ v.T
        x = phi(x) if l < len(ticket.masks) // 2 else x
    return x


@pytest.mark.parametrize("inner", ["relu", "leaky"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_two_for_one_is_the_collapsed_network(inner, activation):
    target, domain = dense(1, activation=activation), st.Domain.box((4,))
    built = st.build(target, st.TwoForOne(60, inner=inner), 5, st.Subset("any", 1e-3), domain)
    x = domain.sample(200)
    hand = by_hand(built.ticket, x, ACTIVATIONS[activation], ACTIVATIONS[inner])
    assert np.abs(hand - built.ticket(x)).max() < 1e-12
    assert np.abs(hand - built.ticket.collapsed(x)).max() < 1e-10
    assert built.success and built.sampled < 0.01


@pytest.mark.parametrize("activation", ["relu", "leaky", "tanh", "sigmoid"])
def test_one_more_layer_is_the_collapsed_network(activation):
    curved = activation in ("tanh", "sigmoid")
    many = 200 if activation == "sigmoid" else None
    construction = st.OneMore(30, 40, constants=many, shrink=0.02 if curved else 1.0)
    target, domain = dense(2, (3, 4, 3, 2), activation), st.Domain.box((3,))
    ticket = st.build(target, construction, 1, st.Subset("any", 1e-3, 34), domain).ticket
    assert ticket.depth == len(target.weights) + 1
    source, phi, x = ticket.source, ACTIVATIONS[activation], domain.sample(100)
    h = phi(np.hstack([x, np.ones((len(x), 1))]) @ (source.dense("first") * ticket.masks["first"]).T)
    for l in (1, 2, 3):
        h = h @ (source.dense(f"layer{l}") * ticket.masks[f"layer{l}"]).T
        h = phi(h) if l < 3 else h
    assert np.abs(h - ticket(x)).max() < 1e-10
    assert np.abs(h - ticket.collapsed(x)).max() < (0.2 if curved else 1e-10)


@pytest.mark.parametrize(("steps", "construction"), [
    (RESIDUAL, st.TwoForOne(36)), (SEQUENTIAL, st.TwoForOne(36, inner="leaky")), (SEQUENTIAL, st.OneMore(30, 40)),
])  # fmt: skip
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_convolutions_and_residual_blocks(steps, construction, low):
    target, domain = convolutional(3, steps), st.Domain.box((2, 8, 8) if steps is SEQUENTIAL else (2, 4, 4), low)
    built = st.build(target, construction, 2, st.Subset("any", 1e-3), domain)
    x = domain.sample(40)
    assert np.abs(built.ticket(x) - built.ticket.collapsed(x)).max() < 1e-10
    assert built.sampled <= min(built.certificate.interval, built.certificate.spectral)
    assert built.sampled < 0.3 and all(check.passed for check in st.verify(built.ticket, target, domain))


def test_a_convolution_ticket_runs_in_pytorch():
    step = sp.Conv(2, 3, 3, 2, 1)
    target = convolutional(4, (step,))
    ticket = st.build(target, st.TwoForOne(30), 0, st.Subset("any", 1e-3), st.Domain.box((2, 5, 5))).ticket
    u, v = (torch.from_numpy(ticket.source.dense(n) * ticket.masks[n]) for n in ("first1", "second1"))
    x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (10, 2, 5, 5)))
    hidden = torch.relu(torch.nn.functional.conv2d(torch.cat([x, torch.ones(10, 1, 5, 5)], 1), u[:, :, None, None]))
    expected = torch.nn.functional.conv2d(hidden, v, stride=2, padding=1)
    assert np.abs(expected.numpy() - ticket(x.numpy())).max() < 1e-12


def test_orseaus_digits_build_a_network():
    """Hyperbolic weights and greedy digits: every sum within the tolerance, with more items than subsets need."""
    target, domain = dense(9, (3, 4, 2)), st.Domain.box((3,))
    construction = st.TwoForOne(160, first=st.Signs(), second=st.Hyperbolic(1e-3))
    greedy = st.build(target, construction, 0, st.Digits(5e-3), domain)
    assert greedy.success and greedy.sampled <= greedy.certificate.bound
    one = st.build(target, construction, 0, st.Nearest(5e-3), domain)
    assert one.missed > 5 and one.used <= 1


# ---- sums and their misses -----------------------------------------------------------------------------------------


@given(
    seed=some.integers(0, 10**6), rule=some.sampled_from([st.Subset("any", 0.01), st.Nearest(0.01), st.Digits(0.01)])
)
@settings(max_examples=scaled(40))
def test_misses_are_counted_as_they_are(seed, rule):
    rng = np.random.default_rng(seed)
    items, targets = rng.uniform(-1, 1, (30, 8)), rng.uniform(-2, 2, 30)
    targets[:3], items[:, 0] = 0.0, 0.0
    locked = rng.random(items.shape) < 0.1
    tally = Tally()
    masks = settle(rule, items, targets, locked, tally)
    errors = np.abs((items * masks).sum(1) - targets)
    assert masks[locked].all() and not masks[:, 0][~locked[:, 0]].any()
    assert tally.missed == (errors > rule.tolerance).sum() or np.abs(errors - rule.tolerance).min() < 1e-12
    assert tally.worst == pytest.approx(errors.max()) and tally.sums == 30
    assert not settle(rule, items, np.zeros(30), None, Tally()).any()  # a zero weight keeps nothing


@given(seed=some.integers(0, 10**6))
def test_greedy_digits_meet_every_target_where_kakeya_holds(seed):
    rng = np.random.default_rng(seed)
    items = st.Hyperbolic(1e-3)(rng.random((4, 60)))
    rule = st.Digits(2e-3)
    positive = np.maximum(items, 0)
    targets = rng.uniform(0, 1, 4) * positive.sum(1)
    rest = targets - (items * rule(items, targets)).sum(1)
    assert (rest >= -1e-12).all()
    assert (rest[rule.complete(items)] <= rule.tolerance + 1e-12).all()
    if not rule.complete(items).all():  # the condition is needed: a target just below an item that is too large
        row = int(np.argmin(rule.complete(items)))
        size = -np.sort(-positive[row])
        k = int(np.flatnonzero(size > np.append(size[::-1].cumsum()[::-1][1:], 0) + rule.tolerance)[0])
        target = np.array([size[k] * (1 - 1e-9)])
        assert target[0] - (items[row] * rule(items[row : row + 1], target)[0]).sum() > rule.tolerance * 0.99


def test_nearest_is_the_nearest_single_item():
    rng = np.random.default_rng(0)
    items, targets = rng.uniform(-1, 1, (50, 9)), rng.uniform(-1, 1, 50)
    errors = np.abs((items * st.Nearest(0.1)(items, targets)).sum(1) - targets)
    np.testing.assert_allclose(errors, np.minimum(np.abs(items - targets[:, None]).min(1), np.abs(targets)))


def test_far_targets_come_within_reach():
    items = np.random.default_rng(0).uniform(-1, 1, (40, 200))
    masks = st.Subset("any", 1e-3, 20)(items, np.linspace(-35, 35, 40))
    assert np.abs((items * masks).sum(1) - np.linspace(-35, 35, 40)).max() <= 1e-3


def test_what_the_first_items_miss_the_others_may_meet():
    rng = np.random.default_rng(0)
    items, targets = rng.uniform(-1, 1, (400, 30)), rng.uniform(-0.5, 0.5, 400)
    missed = {
        width: int((np.abs((items[:, :width] * st.Subset("any", 0.01, 10)(items[:, :width], targets)).sum(1) - targets)
                    > 0.01).sum())
        for width in (10, 20, 30)
    }  # fmt: skip
    first = [
        np.abs(targets[i] - (np.arange(1024)[:, None] >> np.arange(10) & 1) @ items[i, :10]).min() for i in range(400)
    ]
    assert missed[10] == (np.array(first) > 0.01).sum() >= 20  # by enumeration
    assert missed[30] <= missed[20] <= missed[10] / 4  # a second look is a second chance


def test_a_weak_block_is_reported():
    """A weight beyond the reach of its items: the network fails, by one sum, and the certificate still holds."""
    target = dense(6, (3, 4, 2))
    target.weights[0][2, 1] = 40.0
    built = st.build(target, st.TwoForOne(40), 0, st.Subset("any", 1e-2), st.Domain.box((3,), 0.0))
    assert not built.success and built.missed == 1 and "FAILED" in str(built)
    assert 1.0 < built.sampled <= built.certificate.bound


def test_failures_follow_the_items_at_hand():
    """Whole networks that fail, over seeds: nearly all at 8 units an input, nearly none at 60."""
    target, domain = dense(7, (3, 4, 2)), st.Domain.box((3,))
    failed = {
        copies: sum(not st.build(target, st.TwoForOne(copies), s, st.Subset("any", 1e-2), domain).success
                    for s in range(25))
        for copies in (8, 60)
    }  # fmt: skip
    assert clopper_pearson(failed[8], 25, 0.99)[0] > 0.7
    assert clopper_pearson(failed[60], 25, 0.99)[1] < 0.3


@given(seed=some.integers(0, 10**6), bits=some.integers(2, 4))
@settings(max_examples=scaled(15))
def test_quantised_tickets_are_exactly_equal(seed, bits):
    """Kumar and Natale: weights on the grid step^2, source on the grid step, equality of integers."""
    target = st.quantise(dense(seed, (3, 4, 2)), 2 * bits)
    construction = st.TwoForOne(24 + 14 * bits, first=st.Grid(bits), second=st.Grid(bits))
    built = st.build(target, construction, seed, st.Subset("any", 0.0, 34), st.Domain.box((3,)))
    if built.success:
        for layer, weight, bias in zip(built.ticket.collapsed.layers, target.weights, target.biases, strict=True):
            np.testing.assert_array_equal(layer.positive, weight)
            np.testing.assert_array_equal(layer.bias, bias)
        np.testing.assert_array_equal(built.ticket.collapsed.layers[0].negative, target.weights[0])
    assert built.missed <= 3 and built.worst_sum * 4**bits == round(built.worst_sum * 4**bits)


# ---- targets from PyTorch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet-300-100", "lenet-5", "conv-2", "resnet-20"])
def test_networks_from_modules_compute_what_the_module_does(name):
    shape = (1, 8, 8) if name.startswith("lenet") else (3, 8, 8)
    module = models.build(name, shape, width=0.25 if name != "lenet-300-100" else 1.0).double()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.uniform_(-0.2, 0.2, generator=torch.Generator().manual_seed(1))
                part.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))
    x = np.random.default_rng(0).normal(size=(6, *shape))
    expected = module.eval()(torch.from_numpy(x)).detach().numpy()
    network = nw.from_module(module)
    given_ = x.reshape(6, -1) if network.linears[0].taps == () else x
    np.testing.assert_allclose(network(given_), expected, atol=1e-10)


def test_scaling_is_folded_into_a_dense_first_layer():
    module = models.build("lenet-300-100", (2, 3, 3), width=0.1).double()
    scale, shift = torch.tensor([2.0, 0.5]).view(2, 1, 1), torch.tensor([-1.0, 3.0]).view(2, 1, 1)
    x = torch.rand(5, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network = nw.from_module(module, (scale, shift))
    np.testing.assert_allclose(
        network(x.reshape(5, -1).numpy()), module(x * scale + shift).detach().numpy(), atol=1e-12
    )


@given(seed=some.integers(0, 10**6), activation=some.sampled_from(["relu", "leaky"]))
@settings(max_examples=scaled(20))
def test_balancing_changes_no_output(seed, activation):
    target = dense(seed, activation=activation)
    target.weights[1][:] *= 7.0
    even, x = nw.balanced(target), st.Domain.box((4,)).sample(30)
    np.testing.assert_allclose(even(x), target(x), rtol=1e-12, atol=1e-12)
    assert np.ptp([np.abs(w).max() for w in even.weights]) < 1e-12
    with pytest.raises(MissingCapability, match="balanced"):
        nw.balanced(dense(0, activation="tanh"))


@pytest.mark.parametrize("module", [
    torch.nn.Sequential(torch.nn.Conv2d(2, 2, 3, groups=2)),
    torch.nn.Sequential(torch.nn.LayerNorm(3)),
    torch.nn.Sequential(torch.nn.BatchNorm2d(3)),
    torch.nn.Sequential(torch.nn.MaxPool2d(3, 2)),
    torch.nn.Sequential(torch.nn.LeakyReLU(0.2)),
])  # fmt: skip
def test_modules_that_no_target_can_hold(module):
    with pytest.raises(MissingCapability):
        nw.from_module(module)


# ---- files ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    target, domain = dense(8, (3, 4, 2)), st.Domain.box((3,))
    ticket = st.build(
        target, st.TwoForOne(30, first=st.Normal(1.0), density=0.9), 1, st.Subset("any", 0.01), domain
    ).ticket
    path = tmp_path_factory.mktemp("tickets") / "small.ticket"
    ticket.save(path)
    return ticket, path, path.read_bytes()


def test_a_ticket_comes_back_whole(saved):
    ticket, path, _ = saved
    again = st.load(path)
    assert (again.seed, again.steps, again.construction) == (ticket.seed, ticket.steps, ticket.construction)
    x = st.Domain.box((3,)).sample(20)
    np.testing.assert_array_equal(again(x), ticket(x))
    assert path.stat().st_size < ticket.source.size / 8 + 2500  # at most one bit a weight, and the header


def test_every_part_of_a_header_survives():
    for thing in (
        RESIDUAL,
        SEQUENTIAL,
        st.TwoForOne(3, 4, "tanh", st.Grid(3), st.Hyperbolic(0.1), 0.5, 0.2),
        st.OneMore(2),
        st.Structured(5),
        st.Perturbed(4, limit=0.5, bits=3),
    ):
        assert st.spec.decode(st.spec.encode(thing)) == thing
        assert eval(repr(thing), {**st.spec.KNOWN}) == thing


@given(where=some.integers(0, 10**6), value=some.integers(0, 255), cut=some.booleans())
@settings(max_examples=scaled(150))
def test_a_damaged_ticket_is_refused_or_harmless(saved, where, value, cut):
    """One byte changed, or the tail cut off: DataError, or (bytes that zip ignores) the same ticket."""
    ticket, path, content = saved
    at = where % len(content)
    damaged = content[:at] if cut else content[:at] + bytes([value]) + content[at + 1 :]
    other = path.with_name("damaged.ticket")
    other.write_bytes(damaged)
    try:
        again = st.load(other)
    except DataError as error:
        assert "damaged.ticket" in str(error)
    else:
        assert all((again.masks[name] == mask).all() for name, mask in ticket.masks.items())


@pytest.mark.parametrize("header", [
    b"{}", b"[]", b"not json", b'{"format": 9}',
    b'{"format": 1, "seed": 0, "steps": [{"is": "Dense", "inputs": 3, "outputs": 99999999999}], "source": "",'
    b' "construction": {"is": "TwoForOne", "copies": 99999}}',
    b'{"format": 1, "seed": 0, "steps": [{"is": "os.system"}], "source": "", "construction": 3}',
    b'{"format": 1, "seed": 0, "steps": [{"is": "Dense", "inputs": "3", "outputs": 2}], "source": "",'
    b' "construction": {"is": "TwoForOne"}}',
])  # fmt: skip
def test_hostile_headers(tmp_path, header):
    with zipfile.ZipFile(tmp_path / "t", "w") as archive, archive.open("header.npy", "w") as file:
        np.lib.format.write_array(file, np.frombuffer(header, dtype=np.uint8))
    with pytest.raises(DataError):
        st.load(tmp_path / "t")


def test_missing_and_unwritable_files(saved, tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        st.load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="nowhere"):
        load_network(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError):
        saved[0].save(tmp_path / "file" / "ticket")
    (tmp_path / "bad").write_bytes(b"PK\x03\x04 not much of a network")
    with pytest.raises(DataError):
        load_network(tmp_path / "bad")


def test_networks_come_back(tmp_path):
    target = convolutional(1, RESIDUAL)
    save_network(target, tmp_path / "target.npz")
    again = load_network(tmp_path / "target.npz")
    assert again.steps == target.steps
    assert all((a == b).all() for a, b in zip(again.weights, target.weights, strict=True))


# ---- bad input -----------------------------------------------------------------------------------------------------


def test_bad_input_is_refused():
    target = dense(0)
    with pytest.raises(InvalidInput, match="tolerance"):
        st.Subset("any", float("nan"))
    with pytest.raises(InvalidInput, match="tolerance"):
        st.Digits(-1.0)
    with pytest.raises(InvalidInput, match="copies"):
        st.TwoForOne(0)
    with pytest.raises(InvalidInput, match="unknown activation"):
        st.TwoForOne(3, inner="gelu")
    with pytest.raises(InvalidInput, match="density"):
        st.source.Frozen("w", (2,), density=0.0)
    with pytest.raises(InvalidInput, match="finite"):
        st.dense_network((2, 1), "relu", [[[np.nan, 1.0]]])
    with pytest.raises(InvalidInput, match="does not fit"):
        st.Network((sp.Dense(2, 1),), (np.ones((1, 3)),), (np.zeros(1),))
    with pytest.raises(InvalidInput, match="linear steps"):
        st.Network((sp.Dense(2, 1),), (), ())
    with pytest.raises(InvalidInput, match="low <= high"):
        st.Domain(np.ones(2), np.zeros(2), 1.0)
    with pytest.raises(MissingCapability, match="domain"):
        st.build(target)
    with pytest.raises(InvalidInput, match="no tensor 'x'"):
        st.Source(0, ())["x"]
    with pytest.raises(InvalidInput, match="masks do not fit"):
        st.Ticket(0, target.steps, st.TwoForOne(3), {})


def test_what_a_construction_cannot_take_is_said():
    block = (sp.Residual((sp.Conv(2, 2, 3, 1, 1), RELU, sp.Conv(2, 2, 3, 1, 1))), RELU, sp.Flatten(), sp.Dense(32, 2))
    with pytest.raises(MissingCapability, match="TwoForOne"):
        st.build(convolutional(0, block), st.OneMore(3), domain=st.Domain.box((2, 4, 4)))
    mixed = (sp.Dense(2, 2), RELU, sp.Dense(2, 2), sp.Activation("tanh"), sp.Dense(2, 1))
    with pytest.raises(MissingCapability, match="one kind of activation"):
        st.build(convolutional(0, mixed), st.OneMore(3), domain=st.Domain.box((2,)))
    padded = convolutional(0, SEQUENTIAL)
    with pytest.raises(MissingCapability, match="padding 0"):
        st.build(padded, st.TwoForOne(3, inner="sigmoid"), domain=st.Domain.box((2, 8, 8)))
    with pytest.raises(MissingCapability, match="chain"):
        st.build(convolutional(0, RESIDUAL), rule=st.Shared(0.1), domain=st.Domain.box((2, 4, 4)))
    with pytest.raises(MissingCapability, match="locked"):
        st.Perturbed(3, locked=0.1)
    with pytest.raises(InvalidInput, match="limit"):
        st.Perturbed(3, limit=float("nan"))
    with pytest.raises(InvalidInput, match="error"):
        st.Shared(0.0)
