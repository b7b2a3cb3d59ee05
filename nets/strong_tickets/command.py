"""The command line of strong tickets.

    python -m nets strong-ticket build --data digits --copies 60 --out ticket.npz
    python -m nets strong-ticket attention --dimension 8 --heads 2 --copies 30 --out attention.npz
    python -m nets strong-ticket verify ticket.npz
    python -m nets strong-ticket study --data mnist --copies 40 80 120 --seeds 5
    python -m nets strong-ticket removal --dimensions 1 4 9 36
    python -m nets strong-ticket compare --data digits --width 0.25 --copies 20

`build` trains a LeNet-300-100 and hides it in a random network; beside the ticket it keeps the target
(`ticket.target.npz`), with which `verify` recomputes errors and certificates. `study` prints a table over widths and
source seeds; `compare` sets constructed masks beside searched ones on the same sources.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from nets.strong_tickets import removal
from nets.strong_tickets.attention import attention, transformer_block
from nets.strong_tickets.build import build, verify
from nets.strong_tickets.certificate import Domain
from nets.strong_tickets.constructions import Construction, TwoForOne
from nets.strong_tickets.search import compare
from nets.strong_tickets.steps import Merged, linear_steps
from nets.strong_tickets.study import SAMPLED, Trained, Trial, aligned, lenet, one_more, study, table
from nets.strong_tickets.sums import Digits, Nearest, Rule, Subset
from nets.strong_tickets.ticket import Ticket, load, load_network, save_network
from nets.strong_tickets.tokens import Tokens
from sparsopt.errors import InvalidInput

CONSTRUCTIONS = {"two-for-one": TwoForOne, "one-more": one_more}


@dataclass(frozen=True)
class Target:
    """The network that tickets are made for, and how its weights become subset sums."""

    data: str = "digits"
    """digits, mnist or fashion"""
    epochs: float = 20.0
    """length of the target's training"""
    width: float = 1.0
    """factor on LeNet-300-100's hidden layers"""
    construction: Literal["two-for-one", "one-more"] = "two-for-one"
    """two random layers for each of the target's, or one more in all"""
    rule: Literal["any", "smallest", "best", "nearest", "digits"] = "any"
    """how a weight is made: a subset within the tolerance, the smallest, the best; one item; greedy digits"""
    tolerance: float = 1e-3
    """largest error of a weight"""
    most: int = 28
    """items among which a subset is searched"""

    def trained(self) -> Trained:
        """Train it."""
        _tell(f"training LeNet-300-100 on {self.data}")
        return lenet(self.data, self.epochs, self.width)

    def made(self, copies: int) -> Construction:
        """The construction with so many copies."""
        return CONSTRUCTIONS[self.construction](copies)

    def by(self) -> Rule:
        """The rule."""
        if self.rule in ("nearest", "digits"):
            return {"nearest": Nearest, "digits": Digits}[self.rule](self.tolerance)
        return Subset(self.rule, self.tolerance, self.most)


@dataclass(frozen=True)
class Build(Target):
    """Train a target, draw a source, choose its masks, and write the ticket."""

    copies: int = 60
    """hidden units of the source for each input"""
    seed: int = 0
    """of the source"""
    out: Path = Path("ticket.npz")
    """the ticket's file; the target goes beside it"""

    def __call__(self) -> None:
        trained = self.trained()
        _tell("choosing masks")
        built = build(
            trained.network, self.made(self.copies), self.seed, self.by(), trained.domain, trained.inputs[:SAMPLED]
        )
        built.ticket.save(self.out)
        save_network(trained.network, beside(self.out))
        _tell("")
        print(built)
        before, after = trained.accuracy(trained.network), trained.accuracy(built.ticket.collapsed)
        print(f"{'accuracy':<14}{before:.4f} of the target, {after:.4f} of the ticket, on {self.data}'s test split")
        print(f"{'file':<14}{self.out}, {self.out.stat().st_size:,} bytes")


@dataclass(frozen=True)
class Attention:
    """Hide a random transformer block (attention, or with a perceptron behind it) in a random network; write it."""

    dimension: int = 8
    """of a token"""
    heads: int = 2
    """of attention"""
    hidden: int = 0
    """units of the perceptron; 0: attention alone"""
    copies: int = 30
    """hidden units of the source for each input"""
    tolerance: float = 1e-3
    """largest error of a weight"""
    radius: float = 1.0
    """tokens are certified for |x|_2 <= radius"""
    seed: int = 0
    """of the source"""
    out: Path = Path("attention.npz")
    """the ticket's file; the target goes beside it"""

    def __call__(self) -> None:
        rng = np.random.default_rng(self.dimension)
        d, scale = self.dimension, self.dimension**-0.5
        target = attention(*rng.uniform(-scale, scale, (2, self.heads, d, d)))
        if self.hidden:
            first, second = rng.uniform(-scale, scale, (2, self.hidden, d))
            target = transformer_block(target, first, second.T)
        rule, domain = Subset("any", self.tolerance), Tokens(d, self.radius)
        built = build(target, TwoForOne(self.copies), self.seed, rule, domain)
        built.ticket.save(self.out)
        save_network(target, beside(self.out))
        print(built)


@dataclass(frozen=True)
class Verify:
    """Rebuild a ticket's source and check everything that can be checked."""

    ticket: Annotated[Path, tyro.conf.Positional]
    """the file"""
    target: Path | None = None
    """the target's file; default the one beside the ticket, if there is one"""
    low: float = 0.0
    """inputs are certified for low <= x <= high"""
    high: float = 1.0
    """see low"""
    size: int = 8
    """height and width of the inputs of convolutions"""
    radius: float = 1.0
    """length of the tokens of transformers"""

    def __call__(self) -> None:
        ticket = load(self.ticket)
        path = beside(self.ticket) if self.target is None else self.target
        target = load_network(path) if path.exists() or self.target is not None else None
        print(ticket)
        checks = verify(ticket, target, self._domain(ticket))
        for check in checks:
            print(f"{'ok  ' if check.passed else 'FAIL'}  {check.name:<40}  {check.found}")
        if not all(check.passed for check in checks):
            raise InvalidInput(f"{self.ticket}: {sum(not check.passed for check in checks)} checks failed")

    def _domain(self, ticket: Ticket) -> Domain | Tokens:
        first = linear_steps(ticket.steps)[0]
        if any(isinstance(step, Merged) for step in linear_steps(ticket.steps)):
            return Tokens(first.inputs, self.radius)
        shape = (first.inputs, self.size, self.size) if first.taps else (first.inputs,)
        return Domain.box(shape, self.low, self.high)


@dataclass(frozen=True)
class Study(Target):
    """Accuracy, errors, certificates and failures over widths and source seeds."""

    copies: tuple[int, ...] = (30, 60, 90)
    """hidden units of the source for each input"""
    seeds: int = 5
    """sources a width"""

    def __call__(self) -> None:
        trained, trials = self.trained(), list[Trial]()
        total = len(self.copies) * self.seeds
        for trial in study(trained, self.copies, range(self.seeds), self.by(), self.made):
            trials.append(trial)
            _tell(f"{len(trials)} of {total}: copies {trial.copies}, seed {trial.seed}, {trial.built.missed} missed")
        _tell("")
        print(aligned(table(trials)))


@dataclass(frozen=True)
class Removal:
    """Removing whole filters: how many a kernel of d^2 c_out numbers needs, and how often it misses."""

    dimensions: tuple[int, ...] = (1, 2, 3, 4, 9, 18, 36)
    """d^2 c_out"""
    tolerance: float = 0.1
    """largest error of a weight"""
    draws: int = 100
    """sources for each"""

    def __call__(self) -> None:
        rows = []
        for row in removal.study(self.dimensions, self.tolerance, self.draws):
            rows.append(row)
            _tell(f"d^2 c_out = {row.dimension}: {row.filters} filters")
        _tell("")
        print(aligned(removal.table(rows)))


@dataclass(frozen=True)
class Compare(Target):
    """Construction and searches on the same sources: accuracy, weights kept, seconds."""

    copies: int = 20
    """hidden units of the source for each input"""
    seeds: int = 3
    """sources"""
    density: float = 0.5
    """share of the source's weights that a search keeps"""
    length: int = 1000
    """steps of a search"""
    device: str = "cpu"
    """where searches run"""

    def __call__(self) -> None:
        trained = self.trained()
        groups: dict[str, list[tuple[int, float, float]]] = {}
        sources, how = self.made(self.copies), (self.density, self.length, self.device)
        results = compare(trained, sources, range(self.seeds), self.by(), *how)
        for name, seed, kept, accuracy, seconds in results:
            groups.setdefault(name, []).append((kept, accuracy, seconds))
            _tell(f"{name}, seed {seed}: accuracy {accuracy:.4f}")
        rows = [("masks by", "kept", "accuracy: median", "least", "most", "seconds")]
        for name, found in groups.items():
            kept, accuracy, seconds = (list(column) for column in zip(*found, strict=True))
            middle = (f"{statistics.median(kept):,.0f}", f"{statistics.median(accuracy):.4f}")
            ends = (f"{min(accuracy):.4f}", f"{max(accuracy):.4f}", f"{statistics.median(seconds):.1f}")
            rows.append((self.construction if name == "construction" else name, *middle, *ends))
        _tell("")
        print(aligned(rows))


@dataclass(frozen=True)
class StrongTicket:
    """Strong lottery tickets: build or verify one, study widths and seeds, compare construction with search."""

    command: Annotated[Build | Attention | Verify | Study | Removal | Compare, tyro.conf.arg(name="")]

    def __call__(self) -> None:
        self.command()

    @property
    def out(self) -> Path | None:
        return None


def beside(ticket: Path) -> Path:
    """Where the target of a ticket's file is kept."""
    return ticket.with_name(f"{ticket.stem}.target.npz")


def _tell(text: str) -> None:
    """One changing line on the error stream, where that is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


__all__ = ["Attention", "Build", "Compare", "Removal", "StrongTicket", "Study", "Verify"]
