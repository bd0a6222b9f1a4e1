"""The tables of a warehouse, as jobs with Spark read and write them; ``arrow_tables`` reads without Spark.

Spark reads. Python workers write Parquet files, and the driver commits them through delta-rs, each commit with the
provenance of its rows. A run sees each table as it was when the run first looked at it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.warehouse.check_forgotten import ForgottenRecords
from jobs.warehouse.delta.commit import commit_files, roll_back, unchanged
from jobs.warehouse.delta.commit_history import Content
from jobs.warehouse.delta.open_table import LOG, add_actions, check_files, data_files, missing_version, open_delta
from jobs.warehouse.delta.refused_features import refused_feature
from jobs.warehouse.releases import TABLE as RELEASES
from jobs.warehouse.releases import open_released, read_release
from pivot_udfs.errors import DamagedTableError, WarehouseError
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.schemas import BLOCK_LIST, table_of
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.read_parquet import APART, read_files
from pivot_udfs.storage.stores import resolve
from pivot_udfs.storage.typed_columns import pylist
from pivot_udfs.storage.write_parquet import FILES, TableStep, WrittenFile, rows_of_table, step_to_files

KEPT = ("documents", BLOCK_LIST, RELEASES)
"""Tables whose damaged log is never replaced by the project itself."""


class TableSize(NamedTuple):
    """A table as a whole, not only what a run has added to it."""

    version: int
    """That made its rows."""
    rows: int
    bytes: int
    files: int


class Warehouse:
    """The Delta tables under one path: table t lies at ``<path>/<t>``; raises StoreError for an unsupported scheme.

    With the number of a release, its rows are read, and nothing must be written; raises WarehouseError where there is
    no such release, or a table of it holds what was forgotten since. ``check_marker`` is called before each commit; it
    raises where the run must not go on.
    """

    def __init__(self, spark: SparkSession, path: str, release: int | None = None) -> None:
        self.spark = spark
        self.path = path.rstrip("/")
        self.root = resolve(path)
        self.check_marker: Callable[[], None] = lambda: None
        self._release = None if release is None else read_release(self.root, release)
        self._forgotten = ForgottenRecords(self.root, self._release)
        self._known: dict[str, tuple[Content | None, DamagedTableError | None]] = {}

    def location(self, name: str) -> Location:
        """The folder of a table."""
        return self.root.child(name)

    def table_path(self, name: str) -> str:
        """Where a table lies, for messages."""
        return str(self.location(name))

    def content(self, name: str) -> Content | None:
        """The state of a table as this run found or made it; None where there is no table.

        Raises DamagedTableError where files of its log or of its rows are missing or cut.
        """
        content, damage = self._state(name)
        if damage:
            raise damage
        return content

    def _state(self, name: str) -> tuple[Content | None, DamagedTableError | None]:
        """Content and damage; only damage where the log cannot be read."""
        if name not in self._known:
            self._known[name] = self._look(name)
        return self._known[name]

    def _look(self, name: str) -> tuple[Content | None, DamagedTableError | None]:
        table, content = self.location(name), None
        if self._release:
            self._forgotten.check(name)
        try:
            if opened := open_released(table, name, self._release):
                delta, content = opened
                check_files(table, delta, content)
        except DamagedTableError as error:
            if self._release and content and name in self._release.versions:
                raise missing_version(table, content.newest, str(error)) from None
            remedy = f"run {table_of(name).maker} again (rebuild_corpus does)"
            if name == RELEASES or (name in KEPT and content is None):
                remedy = f"restore its log, or remove {self.table_path(name)} and run rebuild_corpus"
            if name == BLOCK_LIST:
                remedy = "restore it from a copy; no other table has the list of what is blocked"
            return content, DamagedTableError(f"table {name}: {error}: {remedy}")
        return content, None

    def made(self, name: str) -> Provenance | None:
        """The provenance of a table's rows; None where it has none, is damaged, or was changed by another tool."""
        content, damage = self._state(name)
        return content.provenance if content and content.exact and not damage else None

    def rows(self, names: Iterable[str]) -> dict[str, TableVersion]:
        """The identity of the rows of those tables that are there."""
        return {name: content.rows for name in names if (content := self.content(name))}

    def read(self, name: str) -> DataFrame:
        """A table with the rows that this run found or made; errors as for ``check_source``."""
        reader = self.spark.read.format("delta").option("versionAsOf", self.check_source(name).newest)
        return reader.load(self.location(name).hadoop_path)

    def read_small(self, name: str) -> pa.Table:
        """All rows of a table as ``read``, in its schema, on the driver; errors as for ``check_source``.

        Spark spends more than a core-second on the log of each table that it reads.
        """
        if not self.check_source(name).exact:  # another tool may have deleted rows without rewriting files
            return self.read(name).toArrow()
        schema = table_of(name).schema
        return pa.Table.from_batches(read_files([*self.files(name)], self.location(name).uri, schema), schema)

    def check_source(self, name: str) -> Content:
        """The state of a table that can be read, found without Spark.

        Raises WarehouseError where it is not there, is damaged, lacks a column, or is not this project's.
        """
        content, delta = self.content(name), self.opened(name)
        if content is None or delta is None:
            raise WarehouseError(
                f"there is no table {name} at {self.table_path(name)}: run {table_of(name).maker} first, "
                "or correct warehouse.path"
            )
        columns = [field.name for field in delta.schema().fields]
        if missing := [column for column in table_of(name).schema.names if column not in columns]:
            raise WarehouseError(
                f"{self.table_path(name)} has no column {', '.join(missing)}; it has {', '.join(columns)}: "
                f"it was not written by {table_of(name).maker}; choose another warehouse.path"
            )
        return content

    def files(self, name: str) -> dict[str, int]:
        """Size in bytes of each data file of a table as this run found or made it, by path; none without a table."""
        delta = self.opened(name)
        return data_files(delta) if delta else {}

    def opened(self, name: str) -> DeltaTable | None:
        """A table as this run found or made it; None where there is none."""
        content = self.content(name)
        return open_delta(self.location(name), content.newest) if content else None

    def check_target(self, name: str) -> None:
        """Makes sure before anything is computed that a table can be written.

        Raises WarehouseError where it was not written by this project or has features that delta-rs cannot commit to,
        DamagedTableError where it is damaged and the project itself does not make it again.
        """
        content, damage = self._state(name)
        if damage and (name == RELEASES or (name in KEPT and content is None)):
            raise damage
        if content is None:
            return
        delta = open_delta(self.location(name))
        feature = refused_feature(delta) if delta else None
        if feature:
            raise WarehouseError(
                f"{self.table_path(name)} has the table feature or property {feature}, with which its rows cannot be "
                "replaced: drop it (ALTER TABLE ... DROP FEATURE or UNSET TBLPROPERTIES), or choose another "
                "warehouse.path"
            )
        if content.provenance is None and content.oldest:
            self.check_source(name)  # the provenance went with the old part of the log: the columns must be right
        elif content.provenance is None:
            raise WarehouseError(
                f"{self.table_path(name)} was not written by this project (its commits carry no provenance) and stays "
                "as it is; choose another warehouse.path"
            )

    def write(self, rows: DataFrame, names: Sequence[str], provenance: Provenance, step: TableStep) -> None:
        """Replaces tables, each in one commit, as ``write_files`` and ``commit``; earlier versions stay readable."""
        files = self.write_files(rows, names, step)
        for name in names:
            self.commit(name, files[name], provenance)

    def write_files(
        self, rows: DataFrame, names: Sequence[str], step: TableStep, by_shard: Sequence[str] = ()
    ) -> dict[str, list[WrittenFile]]:
        """Lets workers write the files of tables, without a commit; returns these by table.

        ``step`` makes the tables' rows of ``rows`` in one pass; ``by_shard`` as for ``step_to_files``. Rows of a table
        under a name that begins with ``APART`` have files of their own.
        """
        uris = {name: self.location(name.removeprefix(APART)).uri for name in names}
        write = partial(step_to_files, step=step, uris=uris, by_shard=by_shard)
        written = rows.mapInArrow(write, from_arrow_schema(FILES)).collect()
        return {name: [cast(WrittenFile, row.asDict()) for row in written if row["table"] == name] for name in names}

    def commit(
        self,
        name: str,
        files: Sequence[WrittenFile],
        provenance: Provenance | None,
        removed: Collection[str] | None = None,
        tables: Mapping[str, TableVersion] | None = None,
    ) -> None:
        """Commits files to a table, as ``commit_files``; raises WarehouseError if a table that was read has changed."""
        self.check_marker()
        for read in provenance.tables if provenance else ():
            unchanged(self.location(read), self.content(read))
        table, (began, damage) = self.location(name), self._state(name)
        if damage and began is None:
            # Nothing can be committed onto a log that cannot be read; its data files stay until a full VACUUM.
            table.filesystem.delete_dir(table.child(LOG).path)
        schema = table_of(name).schema.with_metadata({"name": name, "description": table_of(name).description})
        self._known[name] = commit_files(table, began, schema, files, provenance, removed, tables), None

    def commit_rows(
        self,
        name: str,
        rows: Sequence[Mapping[str, Any]],
        provenance: Provenance,
        tables: Mapping[str, TableVersion] | None = None,
    ) -> None:
        """Replaces a small table by rows that the driver holds, without a Spark job; arguments as for ``commit``."""
        schema = table_of(name).schema
        batches = iter([pa.RecordBatch.from_pylist(list(rows), schema=schema)] if rows else [])
        step = partial(rows_of_table, table=name, schema=schema)
        written = step_to_files(batches, step, {name: self.location(name).uri})
        self.commit(name, [file for batch in written for file in pylist(batch)], provenance, None, tables)

    def size(self, name: str) -> TableSize | None:
        """The size of a table as this run found or made it; None where there is no table."""
        content, delta = self.content(name), self.opened(name)
        if content is None or delta is None:
            return None
        files = add_actions(delta)
        n_rows, n_bytes = (sum(pylist(files.column(column))) for column in ("num_records", "size_bytes"))
        return TableSize(content.version, n_rows, n_bytes, files.num_rows)

    def roll_back(self, name: str, rows: TableVersion) -> None:
        """Makes earlier rows of a table the newest; raises WarehouseError where they are no longer there."""
        self.check_marker()
        self._known[name] = roll_back(self.location(name), rows), None
