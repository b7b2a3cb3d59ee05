"""Training steps of a perceptron whose inputs are mostly zero, compiled by Numba: those zeros cost nothing.

An input is x_j = u_j + shift_j with u_j mostly 0, so with V = W^T, one row an input,

    x W^T = (sum over u_j != 0 of u_j V_j) + sum over j of shift_j V_j
    dV_j  = (sum over b with u_bj != 0 of u_bj d_b) + shift_j sum over b of d_b

The second sums are one vector each: the first is taken while the rows of V are updated, so V is read twice a step and
no image is ever written out. All other layers are dense. Rows are padded with zeros, which stay zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from nets.sparse.entries import FLAGS
from nets.sparse.products import accumulate, product, turn


class Batch(NamedTuple):
    """Those of a batch: of sample b `x[at[b]:at[b + 1]]` at inputs `place`; of input j `what[j, :count[j]]`, of samples
    `who`."""

    at: Any
    place: Any
    x: Any
    count: Any
    who: Any
    what: Any


class Layers(NamedTuple):
    """All layers' V, momentum and mask behind each other; `shapes` (L, 2) of each V, padded; biases likewise."""

    shapes: Any
    starts: Any
    outs: Any
    V: Any
    mom: Any
    keep: Any
    bias: Any
    bias_mom: Any
    bias_keep: Any
    classes: int


class Work(NamedTuple):
    """Outputs of all layers (samples by units), their slopes, and scratch."""

    h: Any
    d: Any
    turned: Any
    g: Any
    constant: Any


class Sgd(NamedTuple):
    """What a step needs of a recipe, but the rate."""

    nesterov: bool
    momentum: Any
    decay: Any
    smoothing: Any


@numba.njit(**FLAGS)
def collect(rows, inputs, batch):  # type: ignore[no-untyped-def]
    """The non-zero entries of some samples, by sample and by input."""
    batch.count[:] = 0
    p = np.uint64(0)
    for b in range(len(rows)):
        batch.at[b] = p
        n = np.uint64(rows[b])
        for i in range(np.uint64(inputs.ptr[n]), np.uint64(inputs.ptr[n + np.uint64(1)])):
            j = np.uint64(inputs.places[i])
            x = inputs.values[i]
            batch.place[p], batch.x[p] = j, x
            p += np.uint64(1)
            k = np.uint64(batch.count[j])
            batch.who[j, k], batch.what[j, k] = b, x
            batch.count[j] = k + np.uint64(1)
    batch.at[len(rows) :] = p


@numba.njit(**FLAGS)
def moved(v, m, keep, g, rate, sgd):  # type: ignore[no-untyped-def]
    """torch.optim.SGD on a row of weights, where it is kept."""
    if sgd.momentum == 0:
        for c in range(len(v)):
            v[c] -= rate * (g[c] + sgd.decay * v[c]) * np.float32(keep[c])
        return
    for c in range(len(v)):
        slope = (g[c] + sgd.decay * v[c]) * np.float32(keep[c])
        speed = sgd.momentum * m[c] + slope
        m[c] = speed
        v[c] -= rate * (slope + sgd.momentum * speed if sgd.nesterov else speed)


@numba.njit(**FLAGS)
def cross_entropy(outputs, targets, classes, smoothing, slopes):  # type: ignore[no-untyped-def]
    """Sum of the samples' cross-entropies; slopes = its gradient over the number of samples, 0 in the padding."""
    B, loss = len(targets), 0.0
    slopes[:] = 0
    for b in range(B):
        z, d = outputs[b], slopes[b]
        top = z[0]
        for c in range(1, classes):
            top = max(top, z[c])
        total = mean = np.float32(0.0)
        for c in range(classes):
            d[c] = np.exp(z[c] - top)
            total += d[c]
            mean += (z[c] - top) / np.float32(classes)
        for c in range(classes):
            d[c] = (d[c] / total - smoothing / np.float32(classes)) / np.float32(B)
        y = targets[b]
        d[y] -= (np.float32(1.0) - smoothing) / np.float32(B)
        loss += np.log(total) - (np.float32(1.0) - smoothing) * (z[y] - top) - smoothing * mean
    return loss


@numba.njit(**FLAGS)
def flat(numbers, layers, layer):  # type: ignore[no-untyped-def]
    """The layer's matrix out of all, as it lies in memory."""
    return numbers[layers.starts[layer] : layers.starts[layer + 1]]


@numba.njit(**FLAGS)
def part(numbers, layers, layer):  # type: ignore[no-untyped-def]
    """The layer's matrix out of all."""
    n, m = layers.shapes[layer]
    return flat(numbers, layers, layer).reshape(n, m)


@numba.njit(**FLAGS)
def vector(numbers, layers, layer):  # type: ignore[no-untyped-def]
    """The layer's vector out of all."""
    return numbers[layers.outs[layer] : layers.outs[layer + 1]]


@numba.njit(**FLAGS)
def units(numbers, layers, layer, samples):  # type: ignore[no-untyped-def]
    """The layer's outputs or slopes, (samples, units), out of all."""
    a, b = layers.outs[layer], layers.outs[layer + 1]
    return numbers[a * samples : b * samples].reshape(samples, b - a)


@numba.njit(**FLAGS)
def constant(V, shift, out):  # type: ignore[no-untyped-def]
    """out = sum over j of shift_j V_j."""
    out[:] = 0
    for j in range(len(V)):
        for c in range(len(out)):
            out[c] += shift[j] * V[j, c]


@numba.njit(**FLAGS)
def forward(layers, batch, work, samples):  # type: ignore[no-untyped-def]
    """Outputs of all layers."""
    last = len(layers.shapes) - 1
    V, h = part(layers.V, layers, 0), units(work.h, layers, 0, samples)
    bias = vector(layers.bias, layers, 0)
    for b in range(len(batch.at) - 1):
        out = h[b]
        for c in range(len(out)):
            out[c] = bias[c] + work.constant[c]
        accumulate(out, batch.x, batch.place, V, batch.at[b], batch.at[b + 1])
        if last > 0:
            for c in range(len(out)):
                out[c] = max(out[c], np.float32(0.0))
    for layer in range(1, last + 1):
        n, m = layers.shapes[layer]
        before, h = h, units(work.h, layers, layer, samples)
        V, bias = flat(layers.V, layers, layer), vector(layers.bias, layers, layer)
        product(before.ravel(), n, 1, V, bias, h.ravel(), samples, n, m)
        if layer < last:
            for b in range(samples):
                for c in range(m):
                    h[b, c] = max(h[b, c], np.float32(0.0))


@numba.njit(**FLAGS)
def first(layers, inputs, batch, work, d, rate, sgd):  # type: ignore[no-untyped-def]
    """Gradient and SGD of the first layer, and the constant of its next outputs; d: the slopes of its outputs."""
    V, mom, keep = part(layers.V, layers, 0), part(layers.mom, layers, 0), part(layers.keep, layers, 0)
    m = V.shape[1]
    total, g = work.g[:m], work.g[m : 2 * m]
    total[:] = 0
    for b in range(len(d)):
        for c in range(len(total)):
            total[c] += d[b, c]
    work.constant[:] = 0
    for j in range(len(V)):
        shift, v = inputs.shift[j], V[j]
        for c in range(len(g)):
            g[c] = shift * total[c]
        accumulate(g, batch.what[j], batch.who[j], d, np.uint64(0), np.uint64(batch.count[j]))
        moved(v, mom[j], keep[j], g, rate, sgd)
        for c in range(len(g)):
            work.constant[c] += shift * v[c]
    bias, speed = vector(layers.bias, layers, 0), vector(layers.bias_mom, layers, 0)
    moved(bias, speed, vector(layers.bias_keep, layers, 0), total, rate, sgd)


@numba.njit(**FLAGS)
def other(layers, layer, work, samples, rate, sgd):  # type: ignore[no-untyped-def]
    """Slopes of the layer before, then gradient and SGD of this one."""
    V, mom, keep = part(layers.V, layers, layer), part(layers.mom, layers, layer), part(layers.keep, layers, layer)
    n, m = V.shape
    h, d = units(work.h, layers, layer - 1, samples), units(work.d, layers, layer, samples)
    before = units(work.d, layers, layer - 1, samples)
    nothing, g = work.g[n * m : n * m + max(n, m)], work.g[: n * m]
    nothing[:] = 0
    turn(V, work.turned[: n * m].reshape(m, n))
    product(d.ravel(), m, 1, work.turned, nothing, before.ravel(), samples, m, n)
    for b in range(samples):
        for c in range(n):
            before[b, c] = before[b, c] if h[b, c] > np.float32(0.0) else np.float32(0.0)
    product(h.ravel(), 1, n, d.ravel(), nothing, g, n, samples, m)
    for j in range(n):
        moved(V[j], mom[j], keep[j], g[j * m : (j + 1) * m], rate, sgd)
    for b in range(samples):
        for c in range(m):
            nothing[c] += d[b, c]
    bias, speed = vector(layers.bias, layers, layer), vector(layers.bias_mom, layers, layer)
    moved(bias, speed, vector(layers.bias_keep, layers, layer), nothing[:m], rate, sgd)


@numba.njit(**FLAGS)
def train(rows, targets, rates, inputs, layers, batch, work, sgd):  # type: ignore[no-untyped-def]
    """A step for each row of `rows` (steps, B), numbers of samples."""
    samples, last = (rows.shape[1] + 3) // 4 * 4, len(layers.shapes) - 1
    constant(part(layers.V, layers, 0), inputs.shift, work.constant)
    for t in range(len(rows)):
        collect(rows[t], inputs, batch)
        forward(layers, batch, work, samples)
        h, d = units(work.h, layers, last, samples), units(work.d, layers, last, samples)
        cross_entropy(h, targets[rows[t]], layers.classes, sgd.smoothing, d)
        for layer in range(last, 0, -1):
            other(layers, layer, work, samples, rates[t], sgd)
        first(layers, inputs, batch, work, units(work.d, layers, 0, samples), rates[t], sgd)


@numba.njit(**FLAGS)
def evaluate(rows, targets, inputs, layers, batch, work, smoothing):  # type: ignore[no-untyped-def]
    """(sum of losses, number of right answers) over rows of `rows` (chunks, B); a number below 0 is no sample."""
    samples, last = (rows.shape[1] + 3) // 4 * 4, len(layers.shapes) - 1
    constant(part(layers.V, layers, 0), inputs.shift, work.constant)
    loss, right = 0.0, 0
    for t in range(len(rows)):
        count = 0
        while count < rows.shape[1] and rows[t, count] >= 0:
            count += 1
        collect(rows[t, :count], inputs, batch)
        forward(layers, batch, work, samples)
        h, d = units(work.h, layers, last, samples), units(work.d, layers, last, samples)
        y = targets[rows[t, :count]]
        loss += cross_entropy(h, y, layers.classes, smoothing, d)
        for b in range(count):
            right += np.argmax(h[b, : layers.classes]) == y[b]
    return loss, right
