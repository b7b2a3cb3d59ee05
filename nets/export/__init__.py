"""Pruned networks that people can use: files for other programs, and what is real on which hardware.

>>> nets.export.packed(outcome.model, outcome.masks, "net.packed.safetensors")
>>> nets.export.shrink(outcome.model, outcome.masks, images).model     # whole channels: a smaller plain module
>>> nets.export.shrunk(outcome.model, outcome.masks, images, "net.shrunk.safetensors")          # ... as a file
>>> print(nets.export.compared(outcome.model, outcome.masks, images, "folder"))   # theory, bytes and seconds of each

| what was removed | a smaller file | faster |
|---|---|---|
| single weights | `packed` | nowhere in dense tensors; perceptrons on the CPU in `nets.sparse` |
| two of every four | `packed` | linear layers on NVIDIA GPUs from Ampere on, half precision: `semi_structured` |
| whole channels | `shrunk` | everywhere: a smaller plain module |
"""

from __future__ import annotations

from nets.export.files import Exported, load_masks, load_packed, masks_path, onnx, packed, program, weights
from nets.export.report import Compared, compared
from nets.export.semi_structured import SemiStructured, is_two_of_four, semi_structured
from nets.export.shrunk import channels_out, load_shrunk, shrunk
from nets.structured.shrinking import shrink

__all__ = [
    "Compared", "Exported", "SemiStructured", "channels_out", "compared", "is_two_of_four", "load_masks", "load_packed",
    "load_shrunk", "masks_path", "onnx", "packed", "program", "semi_structured", "shrink", "shrunk", "weights",
]  # fmt: skip
