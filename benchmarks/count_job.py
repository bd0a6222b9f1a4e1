"""Word and context counts on ``local[2]``, window 100: the counting job against Spark SQL's explode and group-by.

    python -m benchmarks.count_job --corpus FOLDER

Spark SQL is given the hits with their token positions (found by the same matcher, not timed), explodes the tokens
around each, counts pairs and documents, and writes the table; it gets a part of the corpus, since it would not finish
the whole. Ours does the matching too, and writes all five tables. On that part both tables must be equal. Both are
timed in a warm session. Target: 50 times as many tokens a second.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from benchmarks.common import fresh, median, parse, report, seconds, settings_for, start_run
from jobs import count_cooccurrence, tokenize_corpus
from jobs.framework.stage import Run, make_provenance
from pivot_udfs.count_cooccurrence import COUNTED
from pivot_udfs.count_cooccurrence import count_cooccurrence as count_documents
from pivot_udfs.counting.partial_rows import PARTIAL_ROWS
from pivot_udfs.matching.locate_hits import locate_hits, tokens_of
from pivot_udfs.matching.match_words import word_matcher
from pivot_udfs.schemas import TABLES
from pivot_udfs.sum_counts import SumPlan, sum_counts
from pivot_udfs.tokenization.vocabulary import vocabulary

_SQL_SHARE = 0.02
_WINDOW = 100


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    warehouse = f"{arguments.scratch}/bench-count"
    run = start_run(settings_for(arguments, arguments.corpus, fresh(warehouse), both_compilers=True))
    tokenize_corpus.STAGE.run(run, make_provenance(run, tokenize_corpus.STAGE))
    documents = run.warehouse.read("documents")
    n_tokens = documents.agg(F.sum("n_tokens")).collect()[0][0]
    _count(run)  # compiles the kernels, warms the session
    times = [seconds(lambda: _count(run)) for _ in range(arguments.repeats)]
    part = documents.where(F.abs(F.xxhash64("source", "doc_id")) % 1000 < int(_SQL_SHARE * 1000)).persist()
    part_tokens = part.agg(F.sum("n_tokens")).collect()[0][0]
    hits = _hits(run, part).persist()
    hits.count()
    sql_path = fresh(f"{arguments.scratch}/bench-count-sql")
    sql_seconds = seconds(lambda: _sql_contexts(part, hits).write.format("delta").mode("overwrite").save(sql_path))
    _check_equal(run, part, run.spark.read.format("delta").load(sql_path))
    ours, sql = n_tokens / median(times), part_tokens / sql_seconds
    fresh(warehouse)
    report(
        "count_job",
        {
            "million_tokens_per_s": round(ours / 1e6, 2),
            "seconds": [round(value, 1) for value in times],
            "tokens": n_tokens,
            "spark_sql_million_tokens_per_s": round(sql / 1e6, 4),
            "spark_sql_tokens": part_tokens,
            "spark_sql_seconds": round(sql_seconds, 1),
            "ratio": round(ours / sql, 1),
            "target": 50,
            "window": _WINDOW,
        },
    )


def _count(run: Run) -> None:
    count_cooccurrence.STAGE.run(run, make_provenance(run, count_cooccurrence.STAGE))


def _hits(run: Run, part: DataFrame) -> DataFrame:
    """source, doc_id, lang, word, first, end: every hit with its token span."""
    rows: list[Any] = []
    table = part.select("source", "doc_id", "lang", "text", "token_ids").toArrow()
    for batch in table.combine_chunks().to_batches():
        texts = batch.column("text")
        tokens = tokens_of(batch, vocabulary(run.tokenizer).size)
        hits = word_matcher(run.lexicon, "document_language").find(texts, batch.column("lang").to_pylist())
        firsts, ends = locate_hits(run.tokenizer, texts, hits, tokens)
        docs = pa.array(hits.docs)
        words = [run.lexicon.words[word] for word in hits.words]
        keys = [batch.column(name).take(docs).to_pylist() for name in ("source", "doc_id")]
        rows += zip(*keys, (w[0] for w in words), (w[1] for w in words), firsts.tolist(), ends.tolist(), strict=True)
    schema = "source string, doc_id string, word_lang string, word string, first int, end int"
    return run.spark.createDataFrame(rows, schema)


def _sql_contexts(part: DataFrame, hits: DataFrame) -> DataFrame:
    """The obvious query: explode the positions around every hit, group by document, then by cell."""
    low = F.greatest(F.lit(0), F.col("first") - _WINDOW)
    high = F.least(F.size("token_ids") - 1, F.col("first") + _WINDOW)
    exploded = (
        part.select("source", "doc_id", "token_ids")
        .join(hits, on=["source", "doc_id"], how="inner")
        .select(
            "source",
            "doc_id",
            "word_lang",
            "word",
            "first",
            "end",
            "token_ids",
            F.explode(F.sequence(low, high)).alias("q"),
        )
        .where((F.col("q") < F.col("first")) | (F.col("q") >= F.col("end")))
        .select("source", "doc_id", "word_lang", "word", F.element_at("token_ids", F.col("q") + 1).alias("token_id"))
    )
    in_document = exploded.groupBy("source", "doc_id", "word_lang", "word", "token_id").agg(F.count("*").alias("n"))
    counts = in_document.groupBy("word_lang", "word", "token_id")
    return counts.agg(F.sum("n").alias("pair_count"), F.count("*").alias("doc_count"))


def _check_equal(run: Run, part: DataFrame, sql: DataFrame) -> None:
    """Our table of the same part against the query's."""
    plan = count_cooccurrence.plan_of(run)
    found = part.select(*COUNTED.names).mapInArrow(partial(count_documents, plan=plan), from_arrow_schema(PARTIAL_ROWS))
    rows = count_cooccurrence.gathered(found, len(plan.lexicon.words))
    step = partial(sum_counts, plan=SumPlan(run.lexicon, vocabulary(run.tokenizer).size))
    schema = TABLES["token_cooccurrence"].schema

    def cells(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table, batch in step(batches):
            if table == "token_cooccurrence":
                yield from pa.Table.from_batches([batch]).cast(schema).to_batches()

    ours = rows.mapInArrow(cells, from_arrow_schema(schema))
    theirs = sql.select(F.col("word_lang").alias("lang"), "word", "token_id", "pair_count", "doc_count")
    assert ours.exceptAll(theirs).isEmpty(), "the counting job has cells that the query has not"
    assert theirs.exceptAll(ours).isEmpty(), "the query has cells that the counting job has not"


if __name__ == "__main__":
    main()
