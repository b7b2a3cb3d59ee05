"""Tickets on disk come back whole or are refused; what a construction cannot take is said."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from nets import strong_tickets as st
from nets.strong_tickets import steps as sp
from nets.strong_tickets.ticket import load_network, save_network
from sparsopt.errors import CheckpointError, DataError, InvalidInput, MissingCapability
from tests.conftest import scaled
from tests.tickets import RELU, RESIDUAL, SEQUENTIAL, convolutional, dense

# ---- files -----------------------------------------------------------------------------------------------------------


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


# ---- bad input -------------------------------------------------------------------------------------------------------


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
