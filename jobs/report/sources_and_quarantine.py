"""What was read: documents and tokens by source, and quarantined records by reason with examples."""

from collections.abc import Sequence

import numpy as np
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from jobs.framework.stage import Run
from jobs.report.report_types import Intake, Mix
from pivot_udfs.tokenization.vocabulary import vocabulary

_EXCERPT = 120
"""Longest excerpt of a quarantined record, in characters."""
_SOURCE = Row("source", "langs", "n_docs", "n_tokens")


def read_intake(run: Run, languages: Sequence[Row], sources: Mix) -> Intake:
    """What was read; ``languages`` from ``sums_by_language``, ``sources`` from ``read_mixes``."""
    rejected = _read_rejected(run.warehouse.read("quarantine")) if run.warehouse.files("quarantine") else ()
    return Intake(
        n_shards=_n_shards(run),
        n_docs=sum(row.corpus.n_docs for row in languages),
        n_tokens=sum(row.corpus.n_tokens for row in languages),
        n_bytes=_text_bytes(run),
        n_quarantined=sum(row.n_records for row in rejected),
        n_sources=sources.rows[0].n_groups if sources.rows else 0,
        sources=tuple(_SOURCE(row.key, row.langs, row.n_docs, row.corpus) for row in sources.rows),
        rejected=rejected,
    )


def _n_shards(run: Run) -> int:
    """Shards of which ``documents`` or ``quarantine`` has records."""
    shards = run.warehouse.read_small("shards")
    return int(np.count_nonzero(shards["n_docs"].to_numpy() + shards["n_rejected"].to_numpy()))


def _read_rejected(quarantine: DataFrame) -> tuple[Row, ...]:
    """Each reason, the most frequent first, with the first and the last of its records."""
    record = F.struct("shard", "record", "detail", "raw", "source", "doc_id")
    n_records, examples = F.count("*").alias("n_records"), F.array(F.min(record), F.max(record)).alias("examples")
    rows = quarantine.groupBy("reason").agg(n_records, F.countDistinct("shard").alias("n_shards"), examples)
    return tuple(map(_with_excerpts, rows.orderBy(F.desc("n_records"), "reason").collect()))


def _with_excerpts(reason: Row) -> Row:
    records = [Row(**record.asDict() | {"raw": _excerpt(record.raw)}) for record in dict.fromkeys(reason.examples)]
    return Row(**reason.asDict() | {"examples": records})


def _excerpt(raw: bytes | None) -> str:
    """The beginning of a record as printable text."""
    text = bytes(raw or b"").decode(errors="replace")[:_EXCERPT]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _text_bytes(run: Run) -> int | None:
    """UTF-8 bytes of all texts, summed from the lengths of their tokens."""
    words = vocabulary(run.tokenizer)
    if words.byte_lengths is None or words.normal_form:
        return None
    totals = run.warehouse.read_small("token_totals")
    ids, counts = (totals.column(name).to_numpy() for name in ("token_id", "count"))
    return int(words.byte_lengths[ids].astype(np.int64) @ counts)
