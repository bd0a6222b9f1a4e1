"""A release with one dataset, and settings that describe its sources."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from jobs.warehouse.spark_tables import Warehouse
from jobs.warehouse.write_release import write_release
from pivot_udfs.provenance import Provenance

SETTINGS = """
[corpus]
inputs = "shards"
[warehouse]
path = "{folder}/warehouse"
[tokenizer]
path = "tokenizer.json"
[lexicon]
path = "lexicon.tsv"
languages = ["en", "fr"]
[selection]
arms = ["pivot"]
[description]
provider = "A University, corpus@example.org"
url = "https://example.org/corpus"
[sources.web]
kind = "crawled"
license = "CC-BY-4.0"
url = "https://example.org/web"
collected = "2025-06"
[sources."a | book"]
kind = "licensed"
license = "MIT AND Apache-2.0"
url = "https://example.org/books"
[sources.unused]
license = "GPL-3.0-only"
"""
SOURCES = ["web", "a | book", "letters"]


def small_release(folder: Path, settings: str = SETTINGS, sources: Sequence[str] = SOURCES) -> list[dict[str, Any]]:
    """Writes settings and a release with one dataset; returns its rows."""
    draw = random.Random(5)  # noqa: S311 - a test's fixed draw
    rows = []
    for number in range(60):
        ids = [draw.randrange(100) for _ in range(draw.randrange(2_000))]
        key = {"source": draw.choice(sources), "doc_id": str(number), "lang": draw.choice(["en", "fr", "mul"])}
        density = {"pivot_density": 0.5, "shrunken_density": 0.25}
        rows.append(
            key | density | {"text": "é", "token_ids": ids, "n_tokens": len(ids), "shard": "a.jsonl", "record": number}
        )
    (folder / "run.toml").write_text(settings.format(folder=folder), encoding="utf-8")
    warehouse = Warehouse(cast(Any, None), f"{folder}/warehouse")
    made = Provenance("filter_documents", 2, settings={"selection.rule": "top_share"})
    warehouse.commit_rows("datasets/pivot", rows, made)
    write_release(warehouse, ["datasets/pivot"])
    return rows
