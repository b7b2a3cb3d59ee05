"""The other packages, each as one short function (X, y, k, loss, ridge) -> support or coefficients.

Settings are the best that the package's own documentation offers for this task and that did best here, said in one
line each; nothing is tuned per problem. What returns more than k non-zeros is cut to its k largest, and everything is
refitted by the same code. A peer that is not installed is left out.

>>> "sklearn-omp" in {peer.name for peer in PEERS}
True
"""

from __future__ import annotations

# pyright: reportMissingImports=false
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PEERS", "Peer", "installed"]

Solve = Callable[[Any, Any, int, str, float], NDArray[Any]]
BOTH, SQUARES = ("squares", "logistic"), ("squares",)


@dataclass(frozen=True)
class Peer:
    """A method of another package. module: what has to be importable; settings: how it is called, in a line."""

    name: str
    module: str
    losses: tuple[str, ...]
    settings: str
    solve: Solve
    most: int = 10**9  # numbers in X beyond which it is not asked (minutes, or more memory than there is)


def _sklearn_omp(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    from sklearn.linear_model import orthogonal_mp

    return np.asarray(orthogonal_mp(X, y, n_nonzero_coefs=k))


def _sklearn_omp_gram(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    from sklearn.linear_model import orthogonal_mp_gram

    return np.asarray(orthogonal_mp_gram(X.T @ X.copy(), X.T @ y, n_nonzero_coefs=k, copy_Gram=False, copy_Xy=False))


def _sklearn_l1(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    if loss == "squares":
        from sklearn.linear_model import lars_path

        return _first_with(k, lars_path(X, y, method="lasso", max_iter=8 * k)[2].T)
    from sklearn.linear_model import LogisticRegression

    model: Any = LogisticRegression(
        l1_ratio=1.0, solver="liblinear", fit_intercept=False, tol=1e-4, max_iter=300, random_state=0
    )
    top = np.abs(X.T @ (y - 0.5)).max()
    return _first_with(k, (model.set_params(C=scale / top).fit(X, y).coef_[0] for scale in np.geomspace(1.2, 1e3, 25)))


def _abess(X: Any, y: Any, k: int, loss: str, ridge: float, **settings: Any) -> NDArray[Any]:
    from abess import LinearRegression, LogisticRegression

    model = (LinearRegression if loss == "squares" else LogisticRegression)(
        support_size=k, alpha=0.0, thread=1, fit_intercept=False, **settings
    )
    return np.asarray(model.fit(X, y).coef_).ravel()


def _abess_full(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    return _abess(X, y, k, loss, ridge, important_search=0, exchange_num=k)


def _spams(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    import spams

    size = np.sqrt(np.einsum("ij,ij->j", X, X))
    size[size == 0] = 1.0
    found = spams.omp(np.asfortranarray(y[:, None]), np.asfortranarray(X / size), L=k, numThreads=1)
    return found.toarray()[:, 0] / size


def _fastsparse(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    import fastsparsegams

    X = np.array(X, order="F")  # it refuses large matrices that are not in column order
    fit = fastsparsegams.fit(
        X, y if loss == "squares" else 2 * y - 1, loss="SquaredError" if loss == "squares" else "Logistic",
        penalty="L0", algorithm="CDPSI", max_support_size=k, intercept=False, num_lambda=100,
    )  # fmt: skip
    path = np.asarray(fit.coeffs[0].todense()).T
    return path[int(np.argmax((path != 0).sum(axis=1)))]


def _celer(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    from celer import celer_path

    pb, target = ("lasso", y) if loss == "squares" else ("logreg", 2 * y - 1)
    top = np.abs(X.T @ y).max() / len(y) if loss == "squares" else np.abs(X.T @ target).max() / 2
    X = np.asfortranarray(X)
    many, width = 10, 3.0
    while True:
        alphas = top * np.geomspace(1, 1 / width, many)
        path = celer_path(X, target, pb, alphas=alphas, tol=1e-4 if loss == "squares" else 1e-3)[1].T
        if (path != 0).sum(axis=1).max() >= k or width > 1e4:
            return _first_with(k, path)
        many, width = 2 * many, width**2


def _skglm(penalty: str) -> Solve:
    def solve(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
        from skglm import GeneralizedLinearEstimator, datafits, penalties
        from skglm.solvers import AndersonCD

        squares = loss == "squares"
        target = y if squares else 2 * y - 1
        top = np.abs(X.T @ target).max() / (len(y) * (1 if squares else 2))
        model: Any = GeneralizedLinearEstimator(
            datafits.Quadratic() if squares else datafits.Logistic(),
            penalties.L1(top) if penalty == "l1" else penalties.MCPenalty(top, 3.0),
            AndersonCD(tol=1e-5, warm_start=True, fit_intercept=False),
        )
        return _first_with(k, (_refit(model, X, target, top * share) for share in np.geomspace(0.95, 1e-3, 60)))

    return solve


def _refit(model: Any, X: Any, y: Any, alpha: float) -> NDArray[Any]:
    model.penalty.alpha = alpha
    return np.ravel(model.fit(X, y).coef_).copy()


def _skscope(solver: str) -> Solve:
    def solve(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
        import jax.numpy as jnp
        import skscope

        A, b = jnp.asarray(X), jnp.asarray(y)

        def objective(w: Any) -> Any:
            product = A @ w
            if loss == "squares":
                return jnp.mean((b - product) ** 2) / 2 + ridge / 2 * w @ w
            return jnp.mean(jnp.logaddexp(0.0, product) - b * product) + ridge / 2 * w @ w

        return np.asarray(getattr(skscope, solver)(X.shape[1], sparsity=k).solve(objective, jit=True))

    return solve


def _okridge(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    from okridge.tree import BNBTree

    tree: Any = BNBTree(X, y, lambda2=max(ridge * len(y), 1e-8))
    found = tree.solve(k=k, gap_tol=1e-4, verbose=False, time_limit=10)
    return np.asarray(found[1]).ravel()


def _el0ps(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    from el0ps.datafit import Leastsquares, Logistic
    from el0ps.path import Path as Ladder
    from el0ps.penalty import L2norm
    from el0ps.solver import BnbSolver

    squares, n = loss == "squares", len(y)
    datafit = Leastsquares(y) if squares else Logistic(2 * y - 1)
    gains = (X.T @ (y if squares else y - 0.5)) ** 2 / (2 * (X**2).sum(axis=0) * (1 if squares else 0.25))
    ladder: Any = Ladder(
        lmbds=list(gains.max() * np.geomspace(1, 1e-3, 30)), lmbd_normalized=False, max_nnz=k,
        stop_if_not_optimal=False, verbose=False,
    )  # fmt: skip
    results = ladder.fit(BnbSolver(time_limit=1.0), datafit, L2norm(max(ridge, 0.01) * n / 2), X)
    return _largest([np.asarray(result.x) for result in results.values()], k)


def _first_with(k: int, path: Any) -> NDArray[Any]:
    """The first point of a path that has k non-zeros, else the last one."""
    point = np.empty(0)
    for point in path:
        if np.count_nonzero(point) >= k:
            break
    return np.asarray(point)


def _largest(points: list[NDArray[Any]], k: int) -> NDArray[Any]:
    """The point with most non-zeros up to k."""
    return max((point for point in points if np.count_nonzero(point) <= k), key=np.count_nonzero)


PEERS = (
    Peer("sklearn-omp", "sklearn", SQUARES, "orthogonal_mp", _sklearn_omp),
    Peer("sklearn-omp-gram", "sklearn", SQUARES, "the Gram, then orthogonal_mp_gram", _sklearn_omp_gram, 50_000_000),
    Peer("sklearn-l1", "sklearn", BOTH, "lars_path to k; logistic: liblinear on 25 penalties to k", _sklearn_l1),
    Peer("abess", "abess", BOTH, "support_size = k", _abess),
    Peer("abess-full", "abess", BOTH, "important_search = 0, exchange_num = k", _abess_full),
    Peer("spams-omp", "spams", SQUARES, "omp on normalised columns (it is OLS)", _spams),
    Peer("fastsparse", "fastsparsegams", BOTH, "CDPSI, L0, 100 penalties, max_support_size = k", _fastsparse),
    Peer("celer", "celer", BOTH, "celer_path to k, tol 1e-4 (logistic 1e-3)", _celer),
    Peer("skglm-l1", "skglm", BOTH, "AndersonCD, warm path of L1 to k", _skglm("l1")),
    Peer("skglm-mcp", "skglm", BOTH, "AndersonCD, warm path of MCP(3) to k", _skglm("mcp")),
    Peer("skscope", "skscope", BOTH, "ScopeSolver, jit", _skscope("ScopeSolver")),
    Peer("skscope-omp", "skscope", BOTH, "OMPSolver, jit", _skscope("OMPSolver")),
    Peer("okridge", "okridge", SQUARES, "BNBTree, at most 10 s, ridge at least 1e-8/n", _okridge, 2_000_000),
    Peer("el0ps", "el0ps", BOTH, "penalised path of 30, 1 s each, to k; ridge at least .01", _el0ps, 2_000_000),
)


def installed() -> dict[str, str]:
    """The peers' modules that can be imported here, with their versions."""
    distributions = importlib.metadata.packages_distributions()
    modules = [module for module in dict.fromkeys(peer.module for peer in PEERS) if module in distributions]
    return {module: importlib.metadata.version(distributions[module][0]) for module in modules}
