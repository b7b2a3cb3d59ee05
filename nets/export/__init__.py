"""Pruned networks that people can use: files for other programs, and what is real on which hardware.

>>> nets.export.packed(outcome.model, outcome.masks, "net.packed.safetensors")
>>> nets.export.shrink(outcome.model, outcome.masks, images).model     # whole channels: a smaller plain module
"""

from __future__ import annotations

from nets.export.files import Exported, load_masks, load_packed, masks_path, onnx, packed, program, weights
from nets.structured.shrinking import shrink

__all__ = ["Exported", "load_masks", "load_packed", "masks_path", "onnx", "packed", "program", "shrink", "weights"]
