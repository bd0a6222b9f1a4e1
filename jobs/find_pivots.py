"""Counts in; ``pair_pivots`` (the tokens that tie two words together) and ``pivots`` (the hub tokens) out.

spark-submit jobs/find_pivots.py --config conf/demo.toml [--set table.key=value] [--dry-run]
"""

import sys
from collections.abc import Sequence
from functools import partial
from itertools import combinations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import LongType, StructField, StructType

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from pivot_udfs.errors import WarehouseError
from pivot_udfs.find_pivots import ASSOCIATIONS, associate_rows
from pivot_udfs.matching.lexicon import surface_forms
from pivot_udfs.provenance import Provenance
from pivot_udfs.tokenization.vocabulary import vocabulary, word_token_ids

_PAIR = ["concept", "lang_a", "word_a", "lang_b", "word_b"]


def run(run: Run, provenance: Provenance) -> None:
    """Writes ``pair_pivots``, then ``pivots`` from it."""
    tables = {name: run.warehouse.read(name) for name in provenance.tables}
    n_docs = tables["corpus_totals"].agg(F.sum("n_docs")).collect()[0][0]
    if not n_docs:
        raise WarehouseError(f"{run.warehouse.table_path('corpus_totals')} counts no document: tokenize a corpus first")
    with run.progress.watch(run.spark, "find_pivots", "pairs"):
        associations = _associations(run, tables, n_docs)
        run.warehouse.write(_pair_pivots(run, associations), ["pair_pivots"], provenance)
    with run.progress.watch(run.spark, "find_pivots", "hubs"):
        pairs = run.warehouse.read("pair_pivots")
        run.warehouse.write(_pivots(run, pairs, tables["token_totals"], n_docs), ["pivots"], provenance)


def _associations(run: Run, tables: dict[str, DataFrame], n_docs: int) -> DataFrame:
    """lang, word, token_id, association above the floor, for words and tokens that are frequent enough."""
    pivots, vocab = run.settings.pivots, vocabulary(run.tokenizer)
    usable = vocab.has_letter.copy()
    usable[list(vocab.special_ids)] = False
    words = tables["word_totals"].where(F.col("doc_count") >= pivots.min_word_doc_count)
    words = words.select("lang", "word", F.col("doc_count").alias("word_docs"))
    tokens = tables["token_totals"].select("token_id", F.col("doc_count").alias("token_docs"))
    counted = (
        tables["token_cooccurrence"]
        .where(F.col("doc_count") >= pivots.min_doc_count)
        .join(F.broadcast(words), on=["lang", "word"], how="inner")
        .join(F.broadcast(tokens), on="token_id", how="inner")
        .select("lang", "word", "token_id", "doc_count", "word_docs", "token_docs")
    )
    step = partial(associate_rows, measure=pivots.association, n_docs=n_docs, floor=pivots.score_floor, usable=usable)
    return counted.mapInArrow(step, from_arrow_schema(ASSOCIATIONS))


def _pair_pivots(run: Run, associations: DataFrame) -> DataFrame:
    sides = [
        associations.toDF(f"lang_{side}", f"word_{side}", "token_id", f"association_{side}").alias(side)
        for side in ("a", "b")
    ]
    best = Window.partitionBy(*_PAIR).orderBy(F.desc("score"), F.asc("token_id"))
    own_token = F.array_contains("own_tokens", F.col("token_id"))
    return (
        F.broadcast(_translation_pairs(run))
        .join(sides[0], on=["lang_a", "word_a"], how="inner")
        .join(sides[1], on=["lang_b", "word_b", "token_id"], how="inner")
        .where(~own_token)
        .withColumn("score", F.least("association_a", "association_b"))
        .withColumn("rank", F.row_number().over(best).cast("long"))
        .where(F.col("rank") <= run.settings.pivots.pivots_per_pair)
        .join(F.broadcast(_token_texts(run)), on="token_id", how="inner")
    )


def _translation_pairs(run: Run) -> DataFrame:
    """The word pairs of every concept, smaller language first, with the words' own tokens; not those of one surface."""
    words = run.lexicon.words
    own = [sorted(word_token_ids(run.tokenizer, word)) for _, word in words]
    rows = [
        (concept, *words[a], *words[b], own[a] + own[b])
        for concept, cells in enumerate(run.lexicon.concepts)
        for a, b in combinations(cells, 2)
        if a >= 0 and b >= 0 and not set(surface_forms(words[a][1])) & set(surface_forms(words[b][1]))
    ]
    return run.spark.createDataFrame(
        rows, "concept long, lang_a string, word_a string, lang_b string, word_b string, own_tokens array<int>"
    )


def _token_texts(run: Run) -> DataFrame:
    return run.spark.createDataFrame(list(enumerate(vocabulary(run.tokenizer).texts)), "token_id int, token string")


def _pivots(run: Run, pairs: DataFrame, token_totals: DataFrame, n_docs: int) -> DataFrame:
    """The hub tokens, ranked on the driver, which holds ``n_pivots`` rows."""
    shares = token_totals.select("token_id", (F.col("doc_count") / n_docs).alias("doc_share"))
    # A sum of doubles depends on its order; sorted first, it is the same on every run.
    total = F.aggregate(F.sort_array(F.collect_list("score")), F.lit(0.0), lambda total, score: total + score)
    hubs = (
        pairs.groupBy("token_id", "token")
        .agg(
            total.alias("score"),
            F.countDistinct("concept").alias("n_concepts"),
            F.countDistinct("lang_a", "lang_b").alias("n_language_pairs"),
        )
        .join(F.broadcast(shares), on="token_id", how="inner")
        .where(F.col("doc_share") <= run.settings.pivots.max_doc_share)
    )
    best = hubs.orderBy(F.desc("score"), F.asc("token_id")).limit(run.settings.pivots.n_pivots).collect()
    ranked = [(*row, rank) for rank, row in enumerate(best, 1)]
    return run.spark.createDataFrame(
        ranked, StructType([*hubs.schema, StructField("rank", LongType(), nullable=False)])
    )


STAGE = Stage(
    name="find_pivots",
    version=2,
    reads=("corpus_totals", "word_totals", "token_totals", "token_cooccurrence"),
    writes=lambda settings: ("pair_pivots", "pivots"),
    sections=("pivots", "lexicon"),
    files=("tokenizer", "lexicon"),
    packages=("regex", "sentencepiece", "tokenizers"),
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Finds pair pivots and the pivot set in the counts.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
