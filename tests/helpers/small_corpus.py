"""A small corpus on disk, of real text and bad records, and how the tests run jobs on it."""

import contextlib
import gzip
import importlib
import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import counted
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shard_files
from deltalake import DeltaTable

from pivot_udfs.arms import ARMS

SETTINGS = """
[corpus]
inputs = "{folder}/shards"
max_document_bytes = 4000
max_quarantine_share = 1.0
[warehouse]
path = "{folder}/warehouse"
[tokenizer]
path = "{samples}/tokenizer.json"
[lexicon]
path = "{folder}/lexicon.tsv"
languages = ["zh", "en", "ja", "fr"]
[cooccurrence]
window = 50
[pivots]
min_doc_count = 2
min_word_doc_count = 4
n_pivots = 150
[selection]
share = 0.3
shrinkage_tokens = 100
arms = {arms}
half_share = 0.3
[spark]
master = "local[2]"
""".replace("{arms}", json.dumps(list(ARMS)))
BAD_LINES = [(line, reason) for line, reason in shard_files.BAD_LINES if not reason.endswith("too_large")]
N_CONCEPTS = 600


@dataclass(frozen=True)
class SmallCorpus:
    """What lies in a folder: shards, a lexicon, settings."""

    folder: Path
    documents: list[tuple[str, str, str, str]]
    """Source, doc_id, language, text."""
    reasons: list[str]
    """Of all records that are rejected."""
    rows: Sequence[dict[str, str]]
    """The lexicon."""
    copy: Path | None = None
    """A copy of the warehouse, which jobs use instead."""

    @property
    def warehouse(self) -> Path:
        """Where jobs write."""
        return self.copy or self.folder / "warehouse"

    @property
    def config(self) -> str:
        """The TOML file."""
        return str(self.folder / "run.toml")

    @property
    def encoded(self) -> list[counted.Encoded]:
        """The documents with the oracle's tokens."""
        return counted.with_sample_tokenizer([(lang, text) for _, _, lang, text in self.documents])


def write_small_corpus(folder: Path) -> SmallCorpus:
    """Pieces of the sample shards in four formats, bad records among them."""
    draw, documents = random.Random(3), []  # noqa: S311 - a test's fixed draw
    for name, texts in counted.sample_texts():
        for number, (lang, text) in enumerate(draw.sample(texts, 70 if "mul" in name else 10)):
            start = draw.randrange(max(1, len(text) - 700))
            piece = text[start : start + draw.randrange(300, 700)].strip() or "water"
            documents.append((name.split("-0000")[0], f"{number}", lang, piece))
    (folder / "shards" / "deep").mkdir(parents=True)
    quarter = len(documents) // 4
    parts = [documents[k * quarter : (k + 1) * quarter if k < 3 else None] for k in range(4)]
    lines = [[_line(row) for row in part] for part in parts]
    bad = [line for line, _ in BAD_LINES]
    _write(folder / "shards" / "a.jsonl", [*lines[0], *bad])
    _write(folder / "shards" / "deep" / "b.jsonl.gz", [*bad[:5], *lines[1]], gzip.compress)
    _write(folder / "shards" / "c.jsonl.zst", lines[2], shard_files.pack_zstd)
    table = pa.table(dict(zip(("source", "id", "lang", "text"), zip(*parts[3], strict=True), strict=True)))
    pq.write_table(table, folder / "shards" / "d.parquet", row_group_size=7)
    _write(folder / "shards" / "empty.jsonl", [])
    rows = counted.sample_rows()[:N_CONCEPTS]
    (folder / "lexicon.tsv").write_bytes(counted.tsv(rows))
    (folder / "run.toml").write_text(SETTINGS.format(folder=folder, samples=counted.SAMPLES), encoding="utf-8")
    reasons = [reason for _, reason in [*BAD_LINES, *BAD_LINES[:5]]]
    return SmallCorpus(folder, documents, [*reasons, "empty_shard"], rows)


def _line(row: tuple[str, str, str, str]) -> bytes:
    return json.dumps(dict(zip(("source", "id", "lang", "text"), row, strict=True)), ensure_ascii=False).encode()


def _write(path: Path, lines: list[bytes], pack: Callable[[bytes], bytes] = bytes) -> None:
    path.write_bytes(pack(b"\n".join(lines)))


def run_job(
    main: Callable[[Sequence[str]], int], corpus: SmallCorpus, *overrides: str, dry: bool = False
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a job in this process."""
    sets = [f"warehouse.path={corpus.warehouse}", *overrides]
    argv = ["--config", corpus.config, *(part for override in sets for part in ("--set", override))]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*argv, "--dry-run"] if dry else argv)
    return code, out.getvalue(), err.getvalue()


def run(name: str, corpus: SmallCorpus, *overrides: str, dry: bool = False) -> tuple[int, str, str]:
    """The same of a job by its name."""
    return run_job(importlib.import_module(f"jobs.{name}").main, corpus, *overrides, dry=dry)


def stages_run(log_text: str) -> list[str]:
    """The stages that said that they run, in order, but for the report."""
    names = [line.split("] ")[1].split(":")[0] for line in log_text.splitlines() if ": runs: " in line]
    return [name for name in names if name != "write_report"]


def files_in(folder: Path) -> dict[str, int]:
    """Every file of tables and pages, and when it was last changed."""
    others = (folder, folder / "last_rebuild.json", folder / "_runs")
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path not in others}


def rows_of(corpus: SmallCorpus, table: str) -> list[dict[str, Any]]:
    """All rows of a table of the corpus's warehouse, read without the project's readers."""
    rows: list[dict[str, Any]] = DeltaTable(corpus.warehouse / table).to_pyarrow_table().to_pylist()
    return rows


def must_work(result: tuple[int, str, str]) -> str:
    """Standard error of a job that has to end well."""
    code, _, log_text = result
    if code:
        pytest.fail(log_text)
    return log_text
