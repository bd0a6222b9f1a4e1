"""What was read: documents and tokens by source, quarantine counts by reason."""

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.framework.stage import Run
from jobs.report.report_types import Intake
from pivot_udfs.tokenization.vocabulary import vocabulary

N_SOURCES = 20


def read_intake(run: Run, by_source: DataFrame) -> Intake:
    """What was read; ``by_source`` from ``sums_by_source``."""
    of_corpus = by_source.select("lang", "source", "corpus.n_docs", "corpus.n_tokens")
    totals = of_corpus.agg(F.count("*"), F.sum("n_docs"), F.sum("n_tokens")).collect()[0]
    sources = of_corpus.orderBy(F.desc("n_tokens"), "lang", "source").limit(N_SOURCES).collect()
    columns = (
        F.count("*").alias("n_records"),
        F.countDistinct("shard").alias("n_shards"),
        F.substring(F.min("detail"), 1, 200).alias("example"),
    )
    quarantine = run.warehouse.read("quarantine").groupBy("reason").agg(*columns)
    rejected = quarantine.orderBy(F.desc("n_records"), "reason").collect()
    return Intake(
        n_shards=run.warehouse.read("shards").where("n_docs + n_rejected > 0").count(),
        n_docs=totals[1] or 0,
        n_tokens=totals[2] or 0,
        n_bytes=_text_bytes(run),
        n_quarantined=sum(row.n_records for row in rejected),
        n_sources=totals[0],
        sources=tuple(sources),
        rejected=tuple(rejected),
    )


def _text_bytes(run: Run) -> int | None:
    """UTF-8 bytes of all texts, summed from the lengths of their tokens."""
    words = vocabulary(run.tokenizer)
    if words.byte_lengths is None or words.normal_form:
        return None
    totals = run.warehouse.read("token_totals").select("token_id", "count").toArrow()
    ids, counts = (totals.column(name).to_numpy() for name in ("token_id", "count"))
    return int(words.byte_lengths[ids].astype(np.int64) @ counts)
