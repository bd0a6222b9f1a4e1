"""Installs the jars of Delta Lake, and those of object stores, in the folder from which Spark takes jars.

    python jobs/setup_jars.py [--s3] [--gs] [--azure] [--jars FOLDER]

``conf/<name>-jars.sha256`` lists each set: the SHA-256 and the Maven coordinates of every jar. Spark's own resolver
(Ivy; needs only Java) is tried first, then Maven. This file needs the standard library only, so that an image can run
it early.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

CONF = Path(__file__).resolve().parents[1] / "conf"
STORES = {"s3": "s3a:// (12 MB)", "gs": "gs:// (35 MB)", "azure": "abfss:// (1 MB)"}
"""The sets of jars that an option adds, and what for."""


class JarError(Exception):
    """A jar cannot be fetched, or is not the recorded one."""


def read_sums(path: Path) -> dict[str, str]:
    """SHA-256 (hex) by coordinates, ``group:artifact:version``; two columns of a text file."""
    pairs = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return {coordinates: sha256 for sha256, coordinates in pairs}


def jar_name(coordinates: str) -> str:
    """The name of a jar file, ``artifact-version.jar``."""
    return "-".join(coordinates.split(":")[1:]) + ".jar"


def wrong_jars(folder: Path, sums: dict[str, str]) -> list[str]:
    """The coordinates of jars that are missing in a folder or have another SHA-256."""
    return [jar for jar, sha256 in sums.items() if _sha256(folder / jar_name(jar)) != sha256]


def _sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def install(folder: Path, sums: dict[str, str]) -> list[str]:
    """Installs the jars that a folder lacks; returns their names. Raises JarError if one differs; none is installed."""
    if not folder.is_dir():
        raise JarError(f"there is no folder {folder}: give --jars the one of Spark's jars")
    missing = wrong_jars(folder, sums)
    with tempfile.TemporaryDirectory() as temporary:
        if missing:
            fetch(missing, folder, Path(temporary))
        if wrong := wrong_jars(Path(temporary), {jar: sums[jar] for jar in missing}):
            raise JarError(f"{', '.join(wrong)}: another SHA-256 than recorded in {CONF}; nothing was installed")
        for jar in missing:
            shutil.copy(Path(temporary, jar_name(jar)), folder)
    return [jar_name(jar) for jar in missing]


def fetch(jars: Sequence[str], folder: Path, target: Path) -> None:
    """Fetches jars from Maven Central by Ivy (in ``folder``, Spark's) or Maven; raises JarError."""
    (target / "ivy.xml").write_text(_ivy_module(jars), encoding="utf-8")
    ivy, retrieved = next(map(str, folder.glob("ivy-*.jar")), "ivy.jar"), f"{target}/[artifact]-[revision].[ext]"
    home = os.environ.get("JAVA_HOME")
    by_ivy = [
        str(Path(home, "bin", "java")) if home else "java",
        "-jar",
        ivy,
        "-cache",
        f"{target}/cache",
        "-ivy",
        f"{target}/ivy.xml",
        "-types",
        "jar",
    ]
    by_maven = ["mvn", "-q", "-B", "dependency:copy", f"-DoutputDirectory={target}"]
    output = ""
    for command in ([*by_ivy, "-retrieve", retrieved], *([*by_maven, f"-Dartifact={jar}"] for jar in jars)):
        if _absent(jars, target) and shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            output += done.stdout + done.stderr
    if absent := _absent(jars, target):
        raise JarError(
            f"{', '.join(absent)} cannot be fetched from Maven Central: check Java and the network, or set a proxy in "
            f"JAVA_TOOL_OPTIONS, or put the jars that {CONF}/*-jars.sha256 list into {folder} yourself\n"
            f"{output[-2_000:]}"
        )


def _absent(jars: Iterable[str], folder: Path) -> list[str]:
    return [jar for jar in jars if not (folder / jar_name(jar)).is_file()]


def _ivy_module(jars: Iterable[str]) -> str:
    line = '<dependency org="{}" name="{}" rev="{}" conf="*->master" transitive="false"/>\n'
    info = '<info organisation="semantic_pivots" module="jars"/>'
    dependencies = "".join(line.format(*jar.split(":")) for jar in jars)
    return f'<ivy-module version="2.0">{info}<dependencies>\n{dependencies}</dependencies></ivy-module>\n'


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="semantic-pivots setup-jars",
        description="Installs the jars that Spark needs, from Maven Central, and checks their SHA-256.",
        epilog="exit codes: 0 done; 2 to be fixed by the user",
    )
    parser.add_argument("--version", action="version", version=f"semantic-pivots {_version()}")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="json: an error is one object")
    parser.add_argument("--log-level", choices=("info", "warning", "error"), default="info", help="errors are shown")
    for name, what in STORES.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"also the jars of {what}")
    parser.add_argument("--jars", type=Path, metavar="FOLDER", help="default: that of the installed pyspark")
    arguments = parser.parse_args(argv)
    spark = importlib.util.find_spec("pyspark")
    try:
        if arguments.jars is None and (spark is None or spark.origin is None):
            raise JarError("pyspark is not installed: give --jars FOLDER")
        folder = arguments.jars or Path(str(spark and spark.origin)).with_name("jars")
        for name in ["delta", *(name for name in STORES if getattr(arguments, name))]:
            fetched = install(folder, read_sums(CONF / f"{name}-jars.sha256"))
            sys.stdout.write(f"{folder}: {name}: {', '.join(fetched) or 'all jars are there'}\n")
    except (JarError, OSError) as error:
        sys.stderr.write(_as_json(error) if arguments.log_format == "json" else f"setup_jars: {error}\n")
        return 2
    return 0


def _as_json(error: Exception) -> str:
    """A line with the names that the other jobs use."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    record = {"time": time, "level": "ERROR", "job": "setup_jars", "stage": "", "message": str(error)}
    return json.dumps(record, ensure_ascii=False) + "\n"


def _version() -> str:
    sys.path.append(str(CONF.parent))
    try:
        return str(importlib.import_module("pivot_udfs").__version__)
    except ModuleNotFoundError:  # an image has this file before the package
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
