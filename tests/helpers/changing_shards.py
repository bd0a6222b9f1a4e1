"""Shards that tests change between two rebuilds, and kills between the commits of a job."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import counted
import pytest
from deltalake import DeltaTable
from small_corpus import SETTINGS, SmallCorpus, must_work, run_job

from jobs import rebuild_corpus
from jobs.warehouse.tables import Warehouse
from pivot_udfs.schemas import DATASET, TABLES

COUNTS = ("corpus_totals", "token_totals", "token_sources", "word_totals", "word_cooccurrence", "token_cooccurrence")
CHECKED = ("documents", "quarantine", *COUNTS)
BATCHES = "corpus.batch_gb=0.00001"
"""Every shard is a batch."""
LINES = [
    json.dumps({"source": name.split("-")[0], "id": str(number), "lang": lang, "text": text[:900]}, ensure_ascii=False)
    for name, texts in counted.sample_texts()
    for number, (lang, text) in enumerate(texts[:12])
]


def changing_shards(folder: Path, n_lines: int = 8) -> SmallCorpus:
    """Four shards, two of them with bad records."""
    rows = counted.sample_rows()[:300]
    (folder / "lexicon.tsv").write_bytes(counted.tsv(rows))
    (folder / "run.toml").write_text(SETTINGS.format(folder=folder, samples=counted.SAMPLES), encoding="utf-8")
    (folder / "shards").mkdir()
    for number in range(4):
        write_shard(folder, number, seed=number, n_lines=n_lines)
    return SmallCorpus(folder, [], [], rows)


def write_shard(folder: Path, number: int, seed: int, n_lines: int = 8) -> None:
    """``shards/<number>.jsonl`` of lines drawn with a seed, two bad ones after them where the number is odd."""
    lines = random.Random(seed).sample(LINES, n_lines)  # noqa: S311 - a test's fixed draw
    bad = ["{", '{"id": 5}'] if number % 2 else []
    (folder / "shards" / f"{number}.jsonl").write_text("\n".join([*lines, *bad]), encoding="utf-8")


def rebuild(corpus: SmallCorpus, *overrides: str) -> str:
    """Runs ``rebuild_corpus``; gives its log."""
    return must_work(run_job(rebuild_corpus.main, corpus, *overrides))


def table(warehouse: Path, name: str, without: Sequence[str] = ()) -> Counter[str]:
    """The rows of a table, some columns left out, as a multiset."""
    columns = [column for column in TABLES.get(name, DATASET).names if column not in without]
    return Counter(map(str, DeltaTable(warehouse / name).to_pyarrow_dataset().to_table(columns=columns).to_pylist()))


def killed_at_each_commit(monkeypatch: pytest.MonkeyPatch, run: Callable[[], tuple[int, str, str]]) -> int:
    """Kills a job before its first commit, the next time before its second, and so on, until it ends by itself.

    Returns:
        the number of runs.
    """
    commit, left = Warehouse.commit, 0

    def killed(self: Warehouse, *arguments: Any, **named: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        commit(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Warehouse, "commit", killed)
        for n_runs in range(1, 100):
            left = n_runs
            code, _, errors = run()
            if not code:
                assert n_runs > 3
                return n_runs
            assert code == 130, errors
    raise AssertionError("the job never ended")
