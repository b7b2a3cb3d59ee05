"""On something real: a trained LeNet-300-100 made out of a random network, over widths and source seeds.

The target is trained first, by `nets.prune(..., "dense")`; its input scaling is folded into its first layer, so that
inputs are pixels in [0, 1] and never negative, and its layers are balanced. Then, for every width and seed, a source is
drawn and masks are chosen. Every seed counts: a network with one sum beyond the tolerance has failed.

>>> trained = lenet("digits", epochs=1, width=0.1)
>>> trials = list(study(trained, (40,), range(2), Subset("any", 1e-2)))
>>> [trial.accuracy_gap <= 0.02 for trial in trials]
[True, True]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nets
from nets.strong_tickets.build import Built, build
from nets.strong_tickets.certificate import Domain
from nets.strong_tickets.constructions import Construction, OneMore, TwoForOne
from nets.strong_tickets.network import Network, balanced, from_module
from nets.strong_tickets.source import Floats
from nets.strong_tickets.sums import Rule, Subset
from sparsopt.subset_sum.statistics import clopper_pearson

SAMPLED = 256  # test inputs at which the masked source itself is run


@dataclass(frozen=True, eq=False)
class Trained:
    """A target, the test split that it is judged on (inputs (N, d) in [0, 1], labels), and what it was trained on."""

    network: Network
    inputs: Floats
    labels: NDArray[np.int64]
    data: Any

    @property
    def domain(self) -> Domain:
        """All images: the box [0, 1]^d."""
        return Domain.box(self.inputs.shape[1:], 0.0, 1.0)

    def accuracy(self, network: Callable[[Floats], Floats]) -> float:
        """Share of the test split that a network classifies as labelled."""
        right = sum(
            int((network(self.inputs[i : i + 1000]).argmax(1) == self.labels[i : i + 1000]).sum())
            for i in range(0, len(self.labels), 1000)
        )
        return right / len(self.labels)


def lenet(data: str = "digits", epochs: float = 20.0, width: float = 1.0, seed: int = 0) -> Trained:
    """Train LeNet-300-100 (its hidden layers times `width`) on a data set, as a target for tickets."""
    split = nets.data.load(data)
    outcome = nets.prune(
        lambda s: nets.models.build("lenet-300-100", split.inputs, split.classes, s, width),
        split, "dense", 0.0, seed=seed, epochs=epochs,
    )  # fmt: skip
    (scale, shift), inputs = scaling(split), pixels(split.test_images)
    network = balanced(from_module(outcome.model, (scale, shift)))
    network = network.but(steps=network.steps[1:])  # inputs are flat already
    return Trained(network, inputs, split.test_labels.numpy(), split)


def scaling(split: Any) -> tuple[Floats, Floats]:
    """(scale, shift) a channel that take pixels in [0, 1] to normalised inputs."""
    mean, deviation = np.array(split.mean), np.array(split.std)
    return 1 / deviation, -mean / deviation


def pixels(images: Any) -> Floats:
    """uint8 images as (N, d) in [0, 1]."""
    return images.reshape(len(images), -1).numpy().astype(np.float64) / 255


@dataclass(frozen=True, eq=False)
class Trial:
    """One source seed at one width."""

    copies: int
    seed: int
    built: Built
    before: float
    after: float

    @property
    def accuracy_gap(self) -> float:
        """Accuracy of the target less that of the ticket."""
        return self.before - self.after


def study(
    trained: Trained,
    copies: Iterable[int] = (30, 60, 90),
    seeds: Iterable[int] = range(5),
    rule: Rule = Subset("any", 1e-3),
    construction: Callable[[int], Construction] = TwoForOne,
) -> Iterator[Trial]:
    """One trial after the other, for every width (hidden units an input) and source seed."""
    before = trained.accuracy(trained.network)
    for width in copies:
        for seed in seeds:
            sample = trained.inputs[:SAMPLED]
            built = build(trained.network, construction(width), seed, rule, trained.domain, sample)
            yield Trial(width, seed, built, before, trained.accuracy(built.ticket.collapsed))


def one_more(copies: int) -> OneMore:
    """`OneMore` with twice as many items in its first sums, of which half have the sign that is needed."""
    return OneMore(copies, 2 * copies)


def table(trials: Iterable[Trial]) -> list[tuple[str, ...]]:
    """Rows of text, the first the names: one row a width, medians over seeds, failures with 95 % intervals."""
    rows: list[tuple[str, ...]] = [
        ("copies", "source", "kept", "seeds", "failed", "95 % interval", "missed sums", "weight error", "sampled error",
         "interval", "spectral", "affine", "before", "after", "seconds")
    ]  # fmt: skip
    groups: dict[int, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.copies, []).append(trial)
    for width, group in groups.items():
        failed = sum(not trial.built.success for trial in group)
        low, high = clopper_pearson(failed, len(group))

        def median(pick: Callable[[Trial], float], group: list[Trial] = group) -> float:
            return float(np.median([pick(trial) for trial in group]))

        rows.append((
            str(width),
            f"{group[0].built.ticket.source.size:,}",
            f"{median(lambda t: t.built.ticket.kept):,.0f}",
            str(len(group)),
            str(failed),
            f"{low:.2f}..{high:.2f}",
            f"{median(lambda t: t.built.missed):.0f} of {group[0].built.sums:,}",
            f"{median(lambda t: t.built.weight_error):.1e}",
            f"{median(lambda t: t.built.sampled):.1e}",
            f"{median(lambda t: t.built.certificate.interval):.1e}",
            f"{median(lambda t: t.built.certificate.spectral):.1e}",
            f"{median(lambda t: t.built.certificate.affine):.1e}",
            f"{group[0].before:.4f}",
            f"{median(lambda t: t.after):.4f}",
            f"{median(lambda t: t.built.seconds):.1f}",
        ))  # fmt: skip
    return rows


def aligned(rows: list[tuple[str, ...]]) -> str:
    """Rows as columns of text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
