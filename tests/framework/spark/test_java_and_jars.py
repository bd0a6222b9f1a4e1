"""A Java or a Spark that cannot be used, and missing jars, are found before a JVM starts, each in one line."""

from importlib import metadata
from pathlib import Path

import pytest

from jobs.framework.spark.java_and_jars import check_jars, check_java, check_spark_home, java_version
from pivot_udfs.errors import SetupError


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
    assert java_version(answer) == version


@pytest.mark.parametrize("answer", ['openjdk version "17.0.15"', 'openjdk version "21.0.1"', 'openjdk version "25"'])
def test_java_17_and_later_is_accepted(tmp_path: Path, answer: str) -> None:
    check_java(a_java(tmp_path / "jdk", answer))


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
        check_java(a_java(tmp_path / "jdk", answer, code))


def test_a_missing_java_is_reported_with_what_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SetupError, match=r"JAVA_HOME = .*/nowhere: no Java there: install Java 17"):
        check_java(str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        SetupError, match=r"java on the PATH: no Java there: install Java 17 or later, or set JAVA_HOME"
    ):
        check_java(None)


def a_spark(folder: Path, version: str) -> str:
    """A SPARK_HOME of a version."""
    for name in (f"jars/spark-core_2.13-{version}.jar", "bin/spark-submit"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return str(folder)


def test_spark_home_must_hold_the_spark_of_the_installed_pyspark(tmp_path: Path) -> None:
    installed = metadata.version("pyspark")
    check_spark_home(None)
    check_spark_home("")
    check_spark_home(a_spark(tmp_path / "same", installed))
    with pytest.raises(SetupError, match=f"holds no Spark: unset it to use that of pyspark {installed}"):
        check_spark_home(str(tmp_path / "nowhere"))
    for version in ("3.5.1", "4.1.0", "4.20.0"):
        with pytest.raises(SetupError, match=f"holds Spark {version}, pyspark {installed} is installed here: unset"):
            check_spark_home(a_spark(tmp_path / version, version))


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
        check_jars(warehouse, {})
    check_jars(str(tmp_path), {})
    check_jars(warehouse, {"spark.jars.packages": "a:b:1"})
    monkeypatch.setenv("SPARK_HOME", str(a_home(tmp_path / "with", DELTA, jar)))
    check_jars(warehouse, {})


def test_jars_of_the_defaults_of_spark_are_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_HOME", str(a_home(tmp_path)))
    with pytest.raises(SetupError, match=r"Spark has no Delta Lake .*: run semantic-pivots setup-jars \(in a"):
        check_jars(str(tmp_path), {})
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").touch()
    check_jars(str(tmp_path), {})
