"""Where a sparse convolution reads: each kept weight as an offset in pixels, grouped so that borders need no padding.

A pixel of the output sums, over the kept weights (o, i, a, b) of channel o, weight times the pixel of channel i that
tap (a, b) meets. Near a border some taps meet nothing. Pixels whose taps all meet something at the same offsets are of
one kind (nine kinds for 3 x 3 on a large image), and each kind has its own list of weights. Reading the gradient of the
outputs instead gives the gradient of the inputs, with more kinds where the stride is above 1; the kernel is the same.

>>> mask = np.ones((1, 1, 3, 3), bool)                       # 3 x 3, stride 1, padding 1, on 4 x 4
>>> taps = Taps.forward(mask, (4, 4), Geometry((1, 1), (1, 1), (1, 1)))
>>> taps.kind.reshape(4, 4)[0], np.diff(taps.ptr).ravel()    # corners have four weights, the inside has nine
(array([8, 6, 6, 7]), array([9, 6, 6, 6, 4, 4, 6, 4, 4]))
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Of a convolution, (vertical, horizontal)."""

    stride: Size
    padding: Size
    dilation: Size

    def outputs(self, inputs: Size, kernel: Size) -> Size:
        """Height and width of the outputs; below 1 where the kernel does not fit."""
        reach = zip(inputs, kernel, self.stride, self.padding, self.dilation, strict=True)
        height, width = ((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in reach)
        return height, width


@dataclass(frozen=True)
class Axis:
    """One direction: the kinds of places, each a row of `shifts`: where a tap reads, from `at` of its place.

    shifts  (kinds, taps), with NOTHING where a tap meets nothing; kind, at: (places,)
    """

    shifts: NDArray[np.int64]
    kind: NDArray[np.int64]
    at: NDArray[np.int64]

    @classmethod
    def of(cls, reads: NDArray[np.int64], meets: NDArray[np.bool_], at: NDArray[np.int64]) -> Axis:
        """reads: (places, taps), the position; meets: whether there is one."""
        shifts, kind = np.unique(np.where(meets, reads - at[:, None], NOTHING), axis=0, return_inverse=True)
        return cls(shifts, kind.reshape(-1), at)


NOTHING = np.iinfo(np.int64).max


def _forward(inputs: int, outputs: int, taps: int, stride: int, padding: int, dilation: int) -> Axis:
    """Output place o reads input o stride + a dilation - padding through tap a."""
    at = np.arange(outputs) * stride
    reads = at[:, None] + np.arange(taps) * dilation - padding
    return Axis.of(reads, (reads >= 0) & (reads < inputs), at)


def _backward(inputs: int, outputs: int, taps: int, stride: int, padding: int, dilation: int) -> Axis:
    """Input place i gets what it gave: to every output o with o stride + a dilation - padding = i."""
    ahead = np.arange(inputs)[:, None] + padding - np.arange(taps) * dilation
    reads = ahead // stride
    return Axis.of(reads, (ahead % stride == 0) & (reads >= 0) & (reads < outputs), np.arange(inputs) // stride)


@dataclass(frozen=True)
class Taps:
    """All that the kernels need to know, in pixels; planes have `pixels` of them.

    kind, at     (pixels,) of each output pixel: its kind, and the input pixel that offsets count from
    ptr          (kinds, rows + 1): the weights of row r at pixels of kind k are ptr[k, r] ... ptr[k, r + 1] of
    offset, number    where the weight reads, over all planes, and which of the kept weights it is
    """

    kind: NDArray[np.int64]
    at: NDArray[np.int64]
    ptr: NDArray[np.int64]
    offset: NDArray[np.int32]
    number: NDArray[np.uint32]

    @classmethod
    def forward(cls, mask: NDArray[np.bool_], inputs: Size, geometry: Geometry) -> Taps:
        """Outputs from inputs. mask: (outputs, inputs, height, width) of the kept weights."""
        o, i, a, b = np.nonzero(mask)
        kept = (o, i, a, b, np.arange(len(o)))
        return cls._of(kept, mask.shape[0], inputs, *_axes(_forward, mask, inputs, geometry))

    @classmethod
    def backward(cls, mask: NDArray[np.bool_], inputs: Size, geometry: Geometry) -> Taps:
        """The gradient of the inputs from that of the outputs."""
        o, i, a, b = np.nonzero(mask)
        order = np.argsort(i, kind="stable")
        kept = (i[order], o[order], a[order], b[order], order)
        outputs = geometry.outputs(inputs, mask.shape[2:])  # type: ignore[arg-type]
        return cls._of(kept, mask.shape[1], outputs, *_axes(_backward, mask, inputs, geometry))

    @classmethod
    def _of(cls, kept: tuple[Any, ...], rows: int, source: Size, vertical: Axis, horizontal: Axis) -> Taps:
        """kept: row, plane that is read, taps and number of each weight, by row. source: size of the planes."""
        row, plane, a, b, number = kept
        height, width = source
        ptr, offsets, numbers, start = [], [], [], 0
        for down in vertical.shifts:
            for across in horizontal.shifts:
                meets = (down[a] != NOTHING) & (across[b] != NOTHING)
                counts = np.bincount(row[meets], minlength=rows)
                ptr.append(start + np.concatenate([[0], np.cumsum(counts)]))
                offsets.append(((plane * height + down[a]) * width + across[b])[meets])
                numbers.append(number[meets])
                start += int(meets.sum())
        kind = vertical.kind[:, None] * len(horizontal.shifts) + horizontal.kind
        at = vertical.at[:, None] * width + horizontal.at
        return cls(
            kind.reshape(-1), at.reshape(-1), np.array(ptr, dtype=np.int64).reshape(-1, rows + 1),
            _joined(offsets).astype(np.int32), _joined(numbers).astype(np.uint32),
        )  # fmt: skip


def _axes(kind: Any, mask: NDArray[np.bool_], inputs: Size, geometry: Geometry) -> Iterable[Axis]:
    kernel: Any = mask.shape[2:]
    outputs = geometry.outputs(inputs, kernel)
    steps = zip(inputs, outputs, kernel, geometry.stride, geometry.padding, geometry.dilation, strict=True)
    return [kind(*one) for one in steps]


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
