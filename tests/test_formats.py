"""nets.data.formats: what is written is read exactly, what is damaged is a DataError."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.data import formats
from sparsopt.errors import DataError
from tests.conftest import scaled
from tests.pictures import cifar_bytes, idx_bytes, regular, some_bytes, tar_bytes

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)


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


MEMBERS = {"folder/a.bin": bytes(range(200)), "folder/b.bin": bytes(range(100, 220))}


SIZES = {name: len(content) for name, content in MEMBERS.items()}


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
