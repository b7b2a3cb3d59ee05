"""skscope: the objective in JAX, compiled, with several of its solvers."""

from __future__ import annotations

# pyright: reportMissingImports=false
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.peers.peer import BOTH, Peer, Solve


def _by(solver: str, settings: Callable[[Any, Any, int, str], dict[str, Any]] = lambda *_: {}) -> Solve:
    def solve(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
        import jax.numpy as jnp
        import skscope

        A, b = jnp.asarray(X), jnp.asarray(y)

        def objective(w: Any) -> Any:
            product = A @ w
            if loss == "squares":
                return jnp.mean((b - product) ** 2) / 2 + ridge / 2 * w @ w
            return jnp.mean(jnp.logaddexp(0.0, product) - b * product) + ridge / 2 * w @ w

        made = getattr(skscope, solver)(X.shape[1], sparsity=k, **settings(X, y, k, loss))
        return np.asarray(made.solve(objective, jit=True))

    return solve


def _wide(X: Any, y: Any, k: int, loss: str) -> dict[str, Any]:
    return {"important_search": 0, "max_exchange_num": k}


def _step(X: Any, y: Any, k: int, loss: str) -> dict[str, Any]:
    """Half of 1 / the largest diagonal entry of the Hessian: the default, 0.005, does not leave the start's support."""
    largest = np.einsum("ij,ij->j", X, X).max() / len(y)
    return {"step_size": float(0.5 * (1 if loss == "squares" else 4) / largest)}


PEERS = (
    Peer("skscope", "skscope", BOTH, "ScopeSolver, jit", _by("ScopeSolver")),
    Peer("skscope-full", "skscope", BOTH, "important_search = 0, max_exchange_num = k", _by("ScopeSolver", _wide)),
    Peer("skscope-omp", "skscope", BOTH, "OMPSolver, jit", _by("OMPSolver")),
    Peer("skscope-foba", "skscope", BOTH, "FobaSolver, jit", _by("FobaSolver"), 2_000_000),
    Peer("skscope-grasp", "skscope", BOTH, "GraspSolver, jit", _by("GraspSolver")),
    Peer("skscope-htp", "skscope", BOTH, "HTPSolver, jit, step half of 1 / max H_jj", _by("HTPSolver", _step)),
)
