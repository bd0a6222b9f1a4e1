"""Checks of the Java and the Spark that plain ``python`` would start, before it starts them: versions and jars."""

import re
import subprocess
from importlib import metadata
from pathlib import Path

from jobs.framework.spark.spark_settings import defaults_file, spark_home
from pivot_udfs.errors import SetupError
from pivot_udfs.storage.stores import resolve

OLDEST_JAVA = 17
_STORE_JARS = {
    "s3": ("--s3", "hadoop-aws"),
    "gs": ("--gs", "hadoop-gcp"),
    "abfss": ("--azure", "hadoop-azure"),
    "abfs": ("--azure", "hadoop-azure"),
}
"""By scheme: the option of ``setup_jars`` that installs the jars with which Spark reads the store, and one of them."""
_OTHER_JARS = ("spark.jars", "spark.jars.packages", "spark.driver.extraClassPath")


def check_spark_home(spark_home: str | None) -> None:
    """Makes sure that ``SPARK_HOME``, where it is set, holds the Spark of the installed pyspark."""
    if not spark_home:
        return
    installed = metadata.version("pyspark")
    cores = sorted(Path(spark_home, "jars").glob("spark-core_*.jar"))
    if not cores or not Path(spark_home, "bin", "spark-submit").is_file():
        raise SetupError(f"SPARK_HOME = {spark_home} holds no Spark: unset it to use that of pyspark {installed}")
    found = cores[-1].stem.rpartition("_")[2].partition("-")[2]
    if found.split(".")[:2] != installed.split(".")[:2]:
        raise SetupError(
            f"SPARK_HOME = {spark_home} holds Spark {found}, pyspark {installed} is installed here: unset SPARK_HOME "
            f"or set it to Spark {installed}"
        )


def check_jars(warehouse: str, conf: dict[str, str]) -> None:
    """Makes sure that Spark has the jars of Delta Lake and of the warehouse's store, where it takes no others."""
    home = spark_home()
    if defaults_file().is_file() or not conf.keys().isdisjoint(_OTHER_JARS):
        return
    needed = [("Spark has no Delta Lake", "delta-spark", "")]
    if store := _STORE_JARS.get(scheme := resolve(warehouse).scheme):
        needed.append((f"Spark has no jars for {scheme}://", store[1], f" {store[0]}"))
    for what, jar, option in needed:
        if not any((home / "jars").glob(f"{jar}*.jar")):
            raise SetupError(
                f"{what} ({jar} is not in {home / 'jars'}): run semantic-pivots setup-jars{option} (in a "
                f"checkout: python jobs/setup_jars.py{option}), or set spark.jars.packages"
            )


def check_java(java_home: str | None) -> None:
    """Makes sure that the Java which Spark's launcher would start is there and new enough."""
    java = str(Path(java_home, "bin", "java")) if java_home else "java"
    named = f"JAVA_HOME = {java_home}:" if java_home else "java on the PATH:"
    remedy = f"install Java {OLDEST_JAVA} or later, or set JAVA_HOME to one"
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, errors="replace", timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        raise SetupError(f"{named} no Java there: {remedy}") from None
    version = java_version(done.stderr + done.stdout)
    if version is None:
        raise SetupError(f"{named} java -version failed (exit code {done.returncode}): {remedy}")
    if version < OLDEST_JAVA:
        raise SetupError(f"{named} it is Java {version}, Spark needs {OLDEST_JAVA} or later: {remedy}")


def java_version(text: str) -> int | None:
    """The major version in what ``java -version`` writes: 8 for ``1.8.0_392``, 17 for ``17.0.15``; None for none."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found[1]) if found else None
