"""Methods during training: gates go on as if never interrupted, and the end is at the sparsity asked for."""

from __future__ import annotations

import pytest

from nets.catalogue import METHODS, Plan
from nets.gates import (
    Averaging,
    CompressionAware,
    Exploring,
    Gate,
    Lasso,
    SoftThreshold,
    TopProducts,
)
from nets.recipe import Recipe
from nets.training import Train
from sparsopt.method import Method, Phase, Stage, run
from sparsopt.moves import Keep
from sparsopt.state import Layout
from tests.equations import HEAVY, after, uniform
from tests.networks import ADAM, difference, network, states

ONE = Layout(("a",), ((2, 5),))


GATES = (
    Averaging(0.5), Exploring((4,), ONE, 0.1), TopProducts(3), CompressionAware(3, 0.1), SoftThreshold(ONE), Lasso(0.1),
)  # fmt: skip


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: type(gate).__name__)
def test_a_gates_repr_is_python(gate: Gate) -> None:
    names = {type(g).__name__: type(g) for g in GATES}
    assert eval(repr(gate), {**names, "Layout": Layout}) == gate


@pytest.mark.parametrize("recipe", [HEAVY, ADAM], ids=["momentum", "adam"])
@pytest.mark.parametrize("gate", range(len(GATES)), ids=[type(gate).__name__ for gate in GATES])
def test_a_fit_that_is_interrupted_goes_on_as_if_it_had_not_been(gate: int, recipe: Recipe) -> None:
    """All that a gate gathers is in the state: bit for bit, from every chunk, in a world that is new each time."""
    whole = network("residual", recipe)
    n, layout = whole.layout.n, whole.layout
    through = (
        Averaging(), Exploring(tuple(uniform(whole, n // 2)), layout, 0.1), TopProducts(n // 4),
        CompressionAware(n // 4), SoftThreshold(layout, -3.0, 0.1), Lasso(0.1),
    )[gate]  # fmt: skip
    method = Method("m", (Stage((Phase(Keep(n // 3), Train(13, recipe, through)),), rounds=2),))
    expected = after(method, whole)
    _, seen = states(method, network("residual", recipe, chunk=4))
    assert len(seen) == 8
    for state in seen:
        again = run(method, network("residual", recipe, chunk=3), state).state
        assert difference(again, expected) == ""


@pytest.mark.parametrize("method", ["granet", "snfs", "top-kast", "early-bird", "gsm", "cram", "str"])
def test_what_is_measured_last_is_at_the_sparsity_asked_for(method: str) -> None:
    """Mistake 12: an accuracy from before the weights were gone. The last row is of k weights, and none follows it."""
    world = network("residual", HEAVY)
    plan = Plan(world.layout, world.layout.n // 5, 60, HEAVY)
    result = run(METHODS[method](plan), world, world.start(0), measure=lambda s: {"accuracy": world.test(s)[1]})
    last = list(result.trace)[-1]
    assert last.size == plan.k == int(result.support.sum())
    assert last.measured["accuracy"] == world.test(result.state)[1]
