"""Slices that walk over a large array with temporaries of bounded size."""

from collections.abc import Iterator

# 2**23 doubles are 64 MiB: large enough for BLAS to run at full speed, small beside any weight matrix
# for which blocking matters.
BLOCK_ELEMENTS = 2**23


def row_blocks(n_rows: int, n_columns: int, elements: int = BLOCK_ELEMENTS) -> Iterator[slice]:
    """Slices that cover `range(n_rows)`, each of about `elements / n_columns` rows (at least one)."""
    step = max(1, elements // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))
