"""Small files: the kept weights and where they belong, by bits or by columns, whichever is smaller.

A tensor with k of n weights, of w bytes each, has k w + n / 8 bytes as *bits* (one a position), and k (w + c) +
4 (r + 1) as *columns*: of r rows, each kept weight's place in its row in c = 1, 2 or 4 bytes, and where each row
starts. Columns win below a density of about 1 / (8 c): 12 % in narrow layers, 6 % in most.

    >>> parts = pack(torch.eye(3), torch.eye(3, dtype=torch.bool))
    >>> sorted(parts), torch.equal(unpack(parts, (3, 3)), torch.eye(3))
    (['bits', 'values'], True)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sparsopt.errors import DataError

__all__ = ["pack", "pack_bits", "unpack", "unpack_bits"]


def pack(weight: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """The parts of a pruned tensor: "values", and "bits" or "columns" and "starts"; what is off the mask is dropped."""
    values = weight.detach().cpu()[mask.cpu()]
    bits, columns = {"bits": pack_bits(mask)}, _columns(mask)
    smaller = min((bits, columns), key=lambda parts: sum(part.nbytes for part in parts.values()))
    return {"values": values.contiguous(), **smaller}


def unpack(parts: Mapping[str, Tensor], shape: tuple[int, ...]) -> Tensor:
    """The tensor, zero off its mask. Raises DataError for parts that do not fit together."""
    mask = unpack_bits(parts["bits"], shape) if "bits" in parts else _mask(parts["columns"], parts["starts"], shape)
    if int(mask.sum()) != len(parts["values"]):
        raise DataError(f"{len(parts['values'])} values for {int(mask.sum())} places of a {shape} tensor: damaged file")
    weight = torch.zeros(shape, dtype=parts["values"].dtype)
    weight[mask] = parts["values"]
    return weight


def pack_bits(mask: Tensor) -> Tensor:
    """A boolean tensor as bytes, eight places each."""
    return torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1)))


def unpack_bits(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The boolean tensor of that shape again."""
    n = int(np.prod(shape, dtype=np.int64))
    if len(bits) != (n + 7) // 8:
        raise DataError(f"{len(bits)} bytes for the mask of a {shape} tensor, which needs {(n + 7) // 8}: damaged file")
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=n).astype(bool).reshape(shape))


def _columns(mask: Tensor) -> dict[str, Tensor]:
    rows = mask.cpu().numpy().reshape(mask.shape[0] if mask.dim() else 1, -1)
    width = rows.shape[1]
    kind = np.uint8 if width <= 1 << 8 else np.uint16 if width <= 1 << 16 else np.uint32
    starts = np.concatenate([[0], np.cumsum(rows.sum(axis=1))]).astype(np.uint32)
    return {"columns": torch.from_numpy(np.nonzero(rows)[1].astype(kind)), "starts": torch.from_numpy(starts)}


def _mask(columns: Tensor, starts: Tensor, shape: tuple[int, ...]) -> Tensor:
    rows = np.zeros(shape, dtype=bool).reshape(shape[0] if shape else 1, -1)
    counts, places = np.diff(starts.numpy().astype(np.int64)), columns.numpy().astype(np.int64)
    if len(counts) != len(rows) or (counts < 0).any() or counts.sum() != len(places) or (places >= rows.shape[1]).any():
        raise DataError(f"rows and columns do not fit a {shape} tensor: damaged file")
    rows[np.repeat(np.arange(len(rows)), counts), places] = True
    return torch.from_numpy(rows.reshape(shape))
