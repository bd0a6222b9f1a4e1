"""Who may import whom: executors' code neither Spark nor torch, the model side never Spark; names shadow nothing."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UDFS = sorted((ROOT / "pivot_udfs").rglob("*.py"))
GPU = sorted((ROOT / "jobs" / "gpu").rglob("*.py"))
CORPUS_SIDE = sorted(path for path in (ROOT / "jobs").rglob("*.py") if path not in GPU)
ENTRIES = sorted([*(ROOT / "jobs").glob("*.py"), *(ROOT / "jobs" / "gpu").glob("*.py")])
SHARED = [
    *(ROOT / "jobs" / "report" / f"{name}.py" for name in ("language_names", "plot_style", "templates")),
    *(
        ROOT / "jobs" / "framework" / f"{name}.py"
        for name in ("check_paths", "command_line", "log_lines", "markdown", "user_errors")
    ),
    *(ROOT / "jobs" / "warehouse" / f"{name}.py" for name in ("arrow_tables", "check_forgotten", "releases")),
    *(ROOT / "jobs" / "warehouse" / "delta" / f"{name}.py" for name in ("commit_history", "open_table")),
]
"""Modules of the corpus side that the model side may import: they need neither Spark nor torch."""
STAGES = ["tokenize_corpus", "count_cooccurrence", "find_pivots", "score_documents", "filter_documents"]

IMPORT_ALL = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pyspark", "delta", "torch", "transformers", "jobs"):
            raise ImportError(f"{name} must not be needed here")

sys.meta_path.insert(0, Blocked())
for name in sys.argv[1:]:
    importlib.import_module(name)
print(len(sys.argv) - 1)
"""


@cache
def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")]
    return names | {ast.literal_eval(call.args[0]) for call in calls if isinstance(call.args[0], ast.Constant)}


def module_name(path: Path) -> str:
    """The dotted name of a file below the root."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_room_is_looked_at() -> None:
    assert {path.parent.name for path in UDFS} >= {"pivot_udfs", "shards", "tokenization", "counting"}
    assert {path.parent.name for path in GPU} >= {"gpu", "common", "training", "report"}
    assert {path.parent.name for path in CORPUS_SIDE} >= {"jobs", "framework", "warehouse", "report"}
    assert ("jobs.gpu.models.load_model", "torch") in imports_of(GPU, "torch")


def test_tests_lie_in_folders_of_the_code() -> None:
    """But for those of whole jobs, of steps (``pivot_udfs/*.py``), of the documentation and of the repository."""
    tests = ROOT / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    others = [folder for folder in folders if not any((ROOT / top / folder).is_dir() for top in ("jobs", "pivot_udfs"))]
    assert {str(folder) for folder in others} == {"jobs", "steps", "docs", "house"}


def test_pivot_udfs_import_without_spark_and_torch() -> None:
    modules = [module_name(path) for path in UDFS]
    command = [sys.executable, "-c", IMPORT_ALL, *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.strip() == str(len(modules))


def imports_of(paths: list[Path], *forbidden: str) -> list[tuple[str, str]]:
    """(module, what it imports) where that is in a forbidden package."""
    found = [(module_name(path), name) for path in paths for name in sorted(imported(path))]
    return [(module, name) for module, name in found if name.split(".")[0] in forbidden]


def test_pivot_udfs_never_name_spark_torch_or_jobs() -> None:
    assert imports_of(UDFS, "pyspark", "delta", "torch", "transformers", "jobs") == []


def test_the_model_side_never_imports_spark() -> None:
    packages = {"jobs", "jobs.report", "jobs.framework", "jobs.warehouse", "jobs.warehouse.delta"}
    corpus_side = {module_name(path) for path in CORPUS_SIDE if path not in SHARED} - packages
    assert imports_of(GPU, "pyspark", "delta") == []
    assert [pair for pair in imports_of(GPU, "jobs") if pair[1] in corpus_side] == []


def test_what_both_sides_share_needs_neither_spark_nor_torch() -> None:
    assert imports_of(SHARED, "pyspark", "delta", "torch", "transformers") == []


def test_the_corpus_side_never_imports_torch() -> None:
    assert imports_of(CORPUS_SIDE, "torch", "transformers", "accelerate") == []


def test_no_job_shadows_a_module() -> None:
    """spark-submit puts a job's folder first on sys.path, so a job named like a module stands in its place."""
    others = {"pyspark", "delta", "torch", "numpy", "pyarrow", "tokenizers", "regex", "pivot_udfs", "jobs", "tests"}
    assert {path.stem for path in ENTRIES} & (sys.stdlib_module_names | others) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_one_file_in_jobs_and_one_of_its_name_in_pivot_udfs(stage: str) -> None:
    assert (ROOT / "jobs" / f"{stage}.py").exists()
    assert (ROOT / "pivot_udfs" / f"{stage}.py").exists()
    assert f"pivot_udfs.{stage}" in imported(ROOT / "jobs" / f"{stage}.py")


WALK = ["jobs.filter_documents", "jobs.selection.select_documents", "jobs.selection.budgets", "pivot_udfs.arms"]


@pytest.mark.parametrize("place", range(1, len(WALK)))
def test_the_filter_imports_in_one_direction(place: int) -> None:
    path = ROOT / f"{WALK[place].replace('.', '/')}.py"
    assert imported(path) & {*WALK[:place], "pivot_udfs.filter_documents"} == set()


README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_and_links_in_the_documentation_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    folders = "jobs|pivot_udfs|conf|tests|docker|benchmarks|requirements"
    named = {ROOT / name for name in re.findall(rf"(?<![\w/.-])(?:{folders})/[\w./-]*\w", text)}
    links = {link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    linked = {page.parent / link for link in links if link}
    assert sorted(str(path) for path in named | linked if not path.exists()) == []


def test_the_readme_has_150_lines_of_120_characters_at_most() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 120] == []


def test_a_module_has_250_lines_at_most() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in [*UDFS, *CORPUS_SIDE, *GPU]}
    assert {module_name(path): n for path, n in lines.items() if n > 250} == {}
