"""Settings: parameters of a method's entry from `nets.prune` and the command line."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import nets
from nets.__main__ import main
from nets.catalogue import METHODS, Plan
from nets.plan import configured
from nets.training import Train
from sparsopt.errors import InvalidInput
from sparsopt.fits import Remember
from sparsopt.method import Method
from sparsopt.state import Layout
from tests.networks import MOMENTUM, blobs, module

PLAN = Plan(Layout(("a", "b"), ((20, 30), (10, 20))), 80, 400)
SMALL = ["prune", "--data", "digits", "--model", "lenet-300-100", "--epochs", "0.2"]


def prune(method: Any, **options: Any) -> nets.Outcome:
    return nets.prune(module("tied"), blobs(), method, 0.8, MOMENTUM, epochs=2, **options)


def test_settings_are_the_parameters_of_the_entry() -> None:
    assert configured(METHODS["imp"], {"early": 50, "rounds": 3})(PLAN) == METHODS["imp"](PLAN, early=50, rounds=3)
    assert configured(METHODS["imp"], {})(PLAN) == METHODS["imp"](PLAN)
    assert configured(METHODS["gmp"], {"scope": "erk"})(PLAN).stages == METHODS["gmp-erk"](PLAN).stages
    assert configured(METHODS["imp"], {"rounds": None})(PLAN) == METHODS["imp"](PLAN)
    assert configured(METHODS["gmp"], {"until": 1})(PLAN) == METHODS["gmp"](PLAN, until=1.0)


def test_prune_takes_them_and_the_cost_follows() -> None:
    """4 steps an epoch: 8 to the end, and 2 rounds that go back to step 3."""
    outcome = prune("imp", settings={"early": 3, "rounds": 2})
    assert outcome.cost["steps"] == 8 + 2 * (8 - 3)
    assert prune("synflow", settings={"rounds": 7}).cost["gradients"] == 7
    budgeted = prune("imp", settings={"rounds": 2}, budget=30)
    assert budgeted.cost["steps"] == 30
    assert prune(lambda plan, length=1: METHODS["dense"](plan), settings={"length": 2}).sparsity == 0


def test_rewinding_to_a_step_remembers_that_step() -> None:
    method = configured(METHODS["imp"], {"early": 50})(PLAN)
    warm, remember = method.stages[0].phases
    assert isinstance(warm.fit, Train) and warm.fit.steps == 50 and remember.fit == Remember("early")


@pytest.mark.parametrize(
    "method, settings, sentence",
    [
        ("imp", {"late": 5}, r"imp has no setting 'late'; it has early, rounds"),
        ("dense", {"early": 5}, r"dense has no setting 'early'; it has none"),
        ("imp", {"plan": 5}, r"imp has no setting 'plan'"),
        ("imp", {"early": "soon"}, r"imp: early = 'soon' is no int"),
        ("imp", {"early": 2.5}, r"imp: early = 2.5 is no int"),
        ("imp", {"rounds": "many"}, r"imp: rounds = 'many' is no int or NoneType"),
        ("gmp", {"until": "end"}, r"gmp: until = 'end' is no float"),
        ("gmp", {"scope": "layerwise"}, r"unknown scope 'layerwise'; known are global, uniform, erk"),
        ("imp", {"early": 9}, r"steps = -1 is negative"),
        ("snip", {"per_class": 0}, r"per_class = 0 .* must be positive"),
        *((name, {"rounds": 0}, r"rounds = 0: at least 1") for name in ("imp", "imp-layerwise", "gmp", "gmp-erk")),
        *((name, {"rounds": 0}, r"rounds = 0: at least 1") for name in ("synflow", "force", "snip-iterative")),
    ],
)
def test_settings_that_cannot_be_met(method: str, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        prune(method, settings=settings)


def test_a_method_brings_its_own() -> None:
    with pytest.raises(
        InvalidInput, match=r"settings = {'early': 3}: method 'imp' brings its own lengths and settings"
    ):
        prune(METHODS["imp"](PLAN), settings={"early": 3})
    assert isinstance(METHODS["imp"](PLAN), Method)


def test_every_entry_has_defaults_for_all_but_the_plan() -> None:
    for name, entry in METHODS.items():
        _, *others = inspect.signature(entry).parameters.values()
        assert all(p.default is not p.empty for p in others), name


def test_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--method", "imp", "--set", "early=2", "rounds=1"]) == 0
    assert f"{4 + 2} steps" in capsys.readouterr().out
    assert main([*SMALL, "--method", "snip", "--set", "scope=erk", "per_class=3"]) == 0
    assert "4 steps and 1 gradients to choose by" in capsys.readouterr().out
    wrong = {"early": "--set early: NAME=VALUE is needed", "late=3": "imp has no setting 'late'"}
    for arguments, sentence in wrong.items():
        assert main([*SMALL, "--method", "imp", "--set", arguments]) == 2
        assert capsys.readouterr().err.startswith(f"nets: {sentence}")
