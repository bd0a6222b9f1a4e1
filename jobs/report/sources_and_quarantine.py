"""What was read: documents and tokens by source, quarantine counts by reason."""

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.framework.stage import Run
from jobs.report.report_types import Intake
from pivot_udfs.tokenization.vocabulary import vocabulary

N_SOURCES = 20


def read_intake(run: Run, scored: DataFrame) -> Intake:
    """What was read; ``scored`` is ``document_scores``."""
    sums = F.count("*").alias("n_docs"), F.sum("n_tokens").alias("n_tokens")
    by_source = scored.groupBy("lang", "source").agg(*sums).persist()
    totals = by_source.agg(F.count("*"), F.sum("n_docs"), F.sum("n_tokens")).collect()[0]
    sources = by_source.orderBy(F.desc("n_tokens"), "lang", "source").limit(N_SOURCES).collect()
    by_source.unpersist()
    quarantine = run.warehouse.read("quarantine")
    shards = scored.select("shard").union(quarantine.select("shard")).distinct().count()
    columns = (
        F.count("*").alias("n_records"),
        F.countDistinct("shard").alias("n_shards"),
        F.substring(F.min("detail"), 1, 200).alias("example"),
    )
    rejected = quarantine.groupBy("reason").agg(*columns).orderBy(F.desc("n_records"), "reason").collect()
    return Intake(
        n_shards=shards,
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
