"""Figure E: whole random networks pruned to a target network, by two constructions, at equal parameter count.

A small study in NumPy (ReLU, no biases), so that the curves need nothing but the solvers; the constructions proper,
on Torch modules, live in `nets.strong_tickets`. The source is drawn first and only masks are chosen.

- `two_layers`: two source layers for one target layer. Hidden unit (i, k) keeps one weight u_ik; the weight w_ji is a
  sum of products v_jik u_ik over the k with u_ik > 0 (for x_i > 0), and again over those with u_ik < 0.
- `one_more_layer`: each neuron of the first target layer is made `copies` times by the two-layer construction; later
  weights are sums of direct connections to these copies, with neither products nor signs.

Both certify |network - target| on the box |x| <= 1 by the interval recursion delta_{l+1} = |E_l| X_l + R_l delta_l,
X_l a bound on the target's activations and R_l = |W_l + E_l| for two layers. With copies that carry different errors,
R_l is the sum of the *absolute* selected weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.subset_sum import solve, statistics

Floats = NDArray[np.float64]
DIMENSIONS = (8, 12, 12, 4)
TOLERANCE = 1e-2


@dataclass(frozen=True)
class Pruned:
    """One pruned source: its parameters, missed weights, sampled sup error and certified sup error."""

    parameters: int
    missed: int
    sampled: float
    certified: float


def study(seeds: int, hidden: tuple[int, ...] = (15, 20, 30, 40, 60)) -> list[dict[str, Any]]:
    """Both constructions, with any and with the fewest items, over whole networks (seeds); n' is `hidden`."""
    rows = []
    for width in hidden:
        budget = source_parameters(width)
        copies = max(c for c in range(1, 200) if copied_parameters(c) <= budget)
        for mode in ("any", "smallest"):
            for name, build in (("two layers for one", two_layers), ("one more layer", one_more_layer)):
                runs = [build(width if build is two_layers else copies, mode, seed) for seed in range(seeds)]
                whole = sum(run.missed == 0 for run in runs)
                low, high = statistics.clopper_pearson(seeds - whole, seeds)
                rows.append({
                    "construction": name, "mode": mode, "width": width, "parameters": runs[0].parameters,
                    "sampled": float(np.median([run.sampled for run in runs])),
                    "certified": float(np.median([run.certified for run in runs])),
                    "success": whole / seeds, "low": 1 - high, "high": 1 - low, "seeds": seeds,
                })  # fmt: skip
    return rows


def target(seed: int) -> list[Floats]:
    """Layers of spectral norm 1, (outputs, inputs)."""
    rng = np.random.default_rng([seed, 0])
    layers = [rng.standard_normal((o, i)) for i, o in pairwise(DIMENSIONS)]
    return [w / np.linalg.norm(w, 2) for w in layers]


def source_parameters(width: int) -> int:
    """Parameters of the dense source of `two_layers`: (n' d x d) and (d' x n' d) for every target layer."""
    return sum(width * i * i + o * width * i for i, o in pairwise(DIMENSIONS))


def copied_parameters(copies: int) -> int:
    """Parameters of the dense source of `one_more_layer`."""
    widths = [DIMENSIONS[0], copies * DIMENSIONS[0], *(copies * d for d in DIMENSIONS[1:-1]), DIMENSIONS[-1]]
    return sum(i * o for i, o in pairwise(widths))


def two_layers(width: int, mode: str, seed: int) -> Pruned:
    """n' = `width` hidden units an input; inputs of later layers are not negative and need only u > 0."""
    rng = np.random.default_rng([seed, 1])
    layers, missed, realised = target(seed), 0, []
    for depth, w in enumerate(layers):
        u, v = rng.uniform(-1, 1, (w.shape[1], width)), rng.uniform(-1, 1, (*w.shape, width))
        plus, lost = _sums(np.where(u > 0, u, 0.0) * v, w, mode)
        minus, lost_too = _sums(np.where(u < 0, u, 0.0) * v, -w, mode) if depth == 0 else (-plus, 0)
        missed += lost + lost_too
        realised.append((plus, -minus))
    errors = [np.maximum(abs(p - w), abs(m - w)) for (p, m), w in zip(realised, layers, strict=True)]
    reach = [np.maximum(abs(p), abs(m)) for p, m in realised]
    return Pruned(source_parameters(width), missed, _sampled(layers, realised, seed), _certified(layers, errors, reach))


def one_more_layer(copies: int, mode: str, seed: int) -> Pruned:
    """`copies` of every neuron; the last layer has one."""
    rng = np.random.default_rng([seed, 2])
    layers = target(seed)
    first = np.repeat(layers[0], copies, axis=0)
    u, v = rng.uniform(-1, 1, (first.shape[1], copies)), rng.uniform(-1, 1, (*first.shape, copies))
    plus, missed = _sums(np.where(u > 0, u, 0.0) * v, first, mode)
    minus, lost = _sums(np.where(u < 0, u, 0.0) * v, -first, mode)
    missed += lost
    realised = [(plus, -minus)]
    errors, reach = [np.maximum(abs(plus - first), abs(minus + first))], [abs(plus)]
    wide = [first]
    for depth, w in enumerate(layers[1:], start=1):
        made = np.repeat(w, 1 if depth == len(layers) - 1 else copies, axis=0)
        weights = rng.uniform(-1, 1, (*made.shape, copies))
        masks, lost = _masks(weights, made, mode)
        missed += lost
        kept = (masks * weights).reshape(len(made), -1)
        realised.append((kept, kept))
        errors.append(abs((masks * weights).sum(-1) - made))
        reach.append(abs(kept))
        wide.append(made)
    certified = _certified(layers, _by_neuron(errors, layers), reach, copies)
    return Pruned(copied_parameters(copies), missed, _sampled(layers, realised, seed), certified)


def _masks(items: Floats, wanted: Floats, mode: str) -> tuple[NDArray[np.bool_], int]:
    """Masks of items (outputs, inputs, n) whose sums are near wanted (outputs, inputs), and how many miss."""
    answer = solve(items.reshape(-1, items.shape[-1]), wanted.ravel(), mode, TOLERANCE)
    return answer.masks.reshape(items.shape), int((~answer.success).sum())


def _sums(items: Floats, wanted: Floats, mode: str) -> tuple[Floats, int]:
    masks, missed = _masks(items, wanted, mode)
    return (masks * items).sum(-1), missed


def _sampled(layers: list[Floats], realised: list[tuple[Floats, Floats]], seed: int, samples: int = 2000) -> float:
    """The largest difference of the two networks on random points and corners of the box |x| <= 1."""
    rng = np.random.default_rng([seed, 3])
    x = rng.uniform(-1, 1, (samples, DIMENSIONS[0]))
    x[: samples // 2] = np.sign(x[: samples // 2])
    ours = theirs = x
    for depth, (w, (plus, minus)) in enumerate(zip(layers, realised, strict=True)):
        ours = ours.clip(0, None) @ plus.T + ours.clip(None, 0) @ minus.T
        theirs = theirs @ w.T
        if depth < len(layers) - 1:
            ours, theirs = ours.clip(0, None), theirs.clip(0, None)
    return float(np.abs(ours - theirs).max())


def _certified(layers: list[Floats], errors: list[Floats], reach: list[Floats], copies: int = 1) -> float:
    """The interval recursion; errors per target neuron or per copy, reach per realised connection."""
    bound, delta = np.ones(DIMENSIONS[0]), np.zeros(DIMENSIONS[0])
    for depth, (w, error, through) in enumerate(zip(layers, errors, reach, strict=True)):
        own = error @ bound
        carried = through @ (delta if depth == 0 or copies == 1 else np.repeat(delta, copies))
        carried = carried.reshape(len(w), -1).max(axis=1)
        delta, bound = own.reshape(len(w), -1).max(axis=1) + carried, np.abs(w) @ bound
    return float(delta.max())


def _by_neuron(errors: list[Floats], layers: list[Floats]) -> list[Floats]:
    """The largest error over the copies of every target weight, one matrix of the target's shape a layer."""
    return [e.reshape(len(w), -1, w.shape[1]).max(axis=1) for e, w in zip(errors, layers, strict=True)]
