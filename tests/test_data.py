"""nets.data: readers against mutation, layouts against look-alikes, batches against brute force."""

from __future__ import annotations

import dataclasses
import doctest
import gzip
import hashlib
import http.server
import importlib
import io
import os
import struct
import tarfile
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nets.data
from nets import seeds
from nets.data import Augmentation, Batches, DataSet, formats, from_arrays
from nets.data.dataset import statistics
from nets.data.sources import CATALOGUE, Cifar10, Idx
from sparsopt.errors import DataError, InvalidInput
from tests.conftest import scaled

real = pytest.mark.skipif("SPARSOPT_DATA" not in os.environ, reason="needs the real data: set SPARSOPT_DATA")


@pytest.mark.parametrize("name", ["seeds", "data", "data.batches", "data.dataset", "data.formats", "data.sources"])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"nets.{name}")).failed == 0


# ---- seeds ---------------------------------------------------------------------------------------------------------


def splitmix64(state: int, count: int) -> list[int]:
    mask, out = (1 << 64) - 1, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out.append(z ^ (z >> 31))
    return out


def test_keys_are_splitmix64():
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert splitmix64(1234567, 4) == published
    assert seeds.keys(50, "split", 7).tolist() == splitmix64(seeds.mixed("split", 7), 50)


@given(st.integers(-(2**70), 2**70), st.integers(0, 10**9))
def test_mixed_tells_positions_apart(seed: int, step: int):
    assert seeds.mixed("a", seed, step) == seeds.mixed("a", seed, step)
    others = [("b", seed, step), ("a", seed + 1, step), ("a", seed, step + 1), ("a", step, seed, 0), ("a", seed)]
    assert all(seeds.mixed(*other) != seeds.mixed("a", seed, step) for other in others)
    assert seeds.mixed(np.int64(step)) == seeds.mixed(step)


def test_seeds_beyond_32_bits_are_other_runs():
    plain = [torch.rand(4, generator=torch.Generator().manual_seed(s)) for s in (0, 2**32)]
    assert torch.equal(*plain)  # why the hash is there
    mixed = [torch.rand(4, generator=seeds.generator("weights", s)) for s in (0, 2**32)]
    assert not torch.equal(*mixed)


# ---- formats: exact data or a DataError ----------------------------------------------------------------------------

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def some_bytes(shape: tuple[int, ...], seed: int, top: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, shape).astype(np.uint8)


@given(SHAPES, st.integers(0, 99), st.booleans())
def test_idx_is_read_exactly(tmp_path_factory, shape, seed, zipped):
    array = some_bytes(shape, seed)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    found = formats.read_idx(path, shape, hashlib.sha256(idx_bytes(array)).hexdigest())
    assert found.dtype == np.uint8 and np.array_equal(found, array) and found.flags.writeable
    for other in ((*shape, 1), (*shape[:-1], shape[-1] + 1)):
        with pytest.raises(DataError, match="file"):
            formats.read_idx(path, other)


def damaged(data: st.DataObject, content: bytes) -> bytes:
    """A truncation, an extension, or up to three changed bytes."""
    kind = data.draw(st.sampled_from(["cut", "append", "change"]))
    if kind == "cut":
        return content[: data.draw(st.integers(0, len(content) - 1))]
    if kind == "append":
        return content + data.draw(st.binary(min_size=1, max_size=20))
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed)


@given(st.data(), SHAPES)
def test_damaged_idx(tmp_path_factory, data, shape):
    array = some_bytes(shape, 0)
    content = idx_bytes(array)
    header = len(content) - array.size
    path = tmp_path_factory.mktemp("idx") / "file"
    plain = damaged(data, content)
    path.write_bytes(plain)
    if len(plain) == len(content) and plain[:header] == content[:header]:
        assert formats.read_idx(path, shape).tobytes() == plain[header:]
    else:
        with pytest.raises(DataError, match=r"file.*expected.*found"):
            formats.read_idx(path, shape)
    digest = hashlib.sha256(content).hexdigest()
    for bad, sha256 in ((plain, digest), (damaged(data, gzip.compress(content)), None)):
        path.write_bytes(bad)
        try:  # a digest, or gzip's own checksum, leaves nothing but the exact data
            assert np.array_equal(formats.read_idx(path, shape, sha256), array)
        except DataError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None, lambda path: path.write_bytes(b"")])
def test_folder_nothing_or_empty_in_the_place_of_a_file(tmp_path, make):
    make(tmp_path / "file")
    with pytest.raises(DataError, match="file"):
        formats.read_idx(tmp_path / "file", (3,))


def test_gzip_bomb_is_not_inflated(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    tracemalloc.start()
    with pytest.raises(DataError, match="expected 1000 bytes of content, found 1001 or more"):
        formats.read_bytes(path, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def cifar_bytes(labels: np.ndarray, seed: int = 0) -> bytes:
    return np.hstack([labels[:, None].astype(np.uint8), some_bytes((len(labels), 3072), seed)]).tobytes()


@given(st.data())
def test_cifar_records(data):
    labels = some_bytes((3,), data.draw(st.integers(0, 99)), top=10)
    content = cifar_bytes(labels)
    images, found = formats.read_cifar10(content, "batch", 3)
    assert found.tolist() == labels.tolist()
    assert images[1, 2, 3, 4] == content[3073 + 1 + 2 * 1024 + 3 * 32 + 4]
    bad = damaged(data, content)
    if len(bad) == len(content) and all(bad[i * 3073] < 10 for i in range(3)):
        images, found = formats.read_cifar10(bad, "batch", 3)
        assert np.hstack([found[:, None], images.reshape(3, -1)]).tobytes() == bad
    else:
        with pytest.raises(DataError, match=r"batch: expected.*found"):
            formats.read_cifar10(bad, "batch", 3)


def test_ten_is_no_digit():
    with pytest.raises(DataError, match=r"expected labels 0\.\.9, found 10 in record 1 \(1 such records\)"):
        formats.read_cifar10(cifar_bytes(np.array([9, 10, 0])), "batch", 3)


# ---- archives -------------------------------------------------------------------------------------------------------

MEMBERS = {"folder/a.bin": bytes(range(200)), "folder/b.bin": bytes(range(100, 220))}
SIZES = {name: len(content) for name, content in MEMBERS.items()}


def tar_bytes(members: list[tuple[str, bytes, bytes]], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "folder/b.bin"
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def regular(names: dict[str, bytes]) -> list[tuple[str, bytes, bytes]]:
    return [(name, content, tarfile.REGTYPE) for name, content in names.items()]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_are_read_and_strangers_left_alone(tmp_path, mode):
    strangers = [("../evil", b"x", tarfile.REGTYPE), ("/evil", b"x", tarfile.REGTYPE), ("evil", b"", tarfile.SYMTYPE)]
    path = tmp_path / "inner" / "x.tar"
    path.parent.mkdir()
    path.write_bytes(tar_bytes(strangers + regular(MEMBERS) + strangers, mode))
    assert formats.read_members(path, SIZES) == MEMBERS
    assert [p.name for p in tmp_path.rglob("*")] == ["inner", "x.tar"]  # nothing was written anywhere


@pytest.mark.parametrize(
    "members, found",
    [
        ([("folder/a.bin", b"", tarfile.SYMTYPE)], "a link, folder or device"),
        ([("folder/a.bin", b"", tarfile.LNKTYPE)], "a link, folder or device"),
        ([("folder/a.bin", MEMBERS["folder/a.bin"], tarfile.LNKTYPE)], "a link, folder or device of 200 bytes"),
        ([("folder/a.bin", b"", tarfile.CHRTYPE)], "a link, folder or device"),
        ([("folder/a.bin", b"short", tarfile.REGTYPE)], "a file of 5 bytes"),
        (regular(MEMBERS) + regular(MEMBERS), "again"),
        (regular({"folder/b.bin": MEMBERS["folder/b.bin"]}), "expected a member folder/a.bin"),
        ([("../folder/a.bin", MEMBERS["folder/a.bin"], tarfile.REGTYPE)], "expected a member folder/a.bin"),
    ],
)
def test_wrong_members(tmp_path, members, found):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(tar_bytes(members))
    with pytest.raises(DataError, match=found):
        formats.read_members(path, SIZES)


@settings(max_examples=scaled(300))
@given(st.data(), st.sampled_from(["w", "w:gz"]))
def test_damaged_archives(tmp_path_factory, data, mode):
    path = tmp_path_factory.mktemp("tar") / "x.tar"
    path.write_bytes(damaged(data, tar_bytes(regular(MEMBERS), mode)))
    try:
        found = formats.read_members(path, SIZES)
    except DataError as error:
        assert "x.tar" in str(error)
    else:  # tar has no checksum of the content: without gzip, a changed byte of a file is a changed byte
        changed = sum(a != b for name in MEMBERS for a, b in zip(found[name], MEMBERS[name], strict=True))
        assert set(found) == set(MEMBERS) and changed <= (3 if mode == "w" else 0)


# ---- layouts and downloads, on small stand-ins for the published sets ----------------------------------------------


def small_idx(seed: int = 0) -> tuple[Idx, dict[str, bytes], list[np.ndarray]]:
    arrays = [some_bytes((30, 4, 4), seed), some_bytes((30,), seed, 10), some_bytes((20, 4, 4), seed + 1)]
    arrays.append(some_bytes((20,), seed + 1, 10))
    plain = {name: idx_bytes(array) for name, array in zip(Idx.files, arrays, strict=True)}
    zipped = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in plain.items()}
    source = Idx(
        folders=("MNIST/raw", "MNIST", ""),
        url="http://example.invalid/",
        md5=tuple(hashlib.md5(content).hexdigest() for content in zipped.values()),  # type: ignore[arg-type]
        sha256=tuple(hashlib.sha256(content).hexdigest() for content in plain.values()),  # type: ignore[arg-type]
        counts=(30, 20),
        image=(4, 4),
    )
    return source, plain | zipped, arrays


def small_cifar() -> tuple[Cifar10, dict[str, bytes]]:
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 10))
    labels = [*order.reshape(5, 20), np.repeat(np.arange(10), 2)]
    files = {name: cifar_bytes(y, i) for i, (name, y) in enumerate(zip(Cifar10.files, labels, strict=True))}
    packed = tar_bytes(regular({f"{Cifar10.inside}/{name}": content for name, content in files.items()}))
    source = Cifar10("http://example.invalid/", hashlib.md5(packed).hexdigest(), records=20, per_class=(10, 2))
    return source, files | {Cifar10.archive: packed}


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("place", ["MNIST/raw", "MNIST", "."])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_layouts(tmp_path, monkeypatch, place, end):
    source, files, arrays = small_idx()
    monkeypatch.setitem(CATALOGUE, "mnist", source)
    write(tmp_path / place, {name + end: files[name + end] for name in Idx.files})
    monkeypatch.setenv("SPARSOPT_DATA", str(tmp_path))
    for data in (nets.data.load("mnist"), nets.data.load("mnist", tmp_path), nets.data.load("mnist", str(tmp_path))):
        assert np.array_equal(data.images.numpy()[:, 0], arrays[0]) and data.labels.tolist() == arrays[1].tolist()
        assert np.array_equal(data.test_images.numpy()[:, 0], arrays[2])
        assert data.test_labels.tolist() == arrays[3].tolist()
        assert data.augmentation == Augmentation() and data.inputs == (1, 4, 4) and data.images.dtype == torch.uint8


def test_a_set_with_the_same_file_names_does_not_pass(tmp_path, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "mnist", small_idx(seed=0)[0])
    write(tmp_path, small_idx(seed=5)[1])
    with pytest.raises(DataError, match="train-images-idx3-ubyte is not the published file"):
        nets.data.load("mnist", tmp_path)


@pytest.mark.parametrize("place", ["cifar-10-batches-bin", "cifar10", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar_layouts(tmp_path, monkeypatch, place, packed):
    source, files = small_cifar()
    monkeypatch.setitem(CATALOGUE, "cifar10", source)
    write(tmp_path / place, {name: content for name, content in files.items() if (name == Cifar10.archive) == packed})
    data = nets.data.load("cifar10", tmp_path)
    table = np.frombuffer(b"".join(files[name] for name in Cifar10.files), np.uint8).reshape(120, 3073)
    images = torch.cat([data.images, data.test_images]).reshape(120, 3072).numpy()
    assert np.array_equal(images, table[:, 1:])
    assert torch.cat([data.labels, data.test_labels]).tolist() == table[:, 0].tolist()
    assert len(data.labels) == 100 and data.augmentation == Augmentation(flip=True, crop_padding=4)


def test_a_batch_that_stands_in_for_another_is_found_out(tmp_path, monkeypatch):
    source, files = small_cifar()
    monkeypatch.setitem(CATALOGUE, "cifar10", source)
    write(tmp_path, {**{name: files[name] for name in Cifar10.files}, "data_batch_2.bin": files["data_batch_1.bin"]})
    with pytest.raises(DataError, match="copy of another"):
        nets.data.load("cifar10", tmp_path)


@pytest.mark.parametrize(
    "name, first", [("mnist", Idx.files[0]), ("fashion", Idx.files[0]), ("cifar10", "data_batch_1")]
)
def test_missing_files_say_where_and_how(tmp_path, name, first):
    with pytest.raises(DataError) as info:
        nets.data.load(name, tmp_path)
    remote = CATALOGUE[name].remotes[0]
    for part in (first, str(tmp_path), remote.url + remote.name, remote.md5, "SPARSOPT_DATA"):
        assert part in str(info.value)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_one_missing_file_of_several_is_the_one_named(tmp_path, monkeypatch, name):
    source, files = small_idx()[:2] if name == "mnist" else small_cifar()
    monkeypatch.setitem(CATALOGUE, name, source)
    gone = source.files[3]
    write(tmp_path, {file: files[file] for file in source.files if file != gone})
    with pytest.raises(DataError, match=f"{gone} is missing"):
        nets.data.load(name, tmp_path)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL under which this machine serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("SPARSOPT_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(nets.data, "cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_download_once_with_checksum(server, own_cache, monkeypatch, name):
    folder, url = server
    source, files = small_idx()[:2] if name == "mnist" else small_cifar()
    monkeypatch.setitem(CATALOGUE, name, dataclasses.replace(source, url=url))
    remotes = [remote.name for remote in source.remotes]

    with pytest.raises(DataError, match=r"could not be downloaded: 404"):
        nets.data.load(name)
    write(folder, {each: files[each][:-1] + b"?" for each in remotes})
    with pytest.raises(DataError, match=r"could not be downloaded: .*hash"):
        nets.data.load(name)
    assert not [path for path in own_cache.rglob("*") if path.is_file()]

    write(folder, {each: files[each] for each in remotes})
    first = nets.data.load(name)
    for each in remotes:
        (folder / each).unlink()
    assert torch.equal(nets.data.load(name).images, first.images)  # the second time from the cache


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_unpacked_files_in_the_cache_need_no_network(own_cache, monkeypatch, name):
    source, files = small_idx()[:2] if name == "mnist" else small_cifar()
    monkeypatch.setitem(CATALOGUE, name, source)
    monkeypatch.setattr("pooch.retrieve", None)
    write(own_cache / source.folders[0], {file: files[file] for file in source.files})
    assert nets.data.load(name).classes == 10


def test_unknown_name():
    with pytest.raises(InvalidInput, match="known: digits, mnist, fashion, cifar10"):
        nets.data.load("imagenet")


# ---- the sets -------------------------------------------------------------------------------------------------------


def test_digits():
    from sklearn.datasets import load_digits

    data = nets.data.load("digits")
    assert (len(data.labels), len(data.test_labels), data.inputs, data.classes) == (1297, 500, (1, 8, 8), 10)
    pixels = torch.cat([data.images, data.test_images])[:, 0].double() * 16 / 255
    labels = torch.cat([data.labels, data.test_labels])
    ours = torch.cat([pixels.round().flatten(1), labels[:, None]], 1).tolist()
    bunch = load_digits()
    assert sorted(ours) == sorted(np.column_stack([bunch.data, bunch.target]).tolist())
    assert set(data.images.unique().tolist()) == {round(v * 255 / 16) for v in range(17)}
    share = np.bincount(data.test_labels) / np.bincount(bunch.target) / (500 / 1797)
    assert abs(share - 1).max() < 0.02
    again = nets.data.load("digits")
    assert torch.equal(data.images, again.images) and torch.equal(data.test_labels, again.test_labels)
    assert hashlib.sha256(data.test_images.numpy().tobytes()).hexdigest().startswith("b6bb704b")


@real
@pytest.mark.parametrize(
    "name, counts, inputs, mean, std, first",
    [
        ("mnist", (60000, 10000), (1, 28, 28), [0.1307], [0.3081], [5, 0, 4, 1, 9]),
        ("fashion", (60000, 10000), (1, 28, 28), [0.2860], [0.3530], [9, 0, 0, 3, 0]),
        ("cifar10", (50000, 10000), (3, 32, 32), [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616], [6, 9, 9, 4, 1]),
    ],
)
def test_published_sets(name, counts, inputs, mean, std, first):
    data = nets.data.load(name)
    assert (len(data.labels), len(data.test_labels)) == counts and data.inputs == inputs and data.classes == 10
    assert np.allclose(data.mean, mean, atol=6e-5, rtol=0) and np.allclose(data.std, std, atol=6e-5, rtol=0)
    assert data.labels[:5].tolist() == first and data.labels.dtype == torch.int64
    assert all(type(value) is float for value in data.mean + data.std)


def image_set(n: int = 60, channels: int = 2, side: int = 5, seed: int = 0, augmentation=Augmentation()) -> DataSet:
    X = some_bytes((n, channels, side, side), seed)
    y = np.random.default_rng([seed, 1]).integers(0, 3, n)
    return from_arrays(X, y, (X[:7], y[:7]), classes=3, augmentation=augmentation)


@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 99))
def test_statistics(n, channels, seed):
    images = some_bytes((n, channels, 3, 4), seed)
    mean, std = statistics(torch.from_numpy(images))
    assert np.allclose(mean, (images / 255).mean((0, 2, 3)), rtol=1e-13)
    assert np.allclose(std, (images / 255).std((0, 2, 3)), rtol=1e-12)


def test_a_constant_channel_normalises_to_zero():
    data = from_arrays(np.full((4, 1, 2, 2), 7, np.uint8), [0, 1, 0, 1])
    assert data.std == (1.0,)
    x, _ = Batches(data, 4).at(0)
    assert x.abs().max() < 1e-7


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(0, 2**40))
def test_validation_is_a_stratified_partition(y, fraction, seed):
    X = torch.arange(len(y), dtype=torch.float32)[:, None]
    data = from_arrays(X, y, classes=5)
    held = round(fraction * len(y))
    if not 0 < held < len(y):
        with pytest.raises(InvalidInput, match="at least one on either side"):
            data.validation(fraction, seed)
        return
    part = data.validation(fraction, seed)
    assert len(part.test_labels) == held and part.classes == 5
    rows = [part.images[:, 0].long().tolist(), part.test_images[:, 0].long().tolist()]
    assert sorted(rows[0] + rows[1]) == list(range(len(y))) and rows == [sorted(rows[0]), sorted(rows[1])]
    assert [y[i] for i in rows[0]] == part.labels.tolist() and [y[i] for i in rows[1]] == part.test_labels.tolist()
    share = np.bincount(y, minlength=5) * held / len(y)
    assert (abs(np.bincount(part.test_labels, minlength=5) - share) < 1 + 1e-9).all()
    assert torch.equal(data.validation(fraction, seed).images, part.images)


def test_validation_depends_on_the_seed_and_renormalises():
    data = image_set(n=200)
    parts = [data.validation(0.3, seed) for seed in range(3)]
    assert not torch.equal(parts[0].images, parts[1].images) and not torch.equal(parts[1].images, parts[2].images)
    assert parts[0].mean == statistics(parts[0].images)[0] != data.mean
    assert "validation(0.3, seed=0)" in parts[0].name


def test_validation_holds_every_sample_out_equally_often():
    data = from_arrays(torch.arange(40.0)[:, None], np.arange(40) % 2)
    count = np.zeros(40)
    for seed in range(400):
        count[data.validation(0.25, seed).test_images[:, 0].long().numpy()] += 1
    assert abs(count - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)


def test_subset_and_its_limits():
    data = image_set()
    part = data.subset(10, 4)
    assert torch.equal(part.images, data.images[:10]) and torch.equal(part.test_labels, data.test_labels[:4])
    assert part.name == "arrays[:10, :4]" and part.mean == statistics(part.images)[0]
    for wrong in ((0, 4), (61, 4), (10, 8), (10, -1)):
        with pytest.raises(InvalidInput, match="no subset"):
            data.subset(*wrong)


def test_evaluation_goes_through_everything_in_order():
    data = image_set()
    mean, std = (np.array(each).reshape(-1, 1, 1) for each in (data.mean, data.std))
    chunks = list(data.evaluation(data.images, data.labels, chunk=7, dtype=torch.float64))
    assert [len(y) for _, y in chunks] == [7] * 8 + [4]
    assert torch.equal(torch.cat([y for _, y in chunks]), data.labels)
    x = torch.cat([x for x, _ in chunks]).numpy()
    assert np.allclose(x, (data.images.numpy() / 255 - mean) / std, rtol=0, atol=1e-12)


# ---- own arrays -----------------------------------------------------------------------------------------------------


def test_floats_are_used_as_they_are():
    X = np.random.default_rng(0).normal(size=(20, 3, 2)).astype(np.float32) * 1000
    y = np.arange(20.0) % 4  # whole numbers in floats are class numbers too
    data = from_arrays(X, y, (X[:5].astype(np.float64), y[:5]))
    assert data.classes == 4 and data.mean == () and data.inputs == (3, 2)
    x, labels = Batches(data, 20, seed=3).at(1)
    rows = Batches(data, 20, seed=3).rows(1)
    assert torch.equal(x, torch.from_numpy(X)[rows]) and labels.tolist() == [int(v) for v in y[rows.numpy()]]
    assert len(from_arrays(X, y).test_labels) == 0


def test_grey_images_get_a_channel():
    data = from_arrays(some_bytes((6, 4, 5), 0), [0, 1, 2, 0, 1, 2])
    assert data.inputs == (1, 4, 5) and len(data.mean) == 1


def test_the_callers_arrays_are_left_alone():
    X, y = np.ones((4, 2), np.float32), np.arange(4)[::-1]
    X.flags.writeable = False
    for given_X, given_y in ((X, y), (torch.ones(4, 2, requires_grad=True), torch.arange(3, -1, -1))):
        data = from_arrays(given_X, given_y)
        data.images.zero_()
        assert bool((given_X == 1).all()) and data.labels.tolist() == [3, 2, 1, 0] and not data.images.requires_grad


@pytest.mark.parametrize(
    "X, y, test, message",
    [
        (np.ones((3, 2)), [0, 1], None, "one an image"),
        (np.ones((3, 2)), [0, 1, -1], None, "class numbers"),
        (np.ones((3, 2)), ["a", "b", "c"], None, "y must be an array of numbers"),
        ([[1.0], [2.0, 3.0]], [0, 1], None, "X must be an array of numbers"),
        (np.ones((3, 2)), [0, 1, 0.5], None, "class numbers"),
        (np.ones((3, 2)), [[0], [1], [1]], None, "class numbers"),
        (np.array([[np.nan]]), [0], None, "NaN"),
        (np.ones(3), [0, 1, 1], None, r"X must be floats \(N, ...\)"),
        (np.ones((3, 2), np.int64), [0, 1, 1], None, "astype"),
        (np.ones((3, 2), np.uint8), [0, 1, 1], None, "uint8 images"),
        (np.ones((0, 2)), [], None, "0 training samples"),
        (np.ones((3, 2)), [0, 1, 7], None, "labels up to 7"),
        (np.ones((3, 2)), [0, 1, 1], (np.ones((1, 3)), [0]), "cannot go through one network"),
        (np.ones((3, 2, 2)), [0, 1, 1], (np.ones((1, 2, 2), np.uint8), [0]), "alike"),
    ],
)
def test_arrays_that_do_not_fit(X, y, test, message):
    with pytest.raises(InvalidInput, match=message):
        from_arrays(X, y, test, classes=5)


def test_augmentation_needs_images():
    with pytest.raises(InvalidInput, match=r"needs images \(N, C, H, W\)"):
        from_arrays(np.ones((3, 2)), [0, 1, 1], augmentation=Augmentation(flip=True))
    with pytest.raises(InvalidInput, match="at least 0"):
        Augmentation(crop_padding=-1)
    assert eval(repr(Augmentation(flip=True, crop_padding=4))) == Augmentation(flip=True, crop_padding=4)


# ---- batches --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 50), st.integers(-(2**33), 2**33), st.integers(0, 5))
def test_an_epoch_is_a_permutation(n, size, seed, epoch):
    data = from_arrays(torch.arange(float(n))[:, None], np.zeros(n, int))
    batches = Batches(data, size, seed)
    assert batches.size == min(n, size) and batches.steps_per_epoch == n // batches.size
    steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
    rows = [batches.rows(step).tolist() for step in steps]
    assert all(len(each) == batches.size for each in rows)
    seen = [row for each in rows for row in each]
    assert len(set(seen)) == len(seen) and set(seen) <= set(range(n)) and n - len(seen) < batches.size


def test_epochs_and_seeds_have_their_own_order():
    data = image_set(n=64)
    orders = {tuple(Batches(data, 64, seed).rows(epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25
    left_out = [set(range(64)) - set(Batches(data, 63, 0).rows(epoch).tolist()) for epoch in range(20)]
    assert len(set(map(frozenset, left_out))) > 8


AUGMENTED = Augmentation(flip=True, crop_padding=1)


@settings(max_examples=scaled(40))
@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(0, 2**34))
def test_batches_are_a_function_of_seed_and_step(steps, seed):
    data = image_set(augmentation=AUGMENTED)
    state = torch.get_rng_state()
    shared = Batches(data, 16, seed)
    for step in steps:
        x, y = shared.at(step)
        fresh_x, fresh_y = Batches(data, 16, seed).at(step)
        assert torch.equal(x, fresh_x) and torch.equal(y, fresh_y)
        assert x.dtype == torch.float32 and x.shape == (16, 2, 5, 5) and y.dtype == torch.int64
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(InvalidInput, match="count from 0"):
        shared.at(-1)


def test_threads_may_share_batches():
    data = image_set(augmentation=AUGMENTED)
    shared, steps = Batches(data, 16, 0), np.random.default_rng(0).integers(0, 60, 400).tolist()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(shared.at, steps))
    assert all(torch.equal(x, Batches(data, 16, 0).at(step)[0]) for (x, _), step in zip(found, steps, strict=True))


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_batches_are_normalised_and_keep_their_labels(dtype, tolerance):
    data = image_set()
    batches = Batches(data, 16, 0, dtype=dtype)
    for step in (0, 1, 5):
        x, y = batches.at(step)
        rows = batches.rows(step)
        mean, std = (np.array(each).reshape(-1, 1, 1) for each in (data.mean, data.std))
        exact = (data.images[rows].numpy().astype(float) / 255 - mean) / std
        assert x.dtype == dtype and np.abs(x.numpy() - exact).max() < tolerance
        assert torch.equal(y, data.labels[rows])


def outcomes(image: np.ndarray, flip: bool, p: int) -> list[np.ndarray]:
    """All that a crop after padding, and then a flip, can make of an image (C, H, W)."""
    _, H, W = image.shape
    padded = np.pad(image, ((0, 0), (p, p), (p, p)))
    crops = [padded[:, i : i + H, j : j + W] for i in range(2 * p + 1) for j in range(2 * p + 1)]
    return crops + [crop[:, :, ::-1] for crop in crops] if flip else crops


@settings(max_examples=scaled(50))
@given(st.booleans(), st.integers(0, 3), st.integers(1, 3), st.integers(2, 6), st.integers(2, 6), st.integers(0, 99))
def test_augmentation_against_brute_force(flip, p, C, H, W, seed):
    images = some_bytes((9, C, H, W), seed)
    before = torch.from_numpy(images.copy())
    after = Augmentation(flip, p).apply(before, seeds.generator("test", seed))
    assert after.dtype == torch.uint8 and np.array_equal(before.numpy(), images)
    for image, found in zip(images, after.numpy(), strict=True):
        assert any(np.array_equal(found, possible) for possible in outcomes(image, flip, p))
    as_floats = Augmentation(flip, p).apply(before.float(), seeds.generator("test", seed))
    assert torch.equal(as_floats, after.float())


def test_all_outcomes_of_augmentation_are_equally_likely():
    image = some_bytes((2, 6, 5), 0)
    possible = {found.tobytes(): i for i, found in enumerate(outcomes(image, True, 2))}
    assert len(possible) == 50
    images = torch.from_numpy(image).expand(20_000, 2, 6, 5)
    after = Augmentation(True, 2).apply(images, seeds.generator("test", 0)).numpy()
    count = np.bincount([possible[found.tobytes()] for found in after], minlength=50)
    chi_squared = ((count - 400) ** 2 / 400).sum()
    assert 24 < chi_squared < 85  # 49 degrees of freedom: both tails beyond 1 in 1,000


def test_augmentation_can_be_switched_and_varies_with_the_step():
    data = image_set(n=16, augmentation=AUGMENTED)
    plain = Batches(data, 16, 0, augmentation=Augmentation())
    assert torch.equal(plain.rows(3), Batches(data, 16, 0).rows(3))
    in_order = [plain.at(step)[0][plain.rows(step).argsort()] for step in range(4)]
    assert all(torch.equal(in_order[0], other) for other in in_order[1:])
    same = from_arrays(some_bytes((1, 2, 5, 5), 0).repeat(16, axis=0), np.zeros(16, int), augmentation=AUGMENTED)
    crops = [Batches(same, 16, 0).at(step)[0] for step in range(4)]
    assert all(not torch.equal(crops[0], other) for other in crops[1:])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_devices_see_the_same_batches():
    data = image_set(n=300, augmentation=AUGMENTED)
    here, there = Batches(data, 64, 1), Batches(data.to("cuda"), 64, 1)
    for step in (0, 3, 9, 4):
        (x, y), (x_cuda, y_cuda) = here.at(step), there.at(step)
        assert x_cuda.is_cuda and torch.equal(y, y_cuda.cpu()) and torch.allclose(x, x_cuda.cpu(), rtol=0, atol=1e-6)


def test_impossible_batches():
    for size, data in ((0, image_set()), (-3, image_set())):
        with pytest.raises(InvalidInput, match="at least 1"):
            Batches(data, size)
