"""How torchvision feeds MNIST to a network: one image after the other, each through the same dozen small operations.

torchvision itself is not needed. What is here does for one sample what `torchvision.datasets.MNIST` with
`Compose([ToTensor(), Normalize(mean, std)])` does, operation by operation, as read in its sources: `MNIST.__getitem__`,
`to_tensor`, `normalize` in the file `_functional_tensor`. Left out are its checks of arguments and its logging of API
usage, so this is a little faster than the original, never slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from nets.data import DataSet


class Compose:
    """One transform after the other."""

    def __init__(self, transforms: Sequence[Callable]) -> None:
        self.transforms = transforms

    def __call__(self, image: object) -> Tensor:
        for transform in self.transforms:
            image = transform(image)
        assert isinstance(image, Tensor)
        return image


class ToTensor:
    """Image -> float tensor (channels, height, width) in [0, 1]: a copy as an array, a view as height x width x
    channels, those axes exchanged and copied, bytes to floats, divided."""

    def __call__(self, image: object) -> Tensor:
        width, height = image.size  # type: ignore[attr-defined]
        tensor = torch.from_numpy(np.array(image, np.uint8, copy=True))
        tensor = tensor.view(height, width, len(image.getbands()))  # type: ignore[attr-defined]
        tensor = tensor.permute((2, 0, 1)).contiguous()
        return tensor.to(dtype=torch.get_default_dtype()).div(255)


class Normalize(nn.Module):
    """(tensor - mean) / std by channel, out of place; mean and std become tensors, and std is compared with 0, in each
    call."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        mean = torch.as_tensor(self.mean, dtype=tensor.dtype, device=tensor.device)
        std = torch.as_tensor(self.std, dtype=tensor.dtype, device=tensor.device)
        if (std == 0).any():
            raise ValueError("a standard deviation is zero")
        return tensor.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))


def normal(mean: Sequence[float], std: Sequence[float]) -> Compose:
    """What MNIST's examples give as `transform`."""
    return Compose([ToTensor(), Normalize(mean, std)])


class Samples(Dataset[tuple[Tensor, int]]):
    """images (N, height, width) uint8 one by one: tensor -> array -> PIL image -> transform; the label as an int."""

    def __init__(self, images: Tensor, labels: Tensor, transform: Compose) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        from PIL import Image

        image, label = self.images[i], int(self.labels[i])
        return self.transform(Image.fromarray(image.numpy())), label


def samples(data: DataSet, split: str = "train") -> Samples:
    """A split of MNIST or its like as MNIST's examples have it."""
    images, labels = {"train": (data.images, data.labels), "test": (data.test_images, data.test_labels)}[split]
    return Samples(images[:, 0], labels, normal(data.mean, data.std))


def microseconds(samples: Samples, count: int = 2000) -> float:
    """Of one sample, without collating: the best of five times `count`."""
    indices, times = [i % len(samples) for i in range(count)], []
    for _ in range(5):
        began = time.process_time()
        for i in indices:
            samples[i]
        times.append(time.process_time() - began)
    return 1e6 * min(times) / count
