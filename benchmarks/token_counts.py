"""Token-by-token co-occurrence on one core, sorted output included, one-sided, within documents, windows 10 and 100.

    python -m benchmarks.token_counts --corpus FOLDER

GloVe's C program ``cooccur`` is the mark: 2.5 and 0.61 million tokens/s at windows 10 and 100 (one thread, one-sided,
pair counts alone). Ours is measured without and with document counts, which GloVe has not. The answer is checked
against a plain Python count of a part. Targets: 5 and 2.5 million tokens/s.
"""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.common import median, parse, read_documents, report, seconds
from pivot_udfs.counting.context_kernel import Events, Tokens, count_contexts
from pivot_udfs.counting.dense_row import new_cells, order_by_row
from pivot_udfs.tokenization.backends import encoder, load_tokenizer
from pivot_udfs.tokenization.vocabulary import vocabulary

_CHECKED_DOCUMENTS = 40
_CAPACITY = 1 << 17
_GLOVE = {10: 2.5, 100: 0.61}
_MAX_TOKENS = 6_000_000


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    spec = load_tokenizer(arguments.tokenizer)
    n_columns = vocabulary(spec).size
    ids, starts = encoder(spec)([document.text for document in read_documents(arguments.corpus)])
    n_docs = (
        int(np.searchsorted(starts, _MAX_TOKENS, side="right")) - 1 if starts[-1] > _MAX_TOKENS else len(starts) - 1
    )
    ids, starts = ids[: starts[n_docs]], starts[: n_docs + 1]
    figures: dict[str, Any] = {"tokens": len(ids)}
    for window, glove in _GLOVE.items():
        _check(ids, starts, n_columns, window)
        times = [seconds(lambda w=window: count(ids, starts, n_columns, w)) for _ in range(arguments.repeats)]  # type: ignore[misc]
        rate = len(ids) / median(times) / 1e6
        figures |= {
            f"window_{window}_million_tokens_per_s": round(rate, 2),
            f"window_{window}_ratio_to_glove_mark": round(rate / glove, 1),
        }
    report("token_counts", figures | {"targets_million_tokens_per_s": [5, 2.5], "document_counts": "included"})


def count(ids: Any, starts: Any, n_columns: int, window: int, keep: Any = None) -> int:
    """Counts every token's right context; returns the number of cells, and gives each piece to ``keep``."""
    tokens = ids.astype(np.uint16 if n_columns <= 1 << 16 else np.uint32)
    docs = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
    order, row_starts = order_by_row(tokens, n_columns)
    events = Events(order, order + np.uint32(1), docs[order], row_starts)
    out = new_cells(max(_CAPACITY, n_columns))
    row, n_all = 0, 0
    while row < n_columns:
        n_cells, row = count_contexts(Tokens(tokens, starts), events, row, 0, window, n_columns, out)
        if keep is not None:
            keep([column[:n_cells].copy() for column in out])
        n_all += n_cells
    return n_all


def _check(ids: Any, starts: Any, n_columns: int, window: int) -> None:
    pairs: Counter[tuple[int, int]] = Counter()
    docs: Counter[tuple[int, int]] = Counter()
    for low, high in pairwise(starts[: _CHECKED_DOCUMENTS + 1]):
        tokens = ids[low:high].tolist()
        here = Counter((a, b) for i, a in enumerate(tokens) for b in tokens[i + 1 : i + 1 + window])
        pairs += here
        docs.update(here.keys())
    last = min(_CHECKED_DOCUMENTS, len(starts) - 1)
    pieces: list[Any] = []
    count(ids[: starts[last]], starts[: last + 1], n_columns, window, pieces.append)
    rows, columns, pair_counts, doc_counts = (np.concatenate(column).tolist() for column in zip(*pieces, strict=True))
    keys = list(zip(rows, columns, strict=True))
    assert keys == sorted(pairs), "cells differ, or are not sorted"
    assert dict(zip(keys, pair_counts, strict=True)) == dict(pairs), "pair counts differ"
    assert dict(zip(keys, doc_counts, strict=True)) == dict(docs), "document counts differ"


if __name__ == "__main__":
    main()
