"""Compiled kernels: kept where any executor can write, for code in a zip too, never among another user's files."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from pivot_udfs.counting import word_pair_kernel
from pivot_udfs.runtime.kernel_cache import cache_folder, sources

ROOT = Path(__file__).parents[2]
KERNEL = """
import sys
import numpy as np
from pivot_udfs.counting import dense_row
assert ".zip" in dense_row.__file__, dense_row.__file__
counts, docs = dense_row.count_items(np.array([1, 1, 2], np.int32), np.array([0, 2, 3]), 3)
print(counts.tolist(), docs.tolist(), sum(dense_row.count_items.stats.cache_hits.values()))
"""


def run_from_zip(folder: Path, place: str) -> str:
    """What a kernel returns in a process without a home, with the code in a zip in a folder of its own."""
    target = folder / place / "semantic_pivots.zip"
    subprocess.run(
        [sys.executable, ROOT / "jobs" / "framework" / "spark" / "code_zip.py", target], check=True, capture_output=True
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "XDG_", "PYTHON"))}
    environment = kept | {"HOME": "/dev/null", "TMPDIR": str(folder), "PYTHONPATH": str(target)}
    command = [sys.executable, "-c", KERNEL]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


def test_kernels_in_a_zip_need_no_home_and_are_compiled_once(tmp_path: Path) -> None:
    assert run_from_zip(tmp_path, "a") == "[0, 2, 1] [0, 1, 1] 0\n"
    assert run_from_zip(tmp_path, "b") == "[0, 2, 1] [0, 1, 1] 1\n"
    kept = tmp_path / f"semantic-pivots-kernels-{os.getuid()}"
    assert kept.stat().st_mode & 0o777 == 0o700
    assert len(list(kept.glob("pivot_udfs.counting.dense_row-*"))) == 1


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that would be used, in a temporary folder of the test's own."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"semantic-pivots-kernels-{os.getuid()}"


def test_the_folder_is_this_user_s_alone(mine: Path) -> None:
    assert cache_folder.__wrapped__() == mine == cache_folder.__wrapped__()
    assert mine.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["others may write", "link", "file", "dangling link"])
def test_a_folder_that_others_could_have_filled_is_not_used(mine: Path, kind: str) -> None:
    if kind == "others may write":
        mine.mkdir()
        mine.chmod(0o777)
    elif kind == "file":
        mine.write_text("", encoding="utf-8")
    else:
        mine.symlink_to(mine.parent if kind == "link" else mine.parent / "nothing")
    taken = cache_folder.__wrapped__()
    assert taken.resolve() not in (mine.resolve(), mine.parent)
    assert taken.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("chosen", ["/dev/null/kernels", "/proc/none/kernels"])
def test_a_chosen_folder_that_cannot_be_made_is_not_used(
    mine: Path, chosen: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", chosen)
    assert cache_folder.__wrapped__().stat().st_mode & 0o777 == 0o700
    assert "cannot be made" in caplog.text


def test_another_user_s_folder_is_not_used(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.getuid()
    mine.with_name(f"semantic-pivots-kernels-{user + 1}").mkdir(mode=0o700)
    monkeypatch.setattr("os.getuid", lambda: user + 1)
    assert cache_folder.__wrapped__().name != f"semantic-pivots-kernels-{user + 1}"


def test_a_chosen_folder_is_made_private_and_used(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = mine.parent / "deep" / "chosen"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(chosen))
    assert cache_folder.__wrapped__() == chosen
    assert chosen.stat().st_mode & 0o777 == 0o700
    (mine.parent / "link").symlink_to(chosen)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(mine.parent / "link"))
    assert cache_folder.__wrapped__() == chosen


@pytest.mark.parametrize(("mode", "owner"), [(0o777, 0), (0o770, 0), (0o1777, 0), (0o700, 1)])
def test_a_chosen_folder_that_others_own_or_may_write_is_not_used(
    mine: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: int, owner: int
) -> None:
    chosen = mine.parent / "chosen"
    chosen.mkdir()
    chosen.chmod(mode)
    user = os.getuid() + owner
    monkeypatch.setattr("os.getuid", lambda: user)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(chosen))
    taken = cache_folder.__wrapped__()
    assert taken != chosen
    assert taken.stat().st_mode & 0o777 == 0o700
    assert str(chosen) in caplog.text
    assert "set NUMBA_CACHE_DIR to a folder of this user with mode 700" in caplog.text


def test_the_cache_key_of_a_kernel_covers_every_module_it_is_compiled_from() -> None:
    found = sources({}, word_pair_kernel.__name__)
    ours = {name for name in found if name.count(".") == 2}
    rooms = {"counting.word_pair_kernel", "counting.dense_row", "runtime.intrinsics"}
    assert ours == {f"pivot_udfs.{name}" for name in rooms}
    assert "trailing_zeros" in found["pivot_udfs.runtime.intrinsics"]


FORMS = [
    "from {0}.other import k",
    "from {0} import other",
    "import {0}.other",
    "from . import other",
    "from .other import (\n    k,\n)",
]


@pytest.mark.parametrize("form", FORMS)
def test_imports_of_every_form_are_followed(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that import from another room must not be taken from the cache when that room has changed."""
    room = "pivot_udfs.counting"
    texts = {f"{room}.kernel": form.format(room), f"{room}.other": "k = 1"}
    for name, text in texts.items():
        module = types.ModuleType(name)
        module.__loader__ = types.SimpleNamespace(get_source=lambda _name, text=text: text)
        monkeypatch.setitem(sys.modules, name, module)
    found = sources({}, f"{room}.kernel")
    assert found.keys() >= texts.keys()
