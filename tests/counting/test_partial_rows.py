"""Packed rows of counts unpack to the same cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.counting.partial_rows import Kind, negated_rows, packed_rows, unpacked_rows

EDGES = [1 << bits for bits in (15, 31, 62)]
COUNT = st.integers(-(1 << 62), 1 << 62) | st.integers(-3, 3) | st.sampled_from([e + k for e in EDGES for k in (-1, 0)])
ROWS = st.dictionaries(st.integers(0, 9), st.lists(st.tuples(COUNT, COUNT), min_size=1, max_size=4), max_size=4)


@pytest.mark.parametrize("sign", [1, -1])
@given(rows=ROWS)
def test_cells_survive_packing_and_negation(sign: int, rows: dict[int, list[tuple[int, int]]]) -> None:
    cells = [(row, 3 * place, *counts) for row in sorted(rows) for place, counts in enumerate(rows[row])]
    numbers, columns, pairs, docs = np.array(cells, np.int64).reshape(-1, 4).T
    batch = packed_rows(Kind.TOKEN_TOTALS, numbers.astype(np.int32), columns.astype(np.int32), pairs, docs)
    found = {
        key: (columns.tolist(), pairs.tolist(), docs.tolist())
        for key, (columns, pairs, docs) in unpacked_rows(batch if sign > 0 else negated_rows(batch))
    }
    wanted = {
        (Kind.TOKEN_TOTALS, row): (
            [3 * place for place in range(len(counts))],
            [sign * pair for pair, _ in counts],
            [sign * doc for _, doc in counts],
        )
        for row, counts in rows.items()
    }
    assert found == wanted


def test_most_counts_take_two_bytes() -> None:
    one, few = np.zeros(1000, np.int32), np.full(1000, 7)
    batch = packed_rows(Kind.TOKEN_TOTALS, one, np.arange(1000, dtype=np.int32), few, few)
    assert batch.nbytes < 1000 * (4 + 2 + 2) + 100
