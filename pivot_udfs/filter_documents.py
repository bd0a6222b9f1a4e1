"""How documents are ranked, how much of each language is taken, and the step that parts the arms.

The arithmetic serves Spark columns and numbers alike.

The raw density of a short document is noise: one pivot in five tokens is 0.2. Ranking is by the density shrunken
towards the language's own, (n_pivot_tokens + k m) / (n_tokens + k): the posterior mean under a Beta prior that is
worth k tokens of the language's mean m. A document far shorter than k tokens ranks near its language's mean, one far
longer at its own density, so nothing is gained by being short.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pivot_udfs.schemas import DATASET
from pivot_udfs.settings import Selection

LENGTH_BINS_PER_OCTAVE = 4
"""The matched arm has the pivot arm's lengths to within a factor of 2 ** (1 / 4)."""


def shrunken_density(n_pivot_tokens: Any, n_tokens: Any, language_density: Any, shrinkage_tokens: int) -> Any:
    """The density by which documents are ranked, 0..1; numbers, arrays or Spark columns."""
    pivots = n_pivot_tokens + shrinkage_tokens * language_density
    return pivots / (n_tokens + shrinkage_tokens)


def language_budgets(selection: Selection, language_tokens: Mapping[str, int]) -> dict[str, int]:
    """Tokens to take of each language under the rules ``top_share`` and ``token_budget``.

    A quota that a language cannot fill stays unfilled: the others do not grow, so the mix is never another.
    """
    if selection.rule == "top_share":
        return {language: int(selection.share * n_tokens) for language, n_tokens in language_tokens.items()}
    total = sum(language_tokens.values())
    quotas = selection.language_quotas or {lang: n / total for lang, n in language_tokens.items()}
    return {lang: int(selection.tokens * quotas.get(lang, 0.0)) for lang in language_tokens}


def split_into_arms(batches: Iterator[pa.RecordBatch], arms: Sequence[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Parts chosen documents into their arms.

    Args:
        batches: the columns of DATASET, and for each arm a boolean column of its name.
        arms: their names.

    Yields:
        (``datasets/<arm>``, batch in DATASET).
    """
    for batch in batches:
        for arm in arms:
            of_arm = batch.filter(batch.column(arm)).select(DATASET.names)
            if of_arm.num_rows:
                yield f"datasets/{arm}", of_arm
