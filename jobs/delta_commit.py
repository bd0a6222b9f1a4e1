"""Commits Parquet files that workers wrote as the new content of a Delta table: one atomic transaction.

It goes through Delta Lake's own transaction in the JVM (its log store, its conflict check), with the actions given
as the JSON of the Delta protocol. The jars are pinned, and a test reads back what is committed here.
"""

import json
import time
import uuid
from typing import Any

import pyarrow as pa
from pyspark.sql import Row, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


def qualified(spark: SparkSession, path: str) -> str:
    """A path with its scheme, as Hadoop's configuration resolves it: ``file:/...``, ``hdfs://...``, ``s3a://...``."""
    jvm: Any = spark._jvm
    place = jvm.org.apache.hadoop.fs.Path(path)
    store = place.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf())
    return str(store.makeQualified(place).toString())


def commit_files(spark: SparkSession, uri: str, schema: pa.Schema, files: list[Row], user_metadata: str) -> int:
    """Makes ``files`` the whole content of the table at ``uri``, creating it where there is none.

    Args:
        spark: the session.
        uri: the table's folder, qualified.
        schema: of the rows.
        files: rows of ``pivot_udfs.write_parquet.FILES``; the files lie in the folder.
        user_metadata: of the commit.

    Returns:
        the table's version after the commit.
    """
    jvm: Any = spark._jvm
    delta = jvm.org.apache.spark.sql.delta
    transaction = delta.DeltaLog.forTable(spark._jsparkSession, uri).startTransaction()
    wanted = _as_nullable(json.loads(from_arrow_schema(schema).json()))
    exists = transaction.readVersion() >= 0
    if not exists:
        transaction.updateMetadataForNewTable(_action(spark, {"metaData": _metadata(wanted)}))
    elif json.loads(transaction.metadata().schemaString()) != wanted:
        transaction.updateMetadataForTableOverwrite(_action(spark, {"metaData": _metadata(wanted)}))
    now = int(time.time() * 1000)
    actions = [file.remove() for file in _sequence(spark, transaction.filterFiles())]
    actions += [_action(spark, {"add": _add(file, now)}) for file in files]
    spark.conf.set(_USER_METADATA, user_metadata)
    try:
        operation = getattr(delta, "DeltaOperations$ManualUpdate$")
        return int(transaction.commit(_scala(spark, actions), getattr(operation, "MODULE$")))
    finally:
        spark.conf.unset(_USER_METADATA)


def _metadata(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps(schema, separators=(",", ":")),
        "partitionColumns": [],
        "configuration": {},
        "createdTime": int(time.time() * 1000),
    }


def _add(file: Row, now: int) -> dict[str, Any]:
    return {
        "path": file["path"],
        "partitionValues": {},
        "size": file["n_bytes"],
        "modificationTime": now,
        "dataChange": True,
        "stats": file["stats"],
    }


def _as_nullable(kind: Any) -> Any:
    """A schema's JSON with every field nullable, which is how Delta keeps the schemas of frames."""
    if isinstance(kind, dict):
        relaxed = {key: _as_nullable(value) for key, value in kind.items()}
        return {key: True if key in ("nullable", "containsNull") else value for key, value in relaxed.items()}
    return [_as_nullable(item) for item in kind] if isinstance(kind, list) else kind


def _action(spark: SparkSession, action: dict[str, Any]) -> Any:
    jvm: Any = spark._jvm
    return jvm.org.apache.spark.sql.delta.actions.Action.fromJson(json.dumps(action, ensure_ascii=False))


def _scala(spark: SparkSession, items: list[Any]) -> Any:
    jvm: Any = spark._jvm
    values = jvm.java.util.ArrayList()
    for item in items:
        values.add(item)
    return jvm.scala.jdk.javaapi.CollectionConverters.asScala(values).toSeq()


def _sequence(spark: SparkSession, items: Any) -> Any:
    jvm: Any = spark._jvm
    return list(jvm.scala.jdk.javaapi.CollectionConverters.asJava(items))
