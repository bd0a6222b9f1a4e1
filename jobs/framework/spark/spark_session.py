"""A Spark session with Delta, the same under ``spark-submit`` and under plain ``python``.

``spark_settings`` has its settings. The Delta jars come from Spark's ``jars/`` folder, where ``setup_jars`` installs
them, or from ``--packages`` or ``--jars``.
"""

import atexit
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyspark import SparkContext
from pyspark.sql import SparkSession

from jobs.framework.spark.code_zip import build_zip
from jobs.framework.spark.jvm_memory import executor_memory_warning
from jobs.framework.spark.jvm_output import JvmOutput
from jobs.framework.spark.spark_settings import DELTA, PYTHON, is_local, spark_conf, too_late
from pivot_udfs.errors import ConfigError
from pivot_udfs.settings import Spark
from pivot_udfs.storage.location import Location

log = logging.getLogger(__name__)


def start_session(app_name: str, spark: Spark, output: JvmOutput | None = None) -> SparkSession:
    """The Spark session of a job.

    ``output`` takes what a JVM that is started here writes to standard error. Raises ConfigError where the Delta jars
    are missing.
    """
    conf = spark_conf(app_name, spark)
    os.environ["PYSPARK_PYTHON"] = conf.get(PYTHON) or os.environ.get("PYSPARK_PYTHON") or sys.executable
    if output and SparkContext._gateway is None:
        output.launch(conf)
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    if not is_local(conf) and "PYSPARK_GATEWAY_PORT" not in os.environ:
        _send_code(session)
    _check_jvm(session)
    if output:
        output.session_started(is_local(conf))
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


def warn_of_settings(app_name: str, spark: Spark, memory_budget_mb: int) -> None:
    """Warns of settings that come too late, and of less memory for Python than the budgets of an executor's workers."""
    conf = spark_conf(app_name, spark)
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
    if not jvm.org.apache.spark.util.Utils.classIsLoadable(DELTA):
        raise ConfigError(
            "Spark has no Delta Lake: run setup_jars (`make setup` does), or give spark-submit "
            "--packages io.delta:delta-spark_4.2_2.13:4.4.0 (conf/delta-jars.sha256 lists the jars)"
        )
    encoding = jvm.java.lang.System.getProperty("sun.jnu.encoding")
    if encoding not in ("UTF-8", None):
        log.warning("Java names files in %s: paths with other characters fail; set LC_ALL=C.UTF-8", encoding)
