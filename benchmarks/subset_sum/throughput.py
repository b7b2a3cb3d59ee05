"""Figure F and its table: instances a second on one core, ours beside a plain exhaustive search and HiGHS.

The plain search is what public codes for strong lottery tickets do: subsets by size with itertools, one NumPy sum
each, until one is within the tolerance. `--peer` names a checkout of RelationalML/LT-existence; its own function is
then timed as well, on the same instances, and its answers are compared with ours. All of it runs in one process, so
the ratios share machine and load; times are CPU times, which other jobs disturb less.
"""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsopt.subset_sum import compiled, solve
from sparsopt.subset_sum.vectors import oracle

Floats = NDArray[np.float64]
Search = Callable[[Floats, Floats], Any]
TOLERANCE = 1e-2
SIZES = (10, 12, 15, 18, 20, 24)
QUESTIONS = (("best", TOLERANCE), ("any", 1e-2), ("any", 1e-3), ("smallest", 1e-2), ("smallest", 1e-3))
PLAIN_SIZES = (10, 15)


def throughput(seconds: float, peer: Path | None, seed: int) -> list[dict[str, Any]]:
    """Rows of method, n, tolerance and instances a second; each is timed for about `seconds`."""
    rows: list[dict[str, Any]] = []
    for n in SIZES:
        for backend in ("arrays", *(["compiled"] if compiled.available() else [])):
            for mode, tolerance in QUESTIONS if backend == "arrays" else QUESTIONS[1:]:
                rate = _rate(
                    lambda a, z, m=mode, t=tolerance, b=backend: solve(a, z, m, t, backend=b), n, seconds, seed
                )
                rows.append({"method": f"{mode}, {backend}", "n": n, "tolerance": tolerance, "rate": rate})
    for n in PLAIN_SIZES:
        searches: dict[str, Search] = {
            "plain exhaustive search": _each(exhaustive),
            "HiGHS (scipy milp)": _each(_highs),
        }
        if peer is not None:
            searches["LT-existence exhaustive"] = _each(public_search(peer))
        for name, search in searches.items():
            rows.append(
                {"method": name, "n": n, "tolerance": TOLERANCE, "rate": _rate(search, n, seconds, seed, first=1)}
            )
    return rows


def whole_network(seed: int, weights: int, n: int = 21) -> dict[str, float]:
    """Pensia et al.'s experiment, the 784-500-10 network: CPU seconds for the best subsets of all its weights."""
    rng = np.random.default_rng([seed, n])
    items, targets = rng.uniform(-1, 1, (weights, n)), rng.uniform(-0.5, 0.5, weights)
    start = time.process_time()
    answer = solve(items, targets, "best", TOLERANCE)
    spent = time.process_time() - start
    return {"weights": weights, "n": n, "seconds": spent, "missed": int((~answer.success).sum()),
            "median error": float(np.median(answer.errors))}  # fmt: skip


def agreement(peer: Path | None, instances: int, seed: int) -> dict[str, int]:
    """Instances on which the exhaustive searches and ours disagree about the fewest items within the tolerance."""
    items, targets = _instances(15, instances, seed)
    ours = solve(items, targets, "smallest", TOLERANCE)
    searches = {"plain": exhaustive} | ({} if peer is None else {"LT-existence": public_search(peer)})
    differ = {}
    for name, search in searches.items():
        chosen = [np.asarray(search(float(z), a, TOLERANCE, 15)[1]) for a, z in zip(items, targets, strict=True)]
        sizes = np.array([0 if (c < 0).any() else len(c) for c in chosen])
        differ[name] = int((sizes[ours.success] != ours.sizes[ours.success]).sum())
    return differ


def miss_rates(draws: int, seed: int) -> list[dict[str, Any]]:
    """Our misses in the setting of LT-existence's shipped statistics: 404 (uniform), 3552 (product) of 100,000."""
    rows = []
    for law, published in (("uniform", 404), ("product", 3552)):
        rng = np.random.default_rng([seed, published])
        items, targets = rng.uniform(-1, 1, (draws, 15)), rng.uniform(-1, 1, draws)
        items = items if law == "uniform" else items * rng.uniform(-1, 1, items.shape)
        missed = int((~solve(items, targets, "any", TOLERANCE).success).sum())
        rows.append({"law": law, "missed": missed, "draws": draws, "published": published})
    return rows


def exhaustive(target: float, items: Floats, tolerance: float, most: int) -> tuple[float, NDArray[np.int64]]:
    """Subsets by growing size until one is within the tolerance; its sum and positions."""
    best, chosen = 0.0, np.zeros(0, dtype=np.int64)
    for size in range(min(most, len(items)) + 1):
        for subset in itertools.combinations(range(len(items)), size):
            at = np.array(subset, dtype=np.int64)
            total = float(np.sum(items[at]))
            if abs(target - total) < abs(target - best):
                best, chosen = total, at
            if abs(target - best) <= tolerance:
                return best, chosen
    return best, chosen


def public_search(folder: Path) -> Callable[..., Any]:
    """The function `exhaustive` of a checkout of LT-existence, which expects a NumPy before 2.0."""
    np.__dict__.setdefault("NAN", np.nan)
    spec = importlib.util.spec_from_file_location("public_subset_sum", folder / "main_ssa_stats.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{folder} holds no main_ssa_stats.py: give a checkout of RelationalML/LT-existence")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.exhaustive


def _highs(target: float, items: Floats, tolerance: float, most: int) -> Any:
    return oracle(items, target)


def _each(search: Callable[..., Any]) -> Search:
    return lambda items, targets: [search(float(z), a, TOLERANCE, 15) for a, z in zip(items, targets, strict=True)]


def _instances(n: int, batch: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng([seed, n])
    return rng.uniform(-1, 1, (batch, n)), rng.uniform(-0.5, 0.5, batch)


def _rate(search: Search, n: int, seconds: float, seed: int, first: int = 512, batch: int = 200_000) -> float:
    """Instances a second over about `seconds`, never the same twice; the first (warming, compiling) call left out.

    Calls take `first` instances, then more and more: a batched solver is at its best on many.
    """
    items, targets = _instances(n, batch, seed)
    search(items[-2:], targets[-2:])
    start, done, few = time.process_time(), 0, first
    while done == 0 or (time.process_time() - start < seconds and done + few <= batch):
        now = targets[done : done + few]
        search(items[done : done + few], now)
        done += len(now)
        few = min(4 * few, batch // 4) if few >= 512 else few
    return done / (time.process_time() - start)
