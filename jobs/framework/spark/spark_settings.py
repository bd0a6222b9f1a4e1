"""Spark's settings of a run: where they come from, and those that cannot take effect.

A session that plain ``python`` starts takes ``[spark.conf]`` of the TOML file, then ``spark-defaults.conf``, then the
defaults of this project. Under ``spark-submit`` what it was given, or has read, comes before ``[spark.conf]``.
"""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from pivot_udfs.errors import ConfigError

PYTHON = "spark.pyspark.python"
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
    is_local = master.startswith("local") and "PYSPARK_GATEWAY_PORT" not in os.environ  # else --master takes precedence
    key = PYTHON if PYTHON in conf else "PYSPARK_PYTHON"
    python = conf.get(PYTHON) or os.environ.get("PYSPARK_PYTHON")
    if python and is_local and not shutil.which(python):
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
