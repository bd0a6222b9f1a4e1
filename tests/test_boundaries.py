"""Who may import whom: executors' code neither Spark nor torch, the model side never Spark; names shadow nothing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UDFS = sorted((ROOT / "pivot_udfs").glob("*.py"))
GPU = sorted((ROOT / "jobs" / "gpu").glob("*.py"))
CORPUS_JOBS = sorted((ROOT / "jobs").glob("*.py"))
REPORT = sorted((ROOT / "jobs" / "report").glob("*.py"))
BOTH_REPORTS = ["names", "style"]
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


def test_pivot_udfs_import_without_spark_and_torch() -> None:
    modules = ["pivot_udfs", *(f"pivot_udfs.{path.stem}" for path in UDFS if path.stem != "__init__")]
    command = [sys.executable, "-c", IMPORT_ALL, *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.strip() == str(len(modules))


def allowed(path: Path, *forbidden: str) -> list[str]:
    return [name for name in imported(path) if name.split(".")[0] in forbidden]


@pytest.mark.parametrize("path", UDFS, ids=lambda path: path.stem)
def test_pivot_udfs_never_name_spark_torch_or_jobs(path: Path) -> None:
    assert allowed(path, "pyspark", "delta", "torch", "transformers", "jobs") == []


@pytest.mark.parametrize("path", GPU, ids=lambda path: path.stem)
def test_the_model_side_never_imports_spark(path: Path) -> None:
    corpus_side = {f"jobs.{other.stem}" for other in CORPUS_JOBS if other.stem != "__init__"}
    corpus_side |= {f"jobs.report.{other.stem}" for other in REPORT if other.stem not in BOTH_REPORTS}
    assert allowed(path, "pyspark", "delta") == []
    assert imported(path) & corpus_side == set()


@pytest.mark.parametrize("name", BOTH_REPORTS)
def test_what_both_reports_share_needs_neither_spark_nor_torch(name: str) -> None:
    path = ROOT / "jobs" / "report" / f"{name}.py"
    assert allowed(path, "pyspark", "delta", "torch", "transformers", "jobs", "pivot_udfs") == []


@pytest.mark.parametrize("path", [*CORPUS_JOBS, *REPORT], ids=lambda path: path.stem)
def test_the_corpus_side_never_imports_torch(path: Path) -> None:
    assert allowed(path, "torch", "transformers", "accelerate") == []


@pytest.mark.parametrize("path", [*CORPUS_JOBS, *GPU], ids=lambda path: path.stem)
def test_no_job_shadows_a_module(path: Path) -> None:
    """spark-submit puts a job's folder first on sys.path, so a job named like a module stands in its place."""
    others = {"pyspark", "delta", "torch", "numpy", "pyarrow", "tokenizers", "regex", "pivot_udfs", "jobs", "tests"}
    assert path.stem not in sys.stdlib_module_names | others


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_one_file_in_jobs_and_one_of_its_name_in_pivot_udfs(stage: str) -> None:
    assert (ROOT / "jobs" / f"{stage}.py").exists()
    assert (ROOT / "pivot_udfs" / f"{stage}.py").exists()
    assert f"pivot_udfs.{stage}" in imported(ROOT / "jobs" / f"{stage}.py") | imported(
        ROOT / "jobs" / "select_documents.py"
    )


def test_paths_in_the_readme_exist() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("no README yet")
    text = readme.read_text(encoding="utf-8")
    folders = "jobs|pivot_udfs|conf|tests|docker|benchmarks|requirements"
    named = set(re.findall(rf"(?<![\w/.-])(?:{folders})/[\w./-]*\w", text))
    linked = {link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    missing = sorted(name for name in named | linked if name and not (ROOT / name).exists())
    assert missing == []
