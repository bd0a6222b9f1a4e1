"""The shrunken density by which documents are ranked; shared by the selection and the report.

The raw density of a short document is noise: one pivot in five tokens is 0.2. Ranking is by the density shrunken
towards the language's own, (n_pivot_tokens + k m) / (n_tokens + k): the posterior mean under a Beta prior that is
worth k tokens of the language's mean m. A document far shorter than k tokens ranks near its language's mean, one far
longer at its own density, so that short documents have no advantage.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from jobs.selection.budgeted_sample import local_frame
from pivot_udfs.storage.typed_columns import schema_of

SHRUNKEN = "shrunken_density"
_MEANS = schema_of({"lang": pa.string(), "language_density": pa.float64()})
Number = TypeVar("Number", float, Column)


def shrunken_density(n_pivot_tokens: Number, n_tokens: Number, language_density: Number, shrinkage: int) -> Number:
    """The density by which documents are ranked, in [0, 1], of numbers or Spark columns; ``shrinkage`` is in tokens.

    ``language_density`` is pivot tokens / tokens of the document's whole language. With ``shrinkage`` 0, ``n_tokens``
    must not be 0.
    """
    return (n_pivot_tokens + shrinkage * language_density) / (n_tokens + shrinkage)


def language_sums(scores: DataFrame) -> list[Row]:
    """Rows of lang, n_tokens, n_pivot_tokens, one for each language of ``document_scores``."""
    sums = F.sum("n_tokens").alias("n_tokens"), F.sum("n_pivot_tokens").alias("n_pivot_tokens")
    return scores.groupBy("lang").agg(*sums).collect()


def language_densities(languages: Sequence[Row]) -> dict[str, float]:
    """Pivot tokens / tokens by language, of ``language_sums``."""
    return {row["lang"]: row["n_pivot_tokens"] / max(row["n_tokens"], 1) for row in languages}


def with_shrunken_density(scores: DataFrame, densities: Mapping[str, float], shrinkage_tokens: int) -> DataFrame:
    """Adds the column ``shrunken_density`` to ``document_scores``, by ``language_densities``, of these or pinned ones.

    The density of languages that are not among them is taken to be 0.
    """
    means = local_frame(scores.sparkSession, list(densities.items()), _MEANS)
    # Without shrinkage a document without tokens would divide by zero; this way it has density 0.
    n_tokens = F.greatest("n_tokens", F.lit(0 if shrinkage_tokens else 1))
    mean = F.coalesce("language_density", F.lit(0.0))
    shrunken = shrunken_density(F.col("n_pivot_tokens"), n_tokens, mean, shrinkage_tokens)
    return scores.join(F.broadcast(means), on="lang", how="left").withColumn(SHRUNKEN, shrunken)
