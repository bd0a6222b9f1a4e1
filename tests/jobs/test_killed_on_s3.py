"""A run that is killed before any request that changes an object store is completed by the next run.

The requests are those of pyarrow and of delta-rs; ``test_killed_anywhere.py`` has the operations on a local folder.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from changing_shards import CHECKED, rebuild, write_shard
from s3_server import make_bucket, put, s3_server, taken_states
from small_corpus import SmallCorpus, must_work, run_job
from store_states import as_killed

from jobs import maintain_warehouse
from jobs.warehouse.delta.open_table import stored_rows
from pivot_udfs.storage.stores import resolve

_TRIED = 2
_TIMED = ("modified_ns", "batch")
"""Columns of ``shards`` by which two runs differ."""
CHANGES: dict[str, Callable[[Path], object] | None] = {
    "first load": None,
    "a shard added": lambda folder: write_shard(folder, 5, seed=50),
    "a shard changed": lambda folder: write_shard(folder, 1, seed=10),
    "a shard removed": lambda folder: (folder / "shards" / "2.jsonl").unlink(),
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server("keeps_states") as address:
        yield address


def _tables(bucket: str) -> dict[str, list[str]]:
    root = resolve(f"s3://{bucket}/warehouse")
    rows = {name: stored_rows(root.child(name)) for name in (*CHECKED, "shards")}
    return {
        name: sorted(str({key: row[key] for key in row if key not in _TIMED}) for row in of_table)
        for name, of_table in rows.items()
    }


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "most"),
    [("a shard added", _TRIED), *(pytest.param(name, 9999, marks=pytest.mark.nightly) for name in CHANGES)],
)
def test_a_run_killed_at_any_operation_is_completed_by_the_next(
    world: SmallCorpus,
    server: str,
    name: str,
    most: int,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change, bucket = CHANGES[name], make_bucket(server, f"{name} {most}", monkeypatch)
    if change:
        rebuild(world, f"warehouse.path=s3://{bucket}/warehouse")
        change(world.folder)
    taken_states(server)
    rebuild(world, f"warehouse.path=s3://{bucket}/warehouse")
    states, after = taken_states(server), _tables(bucket)
    tried = states[:: max(1, len(states) // most)]
    assert len(tried) >= _TRIED
    for number, (operation, objects) in enumerate(tried):
        killed = make_bucket(server, f"{name} {most} {number}", monkeypatch)
        mine = {key.removeprefix(f"{bucket}/"): objects[key] for key in objects if key.startswith(f"{bucket}/")}
        for key, content in as_killed(mine).items():
            put(f"s3://{killed}/{key}", content)
        rebuild(world, f"warehouse.path=s3://{killed}/warehouse")
        assert _tables(killed) == after, f"after a kill before: {operation}"
        maintenance = ("maintenance.retention_hours=0", f"warehouse.path=s3://{killed}/warehouse")
        must_work(run_job(maintain_warehouse.main, world, *maintenance))
        assert _tables(killed) == after, f"after a kill before: {operation}, and maintenance"
    record_property("kills", (f"{name} (S3)", len(states), len(tried), ""))
