"""Tokenizing in memory, one core: the chosen backend against ``tokenizers``, on text neither has seen.

    python -m benchmarks.tokenize_memory --corpus FOLDER

Documents are shuffled; each backend gets a part of its own first (fresh text: the fast ones remember pieces), then both
get the same part, on which the ids must be equal. Target: 20 times.
"""

import dataclasses
import random

import numpy as np

from benchmarks.common import median, parse, read_documents, report, seconds, text_megabytes
from pivot_udfs.tokenization.backends import encoder, load_tokenizer

_SLOW_DOCUMENTS = 600
_BATCH = 512


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    spec = load_tokenizer(arguments.tokenizer)
    fast, slow = encoder(spec), encoder(dataclasses.replace(spec, backend="tokenizers"))
    documents = read_documents(arguments.corpus)
    random.Random(0).shuffle(documents)  # noqa: S311
    parts = [documents[k :: arguments.repeats] for k in range(arguments.repeats)]
    rates: dict[str, list[float]] = {"fast": [], "slow": []}
    for part in parts:
        compared = part[:_SLOW_DOCUMENTS]
        texts = [document.text for document in part]

        def encode_all(texts: list[str] = texts) -> None:
            for k in range(0, len(texts), _BATCH):
                fast.encode(texts[k : k + _BATCH])

        rates["fast"].append(text_megabytes(part) / seconds(encode_all))
        few = [document.text for document in compared]
        rates["slow"].append(text_megabytes(compared) / seconds(lambda few=few: slow.encode(few)))  # type: ignore[misc]
        for mine, reference in zip(fast.encode(few), slow.encode(few), strict=True):
            assert np.array_equal(mine, reference), "ids differ"
    ratios = [a / b for a, b in zip(rates["fast"], rates["slow"], strict=True)]
    report(
        "tokenize_memory",
        {
            "backend": spec.backend,
            "MB_per_s": round(median(rates["fast"]), 1),
            "tokenizers_MB_per_s": round(median(rates["slow"]), 2),
            "ratio_median": round(median(ratios), 1),
            "ratios": [round(ratio, 1) for ratio in ratios],
            "target": 20,
            "text_MB": round(text_megabytes(documents), 1),
        },
    )


if __name__ == "__main__":
    main()
