"""A small transformer for images: rows of pixels are tokens (Vaswani et al. 2017; norms first, Xiong et al. 2020).

A linear embedding of the rows and a learned vector for each place; two blocks of self-attention and a perceptron, each
added to what came in; layer norm, the mean over rows, a linear layer.

    >>> from nets.models import build
    >>> sum(p.numel() for p in build("transformer-small", (1, 28, 28)).parameters())
    104394
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nets.models.blocks import Shape, at_least, chain, scaled


class Place(nn.Module):
    """Adds a learned vector to each token."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.empty(tokens, channels))
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        nn.init.normal_(self.vectors, 0.0, 0.02, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.vectors


class Rows(nn.Module):
    """(N, C, H, W) to H tokens of C W numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)


class Mean(nn.Module):
    """Over the tokens."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Block(nn.Module):
    """x + attention(norm(x)), and to that the perceptron of its norm."""

    def __init__(self, channels: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.perceptron = chain(
            linear1=nn.Linear(channels, hidden), gelu=nn.GELU(), linear2=nn.Linear(hidden, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm1(x)
        x = x + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return x + self.perceptron(self.norm2(x))


def transformer(depth: int, channels: int, heads: int) -> Callable[[Shape, int, float], nn.Module]:
    """The model with `depth` blocks of `channels` channels, a multiple of `heads` at every width."""

    def built(inputs: Shape, classes: int, width: float) -> nn.Module:
        at_least(inputs, 1, "transformer-small")
        c, rows, columns = inputs
        d = heads * scaled(channels // heads, width)
        blocks = {f"block{i}": Block(d, heads, 4 * d) for i in range(1, depth + 1)}
        return chain(
            rows=Rows(), embedding=nn.Linear(c * columns, d), place=Place(rows, d), **blocks,
            norm=nn.LayerNorm(d), mean=Mean(), head=nn.Linear(d, classes),
        )  # fmt: skip

    return built
