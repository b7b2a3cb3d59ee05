"""Kernels on planes of pixels with the images innermost: sparse convolution, its two gradients, batch norm.

A tensor (N, C, H, W) lies in memory as [C, H, W, N]. So a weight is a multiply-add of N contiguous numbers, at every
stride and near every border, and batch norm works on C rows. Pixels come one after the other, and at each all outputs:
what they read stays in the cache, their sums in registers. Images go in blocks of 128, 64, 32 and 16; what is left over
(N is at least 16) is the last 16, of which some are computed twice.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from nets.sparse.lanes import fill, folded, load, multiply_add, store, times

EXACT: dict[str, Any] = {"nogil": True, "cache": True, "boundscheck": False, "error_model": "numpy"}
SUMS: dict[str, Any] = {**EXACT, "fastmath": {"reassoc", "contract", "nsz"}}  # and a NaN stays one
ZERO, ONE = np.float32(0.0), np.float32(1.0)
BLOCK = 2048  # numbers that are summed in single precision


@numba.njit(**EXACT)
def _gather(zero, x, y, values, bias, taps, N, first):  # type: ignore[no-untyped-def]
    """As `gather`, for as many images from the first as `zero` has lanes."""
    kind, at, ptr, offset, number = taps
    for pixel in range(len(kind)):
        rows = ptr[kind[pixel]]
        here, there = at[pixel] * N + first, pixel * N + first
        for r in range(len(rows) - 1):
            total = load(zero, bias, 128 * r)
            for q in range(rows[r], rows[r + 1]):
                total = multiply_add(values[number[q]], load(zero, x, here + offset[q] * N), total)
            store(total, y, there)
            there += len(kind) * N


@numba.njit(**EXACT)
def gather(x, y, values, bias, taps, N):  # type: ignore[no-untyped-def]
    """y[r, pixel] = bias[r] + sum of values[number] x[at[pixel] + offset] over the row's weights, for N images.

    bias: 128 times each.
    """
    first = 0
    while first + 128 <= N:
        _gather(fill(128, ZERO), x, y, values, bias, taps, N, first)
        first += 128
    if first + 64 <= N:
        _gather(fill(64, ZERO), x, y, values, bias, taps, N, first)
        first += 64
    if first + 32 <= N:
        _gather(fill(32, ZERO), x, y, values, bias, taps, N, first)
        first += 32
    while first < N:
        _gather(fill(16, ZERO), x, y, values, bias, taps, N, min(first, N - 16))
        first += 16


@numba.njit(**EXACT)
def _dots(counted, x, d, sums, taps, N, first):  # type: ignore[no-untyped-def]
    """As `dots`; counted: 0 for images that were there before, else 1."""
    kind, at, ptr, offset, number = taps
    sixteen = fill(16, ZERO)
    for pixel in range(len(kind)):
        rows = ptr[kind[pixel]]
        here, there = at[pixel] * N + first, pixel * N + first
        for r in range(len(rows) - 1):
            slope = times(counted, load(counted, d, there))
            for q in range(rows[r], rows[r + 1]):
                place = 16 * number[q]
                total = load(sixteen, sums, place)
                store(folded(slope, load(counted, x, here + offset[q] * N), total), sums, place)
            there += len(kind) * N


@numba.njit(**EXACT)
def dots(x, d, sums, taps, N):  # type: ignore[no-untyped-def]
    """sums[number] += d[r, pixel] x[at[pixel] + offset] for every weight, pixel and image, in sixteen parts each."""
    first = 0
    while first + 128 <= N:
        _dots(fill(128, ONE), x, d, sums, taps, N, first)
        first += 128
    if first + 64 <= N:
        _dots(fill(64, ONE), x, d, sums, taps, N, first)
        first += 64
    if first + 32 <= N:
        _dots(fill(32, ONE), x, d, sums, taps, N, first)
        first += 32
    while first < N:
        start = min(first, N - 16)
        counted = np.ones(16, np.float32)
        counted[: first - start] = ZERO
        _dots(load(fill(16, ZERO), counted, 0), x, d, sums, taps, N, start)
        first += 16


@numba.njit(**SUMS)
def normalise(x, other, y, weight, bias, epsilon, floor, found):  # type: ignore[no-untyped-def]
    """y = max(weight (x - mean) scale + bias + other, floor) row by row (C, M); scale = 1 / sqrt(variance + epsilon).

    other: (C, M), or (C, 0) for none. found: (3, C), set to mean, variance and scale.
    """
    (C, M), (mean, variance, scale) = x.shape, found
    for c in range(C):
        row, out = x[c], y[c]
        total = 0.0
        for start in range(0, M, BLOCK):
            part, inputs = ZERO, row[start : start + BLOCK]
            for i in range(len(inputs)):
                part += inputs[i]
            total += part
        m, total = np.float32(total / M), 0.0
        for start in range(0, M, BLOCK):
            part, inputs = ZERO, row[start : start + BLOCK]
            for i in range(len(inputs)):
                part += (inputs[i] - m) * (inputs[i] - m)
            total += part
        mean[c], variance[c] = m, np.float32(total / M)
        scale[c] = np.float32(1.0 / np.sqrt(total / M + epsilon))
        factor, shift, more = weight[c] * scale[c], bias[c], other[c]
        if len(more) == 0:
            for i in range(M):
                value = (row[i] - m) * factor + shift
                out[i] = value * np.float32(value > floor)
        else:
            for i in range(M):
                value = (row[i] - m) * factor + shift + more[i]
                out[i] = value * np.float32(value > floor)


@numba.njit(**SUMS)
def normalise_backward(known, slopes, of_other, weight, found, floor, of_both):  # type: ignore[no-untyped-def]
    """Gradients of x, other, and both weight and bias. known: x, y, and y's gradient, which counts above the floor."""
    x, y, d = known
    (C, M), (mean, _, scale), (of_weight, of_bias) = x.shape, found, of_both
    for c in range(C):
        row, out, more, m = x[c], slopes[c], of_other[c], mean[c]
        along, total = 0.0, 0.0
        for start in range(0, M, BLOCK):
            part, other, end = ZERO, ZERO, start + BLOCK
            inputs, outputs, slope = row[start:end], y[c, start:end], d[c, start:end]
            for i in range(len(inputs)):
                g = slope[i] * np.float32(outputs[i] > floor)
                part += g
                other += g * (inputs[i] - m)
            total += part
            along += other
        of_bias[c], of_weight[c] = np.float32(total), np.float32(along * scale[c])
        factor, constant = weight[c] * scale[c], np.float32(total / M)
        linear = np.float32(along * scale[c] * scale[c] / M)
        for i in range(M):
            g = d[c, i] * np.float32(y[c, i] > floor)
            out[i] = factor * (g - constant - (row[i] - m) * linear)
        if len(more) > 0:
            for i in range(M):
                more[i] = d[c, i] * np.float32(y[c, i] > floor)
