"""nets.data.batches: permutations, exact normalisation, augmentation against brute force."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nets import seeds
from nets.data import Augmentation, Batches, from_arrays
from sparsopt.errors import InvalidInput
from tests.conftest import scaled
from tests.pictures import image_set, some_bytes


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
