"""How a count changes from round to round: by the same share, by the same number, fast first and slow last.

>>> [Linear(10, 4, 3)(r, Layout.single(10)) for r in range(4)]
[8, 6, 4, 4]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sparsopt.errors import InvalidInput
from sparsopt.state import Layout

Counts = int | tuple[int, ...]
Schedule = Callable[[int, Layout], Counts]

__all__ = ["Cosine", "Counts", "Cubic", "Decay", "Geometric", "Held", "Linear", "Schedule", "amount"]


def amount(k: int | Schedule, round: int, layout: Layout) -> Counts:
    """The count that `k`, an integer or a schedule, gives in this round."""
    return k(round, layout) if callable(k) else int(k)


@dataclass(frozen=True)
class Decay:
    """From `start` to `end` in `rounds` rounds; round r gives the count after its step, the last one `end` itself."""

    start: int
    end: int
    rounds: int
    autonomous = False  # depends on the round: a repeated state is no cycle

    def __call__(self, round: int, layout: Layout) -> int:
        if round >= self.rounds - 1:
            return self.end
        value = self.path((round + 1) / self.rounds)
        low, high = sorted((self.start, self.end))
        return min(max(math.floor(value + 0.5), low), high)

    def path(self, t: float) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class Geometric(Decay):
    """The same fraction every round: start (end/start)^t. Iterative magnitude pruning removes 20 % a round this way."""

    def path(self, t: float) -> float:
        if self.start <= 0 or self.end <= 0:
            raise InvalidInput(f"{self}: a geometric schedule needs start and end above 0; use Cubic to reach 0")
        return self.start * (self.end / self.start) ** t


@dataclass(frozen=True)
class Linear(Decay):
    """The same number every round: start + (end - start) t. With rounds = |end - start|, one at a time."""

    def path(self, t: float) -> float:
        return self.start + (self.end - self.start) * t


@dataclass(frozen=True)
class Cubic(Decay):
    """end + (start - end) (1 - t)^3: fast first, slow last. Source: Zhu and Gupta (2017), gradual magnitude pruning."""

    def path(self, t: float) -> float:
        return self.end + (self.start - self.end) * (1 - t) ** 3


@dataclass(frozen=True)
class Held:
    """Another schedule as it stands in round `at`, in every round: what a closing stage holds on to."""

    of: int | Schedule
    at: int

    def __call__(self, round: int, layout: Layout) -> Counts:
        return amount(self.of, self.at, layout)


@dataclass(frozen=True)
class Cosine:
    """A share of `of`, annealed: fraction/2 (1 + cos(pi r / rounds)) of its counts, rounded down; 0 from `rounds` on.

    The number of connections that RigL moves in round r. Source: Evci et al. (2020), section 3.
    """

    of: int | Schedule
    fraction: float
    rounds: int
    autonomous = False

    def __call__(self, round: int, layout: Layout) -> Counts:
        t = min(round / self.rounds, 1.0)
        share = self.fraction / 2 * (1 + math.cos(math.pi * t))
        counts = amount(self.of, round, layout)
        if isinstance(counts, int):
            return int(share * counts)
        return tuple(int(share * k) for k in counts)
