"""Attention and transformer blocks: against PyTorch, plain NumPy, and attacks on their certificate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import tyro
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.special import softmax

from nets import strong_tickets as st
from nets.strong_tickets import command, steps
from nets.strong_tickets.ticket import load_network, save_network
from sparsopt.errors import InvalidInput, MissingCapability
from tests.conftest import scaled


def target(seed, heads=2, d=3, outputs=3, hidden=0, scale=0.4):
    rng = np.random.default_rng([31, seed])
    network = st.attention(rng.uniform(-scale, scale, (heads, d, d)), rng.uniform(-scale, scale, (heads, d, outputs)))
    if hidden:
        network = st.transformer_block(network, *(rng.uniform(-scale, scale, s) for s in ((hidden, d), (d, hidden))))
    return network


def by_hand(ticket, x, heads, perceptron):
    """The masked source as queries, keys, values and outputs, then the two layers of the perceptron's two layers."""
    w = {t.name: ticket.source.dense(t.name) * ticket.masks[t.name] for t in ticket.source.tensors}
    one = lambda x: np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1)  # noqa: E731
    total = 0.0
    for h in range(1, heads + 1):
        q, k, v, o = w[f"first{h}"], w[f"second{h}"], w[f"first{heads + h}"], w[f"second{heads + h}"]
        scores = (x @ k) @ (one(x) @ q.T).swapaxes(1, 2)
        total = total + softmax(scores, axis=-1) @ (one(x) @ v.T @ o.T)
    if not perceptron:
        return total
    x = x + total
    n, y = 2 * heads, x
    for l in (n + 1, n + 2):
        y = np.maximum(one(y) @ w[f"first{l}"].T, 0) @ w[f"second{l}"].T
        y = np.maximum(y, 0) if l == n + 1 else y
    return x + y


@given(
    seed=some.integers(0, 10**6),
    heads=some.integers(1, 2),
    copies=some.integers(2, 18),
    radius=some.sampled_from([0.5, 2.0]),
    hidden=some.sampled_from([0, 4]),
    sources=some.sampled_from([{}, {"density": 0.8, "locked": 0.1}]),
)
@settings(max_examples=scaled(20))
def test_attention_tickets(seed, heads, copies, radius, hidden, sources):
    """Collapsed = masked = by hand; certificate >= sampled, also where sums miss; the first layers block-diagonal."""
    network, domain = target(seed, heads, hidden=hidden), st.Tokens(3, radius)
    built = st.build(network, st.TwoForOne(copies, **sources), seed, st.Subset("any", 0.01, 14), domain)
    x = domain.sample(12)
    np.testing.assert_allclose(built.ticket(x), built.ticket.collapsed(x), atol=1e-10)
    np.testing.assert_allclose(built.ticket(x), by_hand(built.ticket, x, heads, hidden > 0), atol=1e-10)
    assert built.sampled <= built.certificate.spectral == built.certificate.bound
    assert all(check.passed for check in st.verify(built.ticket, network, domain))
    for name, mask in built.ticket.masks.items():
        assert not name.startswith("first") or (mask.sum(axis=1) <= 1).all()


@given(seed=some.integers(0, 10**6), hidden=some.sampled_from([0, 4]), size=some.sampled_from([1e-3, 0.1]))
@settings(max_examples=scaled(10))
def test_no_attack_exceeds_the_certificate_of_tokens(seed, hidden, size):
    """Gradient ascent on all tokens of a network whose weights have moved, projected to the sphere's inside."""
    network, domain = target(seed, 2, hidden=hidden, scale=1.0), st.Tokens(3, 1.5)
    rng = np.random.default_rng(seed)
    moved = [w + size * rng.normal(size=w.shape) for w in network.weights]
    layers = tuple(st.gadget.Signed(w, w, np.zeros(len(w))) for w in moved)
    ticket = st.collapsed.Collapsed(network.steps, layers, (1,) * len(layers))
    bound = st.certify(network, ticket, domain).spectral

    def run(weights, x):
        w = [torch.from_numpy(a) for a in weights]
        y = sum(torch.softmax(x @ (x @ w[h].T).transpose(1, 2), -1) @ (x @ w[2 + h].T) for h in range(2))
        return x + y + torch.relu((x + y) @ w[4].T) @ w[5].T if hidden else y

    x = torch.from_numpy(domain.sample(8, tokens=4))
    np.testing.assert_allclose(run(network.weights, x).numpy(), network(x.numpy()), atol=1e-12)
    worst = 0.0
    for _ in range(15):
        x = x.detach().requires_grad_(True)
        errors = (run(moved, x) - run(network.weights, x)).norm(dim=-1)
        worst = max(worst, float(errors.detach().max()))
        (slope,) = torch.autograd.grad(errors.sum(), x)
        x = x + 0.5 * slope / slope.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        x = x * (1.5 / x.norm(dim=-1, keepdim=True)).clamp(max=1.0)
    assert 0 < worst <= bound


def test_attention_is_pytorchs():
    rng = np.random.default_rng(3)
    query, key, value, output = (rng.normal(size=shape) for shape in ((2, 4, 3), (2, 4, 3), (2, 4, 3), (2, 3, 5)))
    x = rng.normal(size=(6, 4))
    q, k, v = (torch.from_numpy(np.stack([x @ w for w in many])) for many in (query, key, value))
    heads = torch.nn.functional.scaled_dot_product_attention(q, k, v).numpy()
    merged = st.merged(query, key, value, output)
    np.testing.assert_allclose(merged(x[None])[0], sum(heads[h] @ output[h] for h in range(2)), atol=1e-12)


def test_a_mean_over_tokens_reads_them_out():
    network = target(1, hidden=4)
    path = (*network.steps, steps.MeanTokens(), steps.Dense(3, 2))
    head = st.Network(path, (*network.weights, np.full((2, 3), 0.3)), (*network.biases, np.full(2, 0.1)))
    domain = st.Tokens(3)
    built = st.build(head, st.TwoForOne(60), 0, st.Subset("any", 1e-3), domain)
    x = domain.sample(5)
    np.testing.assert_allclose(head(x), network(x).mean(axis=1) @ np.full((3, 2), 0.3) + 0.1, atol=1e-12)
    assert built.ticket(x).shape == (5, 2) and built.success
    assert built.sampled <= built.certificate.spectral < 0.1


def test_files_and_command_line_of_transformers(tmp_path, capsys):
    network, path = target(2, hidden=4), tmp_path / "t.npz"
    ticket = st.build(network, st.TwoForOne(20), 1, st.Subset("any", 0.01), st.Tokens(3)).ticket
    ticket.save(path)
    save_network(network, tmp_path / "n.npz")
    x = st.Tokens(3).sample(4)
    np.testing.assert_array_equal(st.load(path)(x), ticket(x))
    np.testing.assert_array_equal(load_network(tmp_path / "n.npz")(x), network(x))
    for hidden in ("0", "6"):
        words = ["attention", "--dimension", "4", "--hidden", hidden, "--copies", "20", "--out", str(path)]
        tyro.cli(command.StrongTicket, args=words)()
        assert "spectral" in capsys.readouterr().out
        tyro.cli(command.StrongTicket, args=["verify", str(path)])()
        shown = capsys.readouterr().out
        assert shown.count("ok  ") == 3 and "FAIL" not in shown


def test_attention_refuses():
    with pytest.raises(InvalidInput, match="heads"):
        st.attention(np.ones((1, 2, 3)), np.ones((1, 2, 2)))
    with pytest.raises(InvalidInput, match="finite"):
        st.attention(np.full((1, 2, 2), np.nan), np.ones((1, 2, 2)))
    with pytest.raises(MissingCapability, match="multiplies units"):
        st.build(target(0), st.OneMore(4), domain=st.Tokens(3))
    with pytest.raises(InvalidInput, match="radius"):
        st.Tokens(3, float("nan"))
