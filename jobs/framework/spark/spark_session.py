"""A Spark session with Delta, the same under ``spark-submit`` and under plain ``python``.

``spark_settings`` describes which settings take precedence; Delta's extension is added to those that are set. The Delta
jars come from Spark's ``jars/`` folder, where ``setup_jars`` installs them, or from ``--packages`` or ``--jars``.
"""

import atexit
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from jobs.framework.spark.code_zip import build_zip
from jobs.framework.spark.jvm_memory import LOCAL_DRIVER_MEMORY, executor_memory_warning
from jobs.framework.spark.jvm_output import JvmOutput
from jobs.framework.spark.spark_settings import PYTHON, spark_defaults, too_late
from pivot_udfs.errors import ConfigError
from pivot_udfs.settings import Spark
from pivot_udfs.storage.location import Location

log = logging.getLogger(__name__)

_EXTENSIONS = "spark.sql.extensions"
_DELTA = "io.delta.sql.DeltaSparkSessionExtension"
_ALWAYS = {
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.ui.showConsoleProgress": "false",
    "spark.hadoop.fs.gs.auth.type": "APPLICATION_DEFAULT",  # as pyarrow and delta-rs find credentials
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    # Batches are limited by bytes: a document is anything from a line to max_document_bytes.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "4096",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(16 << 20),
}
_LOCAL = {
    "spark.driver.memory": LOCAL_DRIVER_MEMORY,
    # The second compiler costs a small rebuild a third of its time and gains a large one 2 % (docs/measured.md).
    # Without it the JVM would reserve 48 MB for compiled code, which a rebuild of 1.4 GB fills.
    "spark.driver.defaultJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m",
    "spark.log.level": "ERROR",
    "spark.sql.shuffle.partitions": "8",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
    "spark.sql.warehouse.dir": f"{tempfile.gettempdir()}/spark-warehouse",  # Spark creates it; it stays empty
}
_CLUSTER = {"spark.log.level": "WARN"}


def start_session(app_name: str, spark: Spark, output: JvmOutput | None = None) -> SparkSession:
    """The Spark session of a job.

    ``output`` takes what a JVM that is started here writes to standard error. Raises ConfigError where the Delta jars
    are missing.
    """
    conf = _conf(app_name, spark)
    os.environ["PYSPARK_PYTHON"] = conf.get(PYTHON) or os.environ.get("PYSPARK_PYTHON") or sys.executable
    if output and SparkContext._gateway is None:
        output.launch(conf)
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    if not _is_local(conf) and "PYSPARK_GATEWAY_PORT" not in os.environ:
        _send_code(session)
    _check_jvm(session)
    if output:
        output.session_started(_is_local(conf))
    return session


class LateSession:
    """A Spark session that starts when it is first used: a run that finds nothing to do starts no JVM."""

    def __init__(self, start: Callable[[], SparkSession]) -> None:
        self._start = start

    def __getattr__(self, name: str) -> Any:
        """What the session has by this name."""
        if "_session" not in vars(self):
            self._session = self._start()
        return getattr(self._session, name)


def check_store(session: SparkSession, warehouse: Location) -> None:
    """Raises the error of the JVM where Spark's own client of the warehouse's store is missing or is refused access."""
    if not warehouse.is_local:
        jvm: Any = session._jvm
        path = jvm.org.apache.hadoop.fs.Path(warehouse.hadoop_path)
        path.getFileSystem(session.sparkContext._jsc.hadoopConfiguration()).exists(path)


def silence_jvm() -> None:
    """Ends the log of an interrupted session: under ``spark-submit`` its JVM reports every task that it cuts off."""
    if context := SparkContext._active_spark_context:
        with suppress(Exception):  # of a JVM that is gone already
            context.setLogLevel("OFF")


def _conf(app_name: str, spark: Spark) -> SparkConf:
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if submitted:
        SparkContext._ensure_initialized()
    conf = SparkConf()
    own = {"spark.app.name": app_name} | _ALWAYS
    for defaults in (
        {"spark.master": spark.master} if spark.master else {},
        spark.conf,
        {} if submitted else spark_defaults(),
        {"spark.master": "local[*]"},
    ):
        _set_missing(conf, defaults)
    _set_missing(conf, own | (_LOCAL if _is_local(conf) else _CLUSTER))
    if _is_local(conf):  # else Spark looks up the name of the machine, which in a container may have no address
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    conf.set(_EXTENSIONS, with_delta(conf.get(_EXTENSIONS)))
    return conf


def _set_missing(conf: SparkConf, settings: Mapping[str, str]) -> None:
    for key, value in settings.items():
        conf.setIfMissing(key, value)


def _is_local(conf: SparkConf) -> bool:
    return str(conf.get("spark.master", "")).startswith("local")


def with_delta(extensions: str | None) -> str:
    """Spark's list of session extensions, with Delta's added where it is missing."""
    given = [name.strip() for name in (extensions or "").split(",") if name.strip()]
    return ",".join(given if _DELTA in given else [*given, _DELTA])


def warn_of_settings(app_name: str, spark: Spark, memory_budget_mb: int) -> None:
    """Warns of settings that come too late, and of less memory for Python than the budgets of an executor's workers."""
    conf = _conf(app_name, spark)
    jvm: Any = SparkContext._jvm
    if "PYSPARK_GATEWAY_PORT" in os.environ and (late := too_late(spark.conf, jvm.System.getProperty)):
        log.warning("these keys of spark.conf have no effect under spark-submit, give it --conf: %s", ", ".join(late))
    if warning := executor_memory_warning(conf.get, memory_budget_mb):
        log.warning(warning)


def _send_code(session: SparkSession) -> None:
    """Gives executors this code, as ``spark-submit --py-files`` would; they fetch the file while the session lasts."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, "semantic_pivots.zip")
    build_zip(path)
    session.sparkContext.addPyFile(str(path))


def _check_jvm(session: SparkSession) -> None:
    """Delta must be where Spark looks for classes: jars of ``--packages`` are in the context class loader alone."""
    jvm: Any = session._jvm
    if not jvm.org.apache.spark.util.Utils.classIsLoadable(_DELTA):
        raise ConfigError(
            "Spark has no Delta Lake: run setup_jars (`make setup` does), or give spark-submit "
            "--packages io.delta:delta-spark_4.2_2.13:4.4.0 (conf/delta-jars.sha256 lists the jars)"
        )
    encoding = jvm.java.lang.System.getProperty("sun.jnu.encoding")
    if encoding not in ("UTF-8", None):
        log.warning("Java names files in %s: paths with other characters fail; set LC_ALL=C.UTF-8", encoding)
