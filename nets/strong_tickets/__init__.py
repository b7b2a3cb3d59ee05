"""Strong lottery tickets: a random network is drawn first, and masks alone make it a given network.

`build` constructs the masks by subset sums, weight by weight, with a certificate of the error; `search` looks for masks
by gradient on the same frozen sources. A ticket is (seed, architecture, masks): small on disk, rebuilt and checked by
anyone.

>>> import numpy as np
>>> from nets import strong_tickets as st
>>> rng = np.random.default_rng(0)
>>> target = st.dense_network((4, 6, 2), "relu", [rng.uniform(-0.5, 0.5, (6, 4)), rng.uniform(-0.5, 0.5, (2, 6))])
>>> built = st.build(target, st.TwoForOne(copies=60), seed=1, rule=st.Subset("any", 1e-3), domain=st.Domain.box((4,)))
>>> built.missed, built.sampled < built.certificate.bound < 0.1
(0, True)
"""

from __future__ import annotations

from nets.strong_tickets.attention import attention, merged, transformer_block
from nets.strong_tickets.build import Built, Check, build, verify
from nets.strong_tickets.certificate import Certificate, Domain, certify
from nets.strong_tickets.constructions import OneMore, TwoForOne
from nets.strong_tickets.network import Network, dense_network
from nets.strong_tickets.perturbed import Perturbed, Spread, solve_perturbed
from nets.strong_tickets.quantised import quantise
from nets.strong_tickets.shares import Shared
from nets.strong_tickets.source import Grid, Hyperbolic, Normal, Signs, Source, Uniform
from nets.strong_tickets.structured import Structured, Vectors
from nets.strong_tickets.sums import Digits, Nearest, Subset
from nets.strong_tickets.ticket import Ticket, load
from nets.strong_tickets.tokens import Tokens

__all__ = [
    "Built",
    "Certificate",
    "Check",
    "Digits",
    "Domain",
    "Grid",
    "Hyperbolic",
    "Nearest",
    "Network",
    "Normal",
    "OneMore",
    "Perturbed",
    "Shared",
    "Signs",
    "Source",
    "Spread",
    "Structured",
    "Subset",
    "Ticket",
    "Tokens",
    "TwoForOne",
    "Uniform",
    "Vectors",
    "attention",
    "build",
    "certify",
    "dense_network",
    "load",
    "merged",
    "quantise",
    "solve_perturbed",
    "transformer_block",
    "verify",
]
