"""Whole channels: which weights make one, how a run prunes them, and the smaller network that is left.

    >>> outcome = nets.prune("resnet-20", data, "l1-filters", sparsity=0.5)       # half of the channels
    >>> small = nets.export.shrink(outcome.model, outcome.masks, images)         # as the module takes them
    >>> small.model, small.parameters, small.seconds                             # a plain module with the same outputs

A *channel* here is all that is zero together: a filter, its bias, the scale and shift of its batch norm, and where
tensors are added (shortcuts), multiplied or grouped, the same of every layer that takes part. Its slices in the layers
that read it go with it when the network shrinks. x holds what produces channels; "sparsity" of a structured run is the
fraction of channels that were removed, exact, whatever they weigh.
"""

from __future__ import annotations

from nets.structured.groups import ByLayer, FilterNorms, Filters, Scales, Slimming, ZeroFilters
from nets.structured.rule import Channels, FoundChannels, of_channels
from nets.structured.shrinking import Shrunk, latency, shrink
from nets.structured.thinet import Eliminate, Reweigh
from nets.structured.tracing import Cut, Traced, trace

__all__ = [
    "ByLayer",
    "Channels",
    "Cut",
    "Eliminate",
    "FilterNorms",
    "Filters",
    "FoundChannels",
    "Reweigh",
    "Scales",
    "Shrunk",
    "Slimming",
    "Traced",
    "ZeroFilters",
    "latency",
    "of_channels",
    "shrink",
    "trace",
]
