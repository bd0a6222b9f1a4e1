"""The warehouse: every table is read and written here, and every commit says what made it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from delta.tables import DeltaTable
from pyspark import StorageLevel
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.delta_commit import commit_files, qualified
from pivot_udfs.errors import WarehouseError
from pivot_udfs.schemas import DATASET, TABLES
from pivot_udfs.write_parquet import DIRECT_SCHEMES, FILES, TableStep, step_to_files, step_to_rows

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


@dataclass(frozen=True)
class Recipe:
    """What made a table: recorded as JSON in the ``userMetadata`` of its Delta commit."""

    job: str
    code_version: str
    fingerprint: str
    """Of all the rest: the same fingerprint means the same table."""
    settings: dict[str, Any]
    """``section.key`` to value, those that can change the result."""
    inputs: dict[str, int]
    """Version of each table that was read."""
    files: dict[str, str]
    """SHA-256 of the tokenizer, the lexicon, and the list of shards."""


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
        self._known: dict[str, tuple[int | None, Recipe | None]] = {}

    def table_path(self, name: str) -> str:
        """Where a table lies."""
        return f"{self.path}/{name}"

    def version(self, name: str) -> int | None:
        """The newest version of a table, None where there is none."""
        return self._made(name)[0]

    def recipe(self, name: str) -> Recipe | None:
        """What made the newest version of a table; None where there is no table, or none of this project's."""
        return self._made(name)[1]

    def _made(self, name: str) -> tuple[int | None, Recipe | None]:
        """Version and recipe, asked of Delta once and again after this warehouse has written."""
        if name not in self._known:
            self._known[name] = self._ask(name)
        return self._known[name]

    def _ask(self, name: str) -> tuple[int | None, Recipe | None]:
        if not DeltaTable.isDeltaTable(self.spark, self.table_path(name)):
            return None, None
        commits = DeltaTable.forPath(self.spark, self.table_path(name)).history().select("version", "userMetadata")
        newest_first = commits.orderBy(F.desc("version")).collect()
        # OPTIMIZE and VACUUM by hand carry no recipe: the newest commit that has one made the content.
        made = next((row["userMetadata"] for row in newest_first if row["userMetadata"]), None)
        try:
            return int(newest_first[0]["version"]), Recipe(**json.loads(made)) if made else None
        except (ValueError, TypeError):
            return int(newest_first[0]["version"]), None

    def read(self, name: str, version: int | None = None) -> DataFrame:
        """A table, at its newest or a given version.

        Raises:
            WarehouseError: it is not there, lacks a column, or is not this project's.
        """
        schema = _schema(name)
        try:
            reader = self.spark.read.format("delta")
            reader = reader.option("versionAsOf", version) if version is not None else reader
            frame = reader.load(self.table_path(name))
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

    def write(self, frame: DataFrame, name: str, recipe: Recipe) -> int:
        """Replaces a table in one commit and returns its version; earlier versions stay readable.

        Raises:
            WarehouseError: a table that this project did not write lies there.
        """
        self._refuse_foreign(name)
        columns = _schema(name).names
        writer = frame.select(*columns).write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.option("userMetadata", _as_json(recipe)).save(self.table_path(name))
        return self._written(name)

    def write_from_workers(self, rows: DataFrame, step: TableStep, names: Sequence[str], recipe: Recipe) -> None:
        """Replaces tables, each in one commit as ``write`` does, by what a step makes of rows in one pass.

        Where the workers can reach the store by themselves, they write the files and the driver commits them;
        else Spark writes one table after the other.
        """
        uris = {name: qualified(self.spark, self.table_path(name)) for name in names}
        if not self._workers_write or any(uri.split(":", 1)[0] not in DIRECT_SCHEMES for uri in uris.values()):
            return self._write_each(rows, step, names, recipe)
        for name in names:
            self._refuse_foreign(name)
        written = rows.mapInArrow(partial(step_to_files, step=step, uris=uris), from_arrow_schema(FILES)).collect()
        for name in names:
            files = [file for file in written if file["table"] == name]
            version = commit_files(uris[name], _schema(name), files, _as_json(recipe))
            self._known[name] = version, recipe
        return None

    def _write_each(self, rows: DataFrame, step: TableStep, names: Sequence[str], recipe: Recipe) -> None:
        rows = rows.persist(StorageLevel.MEMORY_AND_DISK) if len(names) > 1 else rows
        try:
            for name in names:
                schema = _schema(name)
                one = partial(step_to_rows, step=step, table=name, schema=schema)
                self.write(rows.mapInArrow(one, from_arrow_schema(schema)), name, recipe)
        finally:
            rows.unpersist()

    def _refuse_foreign(self, name: str) -> None:
        if self.version(name) is not None and self.recipe(name) is None:
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


def _as_json(recipe: Recipe) -> str:
    return json.dumps(asdict(recipe), ensure_ascii=False)
