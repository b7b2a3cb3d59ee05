"""`method="auto"`: a search that fits the problem, where methods of the catalogue are its first steps.

    auto                       which of the three a problem gets
    quadratic, known           least squares and other quadratics: combinatorics on a small Gram
    logistic, pool             the same on quadratic models of a logistic loss
    general                    any other f, and any structure of supports

    tableau, swept             every add, drop and swap of a quadratic in closed form: all of it, or the rows of S
    rows, single               rows of a Hessian that is not formed: in double precision, and in single to rank
    pairs, twos, tabu          what no single swap finds
    few                        where supports are few: all of them

>>> from sparsopt.problems import Quadratic
>>> H = np.array([[1.0, 0.0, 0.7], [0.0, 1.0, 0.7], [0.7, 0.7, 1.0]])  # the third column resembles the first two
>>> sparsopt.solve(Quadratic(H, H @ [1.0, 1.0, 0.0]), 2).support       # auto
array([ True,  True, False])
"""
