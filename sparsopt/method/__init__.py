"""Methods, and the one loop that runs them.

One move and one fit make a phase; a stage repeats a cycle of phases, its judge looks at whole rounds; a method is a
tuple of stages and closed under `+`. Iterative hard thresholding, for example:

    iht = Method("iht", (Stage((Phase(Everything(), GradientSteps()), Phase(Keep(5), Restrict())), rounds=100),))

`run` is the only loop over iterations in the project: the same object runs on a NumPy problem and on a network.
"""

from __future__ import annotations

from sparsopt.method.adaptation import Root, adapted
from sparsopt.method.loop import check, run
from sparsopt.method.recurrence import autonomous
from sparsopt.method.stages import Method, Phase, Stage, parts

__all__ = ["Method", "Phase", "Root", "Stage", "adapted", "autonomous", "check", "parts", "run"]
