"""Slices that walk over a large array with temporaries of bounded size, and several at a time."""

import contextvars
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

T = TypeVar("T")

# 2**23 doubles are 64 MiB: large enough for BLAS to run at full speed, small beside any weight matrix
# for which blocking matters.
BLOCK_ELEMENTS = 2**23


def row_blocks(n_rows: int, n_columns: int, elements: int = BLOCK_ELEMENTS) -> Iterator[slice]:
    """Slices that cover `range(n_rows)`, each of about `elements / n_columns` rows (at least one)."""
    step = max(1, elements // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def in_threads(function: Callable[[T], object], blocks: Iterable[T]) -> None:
    """Call the function for every block, in as many threads as there are processors; the first error is raised.

    Each call has the context of the caller, `np.errstate` included. What it writes to must be its block's own. After
    an error, or when interrupted, blocks that have not been begun are left.
    """
    calls = [partial(contextvars.copy_context().run, function, block) for block in blocks]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda call: call(), calls):
            pass
