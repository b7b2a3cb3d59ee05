"""What pruning saves, in three columns that never agree: operations by theory, bytes on disk, seconds on this machine.

>>> print(compared(outcome.model, outcome.masks, images, "runs/l1"))          # and every file, verified, in the folder

    form               FLOPs        bytes       ms     error   what is real
    dense           8.22e+07    1,112,312     37.1
    shrunk          2.09e+07      286,000     17.6     5e-07   smaller layers, faster on any hardware: ...

`python -m nets export RUN --to report --model ... --data ...` prints it for a finished run.
"""

from __future__ import annotations

import copy
import math
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nets.export import files
from nets.export.semi_structured import layers_of_two_of_four
from nets.export.shrunk import channels_out, load_shrunk, shrunk
from sparsopt.errors import InvalidInput, MissingCapability

__all__ = ["Compared", "Form", "compared"]

Run = Callable[[Tensor], Any]
DENSE, MASKED, PACKED = "dense", "masked", "packed"


@dataclass(frozen=True)
class Form:
    """One form of a network. flops: of one sample, by theory; bytes: on disk; seconds: median of a batch; error: the
    largest difference of an output to the masked network's; says: what is real about it."""

    name: str
    flops: float
    bytes: int
    seconds: float
    error: float
    says: str = ""


@dataclass(frozen=True)
class Compared:
    """Forms of one network, measured together. batch: samples; where: the machine."""

    forms: tuple[Form, ...]
    batch: int
    where: str
    without: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Form:
        return next(form for form in self.forms if form.name == name)

    def __str__(self) -> str:
        rows = [f"{'form':<14}{'FLOPs':>10}{'bytes':>13}{'ms':>9}{'error':>10}   what is real"]
        for f in self.forms:
            error = "" if math.isnan(f.error) else f"{f.error:.1g}"
            numbers = f"{f.flops:>10.3g}{f.bytes:>13,}{1e3 * f.seconds:>9.3g}{error:>10}"
            rows.append(f"{f.name:<14}{numbers}   {f.says}".rstrip())
        rows.append(f"FLOPs: of one sample, by theory. ms: a batch of {self.batch}, median, on {self.where}.")
        return "\n".join((*rows, *self.without))


def compared(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    inputs: Tensor,
    folder: str | Path,
    configuration: Mapping[str, Any] | None = None,
    repeats: int = 21,
) -> Compared:
    """Writes every form that this network has into the folder, reads each again, and measures them in turns.

    inputs: a batch in the form that the module takes, on which outputs are compared and times taken. "dense" is the
    same module with numbers in the place of its zeros.
    """
    folder, inputs = Path(folder), inputs.cpu()
    masked = copy.deepcopy(model).cpu().eval()
    flops = _forward(masked, inputs, masks)
    runs: dict[str, tuple[Run, float, int, float]] = {}
    without: list[str] = []

    written = files.weights(masked, masks, folder / "model.safetensors", configuration)
    runs[DENSE] = (_filled(masked, masks), flops[0], written.bytes, float("nan"))
    runs[MASKED] = (masked, flops[1], written.bytes, written.error)
    small_file = files.packed(masked, masks, folder / "model.packed.safetensors", configuration)
    loaded = copy.deepcopy(masked)
    loaded.load_state_dict(files.load_packed(small_file.path), strict=True)
    runs[PACKED] = (loaded, flops[1], small_file.bytes, small_file.error)
    _onnx(runs, without, "onnx", masked, inputs, folder / "model.onnx", flops[1])
    try:
        channels_out(masked, masks, inputs, 0)
    except InvalidInput as error:
        without.append(f"not shrunk: {error}")
    else:
        cut = shrunk(masked, masks, inputs, folder / "model.shrunk.safetensors", configuration)
        small = load_shrunk(cut.path, masked).eval()
        runs["shrunk"] = (small, _forward(small, inputs, {})[0], cut.bytes, cut.error)
        _onnx(runs, without, "shrunk onnx", small, inputs, folder / "model.shrunk.onnx", runs["shrunk"][1])
    seconds = _measured({name: run for name, (run, *_) in runs.items()}, inputs, repeats)
    forms = tuple(
        Form(name, f, size, seconds[name], error, _says(name, seconds[name] / seconds[DENSE], size / runs[DENSE][2]))
        for name, (_, f, size, error) in runs.items()
    )
    return Compared(forms, len(inputs), _machine(), (*without, _about_hardware(masked, masks)))


def _onnx(
    runs: dict[str, tuple[Run, float, int, float]], without: list[str], name: str, model: nn.Module, inputs: Tensor,
    path: Path, flops: float,
) -> None:  # fmt: skip
    try:
        done = files.onnx(model, inputs, path)
    except MissingCapability as error:
        without.append(f"no {name}: {error}")
        return
    runs[name] = (files.onnx_session(path), flops, done.bytes, done.error)


def _forward(model: nn.Module, inputs: Tensor, masks: Mapping[str, Tensor]) -> tuple[float, float]:
    """Operations of a forward pass of a sample, with all weights and with those of the masks."""
    from nets import flops

    one = flops.forward(model, inputs[:2], list(masks) or [name for name, _ in model.named_parameters()])
    return one.dense, one.sparse([mask.float().mean().item() for mask in masks.values()] or [1.0] * len(one.weights))


def _filled(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """The module with small numbers where the masks have zeros."""
    filled = copy.deepcopy(model)
    with torch.no_grad():
        for name, mask in masks.items():
            p = filled.get_parameter(name)
            p.add_((~mask).to(p.dtype) * 0.01)
    return filled


def _measured(runs: Mapping[str, Run], inputs: Tensor, repeats: int) -> dict[str, float]:
    """Median seconds of each; they take turns, and the first turn does not count."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    with torch.no_grad():
        for turn in range(repeats + 1):
            for name, run in runs.items():
                began = time.perf_counter()
                run(inputs)
                if turn:
                    taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in taken.items()}


SAYS = {
    DENSE: "",
    MASKED: "zeros in dense tensors are multiplied like any other number: {time:.2f} of dense's time, the same size",
    PACKED: "{size:.2f} of the size on disk; dense tensors again once loaded, {time:.2f} of the time",
    "onnx": "another runtime, the same zeros: {time:.2f} of the time, {size:.2f} of the size",
    "shrunk": "smaller layers, faster on any hardware: {time:.2f} of the time, {size:.2f} of the size",
    "shrunk onnx": "both: {time:.2f} of the time, {size:.2f} of the size",
}


def _says(name: str, time: float, size: float) -> str:
    return SAYS[name].format(time=time, size=size)


def _about_hardware(model: nn.Module, masks: Mapping[str, Tensor]) -> str:
    try:
        layers = layers_of_two_of_four(model, masks)
    except InvalidInput:
        return "No mask here is 2:4, the pattern of single weights that GPUs (NVIDIA, from Ampere on) have kernels for."
    return f"2:4 in {', '.join(layers)}: faster on NVIDIA GPUs from Ampere on in half precision, nowhere else."


def _machine() -> str:
    return (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
    )
