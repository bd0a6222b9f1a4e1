"""A small corpus whose rebuilds load and count its shards in this process, in a fraction of a second."""

from pathlib import Path

import pytest
from changing_shards import changing_shards
from local_frames import load_and_count, run_without_spark
from small_corpus import SmallCorpus


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallCorpus:
    """Four shards that are not loaded yet."""
    load_and_count(monkeypatch)
    run_without_spark(monkeypatch)
    return changing_shards(tmp_path)
