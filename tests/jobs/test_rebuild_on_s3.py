"""A whole rebuild in an object store, by Spark, pyarrow and delta-rs, gives the rows of a local one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden_outputs import read_golden, table_hash
from s3_server import make_bucket, put, s3_server
from small_corpus import SmallCorpus, write_small_corpus

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ALLOW_HTTP", "true")  # for delta-rs, as this test reads tables by it
        yield f"s3://{make_bucket(address, __name__, patch)}"


@pytest.fixture(scope="module")
def stored(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> SmallCorpus:
    corpus = write_small_corpus(tmp_path_factory.mktemp("uploaded"))
    for path in [*(corpus.folder / "shards").rglob("*.*"), corpus.folder / "lexicon.tsv"]:
        put(f"{bucket}/{path.relative_to(corpus.folder)}", path.read_bytes())
    put(f"{bucket}/tokenizer.json", (ROOT / "tests" / "samples" / "tokenizer.json").read_bytes())
    return corpus


def rebuild(corpus: SmallCorpus, bucket: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: Spark takes credentials from the environment in which its JVM was started."""
    places = {"corpus.inputs": "shards", "tokenizer.path": "tokenizer.json", "lexicon.path": "lexicon.tsv"}
    sets = [f"{key}={bucket.replace('s3:', 's3a:')}/{name}" for key, name in places.items()]
    sets += [f"warehouse.path={bucket.replace('s3:', 's3a:')}/warehouse", 'selection.arms=["pivot"]']
    command = [sys.executable, "jobs/rebuild_corpus.py", "--config", corpus.config, *arguments]
    command += [part for override in sets for part in ("--set", override)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=800, check=False)


def test_a_rebuild_in_an_object_store_gives_the_rows_of_a_local_one(stored: SmallCorpus, bucket: str) -> None:
    done = rebuild(stored, bucket)
    assert done.returncode == 0, done.stderr
    golden = {name: value for stage in read_golden().values() for name, value in stage["outputs"].items()}
    for table in ("documents", "quarantine", "token_cooccurrence", "word_cooccurrence", "pivots", "datasets/pivot"):
        assert table_hash(f"{bucket}/warehouse/{table}", bucket) == golden[table], table
    again = rebuild(stored, bucket, "--dry-run")
    assert again.stdout.count(": would be skipped: ") == 6, again.stdout + again.stderr
