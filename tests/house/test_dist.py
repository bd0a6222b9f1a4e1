"""What a cluster is given: the code as it is now, a Python that runs wherever it is unpacked, an image's entry."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHOW_PATHS = (
    "import ctypes, os, ssl, sys, zlib, zstandard; print(sys.prefix, os.__file__, zstandard.__file__, sep='\\n')"
)


def run_script(name: str, *arguments: str | Path) -> None:
    subprocess.run([sys.executable, ROOT / name, *arguments], check=True, cwd="/", capture_output=True)


def test_the_zip_holds_the_working_tree_and_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "new" / "a.zip", tmp_path / "b.zip"
    for target in (first, second):
        run_script("jobs/framework/spark/code_zip.py", target)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
        for name in names:
            assert archive.read(name) == (ROOT / name).read_bytes()
    code = {str(path.relative_to(ROOT)) for part in ("jobs", "pivot_udfs") for path in (ROOT / part).rglob("*.py")}
    names_of = {
        "report": ("report.html", "releases.html", "report.css", "search.js"),
        "describing": ("dataset_card.md", "training_summary.md", "croissant_context.json"),
        "gpu/report": ("model_report.html",),
    }
    pages = {f"jobs/{folder}/{name}" for folder, of_folder in names_of.items() for name in of_folder}
    assert sorted(names) == sorted(code | pages)


def test_the_packed_python_runs_by_itself_where_it_is_unpacked(tmp_path: Path) -> None:
    run_script("docker/pack_environment.py", tmp_path / "environment.tar.gz", "zstandard")
    place = tmp_path / "unpacked"
    with tarfile.open(tmp_path / "environment.tar.gz") as archive:
        archive.extractall(place, filter="data")
    done = subprocess.run(
        ["bin/python", "-c", SHOW_PATHS], cwd=place, env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    prefix, library, package = done.stdout.splitlines()
    assert prefix == str(place)
    for path in (library, package):
        assert path.startswith(f"{place}/lib/")


def test_the_image_s_entry_starts_an_executor_with_its_options_whole(tmp_path: Path) -> None:
    shown = tmp_path / "tini"
    shown.write_text('#!/bin/sh\nfor one in "$@"; do echo "$one"; done\n', encoding="utf-8")
    shown.chmod(0o755)
    options = ["-Dspark.driver.port=7078", '-Da=two words "$HOME"', "", "-Dlast=1"]
    environment = {f"SPARK_JAVA_OPT_{number}": option for number, option in enumerate(options)}
    for name in ("MEMORY", "ID", "CORES", "POD_IP", "POD_NAME"):
        environment[f"SPARK_EXECUTOR_{name}"] = name.lower()
    environment |= {"SPARK_DRIVER_URL": "url", "SPARK_APPLICATION_ID": "app", "SPARK_RESOURCE_PROFILE_ID": "0"}
    environment |= {"SPARK_HOME": "/spark", "SPARK_EXTRA_CLASSPATH": "/extra.jar", "SPARK_CONF_DIR": "/conf"}
    environment["PATH"] = f"{tmp_path}{os.pathsep}{os.defpath}"
    command = [ROOT / "docker" / "entrypoint.sh", "executor"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:7] == ["-s", "--", "java", *options]
    assert lines[lines.index("-cp") + 1] == f"/conf:/extra.jar:/spark/jars/*:{tmp_path}"
    assert lines[lines.index("--executor-id") + 1] == "id"
