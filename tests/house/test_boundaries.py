"""Who may import whom: executors' code neither Spark nor torch, the model side never Spark; names shadow nothing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UDFS = sorted((ROOT / "pivot_udfs").rglob("*.py"))
GPU = sorted((ROOT / "jobs" / "gpu").rglob("*.py"))
CORPUS_SIDE = sorted(path for path in (ROOT / "jobs").rglob("*.py") if path not in GPU)
ENTRIES = sorted([*(ROOT / "jobs").glob("*.py"), *(ROOT / "jobs" / "gpu").glob("*.py")])
SHARED = [
    *(ROOT / "jobs" / "report" / f"{name}.py" for name in ("language_names", "plot_style", "templates")),
    *(ROOT / "jobs" / "framework" / f"{name}.py" for name in ("command_line", "log_lines", "markdown", "user_errors")),
    *(
        ROOT / "jobs" / "warehouse" / f"{name}.py"
        for name in ("arrow_tables", "commit_history", "open_table", "releases")
    ),
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


def test_pivot_udfs_import_without_spark_and_torch() -> None:
    modules = [module_name(path) for path in UDFS]
    command = [sys.executable, "-c", IMPORT_ALL, *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.strip() == str(len(modules))


def allowed(path: Path, *forbidden: str) -> list[str]:
    return [name for name in imported(path) if name.split(".")[0] in forbidden]


@pytest.mark.parametrize("path", UDFS, ids=module_name)
def test_pivot_udfs_never_name_spark_torch_or_jobs(path: Path) -> None:
    assert allowed(path, "pyspark", "delta", "torch", "transformers", "jobs") == []


@pytest.mark.parametrize("path", GPU, ids=module_name)
def test_the_model_side_never_imports_spark(path: Path) -> None:
    corpus_side = {module_name(other) for other in CORPUS_SIDE if other not in SHARED} - {
        "jobs",
        "jobs.report",
        "jobs.framework",
        "jobs.warehouse",
    }
    assert allowed(path, "pyspark", "delta") == []
    assert imported(path) & corpus_side == set()


@pytest.mark.parametrize("path", SHARED, ids=module_name)
def test_what_both_sides_share_needs_neither_spark_nor_torch(path: Path) -> None:
    assert allowed(path, "pyspark", "delta", "torch", "transformers") == []


@pytest.mark.parametrize("path", CORPUS_SIDE, ids=module_name)
def test_the_corpus_side_never_imports_torch(path: Path) -> None:
    assert allowed(path, "torch", "transformers", "accelerate") == []


@pytest.mark.parametrize("path", ENTRIES, ids=module_name)
def test_no_job_shadows_a_module(path: Path) -> None:
    """spark-submit puts a job's folder first on sys.path, so a job named like a module stands in its place."""
    others = {"pyspark", "delta", "torch", "numpy", "pyarrow", "tokenizers", "regex", "pivot_udfs", "jobs", "tests"}
    assert path.stem not in sys.stdlib_module_names | others


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


@pytest.mark.parametrize("path", [*UDFS, *CORPUS_SIDE, *GPU], ids=module_name)
def test_a_module_has_250_lines_at_most(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250
