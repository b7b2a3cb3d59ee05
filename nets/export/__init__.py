"""Pruned networks that people can use: files for other programs, and what is real on which hardware.

>>> nets.export.packed(outcome.model, outcome.masks, "net.packed.safetensors")
"""

from __future__ import annotations

from nets.export.files import Exported, load_masks, load_packed, masks_path, onnx, packed, program, weights

__all__ = ["Exported", "load_masks", "load_packed", "masks_path", "onnx", "packed", "program", "weights"]
