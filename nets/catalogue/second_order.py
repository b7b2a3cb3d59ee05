"""After training: second-order pruning, and reconstruction of layers.

All of the family are one function, `_gradual`: train, then in each round make a local model of the loss, choose on it,
let the survivors make up for what left, and train on. They differ in the model, the choice and the fit. `retrain=0` is
pruning after training and nothing else, in one shot or (`rounds`) in several, each with a new model.

The models cost gradients or forward passes. They are part of the second training's T steps, so costs stay as stated;
where T is short a model is made of fewer samples.
"""

from __future__ import annotations

from collections.abc import Callable

from nets.local_models import (
    Fisher,
    Layerwise,
    LocalFit,
    LocalScore,
    Pursuit,
    Rows,
    Solve,
    Surgeon,
    SurgeonUpdate,
    Sweep,
    SweepUpdate,
)
from nets.plan import Entry, Plan
from sparsopt.fits import Clock, Exact, FreshOptimiser, Restrict
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything, Keep, Removal, Stay
from sparsopt.schedules import Geometric, Schedule

__all__ = ["METHODS", "chita", "layerwise", "obd", "sparsegpt", "wanda", "woodfisher"]

SHARE = 4  # a model takes at most 1/4 of a round's steps
MEMORY = 2**28  # entries of the gradient matrix: 1 GiB

Prune = Callable[[Schedule, int], Phase]  # (k_r, steps for the model) -> phase


def _gradual(plan: Plan, name: str, prune: Prune, wanted: int, rounds: int, retrain: float, source: str) -> Method:
    """Train T;  in each of R rounds:  prune to k_r = n (k / n)^(r / R), train on;  `retrain` T steps in all.

    The second training repeats the last part of the learning-rate schedule. wanted: samples for one model.
    """
    again = round(retrain * plan.steps)
    rounds = max(1, min(rounds, again)) if again else max(1, rounds)
    chunk = again // rounds
    steps = -(-wanted // plan.recipe.batch)
    steps = max(1, min(steps, chunk // SHARE)) if again else steps
    phase = prune(Geometric(plan.n, plan.k, rounds), steps)
    left = again - rounds * chunk
    tail = (Stage((Phase(Stay(), plan.train(left)),)),) if left else ()
    restart = (Stage((Phase(Stay(), Clock(max(0, plan.steps - again))), Phase(Stay(), FreshOptimiser()))),)
    on = (Phase(Stay(), plan.train(chunk - steps)),) if chunk > steps else ()
    first = Stage((Phase(Everything(), plan.train(plan.steps)),))
    return Method(name, (first, *(restart if again else ()), Stage((phase, *on), rounds), *tail), source)


def _fisher(plan: Plan, steps: int, damping: float, block: int | None) -> Fisher:
    """500 mini-batches of 16, or what fits into the steps and the memory: rather fewer samples each than batches."""
    samples = steps * plan.recipe.batch
    count = max(1, min(Fisher.batches, samples, MEMORY // plan.n))
    return Fisher(count, max(1, min(Fisher.size, samples // count)), damping, block)


def _layerwise(plan: Plan, steps: int) -> Layerwise:
    return Layerwise(min(Layerwise.samples, steps * plan.recipe.batch))


WANTED = Fisher.batches * Fisher.size


def obd(plan: Plan, rounds: int = 5, retrain: float = 1.0) -> Method:
    """Optimal brain damage: remove what costs least by the diagonal of the Hessian, retrain, repeat.

    train T;  for r = 1..R:  S = the k_r largest h_j w_j^2 / 2 of S, h = mean squared gradients;  train T / R

    Backward elimination, one batch of removals each on the local diagonal quadratic. h is the diagonal of the empirical
    Fisher matrix, where the source has the Levenberg-Marquardt approximation (`GaussNewton`). Cost: 2 trainings.
    """

    def prune(k: Schedule, steps: int) -> Phase:
        of = _fisher(plan, steps, 1e-12, Fisher.block)  # the diagonal needs no damping
        return Phase(Keep(k, LocalScore(Removal(), of)), LocalFit(Restrict(), of, steps))

    return _gradual(plan, "obd", prune, WANTED, rounds, retrain, "LeCun, Denker, Solla (1989)")


def woodfisher(
    plan: Plan, rounds: int = 5, retrain: float = 1.0, block: int | None = 500, damping: float = 1e-5
) -> Method:
    """WoodFisher: optimal brain surgeon with the block-diagonal empirical Fisher matrix.

    train T;  for r = 1..R:  F = A'A / m + damping I by blocks, A = m gradients;
        S = the k_r largest w_j^2 / (2 [F^-1]_jj) of S;  w -= sum over removed j of w_j F^-1 e_j / [F^-1]_jj
        train T / R

    Backward elimination on the local quadratic. Damping 1e-5 is that of the authors' scripts. Cost: 2 trainings.
    """

    def prune(k: Schedule, steps: int) -> Phase:
        of = _fisher(plan, steps, damping, block)
        return Phase(Keep(k, LocalScore(Surgeon(), of)), LocalFit(SurgeonUpdate(), of, steps))

    source = "Hassibi, Stork (1993); Singh, Alistarh (2020)"
    return _gradual(plan, "woodfisher", prune, WANTED, rounds, retrain, source)


def chita(plan: Plan, rounds: int = 5, retrain: float = 1.0, block: int | None = 500, damping: float = 1e-4) -> Method:
    """CHITA: a k-sparse minimiser of the local quadratic, by sparsopt's own solvers.

    train T;  for r = 1..R:  A = m gradients by blocks;
        w = argmin |A (w - w0)|^2 / (2 m) + damping/2 |w - w0|^2 over |w|_0 <= k_r, within S;  train T / R

    Hard thresholding pursuit and replacement, from the better of the magnitude's and the surgeon's support (`Pursuit`).
    With retrain=0 and several rounds it is the multi-stage CHITA++. Cost: 2 trainings.
    """

    def prune(k: Schedule, steps: int) -> Phase:
        of = _fisher(plan, steps, damping, block)
        return Phase(Solve(k, of, Pursuit()), LocalFit(Exact(), of, steps))

    return _gradual(plan, "chita", prune, WANTED, rounds, retrain, "Benbaki et al. (2023)")


def sparsegpt(plan: Plan, rounds: int = 5, retrain: float = 1.0) -> Method:
    """SparseGPT: layerwise least squares by one sweep over columns, the same sparsity in every layer.

    train T;  for r = 1..R:  of each layer X = inputs, H = X X' + 0.01 mean diag;  for each column j:
        where w_j^2 / U_jj^2 is among the smallest of 128 columns:  w_l -= (w_j / U_jj) U_jl, l >= j, U'U = H^-1
        train T / R

    Inputs of all layers are taken at once. Cost: 2 trainings.
    """

    def prune(k: Schedule, steps: int) -> Phase:
        of = _layerwise(plan, steps)
        return Phase(Sweep(k, of), LocalFit(SweepUpdate(), of, steps))

    return _gradual(plan, "sparsegpt", prune, Layerwise.samples, rounds, retrain, "Frantar, Alistarh (2023)")


def wanda(plan: Plan, rounds: int = 5, retrain: float = 1.0) -> Method:
    """Wanda: weights times the norms of their inputs, compared within each output; no update.

    train T;  for r = 1..R:  S = in each row the largest |w_j| |X_j|, the same share of each;  train T / R

    Optimal brain damage on layerwise least squares, row by row. Cost: 2 trainings.
    """

    def prune(k: Schedule, steps: int) -> Phase:
        of = Layerwise(_layerwise(plan, steps).samples, damping=1e-12)  # the norms themselves
        return Phase(Keep(k, LocalScore(Removal(), of), Rows()), LocalFit(Restrict(), of, steps))

    return _gradual(plan, "wanda", prune, Layerwise.samples, rounds, retrain, "Sun, Liu, Bair, Kolter (2023)")


def layerwise(plan: Plan, rounds: int = 5, retrain: float = 1.0) -> Method:
    """Layerwise least squares: what each output keeps, by hard thresholding and swaps; refitted exactly.

    train T;  for r = 1..R:  of each layer X = inputs;  w = argmin |X (w - w0)|^2 over k_r / n sparse rows;  train T / R

    What SparseGPT approximates, solved as a sparse convex problem. Cost: 2 trainings.
    """

    def prune(k: Schedule, steps: int) -> Phase:
        of = _layerwise(plan, steps)
        return Phase(Solve(k, of, Pursuit(structure=Rows())), LocalFit(Exact(), of, steps))

    source = "Frantar, Singh, Alistarh (2022), the problem; this project"
    return _gradual(plan, "layerwise", prune, Layerwise.samples, rounds, retrain, source)


METHODS: dict[str, Entry] = {
    "obd": obd,
    "woodfisher": woodfisher,
    "chita": chita,
    "sparsegpt": sparsegpt,
    "wanda": wanda,
    "layerwise": layerwise,
}
