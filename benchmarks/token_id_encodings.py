"""How token ids are written to Parquet: time to write, bytes, and time to read, for each encoding of pyarrow.

    python -m benchmarks.token_id_encodings --corpus FOLDER

The column ``token_ids`` of every third document is written in row groups of 32 MB and summed (by Spark, hashed) by each
reader, which checks the values. Times are ms a MB (10**6 bytes of UTF-8) of text: CPU time to write and to read with
pyarrow, on one thread; wall time of Spark (with and without its vectorized reader, on two cores), delta-rs, DuckDB and
polars.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, QueryBuilder, Schema
from deltalake.transaction import AddAction, create_table_with_add_actions
from pyspark.sql import SparkSession

from benchmarks.common import MASTER, parse, read_documents, report, seconds, text_megabytes
from jobs.framework.spark.spark_session import start_session
from pivot_udfs.schemas import DOCUMENTS
from pivot_udfs.settings import Spark
from pivot_udfs.tokenization.backends import encoder, load_tokenizer

ROWS = pa.schema([pa.field("row", pa.int64(), nullable=False), DOCUMENTS.field("token_ids")])
_IDS = "token_ids.list.element"
_ROW_GROUP_IDS = 8 << 20


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    documents = read_documents(arguments.corpus)[::3]
    megabytes = text_megabytes(documents)
    groups = _row_groups(arguments.tokenizer, [document.text for document in documents])
    spark = start_session("benchmark", Spark(master=MASTER, conf={"spark.driver.memory": "4g"}))
    hashes: dict[str, int] = {}
    figures: dict[str, Any] = {"text_mb": round(megabytes), "ids": sum(_n_ids(group) for group in groups)}
    for name, options in _encodings().items():
        with TemporaryDirectory(dir=arguments.scratch) as folder:
            figures[name] = _measured(Path(folder), groups, options, spark, megabytes, arguments.repeats, hashes)
            print(name, figures[name], flush=True)
    spark.stop()
    report("token_id_encodings", figures)


def _row_groups(tokenizer: str, texts: list[str]) -> list[pa.Table]:
    ids, starts = encoder(load_tokenizer(tokenizer))(texts)
    lists = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), pa.array(ids, pa.int32()), type=ROWS.field(1).type)
    rows = pa.table([pa.array(range(len(lists)), pa.int64()), lists], schema=ROWS)
    step = max(1, len(lists) * _ROW_GROUP_IDS // max(1, len(ids)))
    return [rows.slice(first, step) for first in range(0, len(lists), step)]


def _encodings() -> dict[str, dict[str, Any]]:
    """Options of ``ParquetWriter`` by name."""
    plain: dict[str, Any] = {"use_dictionary": False}
    delta = plain | {"column_encoding": {_IDS: "DELTA_BINARY_PACKED"}}
    split = plain | {"column_encoding": {_IDS: "BYTE_STREAM_SPLIT"}}
    kinds = {"plain": plain, "dictionary": {"use_dictionary": [_IDS]}, "delta_binary_packed": delta}
    by_level = {
        f"{name}_zstd_{level}": options | {"compression_level": level}
        for name, options in kinds.items()
        for level in (-3, 1, 3)
    }
    return by_level | {
        "plain_zstd_1_pages_of_256_kb": plain | {"compression_level": 1, "data_page_size": 1 << 18},
        "plain_zstd_1_pages_of_4_mb": plain | {"compression_level": 1, "data_page_size": 1 << 22},
        "plain_zstd_1_data_page_v2": plain | {"compression_level": 1, "data_page_version": "2.0"},
        "delta_binary_packed_zstd_1_data_page_v2": delta | {"compression_level": 1, "data_page_version": "2.0"},
        "delta_binary_packed_snappy": delta | {"compression": "snappy"},
        "byte_stream_split_zstd_1": split | {"compression_level": 1},
    }


def _measured(
    folder: Path,
    groups: list[pa.Table],
    options: dict[str, Any],
    spark: SparkSession,
    megabytes: float,
    repeats: int,
    hashes: dict[str, int],
) -> dict[str, Any]:
    path, expected = folder / "part.parquet", sum(_sum_of_ids(group) for group in groups)
    write = min(_cpu_seconds(lambda: _write(path, groups, options)) for _ in range(repeats))
    n_bytes = path.stat().st_size
    action = AddAction(path.name, n_bytes, {}, 0, True, "{}")
    create_table_with_add_actions(str(folder), Schema.from_arrow(ROWS), [action], "error", [])
    read = min(_cpu_seconds(lambda: pq.read_table(path, use_threads=False)) for _ in range(repeats))
    figures = {"write": write, "read_pyarrow": read}
    failed = {}
    for name, read_ids in _readers(folder, spark).items():
        try:
            value = read_ids()
            assert value == (hashes.setdefault("token_ids", value) if "spark" in name else expected), name
            figures[f"read_{name}"] = min(seconds(read_ids) for _ in range(repeats))
        except Exception as error:
            failed[f"read_{name}"] = f"fails: {type(error).__name__}"
    in_ms = {name: round(value * 1e3 / megabytes, 2) for name, value in figures.items()}
    return {"bytes_per_byte_of_text": round(n_bytes / megabytes / 1e6, 3), **in_ms, **failed}


def _write(path: Path, groups: list[pa.Table], options: dict[str, Any]) -> None:
    given = {"compression": "zstd", "write_statistics": ["row"], "store_schema": False} | options
    with pq.ParquetWriter(path, ROWS, **given) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=max(1, group.num_rows))


def _readers(folder: Path, spark: SparkSession) -> dict[str, Callable[[], int]]:
    """Each reads all token ids of the table and returns their sum, Spark a hash."""

    def with_spark(vectorized: str) -> int:
        spark.conf.set("spark.sql.parquet.enableVectorizedReader", vectorized)
        return int(
            spark.read.format("delta").load(str(folder)).selectExpr("bit_xor(xxhash64(token_ids))").collect()[0][0]
        )

    def with_delta_rs() -> int:
        query = "select sum(cast(id as bigint)) as total from (select unnest(token_ids) as id from t)"
        read = QueryBuilder().register("t", DeltaTable(str(folder))).execute(query).read_all()
        return int(pa.table(read).column("total")[0].as_py())

    pattern = str(folder / "*.parquet")
    query = f"select sum(list_sum(token_ids)) from read_parquet('{pattern}')"  # noqa: S608
    return {
        "spark_vectorized": lambda: with_spark("true"),
        "spark_row_reader": lambda: with_spark("false"),
        "delta_rs": with_delta_rs,
        "duckdb": lambda: int(duckdb.sql(query).fetchall()[0][0]),
        "polars": lambda: int(
            polars.scan_parquet(pattern)
            .select(polars.col("token_ids").list.eval(polars.element().cast(polars.Int64)).list.sum().sum())
            .collect()
            .item()
        ),
    }


def _n_ids(group: pa.Table) -> int:
    return sum(len(chunk.flatten()) for chunk in group.column("token_ids").chunks)


def _sum_of_ids(group: pa.Table) -> int:
    return sum(int(chunk.flatten().to_numpy().sum(dtype="int64")) for chunk in group.column("token_ids").chunks)


def _cpu_seconds(body: Callable[[], Any]) -> float:
    start = time.process_time()
    body()
    return time.process_time() - start


if __name__ == "__main__":
    main()
