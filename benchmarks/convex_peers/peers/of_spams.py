"""SPAMS: its "omp" is orthogonal least squares on normalised columns."""

from __future__ import annotations

# pyright: reportMissingImports=false
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.convex_peers.peers.peer import SQUARES, Peer


def _omp(X: Any, y: Any, k: int, loss: str, ridge: float) -> NDArray[Any]:
    import spams

    size = np.sqrt(np.einsum("ij,ij->j", X, X))
    size[size == 0] = 1.0
    found = spams.omp(np.asfortranarray(y[:, None]), np.asfortranarray(X / size), L=k, numThreads=1)
    return found.toarray()[:, 0] / size


PEERS = (Peer("spams-omp", "spams", SQUARES, "omp on normalised columns (it is OLS)", _omp),)
