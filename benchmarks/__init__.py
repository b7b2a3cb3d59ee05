"""Comparisons: greedy selection against iterative magnitude pruning, and the convex solvers against each other.

    python -m benchmarks compare                    the main job, on data that comes with scikit-learn
    python -m benchmarks compare --data mnist       the same on other data; `--help` lists the choices
    python -m benchmarks report results/RUN         write a run's report again from its results

A comparison is made of *cells*: frozen dataclasses, each a pure function from its configuration to one result file. The
hash of the configuration names the cell's folder, so that what is finished is found again and never computed twice, and
what is unfinished is never taken for a result.
"""
