"""What a data set is: two splits of resident tensors and the numbers that normalise them.

>>> import numpy as np
>>> from nets.data import from_arrays
>>> rng = np.random.default_rng(0)
>>> data = from_arrays(rng.normal(size=(60, 5)), rng.integers(0, 3, 60), test=None)
>>> data.validation(0.2, seed=0)
DataSet('arrays/validation(0.2, seed=0)', 48 train, 12 test, inputs=(5,), classes=3)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nets import seeds
from nets.data.sources import Splits
from sparsopt.errors import InvalidInput


@dataclass(frozen=True)
class Augmentation:
    """What is done to each training image at random, every time it is seen.

    flip          mirror left to right with probability 1/2
    crop_padding  p: pad with p zeros on all sides, and cut an image of the old size out at a random place
    """

    flip: bool = False
    crop_padding: int = 0

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise InvalidInput(f"crop_padding is a number of pixels, at least 0, not {self.crop_padding}")

    def apply(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented copy of images (B, C, H, W), any dtype, on any device; `generator` lives on the CPU."""
        return self.moved(images, self.draw(len(images), generator).to(images.device))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 1) int64: one number an image decides flip, row and column, all outcomes equally likely."""
        return torch.randint(self.outcomes, (count, 1), generator=generator)

    @property
    def outcomes(self) -> int:
        """What may become of an image: (1 or 2) (2p + 1)^2."""
        return (1 + self.flip) * (2 * self.crop_padding + 1) ** 2

    def moved(self, images: Tensor, draw: Tensor) -> Tensor:
        """Images (B, C, H, W) as (B, 1) draws on their device say: one gather moves all pixels."""
        if self == Augmentation():
            return images
        B, C, H, W = images.shape
        p, span = self.crop_padding, 2 * self.crop_padding + 1
        mirrored, down, right = draw // span**2, draw // span % span, draw % span
        column = torch.arange(W, device=images.device)
        column = torch.where(mirrored == 1, W - 1 - column, column) + right
        row = torch.arange(H, device=images.device) + down
        place = (row * (W + 2 * p)).unsqueeze(2) + column.unsqueeze(1)
        padded = torch.nn.functional.pad(images, (p, p, p, p)).reshape(B, C, -1)
        return padded.gather(2, place.view(B, 1, H * W).expand(B, C, H * W)).view(B, C, H, W)


@dataclass(frozen=True, eq=False, repr=False)
class DataSet:
    """Training and test split of a classification problem.

    name                      what a report calls it; parts of a set say so in it
    classes                   number of classes; labels are 0 .. classes - 1
    images, labels            training split: (N, C, H, W) uint8, or float32 of any shape (N, ...); (N,) int64
    test_images, test_labels  test split, alike
    mean, std                 a channel, of the training images on the scale 0..1; empty: images are used as they are
    augmentation              what training does by default

    Raises InvalidInput when the tensors do not belong together.
    """

    name: str
    classes: int
    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        for images, labels, split in (
            (self.images, self.labels, "training"),
            (self.test_images, self.test_labels, "test"),
        ):
            if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
                raise InvalidInput(
                    f"{self.name}: {split} labels must be int64 of shape ({len(images)},), one an image, "
                    f"not {labels.dtype} of shape {tuple(labels.shape)}"
                )
        if self.images.shape[1:] != self.test_images.shape[1:]:
            raise InvalidInput(
                f"{self.name}: training inputs of shape {self.inputs} and test inputs of shape "
                f"{tuple(self.test_images.shape[1:])} cannot go through one network"
            )
        if self.augmentation != Augmentation() and self.images.ndim != 4:
            raise InvalidInput(f"{self.name}: {self.augmentation} needs images (N, C, H, W), not inputs {self.inputs}")

    def __repr__(self) -> str:
        sizes = f"{len(self.labels)} train, {len(self.test_labels)} test"
        return f"DataSet({self.name!r}, {sizes}, inputs={self.inputs}, classes={self.classes})"

    @property
    def inputs(self) -> tuple[int, ...]:
        """Shape of one input, as `nets.models.build` wants it."""
        return tuple(self.images.shape[1:])

    def to(self, device: torch.device | str) -> DataSet:
        """The same set with its tensors on `device`."""
        moved = {name: getattr(self, name).to(device) for name in ("images", "labels", "test_images", "test_labels")}
        return dataclasses.replace(self, **moved)

    def validation(self, fraction: float, seed: int) -> DataSet:
        """A set to select on: `fraction` of the training split becomes its test split; the old one is left out.

        Stratified, a function of (labels, fraction, seed). Mean and deviation are taken anew, of what is left to
        train on.
        """
        held = round(fraction * len(self.labels))
        if not 0 < held < len(self.labels):
            raise InvalidInput(
                f"fraction={fraction} of {len(self.labels)} training samples holds {held} out; "
                "it must leave at least one on either side"
            )
        rest, out = (torch.from_numpy(rows).to(self.labels.device) for rows in _stratified(self.labels, held, seed))
        name = f"{self.name}/validation({fraction}, seed={seed})"
        return self._part(name, self.images[rest], self.labels[rest], self.images[out], self.labels[out])

    def subset(self, n_train: int, n_test: int) -> DataSet:
        """The first `n_train` training and `n_test` test samples; mean and deviation of those that are left."""
        if not (0 < n_train <= len(self.labels) and 0 <= n_test <= len(self.test_labels)):
            raise InvalidInput(f"{self!r} has no subset of {n_train} training and {n_test} test samples")
        train, test = slice(n_train), slice(n_test)
        name = f"{self.name}[:{n_train}, :{n_test}]"
        return self._part(name, self.images[train], self.labels[train], self.test_images[test], self.test_labels[test])

    def evaluation(
        self, images: Tensor, labels: Tensor, chunk: int = 2048, dtype: torch.dtype = torch.float32
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Chunks (x, y) of `images` and `labels` in their order, normalised as training batches are, not augmented.

        `data.evaluation(data.test_images, data.test_labels)` goes through the test split.
        """
        scaling = self.scaling(images.device, dtype)
        for x, y in zip(images.split(chunk), labels.split(chunk), strict=True):
            yield normalised(x, scaling, dtype), y

    def scaling(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
        """(scale, shift), each (C, 1, 1), with which x = scale * image + shift is normalised; None: x = image."""
        if not self.mean:
            return None
        mean, std = torch.tensor([self.mean, self.std], dtype=torch.float64).view(2, -1, 1, 1)
        unit = 255.0 if self.images.dtype == torch.uint8 else 1.0
        return (1 / (unit * std)).to(device, dtype), (-mean / std).to(device, dtype)

    def _part(self, name: str, images: Tensor, labels: Tensor, test_images: Tensor, test_labels: Tensor) -> DataSet:
        mean, std = statistics(images) if self.mean else ((), ())
        return DataSet(name, self.classes, images, labels, test_images, test_labels, mean, std, self.augmentation)


def normalised(images: Tensor, scaling: tuple[Tensor, Tensor] | None, dtype: torch.dtype) -> Tensor:
    """scale * images + shift in `dtype`."""
    x = images.to(dtype)
    if scaling is None:
        return x
    x = x * scaling[0] if x is images else x.mul_(scaling[0])
    return x.add_(scaling[1])


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of uint8 images (N, C, H, W) on the scale 0..1, exact up to the last rounding.

    The deviation divides by the number of pixels. A channel without variation gets 1, so that it normalises to 0.
    """
    value = np.arange(256, dtype=np.float64)
    mean, std = [], []
    for channel in images.unbind(1):
        count = torch.bincount(channel.reshape(-1), minlength=256).cpu().numpy()
        m = float(count @ value / count.sum())
        s = float(np.sqrt(count @ (value - m) ** 2 / count.sum()))
        mean.append(m / 255)
        std.append(s / 255 or 1.0)
    return tuple(mean), tuple(std)


def from_splits(name: str, splits: Splits, classes: int, augmentation: Augmentation) -> DataSet:
    """A DataSet of uint8 arrays, normalised by its own training split."""
    images, labels, test_images, test_labels = (torch.from_numpy(array) for array in splits)
    return DataSet(
        name, classes, images, labels.long(), test_images, test_labels.long(), *statistics(images), augmentation
    )


def from_digits() -> DataSet:
    """scikit-learn's digits (Alpaydin and Kaynak 1998): 1,797 images of 8 x 8, values 0..16 stretched to 0..255.

    The test split is 500 images, stratified, the same on every machine.
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.uint8)
    train, test = _stratified(torch.from_numpy(labels), 500, seed=0)
    return from_splits("digits", (pixels[train], labels[train], pixels[test], labels[test]), 10, Augmentation())


def from_arrays(
    X: Any, y: Any, test: tuple[Any, Any] | None = None, *, name: str = "arrays", classes: int | None = None,
    augmentation: Augmentation = Augmentation(),
) -> DataSet:  # fmt: skip
    """A DataSet of the caller's arrays or tensors.

    X        (N, ...) of floats: kept as float32 and used as they are, so scale them first; or uint8 images (N, H, W) or
             (N, C, H, W): normalised by the training split's mean and deviation
    y        (N,) class labels 0, 1, 2, ...
    test     (X_test, y_test). With None the test split is empty; `validation` holds a part of the training split out
    classes  when the labels do not show them all

    Raises InvalidInput for shapes that do not match, values that are not finite, and labels that are no class numbers.
    """
    images, labels = _inputs(X), _labels(y)
    test_images, test_labels = (images[:0], labels[:0]) if test is None else (_inputs(test[0]), _labels(test[1]))
    largest = max(int(part.max()) if len(part) else -1 for part in (labels, test_labels))
    if len(images) == 0 or (classes is not None and largest >= classes):
        raise InvalidInput(f"{name}: {len(images)} training samples with labels up to {largest}, and classes={classes}")
    if images.dtype != test_images.dtype:
        raise InvalidInput(f"{name}: X is {images.dtype} and the test split {test_images.dtype}; give both alike")
    mean, std = statistics(images) if images.dtype == torch.uint8 else ((), ())
    return DataSet(name, classes or largest + 1, images, labels, test_images, test_labels, mean, std, augmentation)


def _copied(values: Any, name: str) -> Tensor:
    """A tensor that shares no memory with the caller's array, which may be read-only, or change later."""
    if isinstance(values, Tensor):
        return values.detach().clone()
    try:
        return torch.from_numpy(np.array(values, order="C"))
    except (TypeError, ValueError) as error:  # objects, strings, ragged lists
        raise InvalidInput(f"{name} must be an array of numbers: {error}") from error


def _inputs(X: Any) -> Tensor:
    tensor = _copied(X, "X")
    if tensor.dtype == torch.uint8 and tensor.ndim in (3, 4):
        return tensor if tensor.ndim == 4 else tensor[:, None]
    if not tensor.is_floating_point() or tensor.ndim < 2:
        raise InvalidInput(
            f"X must be floats (N, ...) or uint8 images (N, H, W) or (N, C, H, W), not {tensor.dtype} of shape "
            f"{tuple(tensor.shape)}; X.astype('float32') uses other numbers as they are"
        )
    if not torch.isfinite(tensor).all():
        raise InvalidInput("X contains NaN or infinite values")
    return tensor.to(torch.float32)


def _labels(y: Any) -> Tensor:
    tensor = _copied(y, "y")
    labels = tensor.to(torch.int64)
    if labels.ndim != 1 or not torch.equal(labels.to(tensor.dtype), tensor) or (labels < 0).any():
        raise InvalidInput(f"y must be class numbers 0, 1, ... (N,), not {tensor.dtype} of shape {tuple(tensor.shape)}")
    return labels


def _stratified(labels: Tensor, held: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers (rest, out), each ascending: `held` rows out, every class in proportion (largest remainders)."""
    y = labels.cpu().numpy()
    share = np.bincount(y) * (held / len(y))
    quota = np.floor(share).astype(np.int64)
    quota[np.argsort(quota - share, kind="stable")[: held - quota.sum()]] += 1
    order = np.lexsort((seeds.keys(len(y), "split", seed), y))
    rank = np.empty(len(y), np.int64)
    rank[order] = np.arange(len(y)) - np.searchsorted(y[order], y[order])
    out = rank < quota[y]
    return np.flatnonzero(~out), np.flatnonzero(out)
