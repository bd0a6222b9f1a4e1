"""Small corpora: one that is loaded and counted in this process, one on which Spark has found pivots."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from changing_shards import changing_shards, rebuild, shards_with_pivots
from local_frames import load_and_count, run_without_spark
from small_corpus import SmallCorpus

from jobs import rebuild_corpus

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallCorpus:
    """Four shards that are not loaded yet."""
    load_and_count(monkeypatch)
    run_without_spark(monkeypatch)
    return changing_shards(tmp_path)


@pytest.fixture(scope="session")
def _rebuilt(spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory) -> SmallCorpus:
    """Four shards that have been rebuilt once, and a copy of their folder beside it."""
    folder = tmp_path_factory.mktemp("with-pivots") / "corpus"
    folder.mkdir()
    corpus = shards_with_pivots(folder)
    with _without_report():
        assert "refresh: pair_pivots is not there yet" in rebuild(corpus, "refresh.rule=on_request")
    shutil.copytree(folder, folder.with_name("copy"))
    return corpus


@pytest.fixture
def with_pivots(spark: "SparkSession", _rebuilt: SmallCorpus) -> Iterator[SmallCorpus]:
    """That corpus, as it was rebuilt, and rebuilds without a report."""
    shutil.rmtree(_rebuilt.folder)
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # type: ignore[union-attr]
    shutil.copytree(_rebuilt.folder.with_name("copy"), _rebuilt.folder)
    with _without_report():
        yield _rebuilt


@contextmanager
def _without_report() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild_corpus, "STAGES", rebuild_corpus.STAGES[:-1])
        patch.setattr(rebuild_corpus, "_summary", lambda *_: "")
        yield
