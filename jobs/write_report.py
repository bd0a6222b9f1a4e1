"""All tables in; one self-contained HTML page about them out.

spark-submit jobs/write_report.py --config conf/demo.toml [--set report.path=...] [--dry-run]
"""

import sys
from collections.abc import Sequence
from typing import Any

from pyspark.sql import SparkSession

from jobs.command_line import with_run
from jobs.delta_tables import Recipe
from jobs.report.data import read_report
from jobs.report.page import make_page
from jobs.stage import Run, Stage, run_stage
from pivot_udfs.errors import WarehouseError
from pivot_udfs.schemas import TABLES
from pivot_udfs.settings import Settings

MODEL_REPORT = "model_report.html"
"""Written by the model side; linked where it lies beside the page."""


def run(run: Run, recipe: Recipe) -> None:
    """Reads the tables and writes the page."""
    with run.progress.watch(run.spark, "write_report", "tables"):
        report = read_report(run)
    path = report_path(run.settings)
    beside = path.rpartition("/")[0]
    linked = MODEL_REPORT if _exists(run.spark, f"{beside}/{MODEL_REPORT}" if beside else MODEL_REPORT) else None
    page = make_page(report, linked).encode()
    _write(run.spark, path, page)
    run.progress.say("write_report", f"{path}: {len(page) / 1e6:.1f} MB")


def write_report(run: Run) -> str:
    """Writes the page and returns its path.

    Raises:
        WarehouseError: a table is missing or was made with other settings, or the page cannot be written.
    """
    run_stage(run, STAGE)
    return report_path(run.settings)


def report_path(settings: Settings) -> str:
    """Where the page goes: ``report.path``, else beside the tables."""
    return settings.report.path or f"{settings.warehouse.path.rstrip('/')}/report.html"


def _file_system(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """Hadoop's file system and path: the page can go wherever the tables can."""
    jvm: Any = spark._jvm
    place = jvm.org.apache.hadoop.fs.Path(path)
    conf = spark.sparkContext._jsc.hadoopConfiguration()
    # An instance of our own: Spark's shared one must go on writing checksums.
    system = jvm.org.apache.hadoop.fs.FileSystem.newInstance(place.toUri(), conf)
    system.setWriteChecksum(False)
    return system, place


def _exists(spark: SparkSession, path: str) -> bool:
    system, place = _file_system(spark, path)
    try:
        return bool(system.exists(place))
    finally:
        system.close()


def _write(spark: SparkSession, path: str, content: bytes) -> None:
    try:
        system, place = _file_system(spark, path)
        try:
            stream = system.create(place, True)
            stream.write(bytearray(content))
            stream.close()
        finally:
            system.close()
    except Exception as error:
        reason = str(getattr(error, "java_exception", error)).splitlines()[0]
        raise WarehouseError(f"the report cannot be written to {path} ({reason}): mend report.path") from None


STAGE = Stage(
    name="write_report",
    reads=tuple(TABLES),
    writes=lambda settings: (),
    sections=("report",),
    files=("tokenizer", "lexicon"),
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return with_run("write_report", "Writes the HTML report of a rebuild.", [STAGE], argv, write_report)


if __name__ == "__main__":
    sys.exit(main())
