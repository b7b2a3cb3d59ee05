"""Attention as a ticket: queries with keys, and values with outputs, are two random matrices for one.

A head only uses A = W_Q W_K' / sqrt(d) and B = W_V W_O:   attn(X) = sum_heads softmax(X A X') X B. Both products are
linear gadgets: in the source, column (i, k) of W_Q keeps its i-th entry, and A_ij is a subset sum of the products
q_ik k_jk; likewise B. No activation stands between, so every item serves both signs: one sum a weight.

Source: Otsuka et al. (2025, arXiv 2511.04217), Theorem 3: with n_K >= d C log(...) for queries and keys, and n_V for
values, the error is at most eps for tokens |x| <= radius with probability 1 - eps, whatever the number of tokens. Their
W_Q, W_K ~ U[-n_K^(1/4), n_K^(1/4)] and their division by sqrt(n_K) cancel in the product; here they are U[-1, 1] and
undivided.

Certificate, for tokens with |x|_2 <= radius: scores differ by at most s = radius^2 |A^ - A|, so that a head's weights
differ by at most exp(2 s) - 1 in l1 (or 2, the most there is), and
    |attn^ - attn| <= sum_heads (exp(2 s) - 1) radius |B^| + radius |B^ - B|   (spectral norms, any number of tokens).

>>> rng = np.random.default_rng(0)
>>> target = Attention(*(rng.uniform(-0.3, 0.3, (2, 4, 4)) for _ in range(2)))
>>> built = build_attention(target, copies=25, seed=0, rule=Subset("best", 1e-4, 24))
>>> built.missed, built.sampled <= built.certificate < 1e-5
(0, True)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from nets.strong_tickets.gadget import Gadget
from nets.strong_tickets.source import Floats, Frozen, Mask, Source
from nets.strong_tickets.steps import KINDS, matrix_norm
from nets.strong_tickets.sums import Rule, Subset, Tally
from sparsopt.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Attention:
    """Merged attention: scores A (heads, d, d) and outputs B (heads, d, d'); x (tokens, d) -> (tokens, d')."""

    scores: Floats
    outputs: Floats

    def __post_init__(self) -> None:
        a, b = self.scores.shape, self.outputs.shape
        if len(a) != 3 or len(b) != 3 or a[0] != b[0] or not a[1] == a[2] == b[1]:
            raise InvalidInput(f"scores {a} and outputs {b} must be (heads, d, d) and (heads, d, d')")
        if not (np.isfinite(self.scores).all() and np.isfinite(self.outputs).all()):
            raise InvalidInput("scores and outputs must be finite")

    @staticmethod
    def merged(query: Floats, key: Floats, value: Floats, output: Floats) -> Attention:
        """From W_Q, W_K (heads, d, d_K), W_V (heads, d, d_V) and W_O (heads, d_V, d'), scores divided by sqrt(d_K)."""
        return Attention(query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[2]), value @ output)

    def __call__(self, x: Floats) -> Floats:
        weights = softmax(np.einsum("ti,hij,uj->htu", x, self.scores, x), axis=-1)
        return np.einsum("htu,ui,hij->tj", weights, x, self.outputs)


@dataclass(frozen=True, eq=False)
class BuiltAttention:
    """source and masks (the ticket), what they amount to, and what is known about it; see `build.Built`."""

    source: Source
    masks: Mapping[str, Mask]
    collapsed: Attention
    sums: int
    missed: int
    sampled: float
    certificate: float

    def __call__(self, x: Floats) -> Floats:
        """The masked source itself: queries, keys, values and outputs of every head, multiplied by their masks."""
        return _run(self.source, self.masks, len(self.collapsed.scores), x)


def build_attention(
    target: Attention, copies: int, seed: int = 0, rule: Rule = Subset(), radius: float = 1.0, samples: int = 64
) -> BuiltAttention:
    """Choose masks of a random attention layer with hidden dimension copies * d; tokens have |x|_2 <= radius.

    sampled   the largest |error|_2 of a token over random token sets of 1 to 16 tokens on the sphere of that radius
    """
    gadgets = _gadgets(target.scores.shape, target.outputs.shape[2], copies)
    source, tally, masks = Source(seed, tuple(t for g in gadgets for t in _tensors(g))), Tally(), {}
    for g, weight in zip(gadgets, _matrices(target), strict=True):
        masks[g.first], masks[g.second] = g.choose(source, weight, np.zeros(g.outputs), True, rule, tally)
    realised = [g.collapse(source, masks[g.first], masks[g.second]).positive for g in gadgets]
    heads = len(target.scores)
    collapsed = Attention(np.stack([m.T for m in realised[:heads]]), np.stack([m.T for m in realised[heads:]]))
    worst = 0.0
    for k in range(samples):
        rng = np.random.default_rng([seed, k])
        x = rng.normal(size=(1 + k % 16, target.scores.shape[1]))
        x *= radius / np.linalg.norm(x, axis=1, keepdims=True)
        worst = max(worst, float(np.linalg.norm(_run(source, masks, heads, x) - target(x), axis=1).max()))
    bound = certificate(target, collapsed, radius)
    return BuiltAttention(source, masks, collapsed, tally.sums, tally.missed, worst, bound)


def certificate(target: Attention, ticket: Attention, radius: float) -> float:
    """An upper bound on the Euclidean error of every token, for tokens |x|_2 <= radius, however many there are."""
    total = 0.0
    for a, b, a_hat, b_hat in zip(target.scores, target.outputs, ticket.scores, ticket.outputs, strict=True):
        s = min(radius**2 * matrix_norm(a_hat - a), 1.0)  # beyond 1 the l1 distance 2 is the smaller bound
        total += min(2.0, math.expm1(2 * s)) * radius * matrix_norm(b_hat) + radius * matrix_norm(b_hat - b)
    return total * (1 + 1e-9) + 1e-13


def _matrices(target: Attention) -> list[Floats]:
    return [m.T for m in (*target.scores, *target.outputs)]


def _gadgets(scores: tuple[int, ...], outputs: int, copies: int) -> list[Gadget]:
    """Score gadgets of all heads, then value gadgets. (y = V U x realises A' where queries are U' and keys V.)"""
    heads, d, _ = scores
    return [
        Gadget(f"{one}{h}", f"{two}{h}", d, size, (), 0, copies, 0, KINDS["none"])
        for one, two, size in (("query", "key", d), ("value", "output", outputs))
        for h in range(heads)
    ]


def _tensors(g: Gadget) -> tuple[Frozen, Frozen]:
    return Frozen(g.first, (g.units, g.inputs + 1)), Frozen(g.second, (g.outputs, g.units))


def _run(source: Source, masks: Mapping[str, Mask], heads: int, x: Floats) -> Floats:
    total: Floats = np.zeros((len(x), source["output0"].shape[0]))
    for h in range(heads):
        q, k, v, o = (source.dense(f"{n}{h}") * masks[f"{n}{h}"] for n in ("query", "key", "value", "output"))
        queries, keys = x @ q[:, :-1].T, x @ k
        total += softmax(queries @ keys.T, axis=-1) @ (x @ v[:, :-1].T) @ o.T
    return total
