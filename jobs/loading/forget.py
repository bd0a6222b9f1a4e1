"""Removes blocked documents and shards from ``documents``, ``quarantine`` and ``shards``.

The block list is committed before: a run that is stopped between two commits is completed by the next run of
``forget_documents`` or ``tokenize_corpus``, since ``shards`` records the block list that was applied.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import NamedTuple

from jobs.framework.stage import Run
from jobs.framework.task_sizes import map_files
from jobs.loading.loaded_shards import LoadedShard
from jobs.loading.replace_shards import commit_shards, files_without
from jobs.warehouse.table_files import files_between
from pivot_udfs.errors import ConfigError, WarehouseError
from pivot_udfs.forget_documents import FOUND, SOURCES, find_blocked, is_blocked, read_sources
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import BLOCK_LIST, table_of
from pivot_udfs.shards.block_list import Blocked, BlockList


class Found(NamedTuple):
    """Blocked records of one shard in one file of a table that one entry of the block list blocks."""

    file: str
    file_rows: int
    in_shard: str
    entry: Blocked
    n_records: int
    n_tokens: int


def find_records(run: Run, table: str, blocks: BlockList) -> list[Found]:
    """The blocked records that ``documents`` or ``quarantine`` still has.

    Reads the keys of files whose statistics allow for one.
    """
    location = run.warehouse.location(table)
    sources = {*blocks.sources, *blocks.doc_ids}
    files = files_between(location, "source", sources) | files_between(location, "shard", blocks.shards)
    if not files:
        return []
    step = partial(find_blocked, folder=location.uri, schema=table_of(table).schema, blocks=blocks)
    return [
        Found(row[0], row[1], row[2], Blocked(row.source, row.doc_id, row.shard), row.n_records, row.n_tokens)
        for row in map_files(run.spark, files, step, FOUND).collect()
    ]


def sources_named(run: Run, given: Sequence[str]) -> tuple[set[str], list[str]]:
    """Names of sources, and globs as the sources of documents that have or match them; and globs that match none.

    Raises ConfigError where a name is empty.
    """
    if not all(given):
        raise ConfigError("--sources has an empty name, perhaps of a shell variable that is not set")
    globs = [name for name in given if any(character in name for character in "*?[")]
    files = run.warehouse.files("documents") if globs else {}
    step = partial(read_sources, folder=run.warehouse.location("documents").uri)
    rows = map_files(run.spark, files, step, SOURCES).collect() if files else []
    there = {row.source for row in rows}
    named = {glob: {glob} & there or {source for source in there if fnmatchcase(source, glob)} for glob in globs}
    names = {name for name in given if name not in named}
    return names.union(*named.values()), [glob for glob, sources in named.items() if not sources]


def forget_blocked(run: Run, blocks: BlockList, loaded: dict[str, LoadedShard]) -> dict[str, LoadedShard]:
    """Completes what was blocked after ``shards`` was committed; returns the rows of ``shards`` after that."""
    if run.unapplied_block_list() is None:
        return loaded
    return remove_records(run, blocks, find_records(run, "documents", blocks), loaded)


def remove_records(
    run: Run, blocks: BlockList, found: Sequence[Found], loaded: Mapping[str, LoadedShard]
) -> dict[str, LoadedShard]:
    """Removes blocked rejected records, the blocked documents that were found, and blocked shards.

    Returns the rows of ``shards`` after that.
    """
    provenance, rejected = _provenance(run), find_records(run, "quarantine", blocks)
    _rewrite(run, "quarantine", blocks, rejected, provenance)
    _rewrite(run, "documents", blocks, found, provenance)
    rows = rows_after(found, {path: row for path, row in loaded.items() if path not in blocks.shards}, rejected)
    tables = run.warehouse.rows(("quarantine", "documents", BLOCK_LIST))
    commit_shards(run.warehouse, rows.values(), provenance, tables)
    return rows


def rows_after(
    found: Collection[Found], loaded: Mapping[str, LoadedShard], rejected: Collection[Found] = ()
) -> dict[str, LoadedShard]:
    """The rows of ``shards`` without the numbers of documents and rejected records that were found in these shards."""
    rows = dict(loaded)
    for n_of, each in (*(("n_docs", each) for each in found), *(("n_rejected", each) for each in rejected)):
        if row := rows.get(each.in_shard):
            rows[each.in_shard] = row._replace(
                **{n_of: getattr(row, n_of) - each.n_records},
                n_tokens=row.n_tokens - each.n_tokens,
                n_blocked=row.n_blocked + each.n_records,
            )
    return rows


def _rewrite(run: Run, table: str, blocks: BlockList, found: Sequence[Found], provenance: Provenance) -> None:
    """One commit, which names the block list, so that its difference is counted without the rows that stay."""
    blocked, rows = defaultdict[str, int](int), {each.file: each.file_rows for each in found}
    for each in found:
        blocked[each.file] += each.n_records
    mixed = [file for file, n_rows in rows.items() if blocked[file] < n_rows]
    kept = files_without(run.warehouse, table, mixed, partial(is_blocked, blocks=blocks))
    if rows:
        run.warehouse.commit(table, kept, provenance, list(rows), run.warehouse.rows([BLOCK_LIST]))


def _provenance(run: Run) -> Provenance:
    """That of the rows that stay: forgetting depends on no setting."""
    content = run.warehouse.content("documents")
    if content is None or content.provenance is None:
        path = run.warehouse.table_path("documents")
        raise WarehouseError(f"{path} has no provenance: run rebuild_corpus, which keeps blocked documents out")
    return content.provenance
