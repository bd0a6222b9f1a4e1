"""Where numba keeps compiled kernels: one private folder a user, wherever the code and the home folder are.

On an executor the code is in a zip, for which numba knows one cache folder only, ``~/.cache``, and to which
``NUMBA_CACHE_DIR`` does not apply. ``pivot_udfs/__init__.py`` therefore names the locator below in
``NUMBA_CACHE_LOCATOR_CLASSES``, which numba reads when it is imported.

A kernel's folder is named after the source of its module and of the modules that it imports, numba's version and the
processor, so that neither two versions of the code nor two kinds of machine share files. Workers may compile at once:
numba replaces files atomically.
"""

import ast
import contextlib
import hashlib
import logging
import os
import stat
import sys
import tempfile
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba

log = logging.getLogger(__name__)

_PACKAGE = __name__.partition(".")[0]


class KernelCache:
    """Numba's cache locator for the kernels of this package; numba's own locators serve those of others."""

    def __init__(self, folder: Path, stamp: str, line: int) -> None:
        self._folder, self._stamp, self._line = folder, stamp, line

    @classmethod
    def from_function(cls, function: Any, _file: str) -> "KernelCache | None":
        """The locator of a function, None for one of another package."""
        name = function.__module__
        if name.partition(".")[0] != _PACKAGE:
            return None
        stamp = _stamp(name)
        return cls(cache_folder() / f"{name}-{stamp[:16]}", stamp, function.__code__.co_firstlineno)

    def ensure_cache_path(self) -> None:
        """Makes the folder; numba calls this before it writes."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        """Where the function's files are."""
        return str(self._folder)

    def get_source_stamp(self) -> str:
        """Hash of what the files were compiled from."""
        return self._stamp

    def get_disambiguator(self) -> str:
        """Distinguishes functions of one name."""
        return str(self._line)


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """``NUMBA_CACHE_DIR``, or a folder of this user's own among the temporary files.

    Cached kernels are pickles, which run code when they are loaded: a folder that another user owns or may write is not
    used, even if it was configured, but a new private one, with a warning.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen).resolve() if chosen else Path(tempfile.gettempdir(), f"semantic-pivots-kernels-{os.getuid()}")
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=bool(chosen))
    if _is_private(folder):
        return folder
    log.warning(
        "%s is not used for compiled kernels: it cannot be made, or others own it or may write to it. Kernels are "
        "compiled again in every process: set NUMBA_CACHE_DIR to a folder of this user with mode 700%s",
        *(folder, " (chmod go-w)" if chosen else ""),
    )
    return Path(tempfile.mkdtemp(prefix="semantic-pivots-kernels-"))


@lru_cache
def _stamp(module: str) -> str:
    processor = llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten()
    parts = [numba.__version__, " ".join(processor), *sources({}, module).values()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def sources(found: dict[str, str], module: str) -> dict[str, str]:
    """Adds the source of a module, and of the modules of this package that it imports, to ``found``, by name."""
    if module not in found:
        loader: Any = getattr(sys.modules[module], "__loader__")  # noqa: B009 - a zip's or a folder's
        found[module] = loader.get_source(module)
        for other in _imported(found[module], module):
            if other.partition(".")[0] == _PACKAGE and other in sys.modules:
                sources(found, other)
    return found


@cache
def _imported(source: str, module: str) -> tuple[str, ...]:
    """All names that may be modules: of ``from a import b``, ``a`` and ``a.b``."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _is_private(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
