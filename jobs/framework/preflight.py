"""What a run needs of the driver's machine, checked before a JVM starts: Java, Spark, memory sizes, paths, limits.

Under ``spark-submit`` the JVM runs already, and what it needs is not checked.
"""

import locale
import logging
import os
import resource
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from jobs.framework.check_paths import check_file, check_folder, check_local_folder, check_output, check_writable
from jobs.framework.spark.java_and_jars import check_jars, check_java, check_spark_home
from jobs.framework.spark.jvm_memory import check_heaps, local_memory_warning, memory_of_machine
from jobs.framework.spark.spark_settings import check_spark_settings, spark_defaults
from pivot_udfs.errors import SetupError
from pivot_udfs.settings import Settings

_LOG = logging.getLogger(__name__)
_OPEN_FILES, _LEAST_OPEN_FILES = 4096, 512


def check_machine(settings: Settings, files: Collection[str] = (), writes: bool = True) -> None:
    """Raises SetupError, ConfigError or StoreError for the first fault found that would stop a run on this machine.

    ``files``: those that the run reads (``tokenizer``, ``lexicon``) or writes (``report``); ``writes``: whether it
    writes tables.
    """
    check_limits()
    for name in sorted({"tokenizer", "lexicon"}.intersection(files)):
        check_file(f"{name}.path", getattr(settings, name).path)
    check_folder(settings.warehouse.path, writes)
    if "report" in files and settings.report.path:
        check_output("report.path", settings.report.path)
    check_temporary_folder((spark_defaults() | settings.spark.conf).get("spark.local.dir"))
    check_spark_settings(settings.spark.master, settings.spark.conf)
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        check_heaps(spark_defaults() | settings.spark.conf)
        if warning := local_memory_warning(settings, memory_of_machine()):
            _LOG.warning(warning)
        check_spark_home(os.environ.get("SPARK_HOME"))
        check_java(os.environ.get("JAVA_HOME"))
        check_jars(settings.warehouse.path, settings.spark.conf)
        if sys.platform == "linux" and locale.getencoding().upper().replace("-", "") != "UTF8":
            os.environ["LC_ALL"] = (
                "C.UTF-8"  # Java names files in the locale's encoding; C makes letters question marks
            )


def check_limits() -> None:
    """Raises the soft limit of open files where it is low: Spark alone opens some 300 jars."""
    if sys.getfilesystemencoding() != "utf-8":
        raise SetupError(f"Python names files in {sys.getfilesystemencoding()}: set LC_ALL=C.UTF-8")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _OPEN_FILES:
        return
    allowed = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < _LEAST_OPEN_FILES:
        raise SetupError(
            f"a process may open {allowed} files here, Spark needs {_LEAST_OPEN_FILES} or more: ulimit -n {_OPEN_FILES}"
        )


def check_temporary_folder(local_dir: str | None) -> None:
    """Makes sure that Spark and Python can write temporary files; folders of Spark may be missing yet."""
    # Python passes over a TMPDIR that it cannot write and takes another folder, Java and Spark do not.
    place = os.environ.get("TMPDIR") or tempfile.gettempdir()
    check_writable(Path(place), "TMPDIR", place)
    key = "SPARK_LOCAL_DIRS" if os.environ.get("SPARK_LOCAL_DIRS") else "spark.local.dir"
    for folder in filter(None, (os.environ.get("SPARK_LOCAL_DIRS") or local_dir or "").split(",")):
        check_local_folder(Path(folder).absolute(), key, folder)
