"""Local models: (f, state) -> a convex quadratic around the state's weights, on the weights of its support.

>>> Fisher(batches=100, block=None)                  # one block: every pair of weights interacts
Fisher(batches=100, size=16, damping=1e-05, block=None)

The same samples are used wherever one position of a run asks, so that a move and the fit after it see one model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nets import probes
from nets.local_models.curvature import Curvature, Dense, Diagonal, LowRank, Matrix
from nets.local_models.quadratic import BlockQuadratic, Part
from sparsopt import support as sp
from sparsopt.errors import InvalidInput
from sparsopt.state import Array, State

__all__ = ["Fisher", "GaussNewton", "Hutchinson", "Layerwise"]


@dataclass(frozen=True)
class Fisher:
    """The empirical Fisher matrix: H = A'A / m + damping I, A (m, n) the gradients of m = `batches` mini-batches.

    size      of a mini-batch; above 1 a heuristic to look at more data (Singh, Alistarh 2020)
    damping   lambda, absolute
    block     H is cut along its diagonal into blocks of at most so many weights of one layer; None: not at all

    Memory: A, 4 m n bytes. Defaults: 500 gradients of 16 samples and blocks of 500 are those of CHITA's published
    script for ResNet-20 (with damping 1e-4), damping 1e-5 is that of WoodFisher's published scripts.
    """

    batches: int = 500
    size: int = 16
    damping: float = 1e-5
    block: int | None = 500
    needs: ClassVar = ("gradients",)
    autonomous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_model(self.damping, self.block)

    def __call__(self, f: Any, state: State) -> BlockQuadratic:
        return _low_rank(f, state, f.gradients(state.x, self.batches, self.size, _key(state)), self)


@dataclass(frozen=True)
class GaussNewton:
    """The generalised Gauss-Newton matrix, which for cross-entropy is the true Fisher matrix, from `samples` samples.

    Each gives one row J'R e of A, J the Jacobian of the outputs, R R' the Hessian of the loss in them, e random signs:
    unbiased, and exact for a single output. Damping and blocks as in `Fisher`.
    """

    samples: int = 500
    damping: float = 1e-5
    block: int | None = 500
    needs: ClassVar = ("square_roots",)
    autonomous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_model(self.damping, self.block)

    def __call__(self, f: Any, state: State) -> BlockQuadratic:
        return _low_rank(f, state, f.square_roots(state.x, self.samples, _key(state)), self)


@dataclass(frozen=True)
class Hutchinson:
    """A diagonal H: the mean of v * (Hessian v) over `draws` vectors v of random signs, where positive, + damping.

    The Hessian is that of the loss itself, over `per_class` training samples of each class in evaluation mode. Unbiased
    before negative curvature is cut off. Each draw costs about two gradients.
    """

    draws: int = 100
    per_class: int = 10
    damping: float = 1e-5
    needs: ClassVar = ("sampled",)
    autonomous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_model(self.damping, self.draws)

    def __call__(self, f: Any, state: State) -> BlockQuadratic:
        alive = _variables(state)
        sampled = f.sampled(self.per_class, 1.0, "eval")
        signs = state.x.new_tensor(probes.signs((self.draws, f.layout.n), _key(state)))
        mean = sum(v * sampled.hessian_product(state.x, v) for v in signs * (state.x.new_tensor(alive))) / self.draws
        h = np.maximum(sp.to_numpy(mean).astype(np.float64), 0.0)[alive] + self.damping
        return BlockQuadratic(f.layout, _start(state, alive), [Part(Diagonal(h), np.flatnonzero(alive)[None])])


@dataclass(frozen=True)
class Layerwise:
    """The squared change of every layer's outputs: sum over rows r of (w - w0)_r' G (w - w0)_r / 2, G = X X' / samples.

    X are the layer's inputs on `samples` training samples, for convolutions the patches (a Gram matrix each group).
    G gets `damping` times its mean diagonal on the diagonal. A block whose inputs cannot be seen (a parameter that is
    no nn.Linear's or nn.Conv's weight, or is used as a plain tensor, as in LSTM and attention) has H = I: there the
    scores are magnitudes, and no weight compensates for another.

    Defaults: damping 0.01 as in SparseGPT's code; 1,024 samples, because one image is one vector of inputs where
    SparseGPT and Wanda have 128 sequences of 2,048.
    """

    samples: int = 1024
    damping: float = 0.01
    needs: ClassVar = ("grams",)
    autonomous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_model(self.damping, None)

    def __call__(self, f: Any, state: State) -> BlockQuadratic:
        alive = _variables(state)
        grams = f.grams(state.x, self.samples, _key(state))
        parts = [
            part
            for gram, block, shape in zip(grams, f.layout.slices, f.layout.shapes, strict=True)
            for part in self._parts(gram, np.arange(block.start, block.stop), shape[0], alive)
        ]
        return BlockQuadratic(f.layout, _start(state, alive), parts)

    def _parts(self, gram: Matrix | None, indices: Matrix, rows: int, alive: Matrix) -> list[Part]:
        """One part a group, all of whose rows share a Gram matrix."""
        if gram is None:
            square = indices.reshape(rows, -1)
            return [_part(Diagonal(np.ones(square.shape[1])), square, alive)]
        groups = indices.reshape(len(gram), -1, gram.shape[2])
        return [_part(self._damped(G), square, alive) for G, square in zip(gram, groups, strict=True)]

    def _damped(self, G: Matrix) -> Curvature:
        mean = float(np.diagonal(G).mean())
        if mean <= 0:  # no input was ever anything but 0
            return Diagonal(np.ones(len(G)))
        return Dense(G + self.damping * mean * np.eye(len(G)))


def _check_model(damping: float, block: int | None) -> None:
    if not 0 < damping < np.inf or (block is not None and block < 1):
        raise InvalidInput(f"damping = {damping} must be positive and finite, block = {block} at least 1 or None")


def _key(state: State) -> tuple[int, ...]:
    return (state.seed, state.cost)


def _variables(state: State) -> Matrix:
    """What the model is a function of. After a move what it removed still counts: it has not been set to 0 yet."""
    return sp.to_numpy(state.support | (state.x != 0))


def _start(state: State, alive: Matrix) -> Array:
    return np.where(alive, sp.to_numpy(state.x).astype(np.float64), 0.0)


def _part(curvature: Curvature, indices: Matrix, alive: Matrix) -> Part:
    here = alive[indices]
    return Part(curvature, indices, None if here.all() else here)


def _low_rank(f: Any, state: State, A: Matrix, model: Fisher | GaussNewton) -> BlockQuadratic:
    alive = _variables(state)
    parts = [Part(LowRank(_columns(A, piece), model.damping), piece[None]) for piece in _pieces(f, alive, model.block)]
    return BlockQuadratic(f.layout, _start(state, alive), parts)


def _pieces(f: Any, alive: Matrix, block: int | None) -> list[Matrix]:
    """The variables, cut into pieces of nearly equal size, none of two layers."""
    if block is None:
        return [np.flatnonzero(alive)]
    pieces = []
    for layer in f.layout.slices:
        inside = layer.start + np.flatnonzero(alive[layer])
        pieces += np.array_split(inside, -(-len(inside) // block)) if len(inside) else []
    return pieces


def _columns(A: Matrix, piece: Matrix) -> Matrix:
    """A[:, piece], a view where the piece has no gaps."""
    first, last = int(piece[0]), int(piece[-1])
    return A[:, first : last + 1] if last - first + 1 == len(piece) else A[:, piece]
