"""Exported files: they load into the unmodified module, say the same, and are as small as promised."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from nets import export
from nets.export.packing import pack, pack_bits, unpack, unpack_bits
from sparsopt import support as sp
from sparsopt.errors import DataError, InvalidInput
from tests.networks import MODULES, blobs, module


def pruned(name: str, density: float = 0.3) -> tuple[nn.Module, dict[str, Tensor]]:
    """A module with some of its matrices masked."""
    model, masks = module(name), {}
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() > 1:
                masks[key] = sp.top(p.detach().abs().reshape(-1), max(1, int(density * p.numel()))).view(p.shape)
                p.mul_(masks[key])
    return model.eval(), masks


# ---- packing -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 7), max_size=4), st.floats(0, 1), st.integers(0, 99))
def test_packing_is_exact(shape: list[int], density: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(shape, generator=generator) < density
    weight = torch.where(mask, torch.randn(shape, generator=generator), torch.zeros(()))
    assert torch.equal(unpack(pack(weight, mask), tuple(shape)), weight)
    assert torch.equal(unpack_bits(pack_bits(mask), tuple(shape)), mask)


@pytest.mark.parametrize("shape, density, kind", [
    ((300, 784), 0.2, "bits"), ((300, 784), 0.02, "columns"), ((64, 200), 0.1, "columns"), ((64, 200), 0.3, "bits"),
])  # fmt: skip
def test_the_smaller_form_is_chosen(shape: tuple[int, ...], density: float, kind: str) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < density
    parts = pack(mask.float(), mask)
    assert kind in parts
    size = sum(part.nbytes for part in parts.values())
    k, n, c = int(mask.sum()), mask.numel(), 1 if shape[1] <= 256 else 2
    assert size == 4 * k + min((n + 7) // 8, c * k + 4 * (shape[0] + 1))


@pytest.mark.parametrize("part", ["values", "bits", "columns", "starts"])
def test_damaged_parts_are_refused(part: str) -> None:
    mask = torch.rand((40, 400), generator=torch.Generator().manual_seed(0)) < (0.5 if part == "bits" else 0.02)
    parts = pack(mask.float(), mask)
    parts[part] = parts[part][:-1]
    with pytest.raises(DataError, match="damaged"):
        unpack(parts, (40, 400))


# ---- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_weights_load_into_the_unmodified_module(name: str, tmp_path: Path) -> None:
    model, masks = pruned(name)
    done = export.weights(model, masks, tmp_path / "net.safetensors", {"method": "imp", "sparsity": 0.7})
    assert done.error == 0.0 and done.bytes == (tmp_path / "net.safetensors").stat().st_size
    fresh = module(name, seed=9)
    fresh.load_state_dict(load_file(tmp_path / "net.safetensors"), strict=True)
    inputs = blobs().test_images
    assert torch.equal(fresh.eval()(inputs), model(inputs))
    again = export.load_masks(export.masks_path(done.path))
    assert set(again) == set(masks) and all(torch.equal(again[key], mask) for key, mask in masks.items())


@pytest.mark.parametrize("name", MODULES)
def test_packed_files_hold_the_same_state(name: str, tmp_path: Path) -> None:
    model, masks = pruned(name, 0.1)
    done = export.packed(model, masks, tmp_path / "net.packed.safetensors")
    state, again = model.state_dict(), export.load_packed(done.path)
    assert done.error == 0.0 and set(again) == set(state)
    assert all(torch.equal(again[key], tensor) and again[key].dtype == tensor.dtype for key, tensor in state.items())


def test_a_packed_lenet_is_a_tenth(tmp_path: Path) -> None:
    import nets

    model = nets.models.build("lenet-300-100")
    masks = {}
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() > 1:
                masks[key] = sp.top(p.detach().abs().reshape(-1), p.numel() // 20).view(p.shape)
                p.mul_(masks[key])
    dense = export.weights(model, masks, tmp_path / "dense.safetensors").bytes
    assert export.packed(model, masks, tmp_path / "small.safetensors").bytes < 0.09 * dense


def test_the_configuration_is_in_the_header(tmp_path: Path) -> None:
    import json

    from safetensors import safe_open

    model, masks = pruned("perceptron")
    done = export.weights(model, masks, tmp_path / "net.safetensors", {"seed": 3})
    with safe_open(done.path, framework="pt") as file:
        assert json.loads(file.metadata()["header"])["configuration"] == {"seed": 3}
    with pytest.raises(InvalidInput, match="plain JSON"):
        export.weights(model, masks, tmp_path / "net.safetensors", {"seed": object()})


def test_bad_masks_and_bad_files(tmp_path: Path) -> None:
    model, masks = pruned("perceptron")
    name = next(iter(masks))
    with pytest.raises(InvalidInput, match="does not belong"):
        export.weights(model, {"nothing.weight": masks[name]}, tmp_path / "a")
    with pytest.raises(InvalidInput, match="does not belong"):
        export.packed(model, {name: masks[name][:-1]}, tmp_path / "a")
    with pytest.raises(InvalidInput, match="not zero"):
        export.packed(module("perceptron"), masks, tmp_path / "a")
    assert not list(tmp_path.iterdir())
    done = export.weights(model, masks, tmp_path / "net.safetensors")
    with pytest.raises(DataError, match="no packed file"):
        export.load_packed(done.path)
    done.path.write_bytes(done.path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        export.load_packed(done.path)


@pytest.mark.parametrize("name", ["residual", "perceptron"])
def test_programs_give_the_same_outputs(name: str, tmp_path: Path) -> None:
    """Batch norm and shortcuts; another batch size than the example's; the model untouched."""
    model, masks = pruned(name)
    before, inputs = copy.deepcopy(model.state_dict()), blobs().test_images
    done = export.program(model, inputs[:1], tmp_path / "net.pt2")
    assert done.error <= 1e-5
    again = torch.export.load(done.path).module()
    assert torch.allclose(again(inputs[:5]), model(inputs[:5]), atol=1e-5)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items()) and masks


@pytest.mark.filterwarnings("ignore")
def test_onnx_gives_the_same_outputs(tmp_path: Path) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, _ = pruned("residual")
    inputs = blobs().test_images
    done = export.onnx(model, inputs[:1], tmp_path / "net.onnx")
    session = runtime.InferenceSession(str(done.path), providers=["CPUExecutionProvider"])
    (again,) = session.run(None, {session.get_inputs()[0].name: inputs[:5].numpy()})
    assert done.error <= 1e-5 and torch.allclose(torch.from_numpy(again), model(inputs[:5]), atol=1e-5)


def test_a_program_that_says_something_else_is_not_written(tmp_path: Path) -> None:
    model, _ = pruned("perceptron")
    with pytest.raises(DataError, match="other outputs"):
        export.program(model, blobs().test_images[:2], tmp_path / "net.pt2", tolerance=-1.0)
    assert not list(tmp_path.iterdir())


# ---- the command line ----------------------------------------------------------------------------------------------


def test_a_run_is_exported_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nets.__main__ import main

    run = str(tmp_path / "run")
    assert main(["prune", "--method", "random", "--epochs", "0.1", "--out", run]) == 0
    assert main(["export", run]) == 0
    assert "difference of 0" in capsys.readouterr().out
    state = torch.load(tmp_path / "run" / "model.pt")["model"]
    again = export.load_packed(tmp_path / "run" / "model.packed.safetensors")
    assert all(torch.equal(again[key], tensor) for key, tensor in state.items())
    assert main(["export", run, "--to", "program", "--model", "lenet-300-100"]) == 0
    assert (tmp_path / "run" / "model.pt2").exists()
    for wrong, words in (
        ([str(tmp_path)], "no finished run"),
        ([run, "--to", "program"], "give --model"),
        ([run, "--to", "program", "--model", "conv-2"], "does not hold a conv-2"),
    ):
        capsys.readouterr()
        assert main(["export", *wrong]) == 2
        assert words in capsys.readouterr().err
