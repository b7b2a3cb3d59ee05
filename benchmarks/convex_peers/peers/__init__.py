"""The other packages, a file each: every entry a short function (X, y, k, loss, ridge) -> support or coefficients.

Settings are the best that the package's own documentation offers for this task and that did best here, said in one
line each; nothing is tuned per problem. Where a default is quick and another setting better, both are entries. What
returns more than k non-zeros is cut to its k largest, and everything is refitted by the same code. A peer that is not
installed is left out.

>>> "sklearn-omp" in {peer.name for peer in PEERS}
True
"""

from __future__ import annotations

import importlib
import importlib.metadata

from benchmarks.convex_peers.peers.peer import Peer

__all__ = ["FILE", "PEERS", "Peer", "installed"]

FILES = tuple(
    f"of_{name}"
    for name in ("sklearn", "abess", "spams", "fastsparse", "celer", "skglm", "skscope", "okridge", "el0ps")
)
BESIDES = ("numpy", "scipy")  # their versions decide numbers, too
ENTRIES: dict[str, tuple[Peer, ...]] = {
    file: importlib.import_module(f"benchmarks.convex_peers.peers.{file}").PEERS for file in FILES
}
PEERS = tuple(peer for entries in ENTRIES.values() for peer in entries)
FILE = {peer.name: file for file, entries in ENTRIES.items() for peer in entries}


def installed() -> dict[str, str]:
    """The peers' modules that are installed here, NumPy and SciPy, with their versions."""
    distributions = importlib.metadata.packages_distributions()
    wanted = dict.fromkeys((*BESIDES, *(peer.module for peer in PEERS)))
    found = {module: distributions[module][0] for module in wanted if module in distributions}
    return {module: importlib.metadata.version(name) for module, name in found.items()}
