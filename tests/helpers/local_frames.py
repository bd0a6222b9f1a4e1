"""Frames in this process instead of Spark, for tests that run jobs hundreds of times.

They have the part of Spark's interface that the jobs use, but for the selection (``local_selection``). A frame is a
list of Arrow tables, one for each partition; steps run in this process, one partition after the other.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import Row
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from jobs import count_cooccurrence, rebuild_corpus, tokenize_corpus
from jobs.framework import run_stages
from pivot_udfs.tokenization.backends import fastest, read_tokenizer

_TYPES = {"int": pa.int32(), "long": pa.int64(), "string": pa.string()}
_read_tokenizer, _fastest = cache(read_tokenizer), cache(fastest)
"""Each file is read and probed once; no test changes one."""
_COMPARE = {"!=": pc.not_equal, ">": pc.greater}


class LocalFrame:
    """A frame with the given partitions."""

    def __init__(self, partitions: Sequence[pa.Table]) -> None:
        self.partitions = list(partitions)

    @property
    def sparkSession(self) -> "LocalSession":  # noqa: N802
        return LocalSession()

    @property
    def columns(self) -> list[str]:
        return list(self.partitions[0].column_names)

    @property
    def _whole(self) -> pa.Table:
        return pa.concat_tables(self.partitions)

    def _each(self, change: Callable[[pa.Table], pa.Table]) -> "LocalFrame":
        return LocalFrame([change(part) for part in self.partitions])

    def mapInArrow(  # noqa: N802
        self, step: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]], schema: StructType
    ) -> "LocalFrame":
        rows = to_arrow_schema(schema)
        return self._each(
            lambda part: pa.concat_tables(
                [rows.empty_table(), *(pa.table(b).cast(rows) for b in step(iter(part.to_batches())))]
            )
        )

    def select(self, *names: str) -> "LocalFrame":
        return self._each(lambda part: part.select(list(names)))

    def union(self, other: "LocalFrame") -> "LocalFrame":
        schema = self.partitions[0].schema
        return LocalFrame(
            [*self.partitions, *(part.rename_columns(schema.names).cast(schema) for part in other.partitions)]
        )

    def repartition(self, n: int, *names: str) -> "LocalFrame":
        whole = self._whole
        keys = zip(*(whole[name].to_pylist() for name in names), strict=True) if names else range(len(whole))
        places = [hash(key) % n for key in keys]
        return LocalFrame([whole.filter(pa.array([place == k for place in places], pa.bool_())) for k in range(n)])

    def repartitionById(self, n: int, name: str) -> "LocalFrame":  # noqa: N802
        whole = self._whole
        return LocalFrame([whole.filter(pc.equal(whole[name], k)) for k in range(n)])

    def sortWithinPartitions(self, *names: str) -> "LocalFrame":  # noqa: N802
        return self._each(lambda part: part.sort_by([(name, "ascending") for name in names]))

    def where(self, condition: str) -> "LocalFrame":
        if condition.endswith(" is not null"):
            return self._each(lambda part: part.filter(pc.is_valid(part[condition.split()[0]])))
        match = re.fullmatch(r"(\w+) (!=|>) (\d+)", condition)
        assert match, condition
        return self._each(lambda part: part.filter(_COMPARE[match[2]](part[match[1]], int(match[3]))))

    def collect(self) -> list[Row]:
        return [Row(**row) for row in self._whole.to_pylist()]

    def toArrow(self) -> pa.Table:  # noqa: N802
        return self._whole


@dataclass
class LocalAccumulator:
    """An accumulator."""

    value: Any
    merge: Any

    def add(self, more: Any) -> None:
        self.value = self.merge.addInPlace(self.value, more)


class LocalContext:
    """The Spark context: one core."""

    defaultParallelism, master = 1, "local[1]"  # noqa: N815

    def accumulator(self, zero: Any, merge: Any) -> LocalAccumulator:
        return LocalAccumulator(zero, merge)

    def statusTracker(self) -> "LocalContext":  # noqa: N802
        return self

    def getActiveStageIds(self) -> list[int]:  # noqa: N802
        return []

    def setJobDescription(self, _: str) -> None:  # noqa: N802
        pass


@dataclass
class LocalReader:
    """``spark.read``."""

    version: int | None = None

    def format(self, _: str) -> "LocalReader":
        return self

    def option(self, _: str, version: int) -> "LocalReader":
        return LocalReader(version)

    def load(self, path: str) -> LocalFrame:
        table = deltalake.DeltaTable(path.removeprefix("file:"), version=self.version)
        return LocalFrame([table.to_pyarrow_dataset().to_table()])


@dataclass
class LocalSession:
    """A Spark session."""

    sparkContext: LocalContext = field(default_factory=LocalContext)  # noqa: N815
    read: LocalReader = field(default_factory=LocalReader)
    conf: dict[str, str] = field(default_factory=dict)

    def range(self, start: int, end: int, step: int, n: int) -> LocalFrame:
        return LocalFrame([pa.table({"id": [number]}) for number in range(start, end, step)][:n])

    def createDataFrame(self, rows: Sequence[Sequence[Any]], ddl: str) -> LocalFrame:  # noqa: N802
        fields = [(name, _TYPES[kind]) for name, kind in (field.split() for field in ddl.split(", "))]
        dicts = [dict(zip((name for name, _ in fields), row, strict=True)) for row in rows]
        return LocalFrame([pa.Table.from_pylist(dicts, schema=pa.schema(fields))])


def run_without_spark(patch: pytest.MonkeyPatch) -> None:
    """Lets the jobs run on local frames; the warning of repeated keys, which needs joins, is left out."""
    patch.setattr(run_stages, "start_session", lambda *_: LocalSession())
    patch.setattr(run_stages, "check_machine", lambda *_, **__: None)
    patch.setattr(run_stages, "check_store", lambda *_: None)
    patch.setattr("jobs.framework.run_context.read_tokenizer", _read_tokenizer)
    patch.setattr("jobs.framework.run_context.fastest", _fastest)
    patch.setattr("pivot_udfs.count_cooccurrence.release_memory", lambda: None)
    patch.setattr(tokenize_corpus, "_warn_of_repeated_keys", lambda *_: None)


def load_and_count(patch: pytest.MonkeyPatch) -> None:
    """Lets ``rebuild_corpus`` end after the counts, which are changed by differences however small the tables are."""
    patch.setattr(rebuild_corpus, "STAGES", [tokenize_corpus.STAGE, count_cooccurrence.STAGE])
    patch.setattr(rebuild_corpus, "describe_rebuild", lambda *_: "")
    patch.setattr(count_cooccurrence, "_STORED_COST", 0)
    patch.setattr(count_cooccurrence, "_STEP_BYTES", 2_000)
