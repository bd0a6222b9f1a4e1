"""Writes the results of the model side as one self-contained HTML page that links to the corpus report.

    python -m jobs.gpu.write_model_report --config conf/demo-model.toml [--set model_report.path=...] [--dry-run]

Reads what the other jobs wrote under ``results.path``; jobs that have not run are named on the page. The page is
written beside the corpus report, which links to it, unless ``model_report.path`` is set.
"""

from functools import partial
from pathlib import Path

from markupsafe import Markup

from jobs.framework.log_lines import say
from jobs.gpu.common.check_inputs import run_checked
from jobs.gpu.common.files import file_sha256, results_path, write_text
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.report.plots import draw_count_scores, draw_curves, draw_sweep, draw_training
from jobs.gpu.report.read_results import ModelReport, jobs_without, read_model_report, read_parts
from jobs.report.language_names import shown_token
from jobs.report.templates import packaged, template, without_controls
from pivot_udfs.load_settings import result_settings
from pivot_udfs.provenance import Provenance
from pivot_udfs.storage.stores import resolve

PAGE = "model_report.html"
VERSION = 1
SOURCES = (
    "task.jsonl",
    "model.json",
    "scores.json",
    "explanation.json",
    "explained_pairs.parquet",
    "experiment.json",
    "sweep.json",
)


def write_report(settings: ModelSettings) -> None:
    """Reads the results and writes the page."""
    path = report_path(settings)
    beside = "report.html" if (path.parent / "report.html").is_file() else ""
    page = make_page(read_model_report(settings), beside, _provenance(settings))
    write_text(path, page)
    say("wrote", report=path, mb=f"{len(page.encode()) / 1e6:.1f}")


def _provenance(settings: ModelSettings) -> Provenance:
    paths = [results_path(settings, name) for name in SOURCES]
    files = {path.name: file_sha256(path) for path in paths if path.is_file()}
    return Provenance("write_model_report", VERSION, result_settings(settings.model_report), files=files)


def report_path(settings: ModelSettings) -> Path:
    """The path of the page: ``model_report.path``, else beside the corpus report, else among the results."""
    if settings.model_report.path:
        return Path(settings.model_report.path)
    warehouse = resolve(settings.warehouse.path)
    return Path(warehouse.path) / PAGE if warehouse.is_local else results_path(settings, PAGE)


def make_page(report: ModelReport, corpus_report: str, made_from: Provenance) -> str:
    """The page as HTML; ``corpus_report`` is the address of the corpus report relative to it, empty for no link."""
    filters = {
        "shown": shown_token,
        "f3": lambda value: "–" if value is None or value != value else f"{value:.3f}",
        "lang_of": lambda direction: direction.split("-")[1],
    }
    figures = {
        "layers": draw_curves(report.curves) if report.curves else "",
        "precision": draw_curves({"all directions": report.precision}, "precision at 1") if report.precision else "",
        "scatter": draw_count_scores(report.count_scores) if report.count_scores else "",
        "sweep": draw_sweep(report.sweep) if report.sweep else "",
        "training": draw_training(report.training) if report.training else "",
    }
    # Only the style sheet and the figures are trusted; everything else is escaped.
    safe = {name: Markup(svg) for name, svg in figures.items()}  # noqa: S704
    style = Markup(packaged("report.css"))  # noqa: S704
    page = template(PAGE, filters, "jobs.gpu.report").render(
        report=report, figures=safe, style=style, corpus_report=corpus_report, provenance=made_from.to_json()
    )
    return without_controls(page)


def check(settings: ModelSettings) -> list[str]:
    """The results that there are."""
    missing = jobs_without(read_parts(settings))
    return [f"results {settings.results.path}" + (f", without those of {', '.join(missing)}" if missing else "")]


main = partial(run_checked, "write_model_report", __doc__, write_report, check)


if __name__ == "__main__":
    raise SystemExit(main())
