"""The ids of texts in one compiled pass; a pre-token that occurred before is looked up, not merged again.

Indices are unsigned, and no function takes an array in the loop but for new pre-tokens: numba counts its references.
"""

from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from pivot_udfs.tokenization.merge_kernel import LONGEST, Merges, merge_pre_token
from pivot_udfs.tokenization.pre_token_table import Table, addresses, keep, look_up, make_room
from pivot_udfs.tokenization.pretokenize_kernel import CUT, Joins, pretokenize

_U = nb.uint64
_CUT, _0, _2 = np.uint64(CUT), np.uint64(0), np.uint64(2)


class Rules(NamedTuple):
    """A tokenizer as the loops take it."""

    classes: NDArray[np.uint8]
    """(0x110000,), the class of each code point."""
    joins: Joins
    merges: Merges


@nb.njit(nogil=True, cache=True)
def encode_texts(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], rules: Rules, table: Table
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """The ids of texts.

    Args:
        data: uint8, UTF-8 of all texts in a row, no lone surrogates; at least 32 bytes more lie behind it.
        offsets: int64 (texts + 1,), where each text begins.
        rules: of the tokenizer.
        table: new pre-tokens are entered until half the rows are in use.

    Returns:
        ids int32 (tokens,); starts int64 (texts + 1,), where each text's ids begin;
        gaps int64 (refused, 4): text, first byte, end, and place in ids of each pre-token whose ids are missing there,
        since it has a byte without an id, or is longer than LONGEST.
    """
    make_room(table)
    classes, joins, merges = rules
    n_texts = offsets.size - 1
    ids, starts = np.empty(data.size + 16, np.int32), np.empty(n_texts + 1, np.int64)
    longest = np.max(offsets[1:] - offsets[:-1]) if n_texts else 0
    ends, cuts = np.empty(longest, np.uint32), np.empty(longest, np.uint32)
    gaps, n_gaps = np.empty((64, 4), np.int64), 0
    symbols, ranks = np.empty(LONGEST, np.int32), np.empty(LONGEST, np.int32)
    text_at, ids_at = _U(data.ctypes.data), _U(ids.ctypes.data)
    tables = _U(classes.ctypes.data), _U(joins.bytes.ctypes.data), _U(joins.pairs.ctypes.data)
    table_at = addresses(table)
    o = _0
    for text in range(n_texts):
        starts[text] = o
        start = _U(offsets[text])
        n_slices = pretokenize(text_at, start, _U(offsets[text + 1]), tables, ends, cuts)
        pre_token, pre_token_o, skipped = start, o, False
        for k in range(n_slices):  # a range: numba counts references in each turn of other loops
            end = _U(cuts[k])
            is_last = end < _CUT
            end &= ~_CUT
            if skipped:
                gaps[n_gaps - 1, 2] = end
            else:
                count = look_up(table_at, text_at + start, end - start, ids_at + (o << _2))
                if count == _0:
                    n_ids = -1 if end - start > LONGEST else merge_pre_token(data[start:end], merges, symbols, ranks)
                    if n_ids < 0:
                        o, skipped = pre_token_o, True
                        if n_gaps == len(gaps):
                            gaps = np.concatenate((gaps, gaps))
                        gap = gaps[n_gaps]
                        gap[0], gap[1], gap[2], gap[3] = text, pre_token, end, o
                        n_gaps += 1
                    else:
                        ids[o : o + _U(n_ids)] = symbols[:n_ids]
                        keep(table, text_at + start, end - start, symbols[:n_ids])
                        count = _U(n_ids)
                o += count
            start = end
            if is_last:
                pre_token, pre_token_o, skipped = start, o, False
    starts[n_texts] = o
    return ids[:o], starts, gaps[:n_gaps]  # memory beyond was requested and never used
