"""Refuses tables of a release that hold what was forgotten since the release was made."""

from dataclasses import replace
from functools import cache

import pyarrow as pa

from jobs.warehouse.delta.commit_history import has_lost, maintained_version, read_content
from jobs.warehouse.delta.open_table import data_files, missing_version, open_delta, stored_rows
from jobs.warehouse.releases import Release, open_released
from pivot_udfs.errors import WarehouseError
from pivot_udfs.forget_documents import is_blocked
from pivot_udfs.provenance import TableVersion
from pivot_udfs.schemas import BLOCK_LIST
from pivot_udfs.shards.block_list import Blocked, BlockList
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.read_parquet import read_files

RECORD_TABLES = ("documents", "quarantine", "document_scores", "selection_cuts")
"""The tables, beside datasets, that hold rows of single records, or name them."""
_KEY = pa.schema([(name, pa.string()) for name in ("source", "doc_id", "shard")])


class ForgottenRecords:
    """What a release (None: the newest tables) has of the records that the newest block list names."""

    def __init__(self, root: Location, release: Release | None) -> None:
        self._root, self._release = root, release
        self._why_not = cache(self._look)

    def check(self, table: str) -> None:
        """Raises WarehouseError where a table holds or names a blocked record, MissingVersionError where that is lost.

        ``documents`` answers for all tables of the release that were made from it.
        """
        if table in RECORD_TABLES or table.startswith("datasets/"):
            is_released = self._release is None or table in self._release.versions
            if why := self._why_not("documents" if is_released and table != "quarantine" else table):
                raise WarehouseError(why)

    def _look(self, table: str) -> str | None:
        """Why a table is not read; None where it may be."""
        if (blocked := open_delta(self._root.child(BLOCK_LIST))) is None:
            return None
        shards = open_delta(self._root.child("shards"))
        listed, applied = read_content(blocked).rows, read_content(shards).tables if shards else {}
        if shards and applied.get(BLOCK_LIST) != listed:
            return f"{self._root.child(BLOCK_LIST)} is {listed}, which was not applied yet: run rebuild_corpus"
        if self._holds_blocked(table, applied.get(table)):
            remedy = "choose a newer release" if table in RECORD_TABLES else "remove it, as no stage makes it again"
            return f"{self._root.child(table)} holds what was forgotten since: {remedy}"
        return None

    def _holds_blocked(self, table: str, clean: TableVersion | None) -> bool:
        """Whether a table has blocked records in files that its rows without these, ``clean``, do not have."""
        location = self._root.child(table)
        opened = open_released(location, table, self._release)
        if opened is None or opened[1].rows == clean:
            return False
        known = _files(location, clean) if clean else {}
        files, blocks = [path for path in data_files(opened[0]) if path not in known], self._blocks()
        try:
            return any(is_blocked(rows, blocks).true_count for rows in read_files(files, location.uri, _KEY))
        except FileNotFoundError:
            raise missing_version(location, int(opened[0].version()), "its files were removed") from None

    def _blocks(self) -> BlockList:
        """The newest block list, with those shards of the release that have a blocked content."""
        rows = stored_rows(self._root.child(BLOCK_LIST), columns=Blocked._fields)
        blocks, shards = BlockList.of(Blocked(**row) for row in rows), self._root.child("shards")
        opened = open_released(shards, "shards", self._release) if blocks.content_ids else None
        loaded = stored_rows(shards, opened[0].version(), ("shard", "content_id")) if opened else []
        copies = {row["shard"] for row in loaded if row["content_id"] in blocks.content_ids}
        return replace(blocks, shards=blocks.shards | copies)


def _files(table: Location, rows: TableVersion) -> dict[str, int]:
    """The files with rows that a table had; none where they are lost."""
    newest = open_delta(table)
    if newest is None or has_lost(newest, rows):
        return {}
    return data_files(open_delta(table, maintained_version(newest, rows.version)))
