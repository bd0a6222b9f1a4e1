"""A run that is killed at any operation on its files is completed by the next run: the tables are those of no kill.

Some operations of each scenario are tried here, all of them by ``make torture``, which prints ``docs/reliability.md``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from changing_shards import (
    BATCHES,
    CHECKED,
    admit_every_pivot,
    keys_of,
    loaded_shards,
    maintain,
    rebuild,
    table,
    write_keys,
    write_shard,
)
from deltalake import DeltaTable
from local_selection import select_without_spark
from small_corpus import SmallCorpus, must_work, run_job
from store_states import as_killed, orphans, store_states, write_tree

from jobs import forget_documents
from jobs.warehouse.delta.commit_history import read_content
from jobs.warehouse.releases import read_release
from pivot_udfs.arms import ARMS
from pivot_udfs.schemas import PINNED
from pivot_udfs.storage.stores import resolve

_SELECTED = (*PINNED, "document_scores", *(f"datasets/{arm}" for arm in ARMS))
_IS_BLOCKED = "blocked/_delta_log/00000000000000000000.json"
Job = Callable[[SmallCorpus], object]
_TRIED = 3
"""Operations of each scenario that are tried here."""


class Scenario(NamedTuple):
    """A job that is killed, and what comes before and after it."""

    change: Callable[[Path], object]
    """Of the shards of a warehouse that has been loaded."""
    job: Job = rebuild
    again: Job = rebuild
    first_load: bool = False
    selects: bool = False
    """Whether pivots, scores and datasets follow the counts."""


def _nothing(folder: Path) -> None:
    pass


def _change(folder: Path) -> None:
    write_shard(folder, 1, seed=10)


def _several(folder: Path) -> None:
    write_shard(folder, 5, seed=50)
    write_shard(folder, 1, seed=10)
    (folder / "shards" / "2.jsonl").unlink()


def _in_batches(corpus: SmallCorpus) -> str:
    return rebuild(corpus, BATCHES)


def _pinned(corpus: SmallCorpus) -> str:
    return rebuild(corpus, "refresh.rule=on_request")


def _with_other_settings(corpus: SmallCorpus) -> str:
    return rebuild(corpus, "cooccurrence.window=20", "corpus.max_document_bytes=500")


def _forget(corpus: SmallCorpus) -> str:
    keys = write_keys(corpus, [*keys_of(corpus, "0.jsonl")[:2], keys_of(corpus, "3.jsonl")[1]])
    return must_work(run_job(lambda argv: forget_documents.main([*argv, "--keys", keys]), corpus))


SCENARIOS = {
    "first load": Scenario(_nothing, first_load=True),
    "first load in batches": Scenario(_nothing, _in_batches, _in_batches, first_load=True),
    "a shard added": Scenario(lambda folder: write_shard(folder, 5, seed=50)),
    "a shard changed": Scenario(_change),
    "a shard removed": Scenario(lambda folder: (folder / "shards" / "2.jsonl").unlink()),
    "all of these in batches": Scenario(_several, _in_batches, _in_batches),
    "other settings": Scenario(_nothing, _with_other_settings, _with_other_settings),
    "a refresh": Scenario(_several, selects=True),
    "between refreshes": Scenario(_several, _pinned, _pinned, selects=True),
    "forgetting": Scenario(_nothing, _forget, _forget),
    "forgetting, then a rebuild": Scenario(_nothing, _forget),
}


def _tables(corpus: SmallCorpus, selects: bool) -> list[object]:
    warehouse, names = corpus.warehouse, (*CHECKED, *(_SELECTED if selects else ()))
    root = resolve(str(warehouse))
    release, states = read_release(root), {name: read_content(DeltaTable(warehouse / name)) for name in names}
    assert release
    assert [name for name, content in states.items() if not release.holds(name, content.rows)] == []
    return [loaded_shards(warehouse), *(table(warehouse, name) for name in names)]


@pytest.mark.parametrize("most", [_TRIED, pytest.param(9999, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_killed_at_any_operation_is_completed_by_the_next(
    world: SmallCorpus,
    name: str,
    most: int,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario, warehouse = SCENARIOS[name], world.warehouse
    if scenario.selects:
        select_without_spark(monkeypatch)
        admit_every_pivot(world)
        for number in range(4):
            write_shard(world.folder, number, seed=number, n_lines=10)
    if not scenario.first_load:
        rebuild(world)
    before = _tables(world, scenario.selects) if scenario.again is not scenario.job else None
    scenario.change(world.folder)
    with store_states(warehouse) as states:
        scenario.job(world)
    after, n_orphans = _tables(world, scenario.selects), 0
    tried = states.found[:: max(1, len(states.found) // most)]
    assert tried
    for operation, tree in tried:
        write_tree(warehouse, as_killed(tree))
        scenario.again(world)
        # A rebuild completes what was requested only from the commit of the block list on.
        wanted = after if before is None or _IS_BLOCKED in tree else before
        assert _tables(world, scenario.selects) == wanted, f"after a kill before: {operation}"
        n_orphans += len(orphans(warehouse))
    maintain(world)
    assert not orphans(warehouse)
    record_property("kills", (name, len(states.found), len(tried), n_orphans))
