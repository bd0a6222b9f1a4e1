"""What a run needs of the driver's machine, checked before a JVM starts: Java, Spark, memory sizes, paths, limits.

Under ``spark-submit`` the JVM runs already, and what it needs is not checked.
"""

import errno
import locale
import logging
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from jobs.framework.spark_settings import check_spark_settings, defaults_file, spark_defaults, spark_home
from pivot_udfs.errors import ConfigError, SetupError
from pivot_udfs.settings import Settings
from pivot_udfs.storage.stores import resolve, where

OLDEST_JAVA = 17
LOCAL_DRIVER_MEMORY = os.environ.get("SPARK_DRIVER_MEMORY") or "3g"
"""Of a local session, unless it is set."""
_MEBIBYTES = {"k": 1 / 1024, "": 1, "m": 1, "g": 1024, "t": 1 << 20}
_STORE_JARS = {
    "s3": ("--s3", "hadoop-aws"),
    "gs": ("--gs", "hadoop-gcp"),
    "abfss": ("--azure", "hadoop-azure"),
    "abfs": ("--azure", "hadoop-azure"),
}
"""By scheme: the option of ``setup_jars`` that installs the jars with which Spark reads the store, and one of them."""
_LOG = logging.getLogger(__name__)
_OTHER_JARS = ("spark.jars", "spark.jars.packages", "spark.driver.extraClassPath")
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
        if warning := local_memory_warning(settings, _memory_of_machine()):
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


def local_memory_warning(settings: Settings, available: float) -> str | None:
    """A warning where a local session and its Python workers may use more than this many MiB; None for a cluster."""
    conf = spark_defaults() | settings.spark.conf
    master = settings.spark.master or conf.get("spark.master") or "local[*]"
    local = re.fullmatch(r"local(?:\[(\*|\d+).*\])?", master)
    if not local:
        return None
    cores = os.cpu_count() or 1 if local[1] == "*" else int(local[1] or 1)
    driver, budget = conf.get("spark.driver.memory", LOCAL_DRIVER_MEMORY), settings.cooccurrence.memory_budget_mb
    needed = (mebibytes(driver) or 0) + cores * budget
    if needed <= available:
        return None
    return (
        f"spark.driver.memory = {driver} and {cores} Python workers, each with cooccurrence.memory_budget_mb = {budget}"
        f", may use {needed:,.0f} MB, and there are {available:,.0f} MB here: lower one of them, or use fewer cores "
        "(spark.master = 'local[1]')"
    )


def _memory_of_machine() -> float:
    """MiB of the machine, or of the container where that has fewer."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, ValueError):
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(sizes) / (1 << 20)


def mebibytes(size: str | None) -> float | None:
    """A size in Spark's notation as MiB, which is also the unit of a bare number; None for anything else."""
    found = re.fullmatch(r"(\d+)([kmgt]?)b?", (size or "").strip().lower())
    return int(found[1]) * _MEBIBYTES[found[2]] if found else None


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
