"""Building tickets and checking them: one network, one seed, one honest report.

>>> target = dense_network((3, 4, 2), "relu", [np.full((4, 3), 0.2), np.full((2, 4), -0.3)])
>>> built = build(target, TwoForOne(60), seed=0, rule=Subset("any", 1e-3), domain=Domain.box((3,)))
>>> built.success, built.sampled <= built.certificate.bound
(True, True)
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from nets.strong_tickets.augmented import augment
from nets.strong_tickets.certificate import Certificate, Domain, certify
from nets.strong_tickets.constructions import Construction, TwoForOne
from nets.strong_tickets.network import Network, dense_network
from nets.strong_tickets.source import Floats, Source
from nets.strong_tickets.steps import signs
from nets.strong_tickets.sums import Rule, Subset, Tally
from nets.strong_tickets.ticket import Ticket
from nets.strong_tickets.tokens import Tokens
from sparsopt.errors import MissingCapability

SAMPLES = 256

__all__ = ["Built", "Check", "build", "dense_network", "verify"]


@dataclass(frozen=True, eq=False)
class Built:
    """A ticket and what is known about it.

    sums, missed   subset sums asked for, and those not within the tolerance; one miss fails the network
    worst_sum      the largest error of a sum
    items, used    the mean number of items of a sum, and of chosen ones
    weight_error   the largest |realised weight - target weight|
    sampled        the largest output error over sample points (and the given inputs), by the masked source itself
    certificate    bounds on it over the whole domain
    seconds        for choosing the masks
    """

    ticket: Ticket
    target_size: int
    sums: int
    missed: int
    worst_sum: float
    items: float
    used: float
    weight_error: float
    sampled: float
    certificate: Certificate
    tolerance: float
    seconds: float

    @property
    def success(self) -> bool:
        """Whether every sum of the network is within the tolerance: the event that the theorems speak of."""
        return self.missed == 0

    @property
    def counting_bound(self) -> float:
        """Fewest items a sum that can do: 2^n sums of accuracy eps cover an interval of length 1 only if n >= this."""
        return max(0.0, math.log2(1 / (2 * self.tolerance))) if self.tolerance > 0 else math.inf

    @property
    def source_per_parameter(self) -> float:
        """Source weights (without those that any block-diagonal mask removes) for each parameter of the target."""
        return self.items * self.sums / self.target_size

    def rows(self) -> list[tuple[str, str]]:
        """(name, text) for a table."""
        verdict = "every sum within the tolerance" if self.success else "FAILED: not every sum is within the tolerance"
        return [
            ("verdict", verdict),
            ("sums", f"{self.sums}, missed {self.missed}, worst {self.worst_sum:.2e}, tolerance {self.tolerance:g}"),
            ("items a sum", f"{self.items:.1f}, used {self.used:.2f}, counting bound {self.counting_bound:.1f}"),
            ("parameters", f"{self.ticket.kept} kept of {self.ticket.source.size} in the source, target "
                           f"{self.target_size}; {self.source_per_parameter:.1f} items for each of the target's"),
            ("weight error", f"{self.weight_error:.2e}"),
            ("sampled error", f"{self.sampled:.3e}"),
            ("certificate", str(self.certificate)),
            ("time", f"{self.seconds:.2f} s"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return "\n".join(f"{name:<14}{text}" for name, text in self.rows())


def build(
    target: Network,
    construction: Construction = TwoForOne(),
    seed: int = 0,
    rule: Rule = Subset(),
    domain: Domain | Tokens | None = None,
    inputs: Floats | None = None,
) -> Built:
    """Choose the masks of source `seed` that realise the target, and measure what came out.

    rule     how weights become sums; `Shared(error)` derives each layer's tolerance from the error of the outputs
    domain   where the error is certified; default the smallest around `inputs`
    inputs   (N, ...) points at which the error is sampled too

    Sums that miss are counted, never redrawn. Raises MissingCapability for targets that the construction cannot take.
    """
    domain = _domain(domain, inputs)
    rule = rule.over(target, domain)
    source, tally = Source(seed, construction.tensors(target.steps)), Tally()
    began = time.perf_counter()
    masks = construction.choose(source, target, domain.nonnegative, rule, tally)
    seconds = time.perf_counter() - began
    ticket = Ticket(seed, target.steps, construction, masks)
    return Built(
        ticket,
        target.size,
        tally.sums,
        tally.missed,
        tally.worst,
        tally.items / max(tally.sums, 1),
        tally.used / max(tally.sums, 1),
        weight_error(target, ticket, domain.nonnegative),
        sampled_error(target, ticket, domain, inputs),
        certify(target, ticket.collapsed, domain),
        tally.tolerance,
        seconds,
    )


def _domain(domain: Domain | Tokens | None, inputs: Floats | None) -> Domain | Tokens:
    if domain is None and inputs is None:
        raise MissingCapability("a certificate needs a domain, or inputs to put one around: pass domain= or inputs=")
    return Domain.of(np.asarray(inputs)) if domain is None else domain


def sampled_error(target: Network, ticket: Ticket, domain: Domain | Tokens, inputs: Floats | None = None) -> float:
    """max |ticket(x) - target(x)| over sample points of the domain and `inputs`, by the masked source."""
    points = domain.sample(SAMPLES)
    points = points if inputs is None else np.concatenate([points, np.asarray(inputs, dtype=np.float64)])
    return float(np.abs(ticket(points) - target(points)).max())


def weight_error(target: Network, ticket: Ticket, nonnegative: bool) -> float:
    """max |realised - target weight| over the signs that inputs can have (copies summed), and biases."""
    collapsed = ticket.collapsed
    wide = augment(target) if collapsed.augmented else target
    worst, before = 0.0, 1
    for layer, w, b, c, sign in zip(
        collapsed.layers, wide.weights, wide.biases, collapsed.copies, signs(target.steps, nonnegative), strict=True
    ):
        for realised in (layer.positive,) if sign else (layer.positive, layer.negative):
            summed = realised.reshape(len(realised), -1, before, *realised.shape[2:]).sum(axis=2)
            worst = max(worst, float(np.abs(summed - np.repeat(w, c, axis=0)).max(initial=0.0)))
        worst, before = max(worst, float(np.abs(layer.bias - np.repeat(b, c)).max(initial=0.0))), c
    return worst


# ---- verification --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One line of a verdict table."""

    name: str
    passed: bool
    found: str


def verify(
    ticket: Ticket, target: Network | None = None, domain: Domain | Tokens | None = None, inputs: Floats | None = None
) -> list[Check]:
    """Rebuild the source and check the ticket; with a target, its error and certificates too.

    Checks: masks keep existing weights only, and all locked ones; the masked source equals the collapsed network (to
    1e-10 of its scale; for tanh and sigmoid gadgets the difference is only reported); the sampled error is below all
    certificates.
    """
    checks = [_only_existing(ticket)]
    if domain is not None or inputs is not None:
        place = _domain(domain, inputs)
        checks.append(_equal(ticket, place))
        if target is not None:
            checks += _against(ticket, target, place, inputs)
    return checks


def _only_existing(ticket: Ticket) -> Check:
    absent = pruned = 0
    for name, mask in ticket.masks.items():
        absent += int((~ticket.source.present(name, np.flatnonzero(mask))).sum())
        if ticket.source[name].locked:
            pruned += int(ticket.source.locked(name, np.flatnonzero(~mask)).sum())
    text = f"{ticket.kept} weights kept, {absent} of them absent from the source; {pruned} locked ones pruned"
    return Check("masks choose among the source's weights", absent + pruned == 0, text)


def _equal(ticket: Ticket, domain: Domain | Tokens) -> Check:
    x = domain.sample(SAMPLES)
    run, short = ticket(x), ticket.collapsed(x)
    gap, scale = float(np.abs(run - short).max()), float(np.abs(short).max())
    text = f"largest difference {gap:.1e} at outputs up to {scale:.2g}"
    if any(layer.cubic is not None for layer in ticket.collapsed.layers):
        return Check("masked source near collapsed network", math.isfinite(gap), f"{text}; curved activation, no limit")
    return Check("masked source = collapsed network", gap <= 1e-10 * max(1.0, scale), text)


def _against(ticket: Ticket, target: Network, domain: Domain | Tokens, inputs: Floats | None) -> list[Check]:
    certificate, error = certify(target, ticket.collapsed, domain), sampled_error(target, ticket, domain, inputs)
    return [
        Check(f"sampled error <= {name} certificate", error <= bound, f"{error:.3e} <= {bound:.3e}")
        for name, bound in certificate.known().items()
    ]
