"""Removes blocked documents and shards from tables.

The block list is committed before: a run that is stopped between two commits is completed by the next run of
``forget_documents`` or ``tokenize_corpus``, since ``shards`` records the block list that was applied.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import NamedTuple

from jobs.framework.stage import Run
from jobs.framework.task_sizes import SHORT_COLUMNS_BYTES, read_mapped
from jobs.loading.compare_shards import LoadedShard
from jobs.loading.replace_shards import commit_shards, files_without
from jobs.warehouse.delta.table_files import files_between
from pivot_udfs.errors import ConfigError, WarehouseError
from pivot_udfs.forget_documents import FOUND, SOURCES, find_blocked, is_blocked, read_sources
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import BLOCK_LIST
from pivot_udfs.shards.block_list import Blocked, BlockList
from pivot_udfs.storage.read_parquet import APART, read_files, table_in
from pivot_udfs.storage.typed_columns import pylist
from pivot_udfs.storage.write_parquet import WrittenFile


class Found(NamedTuple):
    """Blocked records of one shard in one file of a table that one entry of the block list blocks."""

    file: str
    """Its path in the warehouse."""
    file_rows: int
    in_shard: str
    entry: Blocked
    n_records: int
    n_tokens: int

    @property
    def table(self) -> str:
        """The table of the file."""
        return table_in(self.file)


_LOADED = ("quarantine", "documents")
"""The tables of records, in the order of their commits."""


def find_records(run: Run, blocks: BlockList, tables: Iterable[str] = _LOADED) -> list[Found]:
    """The blocked records that tables still have.

    Reads the keys of files whose statistics allow for one.
    """
    sources, files = {*blocks.sources, *blocks.doc_ids}, dict[str, int]()
    for table in tables:
        location = run.warehouse.location(table)
        near = files_between(location, "source", sources) | files_between(location, "shard", blocks.shards)
        files |= {f"{table}/{path}": n_bytes for path, n_bytes in near.items()}
    step = partial(find_blocked, folder=run.warehouse.root.uri, blocks=blocks)
    columns = [column.to_pylist() for column in read_mapped(run.spark, files, step, FOUND, SHORT_COLUMNS_BYTES).columns]
    return [
        Found(file, file_rows, in_shard, Blocked(source, doc_id, shard), n_records, n_tokens)
        for file, file_rows, in_shard, source, doc_id, shard, n_records, n_tokens in zip(*columns, strict=True)
    ]


def sources_named(run: Run, given: Sequence[str]) -> tuple[set[str], list[str]]:
    """Names of sources, and globs as the sources of records that have or match them; and globs that match none.

    Raises ConfigError where a name is empty.
    """
    if not all(given):
        raise ConfigError("--sources has an empty name, perhaps of a shell variable that is not set")
    globs = [name for name in given if any(character in name for character in "*?[")]
    tables = _LOADED if globs else ()
    files = {f"{table}/{path}": n for table in tables for path, n in run.warehouse.files(table).items()}
    step = partial(read_sources, folder=run.warehouse.root.uri)
    there = set(pylist(read_mapped(run.spark, files, step, SOURCES, SHORT_COLUMNS_BYTES)["source"]))
    named = {glob: {glob} & there or {source for source in there if fnmatchcase(source, glob)} for glob in globs}
    names = {name for name in given if name not in named}
    return names.union(*named.values()), [glob for glob, sources in named.items() if not sources]


def without_documents(run: Run, sources: Collection[str]) -> set[str]:
    """Those of some sources that no scored document has; reads one column of as few files as show the others."""
    scores, left = run.warehouse.location("document_scores"), set(sources)
    for rows in read_files([*files_between(scores, "source", sources)], scores.uri, SOURCES):
        left.difference_update(rows.column(0).unique().to_pylist())
        if not left:
            break
    return left


def forget_blocked(run: Run, blocks: BlockList, loaded: dict[str, LoadedShard]) -> dict[str, LoadedShard]:
    """Completes what was blocked after ``shards`` was committed; returns the rows of ``shards`` after that."""
    if run.unapplied_block_list() is None:
        return loaded
    return remove_records(run, blocks, find_records(run, blocks), loaded)


def remove_records(
    run: Run, blocks: BlockList, found: Sequence[Found], loaded: Mapping[str, LoadedShard]
) -> dict[str, LoadedShard]:
    """Removes the blocked records that were found, and blocked shards; returns the rows of ``shards`` after that.

    They are first put into files of their own, so that counting their difference reads no others. The commits that
    remove these name the block list.
    """
    provenance, changes = _provenance(run), _rewritten(run, found, blocks, apart=_LOADED)
    for table in (table for table in _LOADED if table in changes):
        change = changes[table]
        if change.mixed:
            run.warehouse.commit(table, [*change.kept, *change.apart], None, change.mixed)
        removed = [*change.whole, *(file["path"] for file in change.apart)]
        run.warehouse.commit(table, [], provenance, removed, run.warehouse.rows([BLOCK_LIST]))
    rows = rows_after(found, {path: row for path, row in loaded.items() if path not in blocks.shards})
    commit_shards(run.warehouse, rows.values(), provenance, run.warehouse.rows((*_LOADED, BLOCK_LIST)))
    return rows


def rows_after(found: Collection[Found], loaded: Mapping[str, LoadedShard]) -> dict[str, LoadedShard]:
    """The rows of ``shards`` without the numbers of documents and rejected records that were found in these shards."""
    rows = dict(loaded)
    for each in found:
        n_of = "n_docs" if each.table == "documents" else "n_rejected"
        if row := rows.get(each.in_shard):
            rows[each.in_shard] = row._replace(
                **{n_of: getattr(row, n_of) - each.n_records},
                n_tokens=row.n_tokens - each.n_tokens,
                n_blocked=row.n_blocked + each.n_records,
            )
    return rows


def forget_rows(run: Run, tables: Mapping[str, Provenance], blocks: BlockList) -> None:
    """Removes the rows of blocked documents from tables of one row a document, with the provenance of each after that.

    The other rows stay as they are: those of each document depend on no other one.
    """
    changes = _rewritten(run, find_records(run, blocks, tables), blocks)
    for table, provenance in tables.items():
        change = changes.get(table, _Rewritten([], [], [], []))
        run.warehouse.commit(table, change.kept, provenance, [*change.whole, *change.mixed])


class _Rewritten(NamedTuple):
    """The files of a table with blocked rows: paths in the table."""

    whole: list[str]
    """Files without other rows."""
    mixed: list[str]
    """Files with other rows, too."""
    kept: list[WrittenFile]
    """New files with the other rows of ``mixed``."""
    apart: list[WrittenFile]
    """New files with the blocked rows of ``mixed``; none unless they are asked for."""


def _rewritten(
    run: Run, found: Sequence[Found], blocks: BlockList, apart: Collection[str] = ()
) -> dict[str, _Rewritten]:
    """By table; those of ``apart`` with files of what is blocked."""
    blocked, rows = defaultdict[str, int](int), {each.file: each.file_rows for each in found}
    for each in found:
        blocked[each.file] += each.n_records
    tables = {each.table for each in found}
    sizes = {f"{table}/{path}": n for table in tables for path, n in run.warehouse.files(table).items()}
    mixed = {file: sizes[file] for file, n_rows in rows.items() if blocked[file] < n_rows}
    new = files_without(run.warehouse, mixed, partial(is_blocked, blocks=blocks), apart)
    return {
        table: _Rewritten(
            [file.removeprefix(f"{table}/") for file in rows if table_in(file) == table and file not in mixed],
            [file.removeprefix(f"{table}/") for file in mixed if table_in(file) == table],
            new.get(table, []),
            new.get(f"{APART}{table}", []),
        )
        for table in tables
    }


def _provenance(run: Run) -> Provenance:
    """That of the rows that stay: forgetting depends on no setting."""
    content = run.warehouse.content("documents")
    if content is None or content.provenance is None:
        path = run.warehouse.table_path("documents")
        raise WarehouseError(f"{path} has no provenance: run rebuild_corpus, which keeps blocked documents out")
    return content.provenance
