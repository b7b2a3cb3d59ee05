"""Pruned networks as files that other programs read, each read again and compared before it is called written.

    >>> weights(outcome.model, outcome.masks, "net.safetensors")          # loads into the unmodified module
    >>> packed(outcome.model, outcome.masks, "net.packed.safetensors")    # a tenth of the size at 95 %
    >>> onnx(outcome.model, images[:1], "net.onnx");  program(outcome.model, images[:1], "net.pt2")

Safetensors hold no code. Zeros in a dense file make it no smaller and no program faster; `packed` is smaller on disk,
and is a dense tensor again once it is loaded.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from nets.export.packing import pack, pack_bits, unpack, unpack_bits
from nets.weights import check_masks
from sparsopt.errors import DataError, InvalidInput, MissingCapability
from sparsopt.machine.files import write_atomically

__all__ = [
    "Exported",
    "load_masks",
    "load_packed",
    "masks_path",
    "onnx",
    "onnx_session",
    "packed",
    "program",
    "weights",
]

FORMAT, VERSION = "sparsopt", "1"
TOLERANCE = 1e-4  # of exporters that may reorder sums, on the largest output


@dataclass(frozen=True)
class Exported:
    """A file that was written and read again. error: largest difference it makes, of weights or of outputs."""

    path: Path
    bytes: int
    error: float

    def __str__(self) -> str:
        return f"{self.path}: {self.bytes:,} bytes, read again with a difference of {self.error:.1g}"


# ---- weights -------------------------------------------------------------------------------------------------------


def weights(
    model: nn.Module, masks: Mapping[str, Tensor], path: str | Path, configuration: Mapping[str, Any] | None = None
) -> Exported:
    """The state dict with zeros where the masks have them, as safetensors; the masks in a file beside it, as bits.

    `model.load_state_dict(safetensors.torch.load_file(path))` on the unmodified module is all it takes to load it.
    configuration: anything JSON knows, kept in the header. Raises InvalidInput for masks that do not belong to the
    model or for weights off their mask that are not zero.
    """
    from safetensors.torch import load_file

    state, path = _state(model, masks), Path(path)
    bits = {name: pack_bits(mask) for name, mask in masks.items()}
    shapes = {name: list(mask.shape) for name, mask in masks.items()}
    _save(state, path, "weights", {"configuration": configuration or {}})
    _save(bits, masks_path(path), "masks", {"shapes": shapes, "configuration": configuration or {}})
    again = load_masks(masks_path(path))
    same = all(torch.equal(again[name], mask.cpu().bool()) for name, mask in masks.items())
    return Exported(path, path.stat().st_size, _difference(state, load_file(path)) if same else float("inf"))


def masks_path(path: str | Path) -> Path:
    """Where the masks of a weights file are: net.safetensors -> net.masks.safetensors."""
    path = Path(path)
    return path.with_name(f"{path.stem}.masks{path.suffix}")


def load_masks(path: str | Path) -> dict[str, Tensor]:
    """Parameter name -> boolean tensor."""
    tensors, header = _load(Path(path), "masks")
    return {name: unpack_bits(tensors[name], tuple(shape)) for name, shape in header["shapes"].items()}


def packed(
    model: nn.Module, masks: Mapping[str, Tensor], path: str | Path, configuration: Mapping[str, Any] | None = None
) -> Exported:
    """The same in one small file: pruned tensors as `packing.pack` has them, the others as they are."""
    state, path = _state(model, masks), Path(path)
    shapes = {name: list(mask.shape) for name, mask in masks.items()}
    tensors = {name: tensor for name, tensor in state.items() if name not in masks}
    for name, mask in masks.items():
        tensors |= {f"{name}:{part}": tensor for part, tensor in pack(state[name], mask).items()}
    _save(tensors, path, "packed", {"shapes": shapes, "configuration": configuration or {}})
    return Exported(path, path.stat().st_size, _difference(state, load_packed(path)))


def load_packed(path: str | Path) -> dict[str, Tensor]:
    """The whole state dict of a packed file."""
    tensors, header = _load(Path(path), "packed")
    shapes = {name: tuple(shape) for name, shape in header["shapes"].items()}
    parts: dict[str, dict[str, Tensor]] = {name: {} for name in shapes}
    state = {}
    for key, tensor in tensors.items():
        name, _, part = key.rpartition(":")
        if name in parts:
            parts[name][part] = tensor
        else:
            state[key] = tensor
    return state | {name: unpack(found, shapes[name]) for name, found in parts.items()}


def _state(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict on the CPU, every entry its own memory: tied weights are written under each of their names."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    check_masks(state, masks, type(model).__name__)
    for name, mask in masks.items():
        if state[name][~mask.cpu()].any():
            raise InvalidInput(f"{name} has weights off its mask that are not zero: export the model of the outcome")
    return state


def _save(tensors: dict[str, Tensor], path: Path, kind: str, header: Mapping[str, Any]) -> None:
    from safetensors.torch import save

    try:
        text = json.dumps(header)
    except TypeError as error:
        raise InvalidInput(f"the configuration must be plain JSON: {error}") from error
    content = save(tensors, {"format": "pt", "kind": f"{FORMAT}.{kind}/{VERSION}", "header": text})

    def fill(file: IO[bytes]) -> None:
        file.write(content)

    write_atomically(path, fill)


def _load(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if header.get("kind") != f"{FORMAT}.{kind}/{VERSION}":
        raise DataError(f"{path} is no {kind} file of this project, but {header.get('kind', 'of another kind')!r}")
    return tensors, json.loads(header["header"])


def _difference(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> float:
    if set(one) != set(two) or any(one[name].dtype != two[name].dtype for name in one):
        return float("inf")
    return max(
        (float((one[name].double() - two[name].double()).abs().max()) for name in one if one[name].numel()), default=0.0
    )


# ---- programs ------------------------------------------------------------------------------------------------------


def program(model: nn.Module, inputs: Tensor, path: str | Path, tolerance: float = TOLERANCE) -> Exported:
    """`torch.export`, the batch size left open. inputs: an example batch, on which the file is checked."""

    def write(frozen: nn.Module, to: Path) -> Callable[[Tensor], Tensor]:
        made = torch.export.export(frozen, (_two(inputs),), dynamic_shapes=({0: torch.export.Dim.AUTO},))
        torch.export.save(made, to)
        return torch.export.load(to).module()

    return _checked(model, inputs, Path(path), tolerance, write)


def onnx(model: nn.Module, inputs: Tensor, path: str | Path, tolerance: float = TOLERANCE) -> Exported:
    """ONNX, the batch size left open, run again by ONNX Runtime. Needs packages onnx, onnxscript and onnxruntime."""

    def write(frozen: nn.Module, to: Path) -> Callable[[Tensor], Tensor]:
        torch.onnx.export(
            frozen, (_two(inputs),), str(to), dynamo=True, external_data=False, verbose=False,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        )  # fmt: skip
        return onnx_session(to)

    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingCapability(f"ONNX needs {error.name}: pip install onnx onnxscript onnxruntime") from error
    with _quietly():
        return _checked(model, inputs, Path(path), tolerance, write)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """What the exporter says of itself (parts that it deprecates, packages that it does without) is for its authors."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def onnx_session(path: Path) -> Callable[[Tensor], Tensor]:
    """The function of an ONNX file, run by ONNX Runtime on as many threads as PyTorch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def _checked(
    model: nn.Module,
    inputs: Tensor,
    path: Path,
    tolerance: float,
    write: Callable[[nn.Module, Path], Callable[[Tensor], Tensor]],
) -> Exported:
    """Write under another name, run what was written, and move it to its place if its outputs agree."""
    frozen, inputs = copy.deepcopy(model).cpu().eval(), inputs.cpu()
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        with torch.no_grad():
            expected = frozen(inputs)
            error = float((write(frozen, partial)(inputs) - expected).abs().max())
        if not error <= tolerance * max(1.0, float(expected.abs().max())):
            raise DataError(f"{path.name} gives other outputs than the model, by {error:.2g}: it was not written")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return Exported(path, path.stat().st_size, error)


def _two(inputs: Tensor) -> Tensor:
    """A batch of two or more: exporters take a batch of one for a constant."""
    return inputs if len(inputs) > 1 else torch.cat([inputs, inputs])
