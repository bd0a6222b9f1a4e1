"""The wheel of this checkout in a virtual environment of its own, which borrows the other packages of this one."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install_wheel(folder: Path) -> Path:
    """Builds and installs the wheel below ``folder``; returns the ``bin`` folder of the environment.

    A path in a ``.pth`` file is searched for packages only: the ``.pth`` file that leads from this environment to this
    checkout has no effect there.
    """
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("semantic_pivots-*.whl")
    venv.create(folder / "env", with_pip=False)
    bin_folder = folder / "env" / "bin"
    paths = sysconfig.get_paths("venv", {"base": str(folder / "env"), "platbase": str(folder / "env")})
    install = [sys.executable, "-m", "pip", "--python", bin_folder / "python", "install", "--quiet", "--no-deps", wheel]
    subprocess.run(install, check=True)
    Path(paths["purelib"], "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return bin_folder


def environment_without_checkout() -> dict[str, str]:
    """This process's environment without what leads Python or Spark to this checkout."""
    leading = ("PYTHON", "PYSPARK", "SPARK")
    return {
        key: value for key, value in os.environ.items() if key == "SPARK_SUBMIT_OPTS" or not key.startswith(leading)
    }
