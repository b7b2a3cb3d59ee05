"""`python -m nets export RUN`: a finished run as a file for other programs.

python -m nets export runs/imp                                        # runs/imp/model.packed.safetensors
python -m nets export runs/imp --to onnx --model lenet-300-100 --data mnist
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from torch import nn

from sparsopt.errors import CheckpointError, InvalidInput

SUFFIX = {"packed": ".packed.safetensors", "weights": ".safetensors", "program": ".pt2", "onnx": ".onnx"}


@dataclass(frozen=True)
class Export:
    """Write a finished run's network as a file for other programs."""

    run: Annotated[Path, tyro.conf.Positional]
    """folder of a finished run (prune --out)"""
    to: Literal["packed", "weights", "program", "onnx"] = "packed"
    """packed: the kept weights only; weights: a plain state dict and masks beside it; or torch.export, ONNX"""
    out: Path | None = None
    """file to write; default model.* in the folder of the run"""
    model: str = ""
    """the network's name; program and onnx need it"""
    data: str = "digits"
    """what the network takes; program and onnx need it"""

    def __call__(self) -> None:
        print(self._write())

    def _write(self) -> Any:
        from nets import export

        state, masks, configuration = _finished(self.run)
        out = self.out or self.run / f"model{SUFFIX[self.to]}"
        if self.to in ("packed", "weights"):
            return getattr(export, self.to)(_Bare(state), masks, out, configuration)
        model, inputs = self._module(state)
        return getattr(export, self.to)(model, inputs, out)

    def _module(self, state: dict[str, Any]) -> tuple[nn.Module, Any]:
        import nets

        if not self.model:
            raise InvalidInput(f"--to {self.to} needs the network itself: give --model and --data, as in the run")
        data = nets.data.load(self.data)
        model = nets.models.build(self.model, data.inputs, data.classes)
        try:
            model.load_state_dict(state, strict=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise InvalidInput(f"{self.run} does not hold a {self.model} for {self.data}: {reason}") from error
        (inputs, _), *_ = data.evaluation(data.images[:4], data.labels[:4])
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

    try:
        content = torch.load(folder / "model.pt", map_location="cpu", weights_only=True)
        configuration = json.loads((folder / "run.json").read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} holds no finished run: {Path(error.filename).name} is missing") from error
    return content["model"], content["masks"], configuration
