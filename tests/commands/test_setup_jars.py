"""Jars are installed only with the recorded SHA-256."""

import hashlib
from pathlib import Path

import pytest

from jobs import setup_jars
from jobs.setup_jars import CONF, GROUPS, JarError, install, main, read_sums, wrong_jars

NAMES = ["delta-storage-4.4.0.jar", "delta-spark_4.2_2.13-4.4.0.jar"]
SUMS = {name: hashlib.sha256(name.encode()).hexdigest() for name in NAMES}


def fetch_right(name: str, jars: Path, target: Path) -> None:
    (target / name).write_bytes(name.encode())


def fetch_cut(name: str, jars: Path, target: Path) -> None:
    (target / name).write_bytes(name.encode()[: 5 if name == NAMES[1] else None])


def test_only_missing_and_wrong_jars_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_jars, "fetch", fetch_right)
    (tmp_path / NAMES[0]).write_bytes(b"cut")
    assert install(tmp_path, SUMS) == NAMES
    assert wrong_jars(tmp_path, SUMS) == []
    assert install(tmp_path, SUMS) == []


def test_nothing_is_installed_where_one_jar_has_another_sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_jars, "fetch", fetch_cut)
    with pytest.raises(JarError, match=r"delta-spark_4\.2_2\.13-4\.4\.0\.jar: another SHA-256"):
        install(tmp_path, SUMS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", sorted(CONF.glob("*-jars.sha256")), ids=lambda path: path.name)
def test_the_publisher_of_every_recorded_jar_is_known(path: Path) -> None:
    for name, sha256 in read_sums(path).items():
        assert name.removesuffix(".jar").rpartition("-")[0] in GROUPS
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
    assert error.startswith("setup_jars: io.delta:delta-spark_4.2_2.13:4.4.0 cannot be fetched from Maven Central: ")
