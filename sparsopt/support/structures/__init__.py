"""Structures: which supports are allowed, and what k counts.

A structure is called as `structure(score, counts, layout, within=None)` and gives the allowed support of the highest
score. Beside being called it may have

    size(support)                       how many of what k counts a support holds
    extend(score, m, layout, support)   the support and the m best that may join it, where that depends on what is in
    most(k)                             how many coordinates k of them can hold
    units(n)                            for each of n coordinates the number of what it is counted with
    least                               the smallest k that can be chosen

and where it has not, the questions in `base` (`size`, `extended`, `most`, `unit_labels`) are answered as for single
coordinates.

>>> score, layout = np.array([3.0, 2.0, 1.0, 0.5]), Layout.single(4)
>>> PerGroup((0, 0, 1, 1), 1)(score, 2, layout)
array([ True, False,  True, False])
>>> Rows(2)(score, 1, layout)
array([ True,  True, False, False])
>>> Always((3,))(score, 2, layout)
array([ True, False, False,  True])
"""

from __future__ import annotations

from sparsopt.support.structures.always import Always
from sparsopt.support.structures.base import Counts, Structure, allows, extended, most, size, unit_labels, units
from sparsopt.support.structures.elements import Elements
from sparsopt.support.structures.groups import Groups, Rows, group_norms
from sparsopt.support.structures.nm import NM
from sparsopt.support.structures.per_group import PerGroup

__all__ = [
    "NM",
    "Always",
    "Counts",
    "Elements",
    "Groups",
    "PerGroup",
    "Rows",
    "Structure",
    "allows",
    "extended",
    "group_norms",
    "most",
    "size",
    "unit_labels",
    "units",
]
