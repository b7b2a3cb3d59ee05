"""One training step of a sparse perceptron, compiled by Numba: forward, loss, backward and SGD in a single pass each.

Units (inputs, then the outputs of each layer) lie behind each other, a row of B contiguous numbers each, one a sample.
The kept weights lie in compressed rows over all layers: row r computes unit `inputs + r` from the units `cols`. So a
weight is one multiply-add of two rows of B numbers, forward; backward it is one inner product of two such rows, for its
own gradient, and one more multiply-add, for its input's. The gradient of a weight is used as soon as it is known: no
array of gradients exists.

Rows are worked on eight weights at a time, so that a sum is loaded and stored once for eight of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from nets.sparse.entries import FLAGS, spread
from nets.sparse.products import turn


class Net(NamedTuple):
    """A sparse perceptron: `rows.Rows`, its kept weights, biases, and the momentum of both."""

    vals: Any
    mom: Any
    cols: Any
    ptr: Any
    bias: Any
    bias_mom: Any
    has_bias: Any
    starts: Any
    places: Any
    rows: Any
    first: Any
    inputs: int


class Sgd(NamedTuple):
    """What a step needs of a recipe."""

    rate: Any
    momentum: Any
    nesterov: bool
    decay: Any
    smoothing: Any


@numba.njit(**FLAGS)
def forward(vals, cols, ptr, bias, inputs, r0, r1, units, relu):  # type: ignore[no-untyped-def]
    """units[inputs + r] = relu(sum over p in row r of vals[p] units[cols[p]] + bias[r])."""
    B = units.shape[1]
    for r in range(r0, r1):
        out = units[inputs + r]
        out[:] = bias[r]
        p, end = ptr[r], ptr[r + 1]
        while p + np.uint64(8) <= end:
            w0, w1, w2, w3 = vals[p], vals[p + 1], vals[p + 2], vals[p + 3]
            w4, w5, w6, w7 = vals[p + 4], vals[p + 5], vals[p + 6], vals[p + 7]
            x0, x1, x2, x3 = units[cols[p]], units[cols[p + 1]], units[cols[p + 2]], units[cols[p + 3]]
            x4, x5, x6, x7 = units[cols[p + 4]], units[cols[p + 5]], units[cols[p + 6]], units[cols[p + 7]]
            for b in range(B):
                out[b] += (w0 * x0[b] + w1 * x1[b] + w2 * x2[b] + w3 * x3[b]) + (
                    w4 * x4[b] + w5 * x5[b] + w6 * x6[b] + w7 * x7[b]
                )
            p += np.uint64(8)
        while p < end:
            w, x = vals[p], units[cols[p]]
            for b in range(B):
                out[b] += w * x[b]
            p += np.uint64(1)
        if relu:
            for b in range(B):
                out[b] = max(out[b], np.float32(0.0))


@numba.njit(**FLAGS)
def cross_entropy(logits, targets, smoothing, slopes):  # type: ignore[no-untyped-def]
    """slopes = gradient of the mean cross-entropy at the logits (classes, B)."""
    C, B = logits.shape
    for b in range(B):
        top = logits[0, b]
        for c in range(1, C):
            top = max(top, logits[c, b])
        total = np.float32(0.0)
        for c in range(C):
            slopes[c, b] = np.exp(logits[c, b] - top)
            total += slopes[c, b]
        for c in range(C):
            slopes[c, b] = (slopes[c, b] / total - smoothing / np.float32(C)) / np.float32(B)
        slopes[targets[b], b] -= (np.float32(1.0) - smoothing) / np.float32(B)


@numba.njit(**FLAGS)
def backward(vals, starts, places, rows, inputs, u0, u1, units, slopes):  # type: ignore[no-untyped-def]
    """slopes of units u0..u1 from those of the next layer: the weights of a unit are vals[places[starts[u]:...]]."""
    B = units.shape[1]
    for u in range(u0, u1):
        out = slopes[u]
        out[:] = 0.0
        p, end = starts[u], starts[u + 1]
        while p + np.uint64(4) <= end:
            w0, w1, w2, w3 = vals[places[p]], vals[places[p + 1]], vals[places[p + 2]], vals[places[p + 3]]
            d0, d1 = slopes[inputs + rows[p]], slopes[inputs + rows[p + 1]]
            d2, d3 = slopes[inputs + rows[p + 2]], slopes[inputs + rows[p + 3]]
            for b in range(B):
                out[b] += w0 * d0[b] + w1 * d1[b] + w2 * d2[b] + w3 * d3[b]
            p += np.uint64(4)
        while p < end:
            w, d = vals[places[p]], slopes[inputs + rows[p]]
            for b in range(B):
                out[b] += w * d[b]
            p += np.uint64(1)
        x = units[u]
        for b in range(B):
            out[b] = out[b] if x[b] > np.float32(0.0) else np.float32(0.0)


@numba.njit(**FLAGS)
def moved(w, m, p, g, sgd):  # type: ignore[no-untyped-def]
    """torch.optim.SGD on entry p of w, with its momentum m."""
    g += sgd.decay * w[p]
    v = sgd.momentum * m[p] + g
    m[p] = v
    w[p] -= sgd.rate * (g + sgd.momentum * v if sgd.nesterov else v)


@numba.njit(**FLAGS)
def update(net, r0, r1, units, slopes, sgd):  # type: ignore[no-untyped-def]
    """Gradient and SGD of every weight and bias of the rows r0..r1."""
    B, vals, mom, cols = units.shape[1], net.vals, net.mom, net.cols
    for r in range(r0, r1):
        d = slopes[net.inputs + r]
        p, end = net.ptr[r], net.ptr[r + 1]
        while p + np.uint64(4) <= end:
            x0, x1, x2, x3 = units[cols[p]], units[cols[p + 1]], units[cols[p + 2]], units[cols[p + 3]]
            g0 = g1 = g2 = g3 = np.float32(0.0)
            for b in range(B):
                g0 += d[b] * x0[b]
                g1 += d[b] * x1[b]
                g2 += d[b] * x2[b]
                g3 += d[b] * x3[b]
            moved(vals, mom, p, g0, sgd)
            moved(vals, mom, p + np.uint64(1), g1, sgd)
            moved(vals, mom, p + np.uint64(2), g2, sgd)
            moved(vals, mom, p + np.uint64(3), g3, sgd)
            p += np.uint64(4)
        while p < end:
            x, g = units[cols[p]], np.float32(0.0)
            for b in range(B):
                g += d[b] * x[b]
            moved(vals, mom, p, g, sgd)
            p += np.uint64(1)
        if net.has_bias[r]:
            g = np.float32(0.0)
            for b in range(B):
                g += d[b]
            moved(net.bias, net.bias_mom, np.uint64(r), g, sgd)


@numba.njit(**FLAGS)
def judged(logits, targets, smoothing):  # type: ignore[no-untyped-def]
    """(sum of cross-entropies, number of right answers) of the first samples of logits (classes, B)."""
    C, loss, right = len(logits), 0.0, 0
    for b in range(len(targets)):
        best = 0
        for c in range(1, C):
            best = c if logits[c, b] > logits[best, b] else best
        top, y, total, mean = logits[best, b], targets[b], 0.0, 0.0
        for c in range(C):
            total += np.exp(logits[c, b] - top)
            mean += (logits[c, b] - top) / C
        loss += np.log(total) - (1 - smoothing) * (logits[y, b] - top) - smoothing * mean
        right += best == y
    return loss, right


@numba.njit(**FLAGS)
def evaluate(rows, targets, entries, net, smoothing, units, slopes):  # type: ignore[no-untyped-def]
    """(sum of losses, number of right answers) over rows of `rows` (chunks, B); a number below 0 is no sample."""
    last, loss, right = len(net.first) - 2, 0.0, 0
    for t in range(len(rows)):
        count = np.sum(rows[t] >= 0)
        spread(rows[t, :count], entries, units)
        for layer in range(last + 1):
            r0, r1 = net.first[layer], net.first[layer + 1]
            forward(net.vals, net.cols, net.ptr, net.bias, net.inputs, r0, r1, units, layer < last)
        more, correct = judged(units[net.inputs + net.first[last] :], targets[rows[t, :count]], smoothing)
        loss, right = loss + more, right + correct
    return loss, right


@numba.njit(**FLAGS)
def descend(targets, net, sgd, units, slopes):  # type: ignore[no-untyped-def]
    """The step, once the inputs are in their units."""
    first, inputs = net.first, net.inputs
    last = len(first) - 2
    for layer in range(last + 1):
        forward(net.vals, net.cols, net.ptr, net.bias, inputs, first[layer], first[layer + 1], units, layer < last)
    out = inputs + first[last]
    cross_entropy(units[out:], targets, sgd.smoothing, slopes[out:])
    for layer in range(last, -1, -1):
        if layer > 0:
            u0, u1 = inputs + first[layer - 1], inputs + first[layer]
            backward(net.vals, net.starts, net.places, net.rows, inputs, u0, u1, units, slopes)
        update(net, first[layer], first[layer + 1], units, slopes, sgd)


@numba.njit(**FLAGS)
def step(samples, targets, net, sgd, units, slopes):  # type: ignore[no-untyped-def]
    """One step of SGD on a `Net`. units, slopes: work space, (all units, B)."""
    turn(samples, units)
    descend(targets, net, sgd, units, slopes)


@numba.njit(**FLAGS)
def steps(rows, targets, rates, entries, net, sgd, units, slopes):  # type: ignore[no-untyped-def]
    """A step for each row of `rows` (steps, B), numbers of samples whose non-zero `entries` are known."""
    for t in range(len(rows)):
        spread(rows[t], entries, units)
        this = Sgd(rates[t], sgd.momentum, sgd.nesterov, sgd.decay, sgd.smoothing)
        descend(targets[rows[t]], net, this, units, slopes)
