"""One training step of a sparse perceptron, compiled by Numba: forward, loss, backward and SGD in a single pass each.

Units (inputs, then the outputs of each layer) lie behind each other, a row of B contiguous numbers each, one a sample.
The kept weights lie in compressed rows over all layers: row r computes unit `inputs + r` from the units `cols`. So a
weight is one multiply-add of two rows of B numbers, forward; backward it is one inner product of two such rows, for its
own gradient, and one more multiply-add, for its input's.

Samples go in blocks of 128, so that the sums of a row stay in registers; B is 16, 32, 64 or a multiple of 128, and what
is more than the batch has slopes of zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from nets.sparse.entries import FLAGS, spread
from nets.sparse.lanes import fill, folded, load, multiply_add, store, sum_of
from nets.sparse.products import turn

ZERO, ONE = np.float32(0.0), np.float32(1.0)


class Net(NamedTuple):
    """A sparse perceptron: `rows.Rows`, its kept weights, biases, the momentum of both, and room for gradients."""

    vals: Any
    mom: Any
    g: Any
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
def forward(net, layer, units):  # type: ignore[no-untyped-def]
    """units[inputs + r] = sum over p in row r of vals[p] units[cols[p]] + bias[r], for the rows of a layer."""
    B, flat = units.shape[1], units.ravel()
    for first in range(0, B, 128):
        if B >= 128:
            _forward(fill(128, ZERO), fill(128, ONE), net, layer, flat, B, first)
        elif B == 64:
            _forward(fill(64, ZERO), fill(64, ONE), net, layer, flat, B, first)
        elif B == 32:
            _forward(fill(32, ZERO), fill(32, ONE), net, layer, flat, B, first)
        else:
            _forward(fill(16, ZERO), fill(16, ONE), net, layer, flat, B, first)


@numba.njit(**FLAGS)
def _forward(zero, one, net, layer, units, B, first):  # type: ignore[no-untyped-def]
    """As `forward`, for as many samples from the first as `zero` has lanes."""
    vals, cols, bias, inputs = net.vals, net.cols, net.bias, net.inputs
    for r in range(net.first[layer], net.first[layer + 1]):
        total = multiply_add(bias[r], one, zero)
        for p in range(net.ptr[r], net.ptr[r + 1]):
            total = multiply_add(vals[p], load(zero, units, np.intp(cols[p]) * B + first), total)
        store(total, units, (inputs + r) * B + first)


@numba.njit(**FLAGS)
def rectify(units):  # type: ignore[no-untyped-def]
    for u in range(len(units)):
        for b in range(units.shape[1]):
            units[u, b] = max(units[u, b], ZERO)


@numba.njit(**FLAGS)
def cross_entropy(logits, targets, smoothing, slopes):  # type: ignore[no-untyped-def]
    """slopes = gradient of the mean cross-entropy at the logits (classes, at least as many as there are targets)."""
    C, B = len(logits), len(targets)
    slopes[:, B:] = 0
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
def backward(net, layer, units, slopes):  # type: ignore[no-untyped-def]
    """Slopes of a layer's inputs: the weights of unit u are vals[places[starts[u]:...]]; 0 where a unit is."""
    B, flat = units.shape[1], slopes.ravel()
    u0, u1 = net.inputs + net.first[layer - 1], net.inputs + net.first[layer]
    for first in range(0, B, 128):
        if B >= 128:
            _backward(fill(128, ZERO), net, u0, u1, flat, B, first)
        elif B == 64:
            _backward(fill(64, ZERO), net, u0, u1, flat, B, first)
        elif B == 32:
            _backward(fill(32, ZERO), net, u0, u1, flat, B, first)
        else:
            _backward(fill(16, ZERO), net, u0, u1, flat, B, first)
    for u in range(u0, u1):
        for b in range(B):
            slopes[u, b] = slopes[u, b] if units[u, b] > ZERO else ZERO


@numba.njit(**FLAGS)
def _backward(zero, net, u0, u1, slopes, B, first):  # type: ignore[no-untyped-def]
    """As `backward`, for as many samples from the first as `zero` has lanes."""
    vals, places, rows, inputs = net.vals, net.places, net.rows, net.inputs
    for u in range(u0, u1):
        total = zero
        for p in range(net.starts[u], net.starts[u + 1]):
            total = multiply_add(vals[places[p]], load(zero, slopes, (inputs + rows[p]) * B + first), total)
        store(total, slopes, u * B + first)


@numba.njit(**FLAGS)
def products(net, layer, units, slopes):  # type: ignore[no-untyped-def]
    """g[p] = inner product of the units and slopes that weight p joins, for the rows of a layer."""
    B, x, d = units.shape[1], units.ravel(), slopes.ravel()
    net.g[net.ptr[net.first[layer]] : net.ptr[net.first[layer + 1]]] = 0
    for first in range(0, B, 128):
        if B >= 128:
            _products(fill(128, ZERO), net, layer, x, d, B, first)
        elif B == 64:
            _products(fill(64, ZERO), net, layer, x, d, B, first)
        elif B == 32:
            _products(fill(32, ZERO), net, layer, x, d, B, first)
        else:
            _products(fill(16, ZERO), net, layer, x, d, B, first)


@numba.njit(**FLAGS)
def _products(zero, net, layer, units, slopes, B, first):  # type: ignore[no-untyped-def]
    """As `products`, over as many samples from the first as `zero` has lanes."""
    g, cols, sixteen = net.g, net.cols, fill(16, ZERO)
    for r in range(net.first[layer], net.first[layer + 1]):
        d = load(zero, slopes, (net.inputs + r) * B + first)
        for p in range(net.ptr[r], net.ptr[r + 1]):
            g[p] += sum_of(folded(d, load(zero, units, np.intp(cols[p]) * B + first), sixteen))


@numba.njit(**FLAGS)
def moved(w, m, g, sgd):  # type: ignore[no-untyped-def]
    """torch.optim.SGD on weights w with momentum m and gradient g."""
    for p in range(len(w)):
        slope = g[p] + sgd.decay * w[p]
        speed = sgd.momentum * m[p] + slope
        m[p] = speed
        w[p] -= sgd.rate * (slope + sgd.momentum * speed if sgd.nesterov else speed)


@numba.njit(**FLAGS)
def update(net, layer, units, slopes, sgd):  # type: ignore[no-untyped-def]
    """Gradient and SGD of a layer's weights and biases."""
    products(net, layer, units, slopes)
    r0, r1 = net.first[layer], net.first[layer + 1]
    p0, p1 = net.ptr[r0], net.ptr[r1]
    moved(net.vals[p0:p1], net.mom[p0:p1], net.g[p0:p1], sgd)
    if net.has_bias[r0]:
        for r in range(r0, r1):
            net.g[r - r0] = slopes[net.inputs + r].sum()
        moved(net.bias[r0:r1], net.bias_mom[r0:r1], net.g[: r1 - r0], sgd)


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
        through(net, units)
        more, correct = judged(units[net.inputs + net.first[last] :], targets[rows[t, :count]], smoothing)
        loss, right = loss + more, right + correct
    return loss, right


@numba.njit(**FLAGS)
def through(net, units):  # type: ignore[no-untyped-def]
    """Outputs of all layers, once the inputs are in their units."""
    for layer in range(len(net.first) - 1):
        if layer > 0:
            rectify(units[net.inputs + net.first[layer - 1] : net.inputs + net.first[layer]])
        forward(net, layer, units)


@numba.njit(**FLAGS)
def descend(targets, net, sgd, units, slopes):  # type: ignore[no-untyped-def]
    """The step, once the inputs are in their units."""
    through(net, units)
    last = len(net.first) - 2
    out = net.inputs + net.first[last]
    cross_entropy(units[out:], targets, sgd.smoothing, slopes[out:])
    for layer in range(last, -1, -1):
        if layer > 0:
            backward(net, layer, units, slopes)
        update(net, layer, units, slopes, sgd)


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
