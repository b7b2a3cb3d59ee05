"""What is shown about a point: lower bounds, swap optimality, and the strongest sentence that holds.

tangents   lower bounds from a value and a gradient
swaps      what an exchange of one coordinate would gain, so that no gain is overlooked
quadratics the numbers that swaps are judged by, with their rounding errors
rational   the same without rounding, for the few that those leave open
standing   all that is known about a point, computed when asked for

>>> from sparsopt.problems import Quadratic
>>> problem = Quadratic(np.eye(3), np.array([3.0, 2.0, 1.0]))
>>> Certificates(problem, np.array([3.0, 2.0, 0.0]), np.array([True, True, False]), 2).standing.name
'OPTIMAL'
"""

from sparsopt.certificates.standing import Certificates, Standing
from sparsopt.certificates.swaps import swap_gain
from sparsopt.certificates.tangents import lower_bound, tightened_bound

__all__ = ["Certificates", "Standing", "lower_bound", "swap_gain", "tightened_bound"]
