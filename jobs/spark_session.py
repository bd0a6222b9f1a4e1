"""One Spark session with Delta, the same under ``spark-submit`` and under plain ``python``.

What the cluster or ``spark-submit --conf`` sets is kept; ``[spark.conf]`` of the TOML comes next; the defaults here
fill the rest. The Delta jars come from Spark's own ``jars/`` folder (``make setup`` puts them there) or from
``--packages``/``--jars``; nothing is resolved when a session starts.
"""

import os
import sys
import tempfile

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from pivot_udfs.errors import ConfigError
from pivot_udfs.settings import Spark

_ALWAYS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.ui.showConsoleProgress": "false",
    # Batches by bytes: a row of documents is anything from a line to max_document_bytes.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "4096",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(16 << 20),
    # Text compresses twice as well, and no slower, than with Spark's own default.
    "spark.sql.parquet.compression.codec": "zstd",
}
_LOCAL = {
    "spark.driver.memory": "3g",
    "spark.sql.shuffle.partitions": "8",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
    "spark.sql.warehouse.dir": f"{tempfile.gettempdir()}/spark-warehouse",  # made, though no table goes there
}


def start_session(app_name: str, spark: Spark) -> SparkSession:
    """The Spark session of a job.

    Raises:
        ConfigError: the Delta jars are not there.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if submitted:
        SparkContext._ensure_initialized()
    conf = SparkConf().setAppName(app_name)
    if spark.master:
        conf.setIfMissing("spark.master", spark.master)
    elif not submitted:
        conf.setIfMissing("spark.master", "local[*]")
    local = conf.get("spark.master", "").startswith("local")
    for defaults in (spark.conf, _ALWAYS, _LOCAL if local else {}):
        for key, value in defaults.items():
            conf.setIfMissing(key, value)
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    _require_delta(session)
    return session


def _require_delta(session: SparkSession) -> None:
    try:
        session._jvm.java.lang.Class.forName("io.delta.sql.DeltaSparkSessionExtension")  # type: ignore[union-attr]
    except Exception:
        raise ConfigError(
            "Spark has no Delta Lake: run `make setup` here, or give spark-submit "
            "--packages io.delta:delta-spark_4.2_2.13:4.4.0 (conf/delta-jars.sha256 names the jars)"
        ) from None
