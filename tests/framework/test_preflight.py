"""What a machine lacks is found before a JVM starts, each in one line that says what to do."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.framework import check_paths, preflight
from pivot_udfs.errors import ConfigError, SemanticPivotsError, SetupError

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


def test_a_warehouse_must_be_a_folder_that_can_be_written(tmp_path: Path) -> None:
    check_paths.check_folder(str(tmp_path / "new" / "deep"))
    check_paths.check_folder("s3a://bucket/warehouse")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name, problem in (("file", "is a file"), ("file/below", "is a file"), ("link", "is a link to nothing")):
        with pytest.raises(ConfigError, match=f"warehouse.path = .*{name}.*{problem}, a folder is needed"):
            check_paths.check_folder(str(tmp_path / name))
    with pytest.raises(SetupError, match=r"/proc cannot be written"):
        check_paths.check_folder("/proc/warehouse")
    for place in ("http://host/warehouse", "ftp://host/w"):
        with pytest.raises(SemanticPivotsError, match=r"has the scheme '(http|ftp)', which is not"):
            check_paths.check_folder(place)


def test_a_read_only_warehouse_is_refused(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "ro,size=64m") as disk, pytest.raises(SetupError, match=r"Read-only file system"):
        check_paths.check_folder(str(disk / "warehouse"))


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mounted(tmp_path / "disk", "size=64m") as disk:
        check_paths.check_folder(str(disk / "warehouse"))
        for size in (40 << 20, 64 << 20):
            with (disk / "filling").open("wb") as file, contextlib.suppress(OSError):
                file.write(bytes(size))
            with pytest.raises(SetupError, match=r"warehouse.path = .*: the disk is full .*: free space"):
                check_paths.check_folder(str(disk / "warehouse"))
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
    check_paths.check_output("report.path", str(tmp_path / "new" / "report.html"))
    check_paths.check_output("report.path", "s3a://bucket/report.html")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "page").touch()
    check_paths.check_output("report.path", str(tmp_path / "page"))
    with pytest.raises(SetupError, match=r"^report.path = /proc/x/report.html: /proc cannot be written"):
        check_paths.check_output("report.path", "/proc/x/report.html")
    with pytest.raises(ConfigError, match=f"^report.path = {tmp_path}: it is no regular file"):
        check_paths.check_output("report.path", str(tmp_path))
    with pytest.raises(ConfigError, match=f"^report.path = {tmp_path}/page/x: {tmp_path}/page is a file"):
        check_paths.check_output("report.path", str(tmp_path / "page" / "x"))


def test_missing_files_are_reported_with_the_folder_they_were_looked_for_in(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    check_paths.check_file("tokenizer.path", str(tmp_path / "there"))
    check_paths.check_file("tokenizer.path", "s3a://bucket/tokenizer.json")
    with pytest.raises(ConfigError, match=rf"no.tsv: .* \(working directory: {Path.cwd()}\)$"):
        check_paths.check_file("lexicon.path", "no.tsv")
    with pytest.raises(ConfigError, match=r"lexicon.path = /no.tsv: there is no such file$"):
        check_paths.check_file("lexicon.path", "/no.tsv")


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
