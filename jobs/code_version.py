"""Which code makes a stage's tables: a hash of what the stage's file and all that it imports here do, and libraries.

Only what a stage can reach counts, so that a change to the filter does not tokenize a corpus again; and not the
frame that carries every stage (command line, session, progress, warehouse), which does not shape a row. Comments,
docstrings, layout and the number of the release shape none either.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable

from pivot_udfs import __version__

_FRAME = frozenset(
    f"jobs.{name}"
    for name in (
        "code_version",
        "command_line",
        "delta_tables",
        "progress",
        "spark_session",
        "stage",
        "table_history",
        "tables_together",
    )
)
_SHAPING = ("ahocorasick_rs", "fastokens", "py3langid", "regex", "sentencepiece", "tokenizers")
"""Packages that decide what a table holds; the others compute the same whatever their release."""
_TEMPLATES = (".html", ".css")


def code_version(stage: str) -> str:
    """The release and the beginning of ``source_hash``, for people."""
    return f"{__version__}+{source_hash(stage)[:12]}"


@functools.cache
def source_hash(stage: str) -> str:
    """SHA-256 (hex) of what ``jobs/<stage>.py`` and the modules that it reaches do, but for the frame."""
    digest = hashlib.sha256()
    modules = sorted(_reached(f"jobs.{stage}"))
    for module in modules:
        digest.update(meaning(_source(module)).encode())
    for template in _templates(sorted({module.rpartition(".")[0] for module in modules})):
        digest.update(template.encode())
    return digest.hexdigest()


@functools.cache
def package_versions(stage: str) -> dict[str, str]:
    """The installed release of each package that shapes the stage's tables."""
    imported = {name.partition(".")[0] for module in _reached(f"jobs.{stage}") for name in _imports(_source(module))}
    return {name: metadata.version(name) for name in _SHAPING if name in imported}


def meaning(source: str) -> str:
    """A module's syntax tree as text, without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_docstring(statement)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _templates(packages: list[str]) -> Iterator[str]:
    for package in packages:
        files = sorted(resources.files(package).iterdir(), key=lambda file: file.name)
        yield from (file.read_text(encoding="utf-8") for file in files if file.name.endswith(_TEMPLATES))


@functools.cache
def _reached(start: str) -> frozenset[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [name for name in _imports(_source(module)) if _is_ours(name) and name not in _FRAME]
    return frozenset(found)


def _imports(source: str) -> list[str]:
    """All names that may be modules: of ``from a import b``, ``a`` and ``a.b``."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _is_ours(name: str) -> bool:
    return name.startswith(("pivot_udfs.", "jobs.")) and _file_of(name).is_file()


def _source(module: str) -> str:
    return _file_of(module).read_text(encoding="utf-8")


def _file_of(module: str) -> Traversable:
    package, *path = module.split(".")
    return resources.files(package).joinpath(*path[:-1], f"{path[-1]}.py")
