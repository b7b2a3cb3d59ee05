"""nets.data: the published sets, validation splits, arrays of one's own."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nets.data
from nets.data import Augmentation, Batches, from_arrays
from nets.data.dataset import statistics
from sparsopt.errors import InvalidInput
from tests.pictures import image_set, some_bytes

real = pytest.mark.skipif("SPARSOPT_DATA" not in os.environ, reason="needs the real data: set SPARSOPT_DATA")


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
