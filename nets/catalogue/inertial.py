"""Experimental: one cut at a gap of the spectrum, after inertial manifold theory.

    outcome = nets.prune(model, data, "inertial-manifold", sparsity=0.9)
    outcome.reports["gap_k"]                                 # the number of weights that the gap would have chosen
    nets.prune(model, data, "inertial-manifold", settings={"size": "gap"})         # and takes: sparsity is ignored

What is the paper's: the flow of gradients as a dynamical system, its reduction to an inertial manifold, and pruning
once, by the gap in its spectrum that gives the smallest subnetwork. No code was published, and of the text only the
abstract was at hand. What is ours: everything that this needs to be an algorithm. See `nets.inertial`.
"""

from __future__ import annotations

from nets.inertial import AtGap, RecordGap, Shadow, Spectrum
from nets.plan import Entry, Plan
from sparsopt.method import Method, Phase, Stage
from sparsopt.moves import Everything, Keep, Stay
from sparsopt.names import lookup

__all__ = ["METHODS", "inertial_manifold"]


def inertial_manifold(plan: Plan, size: str = "plan", samples: int = 300, early: int | None = None) -> Method:
    """Inertial-manifold pruning (experimental): the weights whose removal moves the modes before the gap most.

    train T/20;  A = m rows with E A'A / m = the Gauss-Newton matrix H;  d = argmax lambda_d / lambda_(d+1), d <= m / 2;
    l_j = the squared length of row j of the first d eigenvectors;  S = the k largest w_j^2 l_j;  train the rest of T.

    size: "plan", k as asked; "gap", the smallest k whose own spectrum keeps the gap (`Modes.carriers`), which is
    reported in either case. early: steps before the cut. Our reading, not the paper's: the Gauss-Newton matrix as the
    linear part, after 5 % of the training, when of C classes C - 1 modes come out of the bulk; the ratio of neighbours,
    which no scaling of the loss moves, as the width of a gap; the choice of weights. Theorems on inertial manifolds ask
    that the gap exceed a multiple of the Lipschitz constant of the rest. That constant is not known here, so nothing
    promises that the subnetwork is lossless. One round of backward elimination. Cost: 1 training, m gradients of one
    sample.
    """
    spectrum, first = Spectrum(samples), plan.steps // 20 if early is None else min(max(early, 0), plan.steps)
    sizes = {"plan": Keep(plan.k, Shadow(spectrum)), "gap": AtGap(spectrum)}
    cut, train = Phase(lookup(sizes, size, "size"), RecordGap(spectrum)), Phase(Stay(), plan.train(plan.steps - first))
    dense = (Stage((Phase(Everything(), plan.train(first)),)),) if first else ()
    source = "after Zhang, Jin, Zhang, Zhou, Zhao, Ren, Liu, Wu, Jin, Dou (2021), the idea; this project, the algorithm"
    return Method("inertial-manifold", (*dense, Stage((cut, train))), source)


METHODS: dict[str, Entry] = {"inertial-manifold": inertial_manifold}
