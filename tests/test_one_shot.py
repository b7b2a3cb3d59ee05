"""`one-shot-magnitude`: a dense training, cut once, by size or in a pattern."""

from __future__ import annotations

import pytest
import torch

import nets
from nets.catalogue import METHODS, Plan
from sparsopt.errors import InvalidInput
from sparsopt.state import Layout
from tests.networks import MOMENTUM, blobs, module


@pytest.mark.parametrize("scope", ["global", "uniform", "erk"])
def test_one_shot_is_a_dense_training_cut_once(scope: str) -> None:
    data = blobs()
    dense = nets.prune(module("residual"), data, "dense", 0.0, MOMENTUM, epochs=2)
    cut = nets.prune(module("residual"), data, "one-shot-magnitude", 0.6, MOMENTUM, epochs=2, settings={"scope": scope})
    every = torch.cat([dense.model.get_parameter(n).detach().flatten().abs() for n in cut.masks])
    for name, mask in cut.masks.items():
        w = dense.model.get_parameter(name).detach()
        assert torch.equal(cut.model.get_parameter(name), w * mask)
        if scope == "global":
            assert torch.equal(mask, w.abs() >= every.sort(descending=True).values[round(0.4 * len(every)) - 1])


def test_two_of_four() -> None:
    outcome = nets.prune(
        module("dropout"), blobs(), "one-shot-magnitude", 0.9, MOMENTUM, epochs=1, settings={"pattern": "2:4"}
    )
    for mask in outcome.masks.values():
        assert (mask.reshape(-1, 4).sum(1) == 2).all()
    assert outcome.sparsity == 0.5
    with pytest.raises(InvalidInput, match="give n:m, such as 2:4"):
        METHODS["one-shot-magnitude"](Plan(Layout.single(8), 4, 10), pattern="half")  # type: ignore[call-arg]
