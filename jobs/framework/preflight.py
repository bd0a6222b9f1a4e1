"""What a run needs of the driver's machine, checked before a JVM starts: Java, Spark, memory sizes, paths, limits.

Under ``spark-submit`` the JVM runs already, and what it needs is not checked.
"""

import errno
import locale
import logging
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from jobs.framework.spark.java_and_jars import check_jars, check_java, check_spark_home
from jobs.framework.spark.jvm_memory import local_memory_warning, memory_of_machine
from jobs.framework.spark.spark_settings import check_spark_settings, spark_defaults
from pivot_udfs.errors import ConfigError, SetupError
from pivot_udfs.settings import Settings
from pivot_udfs.storage.stores import resolve, where

_LOG = logging.getLogger(__name__)
_LEAST_FREE = 32 << 20
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


def check_file(key: str, place: str) -> None:
    """Makes sure that a local file is there."""
    location = resolve(place)
    if location.is_local and not Path(location.path).is_file():
        raise ConfigError(f"{key} = {place}: there is no such file{where(place)}")


def check_folder(place: str, writes: bool = True, key: str = "warehouse.path") -> None:
    """Makes sure that a folder can be read, or written. It need not exist; object stores are not checked."""
    location = resolve(place)
    if location.is_local:
        _check_folder(Path(location.path), key, place, writes)


def check_output(key: str, place: str) -> None:
    """Makes sure that a local file can be written. It and the folders above it need not exist."""
    location = resolve(place)
    if not location.is_local:
        return
    path = Path(location.path)
    if path.exists() and not path.is_file():
        raise ConfigError(f"{key} = {place}: it is no regular file: choose another path")
    if path.exists() and not os.access(path, os.W_OK):
        raise SetupError(f"{key} = {place}: the file cannot be written: change its mode, or choose another path")
    _check_folder(path.parent, key, place)


def _check_folder(folder: Path, key: str, place: str, writes: bool = True) -> None:
    there = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
    if not there.is_dir():
        what = "a link to nothing" if there.is_symlink() and not there.exists() else "a file"
        raise ConfigError(f"{key} = {place}: {there} is {what}, a folder is needed: choose another path")
    if writes:
        _check_writable(there, key, place)


def check_temporary_folder(local_dir: str | None) -> None:
    """Makes sure that Spark and Python can write temporary files; folders of Spark may be missing yet."""
    # Python passes over a TMPDIR that it cannot write and takes another folder, Java and Spark do not.
    place = os.environ.get("TMPDIR") or tempfile.gettempdir()
    _check_writable(Path(place), "TMPDIR", place)
    key = "SPARK_LOCAL_DIRS" if os.environ.get("SPARK_LOCAL_DIRS") else "spark.local.dir"
    for folder in filter(None, (os.environ.get("SPARK_LOCAL_DIRS") or local_dir or "").split(",")):
        _check_folder(Path(folder).absolute(), key, folder)


def _check_writable(folder: Path, name: str, place: str) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise SetupError(
                f"{name} = {place}: {folder} cannot be written ({error.strerror}): change its mode, or choose another"
            ) from None
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        raise SetupError(
            f"{name} = {place}: the disk is full ({free / 1e6:.1f} MB free, {_LEAST_FREE / 1e6:.0f} MB needed): "
            "free space, or choose another folder"
        )
