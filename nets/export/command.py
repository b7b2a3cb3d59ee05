"""`python -m nets export RUN`: a finished run as a file for other programs, and what that saves.

python -m nets export runs/imp                                        # runs/imp/model.packed.safetensors
python -m nets export runs/imp --to onnx --model lenet-300-100 --data mnist
python -m nets export runs/l1 --to shrunk --model resnet-20 --data cifar10
python -m nets export runs/l1 --to report --model resnet-20 --data cifar10     # FLOPs, bytes and milliseconds of each
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from torch import nn

from nets.weights import check_masks
from sparsopt.errors import CheckpointError, InvalidInput

SUFFIX = {
    "packed": ".packed.safetensors", "weights": ".safetensors", "shrunk": ".shrunk.safetensors", "program": ".pt2",
    "onnx": ".onnx",
}  # fmt: skip


@dataclass(frozen=True)
class Export:
    """Write a finished run's network as a file for other programs, or say what each of these saves."""

    run: Annotated[Path, tyro.conf.Positional]
    """folder of a finished run (prune --out)"""
    to: Literal["packed", "weights", "shrunk", "program", "onnx", "2:4", "report"] = "packed"
    """packed: the kept weights only; weights: a plain state dict and masks beside it; shrunk: without the channels that
    a structured method has removed; program: torch.export; onnx; 2:4: try NVIDIA's kernels; report: every form that the
    run has, with FLOPs by theory, bytes on disk and milliseconds measured here"""
    out: Path | None = None
    """file to write (report: folder); default model.* in the folder of the run"""
    model: str = ""
    """the network's name; all but packed and weights need it"""
    data: str = "digits"
    """what the network takes; all but packed and weights need it"""
    width: float = 1.0
    """as in the run"""
    batch: int = 64
    """samples of a timed batch"""

    def __call__(self) -> None:
        print(self._write())

    def _write(self) -> Any:
        from nets import export

        state, masks, configuration = _finished(self.run)
        if self.to in ("packed", "weights"):
            return getattr(export, self.to)(_Bare(state), masks, self._out, configuration)
        model, inputs = self._module(state)
        ways: dict[str, Callable[[], Any]] = {
            "shrunk": lambda: export.shrunk(model, masks, inputs, self._out, configuration),
            "2:4": lambda: export.semi_structured(model, masks, inputs),
            "report": lambda: export.compared(model, masks, inputs, self.out or self.run, configuration),
            "program": lambda: export.program(model, inputs, self._out),
            "onnx": lambda: export.onnx(model, inputs, self._out),
        }
        return ways[self.to]()

    @property
    def _out(self) -> Path:
        return self.out or self.run / f"model{SUFFIX[self.to]}"

    def _module(self, state: dict[str, Any]) -> tuple[nn.Module, Any]:
        import nets

        if not self.model:
            raise InvalidInput(f"--to {self.to} needs the network itself: give --model and --data, as in the run")
        if self.batch < 1:
            raise InvalidInput(f"--batch {self.batch}: at least one sample is needed")
        data = nets.data.load(self.data)
        model = nets.models.build(self.model, data.inputs, data.classes, width=self.width)
        try:
            model.load_state_dict(state, strict=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise InvalidInput(f"{self.run} does not hold a {self.model} for {self.data}: {reason}") from error
        (inputs, _), *_ = data.evaluation(data.images[: self.batch], data.labels[: self.batch])
        return model, inputs


class _Bare(nn.Module):
    """A state dict where a module is expected."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()
        self._content = state

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._content


def _finished(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """State dict, masks and configuration of a finished run."""
    import torch

    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}; a run writes one: python -m nets prune --out {folder}")
    read = "model.pt"
    try:
        content = torch.load(folder / read, map_location="cpu", weights_only=True)
        state, masks = content["model"], content["masks"]
        check_masks(state, masks, "the network beside it")
        read = "run.json"
        configuration = json.loads((folder / read).read_bytes())
    except FileNotFoundError as error:
        begun = "; the command that began it continues it" if (folder / "checkpoint.pt").exists() else ""
        raise CheckpointError(f"{folder} holds no finished run: {read} is missing{begun}") from error
    except Exception as error:  # torch raises many kinds for a damaged archive
        reason = str(error).splitlines()[0][:160] if isinstance(error, InvalidInput) else "damaged or cut short"
        raise CheckpointError(
            f"{folder / read} is not what a run writes ({reason}); delete it and result.json, and the command "
            "that made the run writes both again"
        ) from error
    return state, masks, configuration
