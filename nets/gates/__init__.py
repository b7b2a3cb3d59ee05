"""Gates: how stored variables become the network's weights, and how gradients come back.

`base` has the protocol and the two plain gates, `sparse` those that hold on to a support while they train, `dense`
those that train all weights such that most of them can be cut off afterwards, `extruded` the one that presses them out.

    >>> Train(1000, recipe, through=TopProducts(26620))
"""

from __future__ import annotations

from nets.gates.base import Gate, Masked, StraightThrough
from nets.gates.dense import CompressionAware, Lasso, SoftThreshold, TopProducts
from nets.gates.extruded import Extruded
from nets.gates.sparse import Averaged, Averaging, Exploring

__all__ = [
    "Averaged",
    "Averaging",
    "CompressionAware",
    "Exploring",
    "Extruded",
    "Gate",
    "Lasso",
    "Masked",
    "SoftThreshold",
    "StraightThrough",
    "TopProducts",
]
