"""nets.seeds: keys are a published generator, and tell positions apart."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from nets import seeds


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
