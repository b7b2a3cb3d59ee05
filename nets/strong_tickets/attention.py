"""Attention as a ticket: queries with keys, and values with outputs, are two random matrices for one.

A head only uses A = W_Q W_K' / sqrt(d) and B = W_V W_O:   attn(X) = sum_heads softmax(X A X') X B. Both products are
linear gadgets of `TwoForOne`: in the source, hidden unit (i, k) keeps its i-th weight, and A_ij is a subset sum of the
products q_ik k_jk; likewise B. No activation stands between, so every item serves both signs: one sum a weight. The
blocks of a transformer without normalisation are attention and a fully connected network, each added to what came in.

Source: Otsuka et al. (2025, arXiv 2511.04217), Theorem 3: with n_K >= d C log(...) for queries and keys, and n_V for
values, the error is at most eps for tokens |x| <= radius with probability 1 - eps, whatever the number of tokens;
Theorem 6: transformers without normalisation. Their W_Q, W_K ~ U[-n_K^(1/4), n_K^(1/4)] and their division by sqrt(n_K)
cancel in the product; here they are U[-1, 1] and undivided. The certificate is in `tokens`.

>>> from nets.strong_tickets import Subset, Tokens, TwoForOne, build
>>> rng = np.random.default_rng(0)
>>> target = attention(*(rng.uniform(-0.3, 0.3, (2, 4, 4)) for _ in range(2)))
>>> built = build(target, TwoForOne(25), seed=0, rule=Subset("best", 1e-4, 24), domain=Tokens(4))
>>> built.missed, built.sampled <= built.certificate.spectral < 1e-4
(0, True)
"""

from __future__ import annotations

import math

import numpy as np

from nets.strong_tickets.network import Network
from nets.strong_tickets.source import Floats
from nets.strong_tickets.steps import Activation, Dense, Residual, SelfAttention
from sparsopt.errors import InvalidInput


def attention(scores: Floats, outputs: Floats) -> Network:
    """Merged attention: scores A (heads, d, d) and outputs B (heads, d, d'); x (N, tokens, d) -> (N, tokens, d')."""
    a, b = scores.shape, outputs.shape
    if len(a) != 3 or len(b) != 3 or a[0] != b[0] or not a[1] == a[2] == b[1]:
        raise InvalidInput(f"scores {a} and outputs {b} must be (heads, d, d) and (heads, d, d')")
    weights = (*scores, *(one.T for one in outputs))
    return Network((SelfAttention(a[0], a[1], b[2]),), weights, tuple(np.zeros(len(w)) for w in weights))


def merged(query: Floats, key: Floats, value: Floats, output: Floats) -> Network:
    """From W_Q, W_K (heads, d, d_K), W_V (heads, d, d_V) and W_O (heads, d_V, d'), scores divided by sqrt(d_K)."""
    return attention(query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[2]), value @ output)


def transformer_block(heads: Network, first: Floats, second: Floats, activation: str = "relu") -> Network:
    """x + attention(x), then x + second phi(first x) for every token: a block without normalisation and biases."""
    hidden, d = first.shape
    perceptron = (Dense(d, hidden), Activation(activation), Dense(hidden, d))
    weights = (*heads.weights, first, second)
    steps = (Residual(heads.steps), Residual(perceptron))
    return Network(steps, weights, tuple(np.zeros(len(w)) for w in weights))
