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
from nets.sparse.lanes import fill, kept, load, multiply_add, prefetch, store
from nets.sparse.products import product, turn

ZERO = np.float32(0.0)
AHEAD = 8  # samples


class Batch(NamedTuple):
    """The non-zero entries of a batch by input: of input j the first `count[j]` of `what` from `start[j]` on, of the
    samples `who`."""

    start: Any
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
    """The non-zero entries of some samples, by input."""
    batch.count[:] = 0
    for b in range(len(rows)):
        if b + AHEAD < len(rows):
            announce(rows[b + AHEAD], inputs)
        for i in range(inputs.ptr[rows[b]], inputs.ptr[rows[b] + 1]):
            j = np.intp(inputs.places[i])
            k = batch.start[j] + batch.count[j]
            batch.who[k], batch.what[k] = b, inputs.values[i]
            batch.count[j] += 1


@numba.njit(**FLAGS)
def announce(row, inputs):  # type: ignore[no-untyped-def]
    """That a sample's entries will be read: they lie anywhere in memory."""
    for i in range(inputs.ptr[row], inputs.ptr[row + 1], 16):
        prefetch(inputs.values, i)
        prefetch(inputs.places, i)


@numba.njit(forceinline=True, **FLAGS)
def accelerated(slope, speed, sgd):  # type: ignore[no-untyped-def]
    """Where torch.optim.SGD goes: momentum after this step, and what the rate multiplies. On vectors alone: an array
    that is handed over in an inner loop costs more than the arithmetic."""
    speed = multiply_add(sgd.momentum, speed, slope)
    if sgd.nesterov:
        return speed, multiply_add(sgd.momentum, speed, slope)
    return speed, speed


@numba.njit(**FLAGS)
def moved(V, mom, keep, slopes, rate, sgd):  # type: ignore[no-untyped-def]
    """torch.optim.SGD on weights that come in sixteens, where they are kept."""
    zero = fill(16, ZERO)
    for at in range(0, len(V), 16):
        v = load(zero, V, at)
        slope = kept(multiply_add(sgd.decay, v, load(zero, slopes, at)), keep, at)
        if sgd.momentum != 0:
            speed, slope = accelerated(slope, load(zero, mom, at), sgd)
            store(speed, mom, at)
        store(multiply_add(-rate, slope, v), V, at)


@numba.njit(**FLAGS)
def summed(d, m, c, samples, like):  # type: ignore[no-untyped-def]
    """Sum of the rows of d, as many columns from c on as `like`, zeros, has lanes."""
    total = like
    for b in range(samples):
        total = multiply_add(np.float32(1.0), load(like, d, b * m + c), total)
    return total


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
def flat_units(numbers, layers, layer, samples):  # type: ignore[no-untyped-def]
    """The layer's outputs or slopes out of all, as they lie in memory, one sample after the other."""
    return numbers[layers.outs[layer] * samples : layers.outs[layer + 1] * samples]


@numba.njit(**FLAGS)
def units(numbers, layers, layer, samples):  # type: ignore[no-untyped-def]
    """The same as a matrix (samples, units)."""
    return flat_units(numbers, layers, layer, samples).reshape(samples, layers.shapes[layer, 1])


@numba.njit(**FLAGS)
def constant(V, shift, out):  # type: ignore[no-untyped-def]
    """out = sum over j of shift_j V_j."""
    out[:] = 0
    for j in range(len(V)):
        for c in range(len(out)):
            out[c] += shift[j] * V[j, c]


@numba.njit(**FLAGS)
def forward(layers, rows, inputs, work, samples):  # type: ignore[no-untyped-def]
    """Outputs of all layers for the samples `rows`."""
    last = len(layers.shapes) - 1
    m, h = layers.shapes[0, 1], flat_units(work.h, layers, 0, samples)
    c = 0
    while c < m:
        wide = m - c >= 64
        if wide:
            outputs(layers, rows, inputs, work.constant, h, m, c, fill(64, ZERO))
        else:
            outputs(layers, rows, inputs, work.constant, h, m, c, fill(16, ZERO))
        c += 64 if wide else 16
    for layer in range(1, last + 1):
        rectify(h)
        n, m = layers.shapes[layer]
        before, h = h, flat_units(work.h, layers, layer, samples)
        V, bias = flat(layers.V, layers, layer), vector(layers.bias, layers, layer)
        product(before, n, 1, V, bias, h, samples, n, m)


@numba.njit(**FLAGS)
def outputs(layers, rows, inputs, constant, h, m, c, like):  # type: ignore[no-untyped-def]
    """Of the first layer, as many from c on as `like` has lanes."""
    V = flat(layers.V, layers, 0)
    start = multiply_add(np.float32(1.0), load(like, constant, c), load(like, layers.bias, c))
    for b in range(len(rows)):
        total = start
        for i in range(np.uint64(inputs.ptr[rows[b]]), np.uint64(inputs.ptr[rows[b] + 1])):
            total = multiply_add(inputs.values[i], load(like, V, np.intp(inputs.places[i]) * m + c), total)
        store(total, h, b * m + c)


@numba.njit(**FLAGS)
def rectify(h):  # type: ignore[no-untyped-def]
    for c in range(len(h)):
        h[c] = max(h[c], ZERO)


@numba.njit(**FLAGS)
def first(layers, inputs, batch, work, d, samples, rate, sgd):  # type: ignore[no-untyped-def]
    """Gradient and SGD of the first layer, and the constant of its next outputs; d: the slopes of its outputs."""
    m, c = layers.shapes[0, 1], 0
    while c < m:
        wide = m - c >= 64
        if wide:
            columns(layers, inputs, batch, work, d, samples, m, c, rate, sgd, fill(64, ZERO))
        else:
            columns(layers, inputs, batch, work, d, samples, m, c, rate, sgd, fill(16, ZERO))
        c += 64 if wide else 16
    bias, speed = vector(layers.bias, layers, 0), vector(layers.bias_mom, layers, 0)
    moved(bias, speed, vector(layers.bias_keep, layers, 0), work.g, rate, sgd)


@numba.njit(**FLAGS)
def columns(layers, inputs, batch, work, d, samples, m, c, rate, sgd, zero):  # type: ignore[no-untyped-def]
    """As `first`, of as many outputs from c on as `zero` has lanes: their slopes stay in the cache."""
    V, mom, keep = flat(layers.V, layers, 0), flat(layers.mom, layers, 0), flat(layers.keep, layers, 0)
    total, constant = summed(d, m, c, samples, zero), zero
    for j in range(len(inputs.shift)):
        shift = inputs.shift[j]
        g, begin = multiply_add(shift, total, zero), np.uint64(batch.start[j])
        for i in range(begin, begin + np.uint64(batch.count[j])):
            g = multiply_add(batch.what[i], load(zero, d, np.intp(batch.who[i]) * m + c), g)
        at = j * m + c
        v = load(zero, V, at)
        slope = kept(multiply_add(sgd.decay, v, g), keep, at)
        if sgd.momentum != 0:
            speed, slope = accelerated(slope, load(zero, mom, at), sgd)
            store(speed, mom, at)
        v = multiply_add(-rate, slope, v)
        store(v, V, at)
        constant = multiply_add(shift, v, constant)
    store(constant, work.constant, c)
    store(total, work.g, c)


@numba.njit(**FLAGS)
def other(layers, layer, work, samples, rate, sgd):  # type: ignore[no-untyped-def]
    """Slopes of the layer before, then gradient and SGD of this one."""
    n, m = layers.shapes[layer]
    h, d = flat_units(work.h, layers, layer - 1, samples), flat_units(work.d, layers, layer, samples)
    before = flat_units(work.d, layers, layer - 1, samples)
    nothing, g = work.g[n * m : n * m + max(n, m)], work.g[: n * m]
    nothing[:] = 0
    turn(part(layers.V, layers, layer), work.turned[: n * m].reshape(m, n))
    product(d, m, 1, work.turned, nothing, before, samples, m, n)
    for c in range(len(h)):
        before[c] = before[c] if h[c] > ZERO else ZERO
    product(h, 1, n, d, nothing, g, n, samples, m)
    V, mom, keep = flat(layers.V, layers, layer), flat(layers.mom, layers, layer), flat(layers.keep, layers, layer)
    moved(V, mom, keep, g, rate, sgd)
    bias, speed = vector(layers.bias, layers, layer), vector(layers.bias_mom, layers, layer)
    for c in range(0, m, 16):
        store(summed(d, m, c, samples, fill(16, ZERO)), g, c)
    moved(bias, speed, vector(layers.bias_keep, layers, layer), g, rate, sgd)


@numba.njit(**FLAGS)
def train(rows, targets, rates, inputs, layers, batch, work, sgd):  # type: ignore[no-untyped-def]
    """A step for each row of `rows` (steps, B), numbers of samples."""
    samples, last = (rows.shape[1] + 3) // 4 * 4, len(layers.shapes) - 1
    constant(part(layers.V, layers, 0), inputs.shift, work.constant)
    for t in range(len(rows)):
        collect(rows[t], inputs, batch)
        forward(layers, rows[t], inputs, work, samples)
        h, d = units(work.h, layers, last, samples), units(work.d, layers, last, samples)
        cross_entropy(h, targets[rows[t]], layers.classes, sgd.smoothing, d)
        for layer in range(last, 0, -1):
            other(layers, layer, work, samples, rates[t], sgd)
        first(layers, inputs, batch, work, flat_units(work.d, layers, 0, samples), samples, rates[t], sgd)


@numba.njit(**FLAGS)
def evaluate(rows, targets, inputs, layers, work, smoothing):  # type: ignore[no-untyped-def]
    """(sum of losses, number of right answers) over rows of `rows` (chunks, B); a number below 0 is no sample."""
    samples, last = (rows.shape[1] + 3) // 4 * 4, len(layers.shapes) - 1
    constant(part(layers.V, layers, 0), inputs.shift, work.constant)
    loss, right = 0.0, 0
    for t in range(len(rows)):
        count = 0
        while count < rows.shape[1] and rows[t, count] >= 0:
            count += 1
        forward(layers, rows[t, :count], inputs, work, samples)
        h, d = units(work.h, layers, last, samples), units(work.d, layers, last, samples)
        y = targets[rows[t, :count]]
        loss += cross_entropy(h, y, layers.classes, smoothing, d)
        for b in range(count):
            right += np.argmax(h[b, : layers.classes]) == y[b]
    return loss, right
