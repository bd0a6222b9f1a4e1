"""What a machine lacks is found before a JVM starts, each in one line that says what to do."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from jobs.framework import preflight
from pivot_udfs.errors import ConfigError, SemanticPivotsError, SetupError
from pivot_udfs.load_settings import load_settings
from pivot_udfs.settings import Settings

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own at ``folder``; the test is skipped where none may be mounted."""
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True, check=False
    ).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def a_java(folder: Path, answer: str, code: int = 0) -> str:
    """A JAVA_HOME whose java gives this answer to -version."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{answer}' >&2\nexit {code}\n", encoding="utf-8")
    java.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "25.0.1" 2025-10-21 LTS', 25),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "11.0.2" 2019-01-15', 11),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "22-ea" 2024-03-19', 22),
        ("no such thing", None),
    ],
)
def test_java_versions_are_read_from_every_form(answer: str, version: int | None) -> None:
    assert preflight.java_version(answer) == version


@pytest.mark.parametrize("answer", ['openjdk version "17.0.15"', 'openjdk version "21.0.1"', 'openjdk version "25"'])
def test_java_17_and_later_is_accepted(tmp_path: Path, answer: str) -> None:
    preflight.check_java(a_java(tmp_path / "jdk", answer))


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ('openjdk version "11.0.2"', 0, "it is Java 11, Spark needs 17 or later"),
        ('java version "1.8.0_392"', 0, "it is Java 8, Spark needs 17 or later"),
        ("Error: could not find libjava.so", 1, "-version failed .exit code 1."),
    ],
)
def test_a_java_that_spark_cannot_use_is_refused(tmp_path: Path, answer: str, code: int, message: str) -> None:
    with pytest.raises(SetupError, match=f"JAVA_HOME = .*{message}.*set JAVA_HOME"):
        preflight.check_java(a_java(tmp_path / "jdk", answer, code))


def test_a_missing_java_is_reported_with_what_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SetupError, match=r"JAVA_HOME = .*/nowhere: no Java there: install Java 17"):
        preflight.check_java(str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        SetupError, match=r"java on the PATH: no Java there: install Java 17 or later, or set JAVA_HOME"
    ):
        preflight.check_java(None)


def a_spark(folder: Path, version: str) -> str:
    """A SPARK_HOME of a version."""
    for name in (f"jars/spark-core_2.13-{version}.jar", "bin/spark-submit"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return str(folder)


def test_spark_home_must_hold_the_spark_of_the_installed_pyspark(tmp_path: Path) -> None:
    installed = metadata.version("pyspark")
    preflight.check_spark_home(None)
    preflight.check_spark_home("")
    preflight.check_spark_home(a_spark(tmp_path / "same", installed))
    with pytest.raises(SetupError, match=f"holds no Spark: unset it to use that of pyspark {installed}"):
        preflight.check_spark_home(str(tmp_path / "nowhere"))
    for version in ("3.5.1", "4.1.0", "4.20.0"):
        with pytest.raises(SetupError, match=f"holds Spark {version}, pyspark {installed} is installed here: unset"):
            preflight.check_spark_home(a_spark(tmp_path / version, version))


def test_a_warehouse_must_be_a_folder_that_can_be_written(tmp_path: Path) -> None:
    preflight.check_folder(str(tmp_path / "new" / "deep"))
    preflight.check_folder("s3a://bucket/warehouse")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name, problem in (("file", "is a file"), ("file/below", "is a file"), ("link", "is a link to nothing")):
        with pytest.raises(ConfigError, match=f"warehouse.path = .*{name}.*{problem}, a folder is needed"):
            preflight.check_folder(str(tmp_path / name))
    with pytest.raises(SetupError, match=r"/proc cannot be written"):
        preflight.check_folder("/proc/warehouse")
    for place in ("http://host/warehouse", "ftp://host/w"):
        with pytest.raises(SemanticPivotsError, match=r"has the scheme '(http|ftp)', which is not"):
            preflight.check_folder(place)


def test_a_read_only_warehouse_is_refused(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "ro,size=64m") as disk, pytest.raises(SetupError, match=r"Read-only file system"):
        preflight.check_folder(str(disk / "warehouse"))


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mounted(tmp_path / "disk", "size=64m") as disk:
        preflight.check_folder(str(disk / "warehouse"))
        for size in (40 << 20, 64 << 20):
            with (disk / "filling").open("wb") as file, contextlib.suppress(OSError):
                file.write(bytes(size))
            with pytest.raises(SetupError, match=r"warehouse.path = .*: the disk is full .*: free space"):
                preflight.check_folder(str(disk / "warehouse"))
        monkeypatch.setenv("TMPDIR", str(disk))
        with pytest.raises(SetupError, match=r"TMPDIR = .*: the disk is full .*: free space"):
            preflight.check_temporary_folder(None)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        preflight.check_temporary_folder(None)
        with pytest.raises(SetupError, match=r"spark.local.dir = .*: the disk is full"):
            preflight.check_temporary_folder(f"{tmp_path},{disk}")


@pytest.mark.parametrize("key", ["spark.local.dir", "SPARK_LOCAL_DIRS"])
def test_missing_temporary_folders_of_spark_must_be_such_as_can_be_made(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(folders: str) -> None:
        if key == "SPARK_LOCAL_DIRS":
            monkeypatch.setenv(key, folders)
        preflight.check_temporary_folder(folders if key == "spark.local.dir" else "/proc/not-used")

    check(f"{tmp_path}/new/deep,{tmp_path}")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=f"^{key} = /proc/x: /proc cannot be written"):
        check(f"{tmp_path},/proc/x")
    with pytest.raises(ConfigError, match=f"^{key} = {tmp_path}/file/x: .*is a file, a folder is needed"):
        check(f"{tmp_path}/file/x")


def test_a_report_must_be_a_file_that_can_be_written(tmp_path: Path) -> None:
    preflight.check_output("report.path", str(tmp_path / "new" / "report.html"))
    preflight.check_output("report.path", "s3a://bucket/report.html")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "page").touch()
    preflight.check_output("report.path", str(tmp_path / "page"))
    with pytest.raises(SetupError, match=r"^report.path = /proc/x/report.html: /proc cannot be written"):
        preflight.check_output("report.path", "/proc/x/report.html")
    with pytest.raises(ConfigError, match=f"^report.path = {tmp_path}: it is no regular file"):
        preflight.check_output("report.path", str(tmp_path))
    with pytest.raises(ConfigError, match=f"^report.path = {tmp_path}/page/x: {tmp_path}/page is a file"):
        preflight.check_output("report.path", str(tmp_path / "page" / "x"))


def test_missing_files_are_reported_with_the_folder_they_were_looked_for_in(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    preflight.check_file("tokenizer.path", str(tmp_path / "there"))
    preflight.check_file("tokenizer.path", "s3a://bucket/tokenizer.json")
    with pytest.raises(ConfigError, match=rf"no.tsv: .* \(working directory: {Path.cwd()}\)$"):
        preflight.check_file("lexicon.path", "no.tsv")
    with pytest.raises(ConfigError, match=r"lexicon.path = /no.tsv: there is no such file$"):
        preflight.check_file("lexicon.path", "/no.tsv")


LIMITS = """
import resource
from jobs.framework.preflight import check_limits
check_limits()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits(ulimit: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f"{ulimit} && exec {sys.executable} -c '{LIMITS}'"]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_a_low_limit_of_open_files_is_raised_where_it_may_be_and_else_refused() -> None:
    assert limits("ulimit -n 5000 && ulimit -S -n 64").stdout == "4096 5000\n"
    refused = limits("ulimit -n 64").stderr
    assert "a process may open 64 files here, Spark needs 512 or more: ulimit -n 4096" in refused


def a_home(folder: Path, *jars: str) -> Path:
    """A SPARK_HOME with these jars."""
    (folder / "jars").mkdir(parents=True)
    for jar in jars:
        (folder / "jars" / jar).touch()
    return folder


DELTA = "delta-spark_4.2_2.13-4.4.0.jar"
STORES = [
    ("s3a://bucket/w", "--s3", "hadoop-aws-3.5.0.jar"),
    ("gs://bucket/w", "--gs", "hadoop-gcp-3.5.0.jar"),
    ("abfss://c@acc.dfs.core.windows.net/w", "--azure", "hadoop-azure-3.5.0.jar"),
]


@pytest.mark.parametrize(("warehouse", "option", "jar"), STORES)
def test_a_store_without_its_jars_is_refused_with_the_command_that_installs_them(
    warehouse: str, option: str, jar: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_HOME", str(a_home(tmp_path / "without", DELTA)))
    with pytest.raises(SetupError, match=f"Spark has no jars for .*: run semantic-pivots setup-jars {option} "):
        preflight.check_jars(warehouse, {})
    preflight.check_jars(str(tmp_path), {})
    preflight.check_jars(warehouse, {"spark.jars.packages": "a:b:1"})
    monkeypatch.setenv("SPARK_HOME", str(a_home(tmp_path / "with", DELTA, jar)))
    preflight.check_jars(warehouse, {})


def test_jars_of_the_defaults_of_spark_are_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_HOME", str(a_home(tmp_path)))
    with pytest.raises(SetupError, match=r"Spark has no Delta Lake .*: run semantic-pivots setup-jars \(in a"):
        preflight.check_jars(str(tmp_path), {})
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").touch()
    preflight.check_jars(str(tmp_path), {})


@pytest.mark.parametrize(
    ("master", "available", "line"),
    [
        (
            "local[2]",
            5_119,
            "spark.driver.memory = 3g and 2 Python workers, each with cooccurrence",
        ),
        ("local[2]", 5_120, None),
        ("local", 4_095, "1 Python workers"),
        ("yarn", 1, None),
    ],
)
def test_a_local_run_that_may_use_more_memory_than_there_is_is_warned_of(
    master: str, available: float, line: str | None, tmp_path: Path
) -> None:
    overrides = [f"spark.master={master}", "cooccurrence.memory_budget_mb=1024"]
    settings = load_settings(str(ROOT / "conf" / "demo.toml"), overrides, Settings)
    warning = preflight.local_memory_warning(settings, available)
    assert (line is None) == (warning is None)
    assert (line or "") in (warning or "")
