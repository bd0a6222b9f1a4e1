"""The warehouse: every table is read and written here, and every commit says what made it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pyarrow as pa
from delta.exceptions import DeltaConcurrentModificationException
from delta.tables import DeltaTable
from pyspark import StorageLevel
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.warehouse.commit import commit_files, written_by_another
from jobs.warehouse.lineage import Commit, Content, as_json, read_content
from jobs.warehouse.lineage import Recipe as Recipe
from pivot_udfs.errors import WarehouseError
from pivot_udfs.schemas import DATASET, TABLES
from pivot_udfs.storage.stores import Location, resolve
from pivot_udfs.storage.write_parquet import FILES, TableStep, step_to_files, step_to_rows

MAKERS = {
    "documents": "tokenize_corpus",
    "quarantine": "tokenize_corpus",
    "corpus_totals": "count_cooccurrence",
    "token_totals": "count_cooccurrence",
    "word_totals": "count_cooccurrence",
    "word_cooccurrence": "count_cooccurrence",
    "token_cooccurrence": "count_cooccurrence",
    "pair_pivots": "find_pivots",
    "pivots": "find_pivots",
    "document_scores": "score_documents",
}
Check = Callable[[dict[str, int]], None]
"""Told the number of rows of each table; raises where they are not what they must be."""
_RECENT = 20
"""Commits of a table's log that are read at first."""
_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


class Warehouse:
    """The Delta tables under one path.

    Args:
        spark: the session.
        path: table t lies at ``<path>/<t>``.
        workers_write: whether Python workers may write files themselves.
    """

    def __init__(self, spark: SparkSession, path: str, workers_write: bool = True) -> None:
        self.spark = spark
        self._workers_write = workers_write
        self.path = path.rstrip("/")
        self._folder = resolve(path)
        self._known: dict[str, Content | None] = {}

    def table_path(self, name: str) -> str:
        """The path of a table, for messages."""
        return str(self.location(name))

    def location(self, name: str) -> Location:
        """The folder of a table."""
        return self._folder.child(name)

    def version(self, name: str) -> int | None:
        """The version that made a table's newest rows, None where there is no table; OPTIMIZE makes none."""
        content = self.content(name)
        return content.version if content else None

    def recipe(self, name: str) -> Recipe | None:
        """What made a table's newest rows; None where there is no table, or its log does not say."""
        content = self.content(name)
        return content.recipe if content else None

    def content(self, name: str) -> Content | None:
        """Where a table stands, asked of Delta once and again after this warehouse has written."""
        if name not in self._known:
            self._known[name] = self._ask(name)
        return self._known[name]

    def _ask(self, name: str) -> Content | None:
        if not DeltaTable.isDeltaTable(self.spark, self.location(name).hadoop_path):
            return None
        table = DeltaTable.forPath(self.spark, self.location(name).hadoop_path)
        content = read_content(_commits(table, _RECENT))
        return content if content.recipe or not content.oldest else read_content(_commits(table))

    def read(self, name: str, version: int | None = None) -> DataFrame:
        """A table, at its newest version or with the rows that a given one made.

        Raises:
            WarehouseError: it is not there, lacks a column, or is not this project's.
        """
        schema = _schema(name)
        try:
            reader = self.spark.read.format("delta")
            reader = reader.option("versionAsOf", self._readable(name, version)) if version is not None else reader
            frame = reader.load(self.location(name).hadoop_path)
        except AnalysisException as error:
            hint = f"run {MAKERS.get(name, 'filter_documents')} first, or mend warehouse.path"
            reason = str(error).splitlines()[0][:200]
            raise WarehouseError(f"no table {name} at {self.table_path(name)} ({reason}): {hint}") from None
        missing = [column for column in schema.names if column not in frame.columns]
        if missing:
            raise WarehouseError(
                f"{self.table_path(name)} has no column {', '.join(missing)}; it has {', '.join(frame.columns)}: "
                f"it was not written by {MAKERS.get(name, 'filter_documents')}; choose another warehouse.path"
            )
        return frame

    def _readable(self, name: str, version: int) -> int:
        """The newest version with the same rows: VACUUM may have removed the files from before an OPTIMIZE."""
        content = self.content(name)
        return content.newest if content and content.version == version else version

    def write(self, frame: DataFrame, name: str, recipe: Recipe) -> int:
        """Replaces a table in one commit and returns its version; earlier versions stay readable.

        Raises:
            WarehouseError: a table that this project did not write lies there, or another run writes it.
        """
        self._refuse_foreign(name)
        columns = _schema(name).names
        writer = frame.select(*columns).write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        with self._alone(name):
            writer.option("userMetadata", as_json(recipe)).save(self.location(name).hadoop_path)
        return self._written(name)

    def write_from_workers(
        self, rows: DataFrame, step: TableStep, names: Sequence[str], recipe: Recipe, check: Check | None = None
    ) -> None:
        """Replaces tables, each in one commit as ``write`` does, by what a step makes of rows in one pass.

        Where the workers can reach the store by themselves, they write the files and the driver commits them;
        else Spark writes one table after the other.

        Args:
            rows: what the step reads.
            step: makes the tables' rows.
            names: of the tables.
            recipe: of the tables.
            check: if it raises, no table gets the recipe: it is called before the commits or, where Spark writes,
                between a commit that only marks the table as unchecked and one that adds the recipe.
        """
        for name in names:
            self._refuse_foreign(name)
        uris = {name: self.location(name).uri for name in names}
        if not self._workers_write:
            return self._write_each(rows, step, names, recipe, check)
        written = rows.mapInArrow(partial(step_to_files, step=step, uris=uris), from_arrow_schema(FILES)).collect()
        files = {name: [file for file in written if file["table"] == name] for name in names}
        if check:
            check({name: sum(file["n_records"] for file in of_table) for name, of_table in files.items()})
        for name in names:
            version = commit_files(uris[name], _schema(name), files[name], as_json(recipe))
            self._known[name] = Content(version, version, recipe, version)
        return None

    def _write_each(
        self, rows: DataFrame, step: TableStep, names: Sequence[str], recipe: Recipe, check: Check | None
    ) -> None:
        rows = rows.persist(StorageLevel.MEMORY_AND_DISK) if len(names) > 1 else rows
        try:
            for name in names:
                schema = _schema(name)
                one = partial(step_to_rows, step=step, table=name, schema=schema)
                made = replace(recipe, fingerprint="") if check else recipe
                self.write(rows.mapInArrow(one, from_arrow_schema(schema)), name, made)
        finally:
            rows.unpersist()
        if check:
            check({name: self.read(name).count() for name in names})
            for name in names:
                self._seal(name, recipe)

    def _seal(self, name: str, recipe: Recipe) -> None:
        """A commit that gives a checked table its recipe and leaves its rows."""
        path = self.location(name).hadoop_path.replace("`", "``")
        self.spark.conf.set(_USER_METADATA, as_json(recipe))
        try:
            with self._alone(name):
                self.spark.sql(
                    f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('semantic_pivots.checked' = '{recipe.fingerprint}')"
                )
        finally:
            self.spark.conf.unset(_USER_METADATA)
        self._written(name)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        try:
            yield
        except DeltaConcurrentModificationException as error:
            raise written_by_another(self.table_path(name), str(error)) from None

    def _refuse_foreign(self, name: str) -> None:
        content = self.content(name)
        if content is None or content.recipe:
            return
        if content.oldest:
            self.read(name)  # the recipe went with the old part of the log: the columns must do
            return
        raise WarehouseError(
            f"{self.table_path(name)} was not written by this project (its commits carry no recipe) and is left "
            "as it is; choose another warehouse.path"
        )

    def _written(self, name: str) -> int:
        self._known.pop(name, None)
        version = self.version(name)
        if version is None:
            raise WarehouseError(f"{self.table_path(name)} is not there after it was written: who removed it?")
        return version


def _schema(name: str) -> pa.Schema:
    return TABLES.get(name, DATASET)


def _commits(table: DeltaTable, limit: int | None = None) -> list[Commit]:
    """The commits in a table's log, newest first, all of them or the newest."""
    columns = ("version", "operation", "operationParameters", "userMetadata")
    rows = table.history(limit).select(*columns).orderBy("version", ascending=False).collect()
    return [Commit(row[0], row[1], row[2] or {}, row[3]) for row in rows]
