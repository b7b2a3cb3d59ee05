"""The source: frozen random numbers that exist before anyone asks for a network.

Element i of a tensor is a function of (seed, name of the tensor, i), by the hash of `nets.seeds`. So the source is
drawn first in the strict sense, nothing has to be stored to rebuild it, and a construction that touches 31,000 of
25 million weights computes 31,000.

>>> source = Source(0, (Frozen("first", (4, 2)),))
>>> source.values("first", np.array([0, 7])).round(4).tolist(), float(source.dense("first")[3, 1].round(4))
([0.3191, 0.066], 0.066)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import seeds
from sparsopt.errors import InvalidInput

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


# ---- distributions: quantile functions -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Uniform:
    """U[-scale, scale], the distribution of nearly all theorems (scale 1)."""

    scale: float = 1.0

    def __call__(self, p: Floats) -> Floats:
        return self.scale * (2 * p - 1)


@dataclass(frozen=True)
class Normal:
    """N(0, deviation^2), as in the theorems on structured pruning."""

    deviation: float = 1.0

    def __call__(self, p: Floats) -> Floats:
        from scipy.special import ndtri

        return self.deviation * ndtri(p)


@dataclass(frozen=True)
class Hyperbolic:
    """A random sign, and a size with density proportional to 1 / size on [smallest, 1]: all scales equally likely.

    After Orseau, Hutter and Rivasplata (2020), whose digits need one weight a scale. Their law is called hyperbolic;
    its range and signs could not be verified: this one is the log-uniform law that greedy digits need.
    """

    smallest: float = 1e-3

    def __call__(self, p: Floats) -> Floats:
        sign = np.where(p < 0.5, -1.0, 1.0)
        return sign * self.smallest ** (1 - 2 * np.where(p < 0.5, p, p - 0.5))


@dataclass(frozen=True)
class Signs:
    """-1 or 1, equally likely."""

    def __call__(self, p: Floats) -> Floats:
        return np.where(p < 0.5, -1.0, 1.0)


@dataclass(frozen=True)
class Grid:
    """Uniform on {-1, -1 + step, ..., 1} with step = 2^-bits: S_delta of Kumar and Natale (2025). Sums are exact."""

    bits: int = 5

    @property
    def step(self) -> float:
        return 2.0**-self.bits

    def __call__(self, p: Floats) -> Floats:
        return (np.floor(p * (2 ** (self.bits + 1) + 1)) - 2**self.bits) * self.step


Distribution = Uniform | Normal | Hyperbolic | Signs | Grid


# ---- the source ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frozen:
    """One tensor of the source.

    density  each weight exists with this probability, else it is absent (0): an Erdos-Renyi source, Gadhikar et al.
             (2023); the same as freezing a random part at zero (Otsuka et al. 2024)
    locked   this fraction of the weights cannot be pruned: the other half of a partially frozen source
    """

    name: str
    shape: tuple[int, ...]
    distribution: Distribution = Uniform()
    density: float = 1.0
    locked: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.density <= 1 and 0 <= self.locked <= 1):
            raise InvalidInput(f"{self.name}: density {self.density} must be in (0, 1], locked {self.locked} in [0, 1]")

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def draw(self, seed: int, index: Any) -> Floats:
        """The weights at flat positions `index`, as if all existed."""
        return self.distribution(uniform(seed, self.name, "value", index))


@dataclass(frozen=True)
class Ruler(Frozen):
    """Not random: along the last axis -limit, limit / 2, limit / 4, ..., so that masks spell numbers in binary.

    What a mask of n bits keeps sums to one of 2^n numbers in [-limit, limit), limit / 2^(n-1) apart.
    """

    limit: float = 0.0

    def draw(self, seed: int, index: Any) -> Floats:
        place = np.asarray(index) % self.shape[-1]
        return np.where(place == 0, -1.0, 2.0**-place) * self.limit


@dataclass(frozen=True)
class Source:
    """All frozen tensors of one random network: values by position, nothing stored."""

    seed: int
    tensors: tuple[Frozen, ...]

    def __getitem__(self, name: str) -> Frozen:
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise InvalidInput(f"no tensor '{name}' in this source; it has {', '.join(t.name for t in self.tensors)}")

    @property
    def size(self) -> int:
        """Weights of the source in all."""
        return sum(tensor.size for tensor in self.tensors)

    def values(self, name: str, index: Any) -> Floats:
        """The weights at flat positions `index` (any shape); absent ones are 0."""
        tensor = self[name]
        drawn = tensor.draw(self.seed, index)
        return drawn if tensor.density == 1 else np.where(self.present(name, index), drawn, 0.0)

    def present(self, name: str, index: Any) -> Mask:
        """Which of the positions exist."""
        return uniform(self.seed, name, "exists", index) < self[name].density

    def locked(self, name: str, index: Any) -> Mask:
        """Which of the positions exist and cannot be pruned."""
        return (uniform(self.seed, name, "locked", index) < self[name].locked) & self.present(name, index)

    def dense(self, name: str) -> Floats:
        """The whole tensor."""
        tensor = self[name]
        return self.values(name, np.arange(tensor.size)).reshape(tensor.shape)

    def digest(self) -> str:
        """A name for the values, from up to 4,096 of each tensor, rounded to float32 for the sake of other machines."""
        parts = hashlib.sha256()
        for tensor in self.tensors:
            index = np.unique(np.linspace(0, tensor.size - 1, min(tensor.size, 4096)).astype(np.int64))
            parts.update(f"{tensor.name} {tensor.shape}".encode())
            parts.update(self.values(tensor.name, index).astype("<f4").tobytes())
        return parts.hexdigest()[:16]


def uniform(seed: int, name: str, kind: str, index: Any) -> Floats:
    """Numbers in (0, 1) with 52 random bits, one a position of the tensor of that name."""
    keys = _hashes(np.asarray(index), seeds.mixed("strong ticket", kind, name, seed))
    return ((keys >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def _hashes(index: NDArray[Any], start: int) -> NDArray[np.uint64]:
    """splitmix64 at positions of one stream: `nets.seeds.keys` for any index."""
    with np.errstate(over="ignore"):
        z = np.uint64(start) + np.uint64(seeds.GOLDEN) * (index.astype(np.uint64) + np.uint64(1))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def chunks(total: int, size: int) -> Iterator[slice]:
    """Slices that cover range(total), `size` long."""
    return (slice(start, min(start + size, total)) for start in range(0, total, size))
