"""Fetches the jars of Delta Lake, and with ``--s3`` those of ``s3a://``, into the folder from which Spark takes jars.

    python jobs/setup_jars.py [--s3] [--jars FOLDER]

Each jar must have the SHA-256 that ``conf/*-jars.sha256`` records. Spark's own resolver (Ivy; needs only Java) is tried
first, then Maven where it is installed. This file needs the standard library only, so that an image can run it early.
"""

import argparse
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

CONF = Path(__file__).resolve().parents[1] / "conf"
GROUPS = {
    "delta-spark_4.2_2.13": "io.delta",
    "delta-storage": "io.delta",
    "hadoop-aws": "org.apache.hadoop",
    "analyticsaccelerator-s3": "software.amazon.s3.analyticsaccelerator",
    "bundle": "software.amazon.awssdk",
}
"""The publisher of each artifact."""


class JarError(Exception):
    """A jar cannot be fetched, or is not the recorded one."""


def read_sums(path: Path) -> dict[str, str]:
    """SHA-256 (hex) by file name, from a file as ``sha256sum`` writes it."""
    pairs = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return {name: sha256 for sha256, name in pairs}


def wrong_jars(folder: Path, sums: dict[str, str]) -> list[str]:
    """The names of jars that are missing in a folder or have another SHA-256."""
    return [name for name, sha256 in sums.items() if _sha256(folder / name) != sha256]


def _sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def install(folder: Path, sums: dict[str, str]) -> list[str]:
    """Fetches the jars that a folder lacks; returns their names. Raises JarError if one is wrong; none is installed."""
    missing = wrong_jars(folder, sums)
    with tempfile.TemporaryDirectory() as temporary:
        for name in missing:
            fetch(name, folder, Path(temporary))
        if wrong := wrong_jars(Path(temporary), {name: sums[name] for name in missing}):
            raise JarError(f"{', '.join(wrong)}: another SHA-256 than recorded in {CONF}; nothing was installed")
        for name in missing:
            shutil.copy(Path(temporary, name), folder / name)
    return missing


def fetch(name: str, jars: Path, target: Path) -> None:
    """Fetches a jar from Maven Central by Ivy (in Spark's folder ``jars``) or Maven; raises JarError."""
    artifact, _, version = name.removesuffix(".jar").rpartition("-")
    group, ivy = GROUPS[artifact], next(map(str, jars.glob("ivy-*.jar")), "ivy.jar")
    by_ivy = ["java", "-jar", ivy, "-cache", f"{target}/ivy", "-notransitive", "-types", "jar"]
    by_ivy += ["-dependency", group, artifact, version, "-retrieve", f"{target}/[artifact]-[revision].[ext]"]
    by_maven = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={group}:{artifact}:{version}"]
    output = ""
    for command in (by_ivy, [*by_maven, f"-DoutputDirectory={target}"]):
        if not (target / name).is_file() and shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            output += done.stdout + done.stderr
    if not (target / name).is_file():
        raise JarError(
            f"{group}:{artifact}:{version} cannot be fetched from Maven Central: check Java and the network, or set a "
            f"proxy in JAVA_TOOL_OPTIONS, or put {name} into {jars} yourself\n{output[-2_000:]}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    parser = argparse.ArgumentParser(prog="setup_jars", description="Installs the jars that Spark needs.")
    parser.add_argument("--s3", action="store_true", help="also the jars of s3a:// (600 MB)")
    parser.add_argument("--jars", type=Path, metavar="FOLDER", help="default: that of the installed pyspark")
    arguments = parser.parse_args(argv)
    spark = importlib.util.find_spec("pyspark")
    try:
        if arguments.jars is None and (spark is None or spark.origin is None):
            raise JarError("pyspark is not installed: give --jars FOLDER")
        folder = arguments.jars or Path(str(spark and spark.origin)).with_name("jars")
        for name in ["delta", "s3a"] if arguments.s3 else ["delta"]:
            fetched = install(folder, read_sums(CONF / f"{name}-jars.sha256"))
            sys.stdout.write(f"{folder}: {name}: {', '.join(fetched) or 'all jars are there'}\n")
    except (JarError, OSError) as error:
        sys.stderr.write(f"setup_jars: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
