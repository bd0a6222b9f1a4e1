"""Jars are installed only with the recorded SHA-256."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobs import setup_jars
from jobs.setup_jars import CONF, STORES, JarError, install, jar_name, main, read_sums, wrong_jars
from pivot_udfs import __version__

JARS = ["io.delta:delta-storage:4.4.0", "io.delta:delta-spark_4.2_2.13:4.4.0"]
NAMES = ["delta-storage-4.4.0.jar", "delta-spark_4.2_2.13-4.4.0.jar"]
SUMS = {jar: hashlib.sha256(jar.encode()).hexdigest() for jar in JARS}


def fetch_right(jars: Sequence[str], folder: Path, target: Path) -> None:
    for jar in jars:
        (target / jar_name(jar)).write_bytes(jar.encode())


def fetch_cut(jars: Sequence[str], folder: Path, target: Path) -> None:
    for jar in jars:
        (target / jar_name(jar)).write_bytes(jar.encode()[: 5 if jar == JARS[1] else None])


def test_only_missing_and_wrong_jars_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_jars, "fetch", fetch_right)
    (tmp_path / NAMES[0]).write_bytes(b"cut")
    assert install(tmp_path, SUMS) == NAMES
    assert wrong_jars(tmp_path, SUMS) == []
    assert install(tmp_path, SUMS) == []


def test_nothing_is_installed_where_one_jar_has_another_sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_jars, "fetch", fetch_cut)
    with pytest.raises(JarError, match=r"io\.delta:delta-spark_4\.2_2\.13:4\.4\.0: another SHA-256"):
        install(tmp_path, SUMS)
    assert list(tmp_path.iterdir()) == []


def test_every_option_has_a_list_of_jars_with_coordinates_and_sums() -> None:
    assert {path.name for path in CONF.glob("*-jars.sha256")} == {f"{name}-jars.sha256" for name in ["delta", *STORES]}
    for path in CONF.glob("*-jars.sha256"):
        for jar, sha256 in read_sums(path).items():
            assert len(jar.split(":")) == 3
            assert len(sha256) == 64


def test_the_installed_jars_are_the_recorded_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.endswith("pyspark/jars: delta: all jars are there\n")


def test_a_jar_that_cannot_be_fetched_ends_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert main(["--jars", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"setup_jars: {JARS[1]}, {JARS[0]} cannot be fetched from Maven Central: ")


def test_a_folder_that_is_not_there_is_named_before_anything_is_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--jars", "/no/such"]) == 2
    assert capsys.readouterr().err == "setup_jars: there is no folder /no/such: give --jars the one of Spark's jars\n"


def test_an_error_can_be_one_json_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert main(["--jars", str(tmp_path), "--log-format", "json", "--log-level", "error"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert (record["level"], record["job"]) == ("ERROR", "setup_jars")
    assert "cannot be fetched from Maven Central" in record["message"]


def test_the_java_of_java_home_is_used_where_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "home" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\n/bin/touch {tmp_path}/started\n", encoding="utf-8")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert main(["--jars", str(tmp_path)]) == 2
    assert (tmp_path / "started").exists()


def test_the_version_is_printed_by_the_file_alone_too(tmp_path: Path) -> None:
    def version(root: Path) -> str:
        command = [sys.executable, "-I", str(root / "jobs" / "setup_jars.py"), "--version"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert version(CONF.parent) == f"semantic-pivots {__version__}\n"
    (tmp_path / "jobs").mkdir()
    shutil.copy(setup_jars.__file__, tmp_path / "jobs")
    assert version(tmp_path).startswith("semantic-pivots ")
