"""Smaller networks as files: the shrunk state dict, and how the unmodified module is cut to its size.

>>> done = shrunk(outcome.model, outcome.masks, images, "net.shrunk.safetensors")
>>> small = load_shrunk("net.shrunk.safetensors", model)           # a plain module
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nets.export.files import Exported, _load, _save
from nets.structured.shrinking import Shrunk, fitted, shrink
from sparsopt.errors import DataError, InvalidInput

__all__ = ["channels_out", "load_shrunk", "shrunk"]


def channels_out(model: nn.Module, masks: Mapping[str, Tensor], inputs: Tensor, repeats: int = 11) -> Shrunk:
    """`shrink`, refused where nothing goes: a mask of single weights leaves no whole channel to take out."""
    small = shrink(model, masks, inputs, repeats)
    if small.channels[0] == small.channels[1]:
        kept = sum(int(mask.sum()) for mask in masks.values()) / max(1, sum(mask.numel() for mask in masks.values()))
        raise InvalidInput(
            f"none of the {small.channels[0]} channels of this {type(model).__name__} is zero: it cannot shrink, its "
            f"masks keep {kept:.1%} of the weights one by one. What works for those is packed (a small file); for a "
            "smaller network prune whole channels, by l1-filters, thinet, network-slimming or soft-filter-pruning"
        )
    return small


def shrunk(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    inputs: Tensor,
    path: str | Path,
    configuration: Mapping[str, Any] | None = None,
) -> Exported:
    """The network without its zero channels as safetensors: a plain state dict of smaller tensors.

    inputs: a batch, on which the network that is read again and cut to size is compared with the masked one. Raises
    InvalidInput where no channel is zero, DataError if the outputs differ.
    """
    small, path = channels_out(model, masks, inputs, repeats=0), Path(path)
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in small.model.state_dict().items()}
    _save(state, path, "shrunk", {"channels": small.channels, "configuration": configuration or {}})
    again = load_shrunk(path, model).eval()
    with torch.no_grad():
        same = float((again(inputs.cpu()) - small.model.eval()(inputs.cpu())).abs().max())
    if same != 0:
        raise DataError(f"{path} gives other outputs than the shrunk network, by {same:.2g}: do not use it")
    return Exported(path, path.stat().st_size, small.error)


def load_shrunk(path: str | Path, model: nn.Module) -> nn.Module:
    """A copy of the unmodified module, its layers cut to the sizes of a shrunk file, with the file's weights."""
    state, _ = _load(Path(path), "shrunk")
    return fitted(model, state)
