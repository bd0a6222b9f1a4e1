"""The script that builds the images stops before it begins where the disk is too small."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "build_images.sh"
TOO_SMALL = "/images has 24 GB free, --gpu needs 25: free space there"


@pytest.mark.parametrize(
    ("options", "free", "code", "says"),
    [
        (["--gpu"], 24, 2, TOO_SMALL),
        (["--gpu"], 25, 7, "buildah build "),
        ([], 24, 7, "buildah build "),
        (["--gpus"], 99, 2, "usage: docker/build_images.sh [--base IMAGE] [--gpu]"),
    ],
)
def test_the_gpu_image_needs_free_disk(tmp_path: Path, options: list[str], free: int, code: int, says: str) -> None:
    programs = {
        "buildah": 'if [ "$1" = info ]; then echo /images; else echo "buildah $*" >&2; exit 7; fi',
        "df": f"echo Avail; echo ' {free}'",
    }
    for name, line in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    command = ["bash", str(SCRIPT), "--base", "some-image", *options]
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr
