"""Packs executors' Python: interpreter, standard library, and the packages of requirements/runtime.txt.

Unlike a packed venv it needs no Python on the nodes, only the Linux distribution of the machine that packs. Unpacked
anywhere it is started as ``bin/python``. PySpark is left out: it comes with the nodes' Spark.

usage: .venv/bin/python docker/pack_environment.py dist/environment.tar.gz [PACKAGE ...]
"""

import io
import re
import sys
import sysconfig
import tarfile
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements" / "runtime.txt"
LIBRARY = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
LEFT_OUT = {"site-packages", "dist-packages", "test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"}
"""Of the standard library."""
START = f"""#!/bin/sh
root=$(dirname "$(dirname "$(readlink -f "$0")")")
export LD_LIBRARY_PATH=$root/lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}
# Debian's interpreter searches dist-packages only.
export PYTHONPATH=${{PYTHONPATH:+$PYTHONPATH:}}$root/{LIBRARY}/site-packages
exec "$root/bin/python.real" "$@"
"""


def pack(target: Path, packages: Sequence[str], level: int = 4) -> None:
    """Writes the archive (tar, gzip of this level) with these packages of the environment that runs this."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz", compresslevel=level, dereference=True) as archive:
        _add_interpreter(archive)
        for name in packages:
            _add_package(archive, name)


def runtime_packages() -> list[str]:
    """The locked packages that executors need on this Python and platform."""
    lines = re.findall(r"^([\w.-]+==[^\\\n]*)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    locked = [Requirement(line) for line in lines]
    here = {entry.name for entry in locked if entry.marker is None or entry.marker.evaluate()}
    return sorted(here - {"pyspark"})


def _add_interpreter(archive: tarfile.TarFile) -> None:
    start = tarfile.TarInfo("bin/python")
    start.size, start.mode = len(START), 0o755
    archive.addfile(start, io.BytesIO(START.encode()))
    archive.add(Path(sys.executable).resolve(), "bin/python.real", filter=_of_nobody)
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        library = Path(str(sysconfig.get_config_var("LIBDIR")), str(sysconfig.get_config_var("INSTSONAME")))
        if library.exists():  # Debian builds the library too but links its interpreter statically
            archive.add(library, f"lib/{library.name}", filter=_of_nobody)
    for path in sorted(Path(sysconfig.get_path("stdlib")).iterdir()):
        if path.name not in LEFT_OUT and not path.name.startswith("config-"):
            archive.add(path, f"{LIBRARY}/{path.name}", filter=_of_nobody)


def _add_package(archive: tarfile.TarFile, name: str) -> None:
    for file in distribution(name).files or []:
        path = Path(str(file.locate()))
        if ".." not in file.parts and path.is_file():
            archive.add(path, f"{LIBRARY}/site-packages/{file}", filter=_of_nobody)


def _of_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    pack(Path(sys.argv[1]), sys.argv[2:] or runtime_packages())
