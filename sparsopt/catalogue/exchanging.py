"""Exchanging members: replacement, forward-backward, splicing, exact swaps, oscillation.

>>> from sparsopt.problems import Quadratic
>>> H = np.array([[1.0, 0.0, 0.7], [0.0, 1.0, 0.7], [0.7, 0.7, 1.0]])  # the third column resembles the first two
>>> problem = Quadratic(H, H @ [1.0, 1.0, 0.0])
>>> sparsopt.solve(problem, 2, "best-swap").support                    # OMP took the third, a swap sends it away
array([ True,  True, False])
"""

from __future__ import annotations

from sparsopt.catalogue.forward import fully_corrective, omp
from sparsopt.catalogue.names import SSZ, Entry
from sparsopt.fits import Exact, Fit
from sparsopt.judges import Judge, RecordGains, WhileDecreasing
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Add, AddOrDrop, Exchange, Exit, Gain, Keep, Removal, Score, Splice, Swap
from sparsopt.moves import Entry as EntryGain
from sparsopt.schedules import Schedule
from sparsopt.support import Elements, Structure

__all__ = ["best_swap", "foba", "local_search", "oscillation", "replacement", "splicing"]


def replacement(
    k: int,
    m: int | Schedule = 1,
    rounds: int = 1000,
    start: Method | None = None,
    out: Score = Removal(),
    into: Score = Gain(),
    fit: Fit = Exact(),
    judge: Judge | None = WhileDecreasing(),
    structure: Structure = Elements(),
) -> Method:
    """Fully corrective greedy selection with replacement, from a start with k coordinates (default: fully corrective).

    repeat:  S' = S - {argmin_S x_i^2 h_i} + {argmax g_j^2 / h_j};  x' = argmin f on S'
             stop unless f(x') < f(x);  S = S'

    k >= s + m (kappa^2 - 1), m = |S* minus S| <= s, kappa = beta_2 / lambda_{k+s}: D+ <= (1 - 1/(kappa m)) D
    (for unit h, or with out=Magnitude(), into=Gradient(); the source has k >= s (1 + 16 kappa^2)*). With g(x*) = 0,
    k > s kappa^2 / 4 recovers x*. For least squares its relative is OMPR (Jain, Tewari, Dhillon 2011).
    """
    first = fully_corrective(k, fit=fit, structure=structure) if start is None else start
    swaps = Stage((Phase(Swap(m, out, into, structure), fit),), rounds=rounds, judge=judge)
    return Method("replacement", (*first.stages, swaps), f"{SSZ}, Algorithm 3*")


def foba(k: int, share: float = 0.5, rounds: int | None = None) -> Method:
    """Forward-backward greedy selection (FoBa).

    repeat:  if removing the cheapest i in S costs at most share * (what the last addition at |S| gained): S -= {i}
             elif |S| < k: S += {argmax gain};   x = argmin f on S

    Quadratic f: whenever it is back at a size, f has fallen by (1 - share) of the gain that was undone, so it ends
    (`rounds`, default 50 k + 100, is a guard). The source stops at a threshold on the gain instead of at k, and has
    share = 1/2*. Sound under restricted strong convexity, by gradients as here, too (Liu, Fujimaki, Ye 2014).
    """
    stage = Stage((Phase(AddOrDrop(k, share), Exact()),), 50 * k + 100 if rounds is None else rounds, RecordGains(k))
    return Method("foba", (stage,), "Zhang (2011), Adaptive forward-backward greedy algorithm")


def best_swap(k: int, rounds: int = 1000, start: Method | None = None) -> Method:
    """Best-improvement swaps, from a start with k coordinates (default: OMP).

    repeat:  (i, j) = argmin over S x S^c of min f on S - {i} + {j};  S' = S - {i} + {j}
             stop unless f(x') < f(x);  S = S'

    Quadratic f: ends where no single exchange lowers f, which is more than L-stationary (a coordinate-wise minimum of
    Beck and Eldar 2013). All p k exchanges are evaluated in closed form from H_.S.
    """
    swaps = Stage((Phase(Exchange(), Exact()),), rounds, WhileDecreasing())
    return Method("best-swap", (*(omp(k) if start is None else start).stages, swaps), "Beck, Eldar (2013); classical")


def local_search(k: int, rounds: int = 1000, width: int = 300, start: Method | None = None) -> Method:
    """Exhaustive local search over exchanges of one or two, from a start with k coordinates (default: OMP).

    repeat:  S' = the best of all supports that differ from S in at most two members;  stop unless f(x') < f(x);  S = S'

    Pairs of outsiders come from the `width` best entries: all pairs up to p = k + width. Quadratic f of that size: ends
    where no exchange of one or two lowers f (the partial swap inescapable minima of Hazimeh, Mazumder 2020).
    """
    swaps = Stage((Phase(Exchange(2, width), Exact()),), rounds, WhileDecreasing())
    source = "Hazimeh, Mazumder (2020), Fast best subset selection, with k fixed"
    return Method("local-search", (*(omp(k) if start is None else start).stages, swaps), source)


def splicing(k: int, most: int = 2, rounds: int = 100, tolerance: float = 0.0) -> Method:
    """Splicing (abess) for one k: the cheapest members change places with the best outsiders, several at a time.

    S = the k largest gains at 0
    repeat:  for C = 1..most: S_C = S - {C smallest x_i^2 h_i} + {C largest g_j^2 / h_j};  x_C = argmin f on S_C
             S' = the best S_C;  stop unless f(x') < f(x) - tolerance |f(x)|;  S = S'

    The source stops at a decrease below 0.01* k log(p) log(log n) / n, and its program tries C = most, most/2, ... 1*.
    Recovers the true support with high probability under conditions on the design (abstract of the source).
    """
    first = Stage((Phase(Add(k, Gain()), Exact()),))
    stage = Stage((Phase(Splice(most), Exact()),), rounds, WhileDecreasing(tolerance))
    return Method("splicing", (first, stage), "Zhu, Wen, Zhu, Zhang, Wang (2020), PNAS 117")


def oscillation(k: int, depth: int = 2, rounds: int = 50) -> Method:
    """Oscillating search: d steps forward past k, d steps back to k, for d = 1..depth while f falls.

    S = OMP;  for d = 1..depth, repeat:  d times S += {argmax e_j};  d times S -= {argmin x_i^2 / gamma_i};
              refit after every step; undo and go on to d + 1 unless f fell

    e_j and the exit costs are exact for quadratics. d = 1 is one exchange, j chosen before i. Deeper swings leave local
    optima that no single exchange leaves.
    """
    stages = list(omp(k).stages)
    for d in range(1, depth + 1):
        up = tuple(Phase(Add(1, EntryGain()), Exact()) for _ in range(d))
        down = tuple(Phase(Keep(k + left, Exit()), Exact()) for left in reversed(range(d)))
        stages.append(Stage(up + down, rounds, WhileDecreasing()))
    return Method("oscillation", tuple(stages), "Somol, Pudil (2000), Oscillating search")


METHODS: dict[str, Entry] = {
    "replacement": lambda k, f: replacement(k),
    "foba": lambda k, f: foba(k),
    "best-swap": lambda k, f: best_swap(k),
    "local-search": lambda k, f: local_search(k),
    "splicing": lambda k, f: splicing(k),
    "oscillation": lambda k, f: oscillation(k),
}
