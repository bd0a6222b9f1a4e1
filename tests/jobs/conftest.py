"""Small corpora for tests that run rebuilds in this process: one with few documents, one with pivots."""

import shutil
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


@pytest.fixture(scope="session")
def _with_pivots(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallCorpus, Path]:
    """The corpus of ``with_pivots``, and a copy of its folder."""
    corpus = shards_with_pivots(tmp_path_factory.mktemp("with-pivots"))
    with pytest.MonkeyPatch.context() as patch:
        _run_without_spark(patch)
        assert "refresh: pair_pivots is not there yet" in rebuild(corpus, "refresh.rule=on_request")
    return corpus, shutil.copytree(corpus.folder, tmp_path_factory.mktemp("kept") / "with-pivots")


@pytest.fixture
def with_pivots(_with_pivots: tuple[SmallCorpus, Path], monkeypatch: pytest.MonkeyPatch) -> SmallCorpus:
    """Four shards of longer documents that were rebuilt once, up to the datasets; each test has them at one path."""
    corpus, kept = _with_pivots
    shutil.rmtree(corpus.folder)
    shutil.copytree(kept, corpus.folder)
    _run_without_spark(monkeypatch)
    return corpus


def _run_without_spark(patch: pytest.MonkeyPatch) -> None:
    load_and_count(patch)
    run_without_spark(patch)
    select_without_spark(patch)
    patch.setattr(count_cooccurrence, "_STEP_BYTES", 1 << 30)
