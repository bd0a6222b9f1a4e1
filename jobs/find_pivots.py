"""Counts in; ``pair_pivots`` (the tokens that tie two words together) and ``pivots`` (the hub tokens) out.

spark-submit jobs/find_pivots.py --config conf/demo.toml [--set table.key=value] [--dry-run]
"""

import sys
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import LongType, StructField, StructType

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from jobs.framework.task_sizes import frame_of_files, least_tasks
from pivot_udfs.counting.read_counts import numbers_of
from pivot_udfs.errors import WarehouseError
from pivot_udfs.find_pivots import ASSOCIATIONS, PivotPlan, TokenFigures, associate_files, find_pair_pivots
from pivot_udfs.provenance import Provenance
from pivot_udfs.tokenization.vocabulary import vocabulary


def run(run: Run, provenance: Provenance) -> None:
    """Writes ``pair_pivots``, then ``pivots`` from it."""
    plan = pivot_plan(run)
    with run.progress.watch(run.spark, "find_pivots", "pairs"):
        step = partial(find_pair_pivots, plan=plan)
        run.warehouse.write(_associations(run, plan), ["pair_pivots"], provenance, step)
    with run.progress.watch(run.spark, "find_pivots", "hubs"):
        run.warehouse.write(_pivots(run, plan), ["pivots"], provenance)


def pivot_plan(run: Run) -> PivotPlan:
    """What the workers need, from the settings and the totals.

    Raises:
        WarehouseError: no document is counted.
    """
    n_docs = sum(run.warehouse.read("corpus_totals").toArrow().column("n_docs").to_pylist())
    if not n_docs:
        raise WarehouseError(f"{run.warehouse.table_path('corpus_totals')} counts no document: tokenize a corpus first")
    numbers, words = numbers_of(run.lexicon), run.warehouse.read("word_totals").toArrow()
    word_docs = np.zeros(len(numbers), np.int64)
    names = zip(words.column("lang").to_pylist(), words.column("word").to_pylist(), strict=True)
    word_docs[[numbers[name] for name in names]] = words.column("doc_count").to_numpy()
    tokens = token_figures(run, n_docs)
    return PivotPlan(run.lexicon, run.tokenizer, run.settings.pivots, n_docs, word_docs, tokens)


def token_figures(run: Run, n_docs: int) -> TokenFigures:
    """What is known of every token, from the counts."""
    vocab = vocabulary(run.tokenizer)
    counts, docs, words, sources = (np.zeros(vocab.size, np.int64) for _ in range(4))
    totals, groups = (run.warehouse.read(table).toArrow() for table in ("token_totals", "token_sources"))
    counts[totals.column("token_id").to_numpy()] = totals.column("count").to_numpy()
    docs[totals.column("token_id").to_numpy()] = totals.column("doc_count").to_numpy()
    np.add.at(words, groups.column("token_id").to_numpy(), groups.column("word_count").to_numpy())
    np.add.at(sources, groups.column("token_id").to_numpy(), 1)
    usable = vocab.has_letter.copy()
    usable[list(vocab.special_ids)] = False
    return TokenFigures(docs, docs / n_docs, words / np.maximum(counts, 1), sources, usable)


def _associations(run: Run, plan: PivotPlan) -> DataFrame:
    """Rows of ASSOCIATIONS with all of a concept in one partition, by concept and word."""
    table = run.warehouse.location("token_cooccurrence")
    files = frame_of_files(run.spark, run.warehouse.files("token_cooccurrence"))
    rows = files.mapInArrow(partial(associate_files, folder=table.uri, plan=plan), from_arrow_schema(ASSOCIATIONS))
    n_tasks = min(least_tasks(run.spark), len(plan.lexicon.concepts))
    return rows.repartition(n_tasks, "concept").sortWithinPartitions("concept", "word")


def _pivots(run: Run, plan: PivotPlan) -> DataFrame:
    """The hub tokens, ranked on the driver, which holds ``n_pivots`` rows."""
    pivots, tokens = run.settings.pivots, plan.tokens
    admitted = np.flatnonzero((tokens.doc_share <= pivots.max_doc_share) & (tokens.n_sources >= pivots.min_sources))
    figures = {name: getattr(tokens, name)[admitted] for name in ("doc_share", "word_share", "n_sources")}
    candidates = run.spark.createDataFrame(pa.table({"token_id": pa.array(admitted, pa.int32())} | figures))
    # A sum of doubles depends on its order; sorted first, it is the same on every run.
    total = F.aggregate(F.sort_array(F.collect_list("score")), F.lit(0.0), lambda total, score: total + score)
    hubs = (
        run.warehouse.read("pair_pivots")
        .groupBy("token_id", "token")
        .agg(
            total.alias("score"),
            F.countDistinct("concept").alias("n_concepts"),
            F.countDistinct("lang_a", "lang_b").alias("n_language_pairs"),
        )
        .where(F.col("n_concepts") >= pivots.min_concepts)
        .join(F.broadcast(candidates), on="token_id", how="inner")
    )
    best = hubs.orderBy(F.desc("score"), F.asc("token_id")).limit(pivots.n_pivots).collect()
    ranked = [(*row, rank) for rank, row in enumerate(best, 1)]
    return run.spark.createDataFrame(
        ranked, StructType([*hubs.schema, StructField("rank", LongType(), nullable=False)])
    )


STAGE = Stage(
    name="find_pivots",
    version=3,
    reads=("corpus_totals", "word_totals", "token_totals", "token_sources", "token_cooccurrence"),
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
