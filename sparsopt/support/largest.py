"""The choice: the k largest of a score, exactly k of them, of equal scores the first.

>>> top(np.array([0.0, -0.0, 0.0]), 2)
array([ True,  True, False])
>>> top(np.array([5.0, 1.0, 3.0]), 1, within=np.array([False, True, True]))
array([False, False,  True])

One partition finds the k-th largest value; what is above it is in, and of what equals it the first few. `argpartition`
and `topk` by themselves leave it open which of equal scores they take.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.state import Array, Mask
from sparsopt.support.arrays import everything, nothing

__all__ = ["refuse_nan", "top"]


def top(score: Array, k: int, within: Mask | None = None) -> Mask:
    """The support of the k largest entries of `score`, ties to the lowest index.

    score: (n,) NumPy array or Torch tensor; within: (n,) boolean, candidates (default: all). k above the number of
    candidates selects them all. Costs one partition and two passes. Raises `InvalidInput` for k < 0 or a score that is
    not a vector, `NotFinite` if a NaN would have to be compared.
    """
    if score.ndim != 1:
        raise InvalidInput(f"top: score has shape {tuple(score.shape)}; a vector (n,) is needed")
    if k < 0:
        raise InvalidInput(f"top: k = {k} is negative; choose 0 <= k <= {score.shape[0]}")
    if within is not None:
        return _top_within(score, k, within)
    if k == 0:
        return nothing(score)
    if k >= score.shape[0]:
        return everything(score)
    if isinstance(score, np.ndarray):
        return _top_numpy(score, k)
    if score.device.type == "cpu":  # the memory is shared: one implementation, one answer
        import torch

        host = score.detach() if score.dtype.itemsize >= 4 else score.detach().float()
        return torch.from_numpy(_top_numpy(host.numpy(), k))
    return _top_torch(score, k)


def _top_numpy(score: np.ndarray, k: int) -> np.ndarray:
    chosen = np.zeros(score.shape[0], dtype=bool)
    if k == 1:  # argmax already takes the lowest index, and a NaN if there is one
        best = int(score.argmax())
        refuse_nan(score[best] != score[best])
        chosen[best] = True
        return chosen
    tail = np.partition(score, score.shape[0] - k)[score.shape[0] - k :]  # NaN sorts last: it would be in here
    threshold = tail[0]
    refuse_nan(bool(np.isnan(tail).any()))
    np.greater(score, threshold, out=chosen)
    missing = k - int(np.count_nonzero(chosen))
    chosen[np.flatnonzero(score == threshold)[:missing]] = True
    return chosen


def _top_torch(score: Any, k: int) -> Any:
    """The same by Torch operations, for tensors that NumPy cannot see. `topk` alone breaks ties in any order."""
    threshold = score.topk(k, sorted=False).values.min()  # NaN counts as the largest, and min() propagates it
    refuse_nan(bool(threshold.isnan()))
    chosen = score > threshold
    tied = score == threshold
    return chosen | (tied & (tied.cumsum(0) <= k - chosen.sum()))


def _top_within(score: Array, k: int, within: Mask) -> Mask:
    chosen = nothing(score)
    candidates = within.nonzero()[0] if isinstance(within, np.ndarray) else within.nonzero().squeeze(1)
    chosen[candidates[top(score[candidates], k)]] = True
    return chosen


def refuse_nan(found: bool) -> None:
    """Raise `NotFinite` where a NaN was found among the scores."""
    if found:
        raise NotFinite("top: a score is NaN, so no order exists; look at the gradient or the weights it came from")
