"""Small corpora for tests that run rebuilds in this process: one with few documents, one with pivots."""

from pathlib import Path

import pytest
from changing_shards import changing_shards, rebuild, shards_with_pivots
from local_frames import load_and_count, run_without_spark
from local_selection import select_without_spark
from small_corpus import SmallCorpus

from jobs import count_cooccurrence


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallCorpus:
    """Four shards that are not loaded yet."""
    load_and_count(monkeypatch)
    run_without_spark(monkeypatch)
    return changing_shards(tmp_path)


@pytest.fixture
def with_pivots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallCorpus:
    """Four shards of longer documents that were rebuilt once, up to the datasets."""
    load_and_count(monkeypatch)
    run_without_spark(monkeypatch)
    select_without_spark(monkeypatch)
    monkeypatch.setattr(count_cooccurrence, "_STEP_BYTES", 1 << 30)
    corpus = shards_with_pivots(tmp_path)
    assert "refresh: pair_pivots is not there yet" in rebuild(corpus, "refresh.rule=on_request")
    return corpus
