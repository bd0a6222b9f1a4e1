"""All tables in; one self-contained HTML page about them out.

spark-submit jobs/write_report.py --config conf/demo.toml [--set report.path=...] [--dry-run]
"""

import re
import sys
from collections.abc import Sequence
from typing import Any

from pyspark.sql import SparkSession

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from jobs.report.data import read_report
from jobs.report.page import make_page
from jobs.warehouse.lineage import Recipe
from pivot_udfs.errors import WarehouseError
from pivot_udfs.load_settings import fingerprint
from pivot_udfs.schemas import TABLES
from pivot_udfs.settings import Settings

_HEAD_BYTES = 4096
_STAMP = re.compile(r'<meta name="semantic-pivots-made-of" content="(\w+)">')
MODEL_REPORT = "model_report.html"
"""The model side writes it beside the page, before or after; the link says that it may not be there yet."""


def run(run: Run, recipe: Recipe) -> None:
    """Reads the tables and writes the page."""
    with run.progress.watch(run.spark, "write_report", "tables"):
        report = read_report(run)
    path = report_path(run.settings)
    page = make_page(report, MODEL_REPORT, _stamp(run, recipe)).encode()
    _write(run.spark, path, page)
    run.progress.say("write_report", f"{path}: {len(page) / 1e6:.1f} MB")


def why_write(run: Run, recipe: Recipe) -> str | None:
    """Why the page is not the one that would be written now; None when it is."""
    path = report_path(run.settings)
    head = _read_head(run.spark, path)
    if head is None:
        return f"{path} is not there yet"
    made_of = _STAMP.findall(head.decode(errors="replace"))
    return None if made_of == [_stamp(run, recipe)] else f"{path} was made from other tables, settings or code"


def report_path(settings: Settings) -> str:
    """Where the page goes: ``report.path``, else beside the tables."""
    return settings.report.path or f"{settings.warehouse.path.rstrip('/')}/report.html"


def _stamp(run: Run, recipe: Recipe) -> str:
    """What the page is made of: the tables' versions, the settings, where the tables are."""
    return fingerprint([recipe.fingerprint, run.warehouse.path])


def _file_system(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """Hadoop's file system and path: the page can go wherever the tables can."""
    jvm: Any = spark._jvm
    place = jvm.org.apache.hadoop.fs.Path(path)
    conf = spark.sparkContext._jsc.hadoopConfiguration()
    # An instance of our own: Spark's shared one must go on writing checksums.
    system = jvm.org.apache.hadoop.fs.FileSystem.newInstance(place.toUri(), conf)
    system.setWriteChecksum(False)
    return system, place


def _read_head(spark: SparkSession, path: str) -> bytes | None:
    """The first bytes of a file; None where there is none."""
    system, place = _file_system(spark, path)
    try:
        if not system.exists(place):
            return None
        stream = system.open(place)
        head = bytes(stream.readNBytes(_HEAD_BYTES))
        stream.close()
        return head
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
    version=1,
    reads=(*TABLES, "datasets/*"),
    writes=lambda settings: (),
    sections=("report",),
    files=("tokenizer", "lexicon"),
    packages=("regex", "sentencepiece", "tokenizers"),
    run=run,
    why=why_write,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Writes the HTML report of a rebuild.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
