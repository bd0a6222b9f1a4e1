"""Spark's settings of a run: the defaults of this project, where others come from, and those that cannot take effect.

A session that plain ``python`` starts takes ``[spark.conf]`` of the TOML file, then ``spark-defaults.conf``, then the
defaults of this project. Under ``spark-submit`` what it was given, or has read, comes before ``[spark.conf]``.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from pyspark import SparkConf, SparkContext

from pivot_udfs.errors import ConfigError
from pivot_udfs.settings import Spark

PYTHON = "spark.pyspark.python"
LOCAL_DRIVER_MEMORY = os.environ.get("SPARK_DRIVER_MEMORY") or "3g"
"""Of a local session, unless it is set."""
_EXTENSIONS = "spark.sql.extensions"
DELTA = "io.delta.sql.DeltaSparkSessionExtension"
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
_MASTER = re.compile(
    r"local|local\[(\*|0*[1-9]\d*)(,\d+)?\]|local-cluster\[\d+,\s*\d+,\s*\d+\]|spark://[^\s/:]+:\d+(,[^\s/:]+:\d+)*|yarn|k8s://\S+"
)
_MEMORY_KEY = re.compile(
    r"spark\.(?:(?:driver|executor)\.(?:memory|memoryOverhead|pyspark\.memory)|driver\.maxResultSize)"
)
_MEMORY = re.compile(r"\d+([kmgt]b?|)", re.IGNORECASE)
_ELSEWHERE = {
    "spark.master": "set spark.master itself (master in [spark])",
    "spark.pyspark.driver.python": "the driver runs in the Python that starts the job: start it with that Python",
    "spark.submit.deployMode": "give spark-submit --deploy-mode",
    "spark.remote": "jobs need a JVM of their own and do not run through Spark Connect; set spark.master",
    "spark.api.mode": "jobs need a JVM of their own and do not run through Spark Connect",
}
"""Keys that have no effect in ``[spark.conf]``, with what has."""
_OF_THE_LAUNCH = re.compile(
    r"spark\.(?:driver\.(?:memory|memoryOverhead|cores|\w*JavaOptions|extraClassPath|extraLibraryPath|userClassPathFirst)"
    r"|jars(?:\..+)?|submit\..+)"
)
_DEFAULT = re.compile(r"\s*(spark\.[^\s=:]+)\s*[\s=:]\s*(.*?)\s*")


def spark_conf(app_name: str, spark: Spark) -> SparkConf:
    """The settings of a session, with Delta's extension added to those that are set."""
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
    _set_missing(conf, own | (_LOCAL if is_local(conf) else _CLUSTER))
    if is_local(conf):  # else Spark looks up the name of the machine, which in a container may have no address
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    conf.set(_EXTENSIONS, with_delta(conf.get(_EXTENSIONS)))
    return conf


def _set_missing(conf: SparkConf, settings: Mapping[str, str]) -> None:
    for key, value in settings.items():
        conf.setIfMissing(key, value)


def is_local(conf: SparkConf) -> bool:
    """Whether Spark runs on this machine alone."""
    return str(conf.get("spark.master", "")).startswith("local")


def with_delta(extensions: str | None) -> str:
    """Spark's list of session extensions, with Delta's added where it is missing."""
    given = [name.strip() for name in (extensions or "").split(",") if name.strip()]
    return ",".join(given if DELTA in given else [*given, DELTA])


def check_spark_settings(master: str, conf: Mapping[str, str]) -> None:
    """Raises ConfigError for what Spark would ignore or refuse with a stack trace: the master, memory, the Python."""
    if master and not _MASTER.fullmatch(master):
        raise ConfigError(
            f"spark.master = {master!r} is no master: use local[*], local[4], yarn, spark://host:port or k8s://"
        )
    for key, value in conf.items():
        if key in _ELSEWHERE:
            raise ConfigError(f"{key} = {value!r} has no effect in spark.conf: {_ELSEWHERE[key]}")
        if _MEMORY_KEY.fullmatch(key) and not _MEMORY.fullmatch(value.strip()):
            raise ConfigError(f"{key} = {value!r} is no size of memory: write it like 3g or 512m")
    # Under spark-submit --master takes precedence.
    runs_here = master.startswith("local") and "PYSPARK_GATEWAY_PORT" not in os.environ
    key = PYTHON if PYTHON in conf else "PYSPARK_PYTHON"
    python = conf.get(PYTHON) or os.environ.get("PYSPARK_PYTHON")
    if python and runs_here and not shutil.which(python):
        raise ConfigError(f"{key} = {python!r}: there is no such program here: name a Python with these packages")


def spark_home() -> Path:
    """The folder of the Spark that plain ``python`` starts."""
    return Path(os.environ.get("SPARK_HOME") or str(metadata.distribution("pyspark").locate_file("pyspark")))


def defaults_file() -> Path:
    """Where ``spark-defaults.conf`` would be; it need not exist."""
    return Path(os.environ.get("SPARK_CONF_DIR") or spark_home() / "conf", "spark-defaults.conf")


def spark_defaults() -> dict[str, str]:
    """What ``spark-defaults.conf`` sets; nothing where it is not there."""
    path = defaults_file()
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {found[1]: found[2] for line in lines if (found := _DEFAULT.fullmatch(line))}


def too_late(conf: Mapping[str, str], submitted: Callable[[str], str | None]) -> list[str]:
    """The keys of ``[spark.conf]`` that only count when the JVM starts; but for those that ``spark-submit`` was given.

    ``submitted`` returns the value of a key that it was given, else None.
    """
    return [key for key in conf if _OF_THE_LAUNCH.fullmatch(key) and submitted(key) is None]
