"""The table ``shards``: the shards whose records are in the tables, and how a listing differs from it.

It records the versions of ``documents`` and ``quarantine`` that hold these shards and is committed after them, so that
a stopped run leaves them ahead, to be rolled back by the next.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jobs.warehouse.delta.open_table import stored_rows
from pivot_udfs.shards.list_shards import Shard
from pivot_udfs.storage.location import Location

LOADED, LOADING = "loaded", "loading"
"""Values of ``status``; LOADING: more batches of the run are to come, so that ``documents`` lacks shards."""
_N_NAMED = 5


class LoadedShard(NamedTuple):
    """A row of ``shards``."""

    shard: str
    content_id: str
    n_bytes: int
    modified_ns: int
    n_docs: int
    n_rejected: int
    n_tokens: int
    batch: int
    n_blocked: int = 0
    status: str = LOADED


@dataclass(frozen=True)
class ShardChanges:
    """How the shards that are listed differ from those that are loaded."""

    added: Sequence[Shard] = ()
    """Shards to read: new ones, and those whose content has changed."""
    removed: frozenset[str] = frozenset()
    """Loaded shards whose rows must go: those not listed any more, and those whose content has changed."""
    touched: Sequence[Shard] = ()
    """Shards of unchanged content and another time of change."""

    def __str__(self) -> str:
        changed = sum(shard.path in self.removed for shard in self.added)
        numbers = {
            "new": len(self.added) - changed,
            "changed": changed,
            "gone": len(self.removed) - changed,
            "touched": len(self.touched),
        }
        paths = [*(shard.path for shard in self.added), *sorted(self.removed), *(shard.path for shard in self.touched)]
        names = list(dict.fromkeys(path.rpartition("/")[2] for path in paths))
        shown = ", ".join(names[:_N_NAMED]) + (", ..." if len(names) > _N_NAMED else "")
        return f"shards: {', '.join(f'{number:,} {kind}' for kind, number in numbers.items() if number)} ({shown})"

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.touched)


def read_loaded(table: Location, version: int | None = None) -> dict[str, LoadedShard]:
    """The rows of a version (None: the newest), by shard; none where there is no table."""
    return {row["shard"]: LoadedShard(**row) for row in stored_rows(table, version, LoadedShard._fields)}


def compare_shards(
    listed: Sequence[Shard],
    loaded: Mapping[str, LoadedShard],
    content_ids: Callable[[Sequence[str]], Mapping[str, str]],
    blocked: Collection[str] = (),
) -> ShardChanges:
    """Compares a listing with the table; the content of a shard is read only where its time alone has changed.

    ``content_ids`` gives the SHA-256 (hex) of the shards at given paths. Shards with a content in ``blocked`` (the
    same) that have rows nevertheless count as changed.
    """
    same_size = [s for s in listed if s.path in loaded and loaded[s.path].n_bytes == s.n_bytes]
    suspects = [s for s in same_size if not s.modified_ns or loaded[s.path].modified_ns != s.modified_ns]
    found = content_ids([shard.path for shard in suspects]) if suspects else {}
    equal = {shard.path for shard in suspects if found[shard.path] == loaded[shard.path].content_id}
    kept = {shard.path for shard in same_size} - {shard.path for shard in suspects} | equal
    held = (loaded[path] for path in kept)
    kept -= {row.shard for row in held if row.content_id in blocked and row.n_docs + row.n_rejected}
    touched = [s for s in suspects if s.path in equal & kept and s.modified_ns != loaded[s.path].modified_ns]
    return ShardChanges([s for s in listed if s.path not in kept], frozenset(loaded.keys() - kept), touched)


def batches_of(shards: Sequence[Shard], batch_bytes: int) -> list[list[Shard]]:
    """Divides shards, in order, into batches of up to ``batch_bytes`` of stored files, of one shard at least."""
    batches: list[list[Shard]] = []
    n_bytes = batch_bytes
    for shard in shards:
        if n_bytes + shard.n_bytes > batch_bytes:
            batches.append([])
            n_bytes = 0
        batches[-1].append(shard)
        n_bytes += shard.n_bytes
    return batches
