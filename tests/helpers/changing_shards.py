"""Small shards that tests change between two rebuilds, the tables of these, and kills between the commits of a job."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import counted
import pyarrow as pa
import pytest
import tokenizer_files
from deltalake import DeltaTable
from small_corpus import SETTINGS, SmallCorpus, must_work, run_job

from jobs import forget_documents, maintain_warehouse, rebuild_corpus
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.arms import ARMS
from pivot_udfs.schemas import table_of

COUNTS = ("corpus_totals", "token_totals", "token_sources", "word_totals", "word_cooccurrence", "token_cooccurrence")
CHECKED = ("documents", "quarantine", *COUNTS)
Key = tuple[str, str]
FEW_ARMS = ["pivot", "random", "matched", "half_a", "lexicon_swap"]
"""The arms of ``shards_with_pivots``: one of each kind, arms of pairs without the other."""
BATCHES = "corpus.batch_gb=0.000001"
"""Every shard is a batch."""
_ROWS = ("shard", "content_id", "n_bytes", "modified_ns", "n_docs", "n_rejected", "n_tokens", "status")
"""Columns of ``shards`` that do not depend on the runs that loaded them."""


def _lines(n_characters: int) -> list[str]:
    """Records with the beginnings of sample texts."""
    return [
        json.dumps(
            {"source": name.split("-")[0], "id": str(number), "lang": lang, "text": text[:n_characters]},
            ensure_ascii=False,
        )
        for name, texts in counted.sample_texts()
        for number, (lang, text) in enumerate(texts[:12])
    ]


LINES = _lines(300)
LONG_LINES = _lines(900)


def changing_shards(folder: Path, n_lines: int = 4) -> SmallCorpus:
    """Four shards, two of them with bad records, a tiny tokenizer, and a lexicon of words that occur in them."""
    (folder / "lexicon.tsv").write_bytes(counted.tsv(frequent_rows()))
    settings = SETTINGS.replace("{samples}/tokenizer.json", tokenizer_files.byte_level(folder))
    (folder / "run.toml").write_text(settings.format(folder=folder), encoding="utf-8")
    (folder / "shards").mkdir()
    for number in range(4):
        write_shard(folder, number, seed=number, n_lines=n_lines)
    return SmallCorpus(folder, [], [], frequent_rows())


def shards_with_pivots(folder: Path) -> SmallCorpus:
    """Four shards of 40 longer texts, with the samples' tokenizer, more words, and limits by which pivots are found."""
    corpus = changing_shards(folder)
    (folder / "lexicon.tsv").write_bytes(counted.tsv(counted.sample_rows()[:300]))
    settings = SETTINGS.replace("[pivots]", "[pivots]\nmin_concepts = 1\nmin_word_share = 0.0")
    settings = settings.replace(json.dumps(list(ARMS)), json.dumps(FEW_ARMS))
    (folder / "run.toml").write_text(settings.format(folder=folder, samples=counted.SAMPLES), encoding="utf-8")
    for number in range(4):
        write_long_shard(folder, number, seed=number)
    return corpus


def admit_every_pivot(corpus: SmallCorpus) -> None:
    """Settings by which so small a corpus has pivots."""
    text = Path(corpus.config).read_text(encoding="utf-8").replace("min_word_doc_count = 4", "min_word_doc_count = 2")
    limits = "[pivots]\nmin_concepts = 1\nmin_word_share = 0.0\nmax_doc_share = 1.0\nmin_score = -0.9"
    Path(corpus.config).write_text(text.replace("[pivots]", limits), encoding="utf-8")


def write_long_shard(folder: Path, number: int, seed: int, n_lines: int = 40) -> None:
    """``shards/<number>.jsonl`` of LONG_LINES drawn with a seed."""
    lines = random.Random(seed).sample(LONG_LINES, n_lines)  # noqa: S311 - a test's fixed draw
    (folder / "shards" / f"{number}.jsonl").write_text("\n".join(lines), encoding="utf-8")


@cache
def frequent_rows() -> list[dict[str, str]]:
    """The 30 concepts of which most words are in ``LINES``."""
    text = "\n".join(LINES).lower()
    return sorted(counted.sample_rows(), key=lambda row: -sum(word in text for word in row.values() if word))[:30]


def write_shard(folder: Path, number: int, seed: int, n_lines: int = 4) -> None:
    """``shards/<number>.jsonl`` of lines drawn with a seed, two bad ones after them where the number is odd."""
    lines = random.Random(seed).sample(LINES, n_lines)  # noqa: S311 - a test's fixed draw
    bad = ["{", '{"id": 5}'] if number % 2 else []
    (folder / "shards" / f"{number}.jsonl").write_text("\n".join([*lines, *bad]), encoding="utf-8")


def rebuild(corpus: SmallCorpus, *overrides: str) -> str:
    """Runs ``rebuild_corpus``; gives its log."""
    return must_work(run_job(rebuild_corpus.main, corpus, *overrides))


def table(warehouse: Path, name: str, without: Sequence[str] = ()) -> Counter[str]:
    """The rows of a table, some columns left out, as a multiset."""
    columns = [column for column in table_of(name).schema.names if column not in without]
    return Counter(map(str, DeltaTable(warehouse / name).to_pyarrow_dataset().to_table(columns=columns).to_pylist()))


def loaded_shards(warehouse: Path, columns: Sequence[str] = _ROWS) -> pa.Table:
    """The table ``shards``, sorted."""
    return DeltaTable(warehouse / "shards").to_pyarrow_table(columns=list(columns)).sort_by("shard")


def assert_as_from_nothing(corpus: SmallCorpus, *overrides: str) -> None:
    """Compares documents, quarantine, shards and counts with those of a rebuild into an empty folder."""
    anew = corpus.folder / "anew"
    rebuild(corpus, *overrides, f"warehouse.path={anew}")
    for name in CHECKED:
        assert table(corpus.warehouse, name) == table(anew, name), name
    assert loaded_shards(corpus.warehouse) == loaded_shards(anew)
    shutil.rmtree(anew)


def assert_as_without(
    corpus: SmallCorpus, keys: Sequence[Key] = (), shards: Sequence[str] = (), names: Sequence[str] = CHECKED
) -> None:
    """Compares with a rebuild of shards from which the records were removed by hand, then puts the shards back."""
    before = {path: path.read_bytes() for path in (corpus.folder / "shards").iterdir()}
    for path in before:
        lines = path.read_text(encoding="utf-8").split("\n")
        path.write_text("\n".join(line for line in lines if key_of(line) not in keys), encoding="utf-8")
        if path.name in shards:
            path.unlink()
    rebuild(corpus, f"warehouse.path={corpus.folder}/anew")
    for path, content in before.items():
        path.write_bytes(content)
    for name in names:
        ours, other = (table(corpus.folder / of, name, ["record"]) for of in ("warehouse", "anew"))
        assert ours == other, name
    numbers = ("shard", "n_docs", "n_rejected", "n_tokens", "status")
    assert loaded_shards(corpus.warehouse, numbers) == loaded_shards(corpus.folder / "anew", numbers)


def forget(
    corpus: SmallCorpus, *arguments: str, dry: bool = False, overrides: Sequence[str] = ()
) -> tuple[int, str, str]:
    """Runs ``forget_documents`` with its own arguments."""
    return run_job(lambda argv: forget_documents.main([*argv, *arguments]), corpus, *overrides, dry=dry)


def maintain(corpus: SmallCorpus) -> str:
    """Compacts every table and removes every file that no kept version has."""
    settings = ("maintenance.min_small_files=2", "maintenance.retention_hours=0")
    return must_work(run_job(maintain_warehouse.main, corpus, *settings))


def write_keys(corpus: SmallCorpus, keys: Sequence[Key]) -> str:
    """A file for ``forget_documents --keys``."""
    path = corpus.folder / "keys.tsv"
    path.write_text("".join(f"{source}\t{doc_id}\n" for source, doc_id in [("source", "doc_id"), *keys]), "utf-8")
    return str(path)


def keys_of(corpus: SmallCorpus, shard: str) -> list[Key]:
    """The keys of a shard's documents, in order of its lines."""
    lines = (corpus.folder / "shards" / shard).read_text(encoding="utf-8").splitlines()
    return [key for line in lines if (key := key_of(line))]


def key_of(line: str) -> Key | None:
    """The key in a line; None for a bad record."""
    try:
        row = json.loads(line)
        return row["source"], row["id"]
    except (ValueError, KeyError):
        return None


def stop_before_commit(patch: pytest.MonkeyPatch, number: int) -> None:
    """Lets the next run be interrupted before its commit with this number, which counts from 1."""
    commit, left = Warehouse.commit, number

    def stopped(self: Warehouse, *arguments: Any, **named: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        commit(self, *arguments, **named)

    patch.setattr(Warehouse, "commit", stopped)


def killed_at_each_commit(monkeypatch: pytest.MonkeyPatch, run: Callable[[], tuple[int, str, str]]) -> int:
    """Kills a job before its first commit, the next time before its second, and so on, until it ends by itself.

    Returns:
        the number of runs.
    """
    for n_runs in range(1, 100):
        with monkeypatch.context() as patch:
            stop_before_commit(patch, n_runs)
            code, _, errors = run()
        if not code:
            assert n_runs > 3
            return n_runs
        assert code == 130, errors
    raise AssertionError("the job never ended")
