"""Which documents a table that is made from ``documents`` does not cover yet.

The rows of such a table belong to shards. Where files of ``documents`` were added or removed, the rows of all shards in
these files are made anew, and no others: the table is then as one made from all documents.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jobs.warehouse.delta.commit_history import has_lost
from jobs.warehouse.delta.open_table import data_files, open_delta
from jobs.warehouse.delta.table_files import changed_files, files_with_shards, shards_in
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.provenance import Provenance, TableVersion, difference
from pivot_udfs.schemas import PINNED


class DocumentsToRead(NamedTuple):
    """The documents whose rows a table lacks or has of another version."""

    files: Mapping[str, int]
    """The files of ``documents`` that hold them: size in bytes by path."""
    shards: frozenset[str] | None
    """The shards, all of whose documents they are; None: all documents."""
    outdated: frozenset[str] | None
    """The shards whose rows the table has to lose; None: all rows."""

    def __str__(self) -> str:
        return "all documents" if self.shards is None else f"the documents of {len(self.shards):,} shards"


def covered_documents(warehouse: Warehouse, table: str, now: Provenance) -> TableVersion | None:
    """The rows of ``documents`` that a table was made from, where the table needs only the difference to today's.

    None where there is no such table, or it was made with anything else than ``now``, but for more or fewer rows of
    tables that are not pinned.
    """
    made, documents = warehouse.made(table), now.tables["documents"]
    if made is None or difference(made, now, same_rows=PINNED):
        return None
    before, delta = made.tables["documents"], warehouse.opened("documents")
    return before if before != documents and delta and not has_lost(delta, before) else None


def documents_to_read(warehouse: Warehouse, before: TableVersion | None, now: TableVersion) -> DocumentsToRead:
    """The documents by which a table that covers ``before`` (None: nothing) differs from one that covers ``now``.

    All documents where files by which the two differ are no longer there.
    """
    documents = warehouse.location("documents")
    changes = changed_files(documents, before.version, now.version) if before else None
    if changes is None:
        delta = open_delta(documents)
        return DocumentsToRead(data_files(delta) if delta else {}, None, None)
    outdated = shards_in(documents, changes.removed)
    shards = outdated | shards_in(documents, changes.added)
    found = files_with_shards(documents, shards)
    return DocumentsToRead(found.whole | found.mixed, shards, outdated)
