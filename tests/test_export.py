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
from nets.__main__ import main
from nets.export import files
from nets.export.packing import pack, pack_bits, unpack, unpack_bits
from nets.export.semi_structured import layers_of_two_of_four
from sparsopt import support as sp
from sparsopt.errors import DataError, InvalidInput, MissingCapability
from tests.channels import IMAGES, ZOO, lived_in, without
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


def test_a_damaged_run_is_one_sentence_and_the_same_command_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, make = tmp_path / "run", ["prune", "--method", "random", "--epochs", "0.1", "--out", str(tmp_path / "run")]
    assert main(make) == 0
    good = {name: (run / name).read_bytes() for name in ("model.pt", "run.json")}
    content = torch.load(run / "model.pt", weights_only=True)
    name, mask = next(iter(content["masks"].items()))

    def saved(**changes: Any) -> bytes:
        torch.save({name: part for name, part in (content | changes).items() if part is not None}, run / "other")
        return (run / "other").read_bytes()

    for file, damaged, words in (
        ("model.pt", good["model.pt"][:5000], "cut short"),
        ("model.pt", b"", "cut short"),
        ("model.pt", b"hello", "cut short"),
        ("model.pt", saved(masks=None), "cut short"),
        ("model.pt", saved(masks={name: mask[:-1]}), "does not belong to the network beside it"),
        ("model.pt", saved(masks={"nothing": mask}), "no tensor of that name"),
        ("run.json", good["run.json"][:50], "cut short"),
    ):
        (run / file).write_bytes(damaged)
        capsys.readouterr()
        assert main(["export", str(run)]) == 2
        said = capsys.readouterr().err
        assert words in said and file in said and "delete it and result.json" in said and said.count("\n") == 1
        (run / file).unlink()
        (run / "result.json").unlink()
        assert main(make) == 0 and main(["export", str(run)]) == 0


def test_masks_of_another_shape_are_refused_by_every_form(tmp_path: Path) -> None:
    model, masks = pruned("perceptron")
    wrong = {name: mask[:-1] for name, mask in masks.items()}
    inputs = torch.zeros(2, 1, 6, 6)
    for form in (
        lambda: export.weights(model, wrong, tmp_path / "a"),
        lambda: export.packed(model, wrong, tmp_path / "a"),
        lambda: export.shrunk(model, wrong, inputs, tmp_path / "a"),
        lambda: export.compared(model, wrong, inputs, tmp_path),
    ):
        with pytest.raises(InvalidInput, match="does not belong to Sequential: it has a"):
            form()
    assert not list(tmp_path.iterdir())


# ---- forms that hardware runs faster -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_shrunk_files_cut_the_unmodified_module(name: str, tmp_path: Path) -> None:
    """Shortcuts, groups, depthwise, concatenations, sharing, a linear head after flatten: read again, bit for bit."""
    model = lived_in(name)
    masked, masks = without(model, lambda count: range(0, count, 2))
    done = export.shrunk(model, masks, IMAGES, tmp_path / "net.shrunk.safetensors", {"seed": 3})
    again = export.load_shrunk(done.path, lived_in(name, seed=5)).eval()  # the module's own weights do not matter
    small = export.shrink(model, masks, IMAGES, repeats=0)
    with torch.no_grad():
        assert torch.equal(again(IMAGES), small.model.eval()(IMAGES))
        torch.testing.assert_close(again(IMAGES), masked(IMAGES), rtol=1e-5, atol=1e-5)
    assert sum(p.numel() for p in again.parameters()) == small.parameters[1] < small.parameters[0]
    sizes = {key: tensor.shape for key, tensor in load_file(done.path).items()}
    assert {key: tensor.shape for key, tensor in again.state_dict().items()} == sizes and done.error < 1e-4
    with pytest.raises(InvalidInput, match="another module"):
        export.load_shrunk(done.path, nn.Linear(3, 3))


def test_single_weights_do_not_shrink(tmp_path: Path) -> None:
    model, masks = pruned("residual")
    with pytest.raises(InvalidInput, match=r"none of the 6 channels.*one by one.*packed.*l1-filters"):
        export.shrunk(model, masks, blobs().test_images, tmp_path / "net")
    assert not list(tmp_path.iterdir())


def two_of_four() -> tuple[nn.Module, dict[str, Tensor]]:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    masks = {
        name: torch.arange(p.numel()).view(p.shape) % 2 == 0 for name, p in model.named_parameters() if p.dim() > 1
    }
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    return model, masks


def test_what_two_of_four_is() -> None:
    model, masks = two_of_four()
    assert layers_of_two_of_four(model, masks) == ("1", "3")
    whole = {**masks, "3.weight": torch.ones(4, 8, dtype=torch.bool)}
    assert layers_of_two_of_four(model, whole) == ("1",)
    shifted = torch.tensor([[False, True, True, True, False, False, False, False]])
    assert not export.is_two_of_four(shifted) and export.is_two_of_four(shifted.roll(1, 1))
    assert not export.is_two_of_four(torch.zeros(2, 6, dtype=torch.bool))
    with pytest.raises(InvalidInput, match=r"none of the masks of its linear layers \(1, 3\) is 2:4.*pattern=2:4"):
        export.semi_structured(model, {name: mask | True for name, mask in masks.items()}, blobs().test_images)
    with pytest.raises(InvalidInput, match="no mask is of one"):
        layers_of_two_of_four(model, {})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_two_of_four_without_a_gpu_says_what_works() -> None:
    model, masks = two_of_four()
    with pytest.raises(MissingCapability, match=r"no CUDA device.*packed keeps the pattern"):
        export.semi_structured(model, masks, blobs().test_images)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_two_of_four_kernels_give_the_same_outputs() -> None:
    """Linear layers of sizes that the kernels take."""
    model = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 128)).eval()
    masks = {
        name: torch.arange(p.numel()).view(p.shape) % 2 == 0 for name, p in model.named_parameters() if p.dim() > 1
    }
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    fast = export.semi_structured(model, masks, torch.randn(128, 256))
    assert fast.layers == ("0", "2") and fast.error < 2e-2 and min(fast.seconds) > 0


def test_a_packed_file_is_as_small_as_the_hardware_s_form(tmp_path: Path) -> None:
    """Half of the values, and four bits for every four weights, as the kernels' indices take."""
    mask = torch.arange(64 * 128).view(64, 128) % 4 < 2
    parts = pack(mask.float(), mask)
    assert parts["values"].numel() * 2 == mask.numel() and parts["bits"].numel() * 8 == mask.numel() == 64 * 128


def test_three_columns_for_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Theory, bytes and seconds: zeros save FLOPs in theory and no byte of a dense file; channels save both."""
    model = lived_in("flattened")
    masked, masks = without(model, lambda count: range(0, count, 2))

    def written(_: nn.Module, __: Tensor, path: Path) -> export.Exported:
        path.write_bytes(bytes(70))
        return export.Exported(path, 70, 0.0)

    monkeypatch.setattr(files, "onnx", written)  # which has its own test, and takes its time
    monkeypatch.setattr(files, "onnx_session", lambda path: lambda x: x)
    done = export.compared(masked, masks, IMAGES, tmp_path, repeats=3)
    assert {f.name for f in done.forms} == {"dense", "masked", "packed", "onnx", "shrunk", "shrunk onnx"}
    small = export.shrink(model, masks, IMAGES, repeats=0)
    assert done["masked"].flops < done["dense"].flops and done["masked"].bytes == done["dense"].bytes
    assert done["shrunk"].flops == pytest.approx(small.flops[1]) and done["dense"].flops == small.flops[0]
    assert done["dense"].bytes > done["shrunk"].bytes
    names = {"dense": ".safetensors", "masked": ".safetensors", "onnx": ".onnx", "shrunk onnx": ".shrunk.onnx"}
    for form in done.forms:
        file = tmp_path / f"model{names.get(form.name, f'.{form.name}.safetensors')}"
        assert form.bytes == file.stat().st_size and form.seconds > 0
    said = str(done)
    assert "FLOPs: of one sample, by theory" in said and "multiplied like any other number" in said and "Ampere" in said

    def missing(*_: Any) -> None:
        raise MissingCapability("ONNX needs onnxscript")

    monkeypatch.setattr(files, "onnx", missing)
    plain = export.compared(*pruned("residual"), blobs().test_images, tmp_path, repeats=1)
    assert [form.name for form in plain.forms] == ["dense", "masked", "packed"]
    assert "not shrunk: none of the 6 channels" in str(plain) and "no onnx: ONNX needs onnxscript" in str(plain)


def test_a_structured_run_is_shrunk_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, model = str(tmp_path / "run"), ["--model", "lenet-5", "--data", "digits"]
    begin = ["prune", *model, "--method", "l1-filters", "--sparsity", "0.5", "--epochs", "0.1"]
    assert main([*begin, "--width", "0.5", "--out", run]) == 0
    assert main(["export", run, "--to", "shrunk", *model, "--width", "0.5"]) == 0
    assert "model.shrunk.safetensors" in capsys.readouterr().out
    single = str(tmp_path / "single")
    assert main(["prune", *model, "--method", "random", "--epochs", "0.1", "--out", single]) == 0
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "checkpoint.pt").touch()
    for wrong, words in (
        ([run, "--to", "shrunk"], "give --model and --data"),
        ([run, "--to", "shrunk", *model], "does not hold a lenet-5 for digits"),
        ([single, "--to", "shrunk", *model], "one by one"),
        ([single, "--to", "2:4", *model], "2:4"),
        ([single, "--to", "report", *model, "--batch", "0"], "at least one sample"),
        ([str(tmp_path / "nowhere")], "there is no folder"),
        ([str(tmp_path / "begun")], "model.pt is missing; the command that began it continues it"),
    ):
        capsys.readouterr()
        assert main(["export", *wrong]) == 2
        found = capsys.readouterr().err
        assert words in found and found.count("\n") == 1, found
    with pytest.raises(SystemExit) as stop:
        main(["export", single, "--to", "zip"])
    assert stop.value.code == 2 and "shrunk" in capsys.readouterr().err
