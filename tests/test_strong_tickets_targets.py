"""Targets of strong tickets that come from PyTorch, or from other networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from nets import models
from nets import strong_tickets as st
from nets.strong_tickets import network as nw
from sparsopt.errors import MissingCapability
from tests.conftest import scaled
from tests.tickets import dense


@pytest.mark.parametrize("name", ["lenet-300-100", "lenet-5", "conv-2", "resnet-20"])
def test_networks_from_modules_compute_what_the_module_does(name):
    shape = (1, 8, 8) if name.startswith("lenet") else (3, 8, 8)
    module = models.build(name, shape, width=0.25 if name != "lenet-300-100" else 1.0).double()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.uniform_(-0.2, 0.2, generator=torch.Generator().manual_seed(1))
                part.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))
    x = np.random.default_rng(0).normal(size=(6, *shape))
    expected = module.eval()(torch.from_numpy(x)).detach().numpy()
    network = nw.from_module(module)
    given_ = x.reshape(6, -1) if network.linears[0].taps == () else x
    np.testing.assert_allclose(network(given_), expected, atol=1e-10)


def test_scaling_is_folded_into_a_dense_first_layer():
    module = models.build("lenet-300-100", (2, 3, 3), width=0.1).double()
    scale, shift = torch.tensor([2.0, 0.5]).view(2, 1, 1), torch.tensor([-1.0, 3.0]).view(2, 1, 1)
    x = torch.rand(5, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network = nw.from_module(module, (scale, shift))
    np.testing.assert_allclose(
        network(x.reshape(5, -1).numpy()), module(x * scale + shift).detach().numpy(), atol=1e-12
    )


@given(seed=some.integers(0, 10**6), activation=some.sampled_from(["relu", "leaky"]))
@settings(max_examples=scaled(20))
def test_balancing_changes_no_output(seed, activation):
    target = dense(seed, activation=activation)
    target.weights[1][:] *= 7.0
    even, x = nw.balanced(target), st.Domain.box((4,)).sample(30)
    np.testing.assert_allclose(even(x), target(x), rtol=1e-12, atol=1e-12)
    assert np.ptp([np.abs(w).max() for w in even.weights]) < 1e-12
    with pytest.raises(MissingCapability, match="balanced"):
        nw.balanced(dense(0, activation="tanh"))


@pytest.mark.parametrize("module", [
    torch.nn.Sequential(torch.nn.Conv2d(2, 2, 3, groups=2)),
    torch.nn.Sequential(torch.nn.LayerNorm(3)),
    torch.nn.Sequential(torch.nn.BatchNorm2d(3)),
    torch.nn.Sequential(torch.nn.MaxPool2d(3, 2)),
    torch.nn.Sequential(torch.nn.LeakyReLU(0.2)),
])  # fmt: skip
def test_modules_that_no_target_can_hold(module):
    with pytest.raises(MissingCapability):
        nw.from_module(module)
