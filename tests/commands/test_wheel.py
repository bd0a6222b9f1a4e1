"""What ``pip install`` gives: one command, and no top-level package but ``semantic_pivots``."""

import subprocess
from pathlib import Path

import pytest
from installed_wheel import environment_without_checkout, install_wheel

from pivot_udfs import __version__


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with the wheel."""
    return install_wheel(tmp_path_factory.mktemp("wheel"))


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = environment_without_checkout()
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("package", ["jobs", "pivot_udfs", "tests", "conf"])
def test_no_top_level_package_of_a_common_name_is_installed(bin_folder: Path, package: str, tmp_path: Path) -> None:
    done = run(tmp_path, bin_folder / "python", "-c", f"import {package}")
    assert f"No module named '{package}'" in done.stderr


def test_the_installed_command_runs_outside_of_the_checkout(bin_folder: Path, tmp_path: Path) -> None:
    assert run(tmp_path, bin_folder / "semantic-pivots", "--version").stdout == f"semantic-pivots {__version__}\n"
    config = run(tmp_path, bin_folder / "semantic-pivots", "config").stdout
    (tmp_path / "my.toml").write_text(config, encoding="utf-8")
    done = run(tmp_path, bin_folder / "semantic-pivots", "maintain", "--config", "my.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there are no tables at" in done.stderr
