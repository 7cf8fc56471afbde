"""Blocks cover an array once, and calls in threads are like calls one by one."""

import threading
import warnings

import numpy as np
import pytest

from numeric.blocks import in_threads, row_blocks


@pytest.mark.parametrize(("rows", "columns", "elements"), [(40, 1, 7), (40, 3, 7), (7, 100, 7), (0, 1, 7), (5, 0, 7)])
def test_blocks_cover_every_row_once(rows: int, columns: int, elements: int) -> None:
    seen = np.zeros(rows)
    for block in row_blocks(rows, columns, elements):
        assert 1 <= block.stop - block.start <= max(1, elements // max(columns, 1))
        seen[block] += 1
    assert (seen == 1).all()


def test_threads_have_the_settings_of_their_caller_and_their_errors_come_out() -> None:
    done = np.zeros(40)

    def work(block: slice) -> None:
        done[block] = np.exp(np.full(block.stop - block.start, 1e3))

    chosen = list(row_blocks(40, 1, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(over="ignore"):
            in_threads(work, chosen)
        assert np.isinf(done).all()
        with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
            in_threads(work, chosen)


def test_an_error_leaves_what_has_not_been_begun() -> None:
    """An interrupted caller, too, waits only for what is being done."""
    begun, ended = [], threading.Event()

    def work(block: int) -> None:
        begun.append(block)
        if block == 0:
            raise KeyboardInterrupt
        ended.wait(0.2)

    with pytest.raises(KeyboardInterrupt):
        in_threads(work, range(1000))
    assert 0 in begun
    assert len(begun) < 500
