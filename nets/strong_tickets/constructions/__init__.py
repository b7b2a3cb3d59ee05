"""The constructions: which masks of a given random source make a given network.

`TwoForOne` replaces every layer by two random ones; `OneMore` needs one random layer more than the target has. Both
are frozen dataclasses that say what the source looks like; the source is drawn from a seed before the target is known,
`choose` only chooses masks, and `collapse` says what any masks amount to.
"""

from __future__ import annotations

from nets.strong_tickets.constructions.one_more import OneMore
from nets.strong_tickets.constructions.pieces import masked
from nets.strong_tickets.constructions.two_for_one import TwoForOne

Construction = TwoForOne | OneMore

__all__ = ["Construction", "OneMore", "TwoForOne", "masked"]
