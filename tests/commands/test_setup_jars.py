"""Jars are installed only with the recorded SHA-256."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobs import setup_jars
from jobs.setup_jars import CONF, STORES, JarError, install, jar_name, main, read_sums, wrong_jars

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
    assert main(["--jars", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"setup_jars: {JARS[1]}, {JARS[0]} cannot be fetched from Maven Central: ")
