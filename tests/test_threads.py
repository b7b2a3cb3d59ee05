"""SciPy's BLAS has one thread while a problem is solved, and its own number again afterwards."""

import threading

import numpy as np
import pytest

from sparsopt import LeastSquares, solve
from sparsopt.machine import threads


class Blas:
    """A library that notes what it is asked for."""

    def __init__(self, own: int) -> None:
        self.own = own
        self.asked: list[int] = []

    def get_num_threads(self) -> int:
        return self.own

    def set_num_threads(self, number: int) -> None:
        self.own = number
        self.asked.append(number)


@pytest.fixture
def blas(monkeypatch):
    found = Blas(4)
    pool = threads.Pool(found)
    monkeypatch.setattr(threads, "_pool", lambda: pool)
    return found


def test_nested_calls_narrow_once_and_give_back_what_was(blas):
    with threads.one_pool():
        assert blas.own == 1
        with threads.one_pool():
            assert blas.own == 1
        assert blas.own == 1
    assert blas.asked == [1, 4]


def test_calls_that_overlap_give_back_when_the_last_one_leaves(blas):
    first, second = threads.one_pool(), threads.one_pool()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert blas.own == 1
    second.__exit__(None, None, None)
    assert blas.own == 4


def test_one_thread_is_left_alone():
    single = Blas(1)
    pool = threads.Pool(single)
    pool.narrow()
    pool.widen()
    assert single.asked == []


class Failing:
    def __init__(self, blas: Blas) -> None:
        self.blas, self.seen = blas, 0

    def solve(self, problem, k, seed):
        self.seen = self.blas.own
        raise ZeroDivisionError("mine")


def test_a_solve_that_fails_gives_back_as_well(blas):
    method = Failing(blas)
    with pytest.raises(ZeroDivisionError):
        solve(LeastSquares(np.eye(3), np.ones(3)), 1, method)
    assert method.seen == 1 and blas.own == 4


def test_the_one_found_is_scipys_own():
    """Or none, where SciPy shares it; NumPy's keeps its threads."""
    from threadpoolctl import ThreadpoolController

    found = threads._pool().blas
    if isinstance(found, threads.Nothing):
        pytest.skip("SciPy has no BLAS of its own here")
    before = {x.filepath: x.num_threads for x in ThreadpoolController().lib_controllers}
    with threads.one_pool():
        inside = {x.filepath: x.num_threads for x in ThreadpoolController().lib_controllers}
    assert inside == before | {found.filepath: 1}
    assert "numpy" not in found.filepath.rsplit("site-packages", 1)[-1]


def test_threads_may_solve_side_by_side(blas):
    rng = np.random.default_rng(0)
    problem = LeastSquares(rng.standard_normal((30, 12)), rng.standard_normal(30))
    values: list[float] = []
    runs = [threading.Thread(target=lambda: values.append(solve(problem, 3).value)) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(set(values)) == 1 and len(values) == 4 and blas.own == 4
