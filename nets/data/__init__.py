"""Image sets as resident tensors, and batches that are functions of (seed, step).

A set is a few tensors: uint8 images and int64 labels, in a training and a test split. Nothing is loaded lazily and
nothing has a position, so a batch of step 40,000 can be asked for without the 39,999 before it, and a resumed run sees
what the unbroken run would have seen.

    >>> import nets.data
    >>> data = nets.data.load("digits")                          # scikit-learn's 8 x 8 digits; needs no download
    >>> data
    DataSet('digits', 1297 train, 500 test, inputs=(1, 8, 8), classes=10)
    >>> batches = nets.data.Batches(data, 128, seed=0)
    >>> x, y = batches.at(step=40_000)                           # float32 (128, 1, 8, 8), normalised; int64 (128,)
    >>> selection = data.validation(0.1, seed=0)                 # choose on this one's test split, report on the first

`load` reads the published files of MNIST (LeCun et al. 1998), Fashion-MNIST (Xiao et al. 2017) and CIFAR-10 (Krizhevsky
2009): from `folder`, else from the folder that the environment variable SPARSOPT_DATA names, else from pooch's cache,
into which they are downloaded, with their published checksums, on first use. Own data comes in by `from_arrays`.
"""

from __future__ import annotations

import os
from pathlib import Path

from nets.data.batches import Batches
from nets.data.dataset import Augmentation, DataSet, from_arrays, from_digits, from_splits
from nets.data.sources import CATALOGUE, cache, download
from sparsopt.errors import InvalidInput

__all__ = ["Augmentation", "Batches", "DataSet", "from_arrays", "load", "names"]


def names() -> tuple[str, ...]:
    """The names that `load` knows."""
    return ("digits", *CATALOGUE)


def load(name: str, folder: str | os.PathLike[str] | None = None) -> DataSet:
    """The set called `name`, in its published split and order.

    name    "digits": 1,297 training and 500 test images, 1 x 8 x 8 (a fixed stratified split; no split is published);
            "mnist", "fashion": 60,000 and 10,000, 1 x 28 x 28; "cifar10": 50,000 and 10,000, 3 x 32 x 32.
    folder  where the files are, as published, unpacked or not; the module's docstring says what None means.

    CIFAR-10 comes with its usual augmentation (random flip; random crop after padding by 4), the others with none.
    Raises InvalidInput for an unknown name; DataError for a file that is missing, truncated, too long or damaged.
    """
    if name == "digits":
        return from_digits()
    if name not in CATALOGUE:
        raise InvalidInput(f"unknown data set {name!r}; known: {', '.join(names())}. Own data: nets.data.from_arrays")
    source = CATALOGUE[name]
    given = folder or os.environ.get("SPARSOPT_DATA")
    root = Path(given) if given else cache()
    if not given:
        download(source, root)
    return from_splits(name, source.read(root), source.classes, Augmentation(source.flip, source.crop_padding))
