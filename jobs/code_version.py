"""Which code makes a stage's tables: the release, and a hash of the stage's file and all that it imports here.

Only what a stage can reach counts, so that a change to the filter does not tokenize a corpus again; and not the
frame that carries every stage (command line, session, progress, warehouse), which does not shape a row.
"""

import ast
import functools
import hashlib
from importlib import resources

from pivot_udfs import __version__

_FRAME = frozenset(
    f"jobs.{name}" for name in ("code_version", "command_line", "delta_tables", "progress", "spark_session", "stage")
)


@functools.cache
def code_version(stage: str) -> str:
    """Release and source hash of ``jobs/<stage>.py`` and the modules that it reaches, but for the frame."""
    digest = hashlib.sha256()
    for module in sorted(_reached(f"jobs.{stage}")):
        digest.update(_source(module).encode())
    return f"{__version__}+{digest.hexdigest()[:12]}"


def _reached(start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            names = _imports(_source(module))
            waiting += [name for name in names if name.startswith(("pivot_udfs.", "jobs.")) and name not in _FRAME]
    return found


def _imports(source: str) -> list[str]:
    nodes = list(ast.walk(ast.parse(source)))
    names = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return names + [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]


def _source(module: str) -> str:
    package, *path = module.split(".")
    return resources.files(package).joinpath(*path[:-1], f"{path[-1]}.py").read_text(encoding="utf-8")
