"""Writes the model side's results as one self-contained HTML page, linked with the corpus report.

    python -m jobs.gpu.write_model_report --config conf/demo-model.toml [--set model_report.path=...] [--dry-run]

Reads what the other jobs left under ``results.path``; parts that were not run are left out of the page and named. The
page lies beside the corpus report, which links to it, unless ``model_report.path`` says otherwise.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from jobs.gpu.common.run_job import results_path, run_job, say, write_text
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.report.data import ModelReport, read_model_report
from jobs.gpu.report.plots import draw_count_scores, draw_layer_curves, draw_roc, draw_training
from jobs.report.names import shown_token

PAGE = "model_report.html"


def write_report(settings: ModelSettings) -> None:
    """Reads the results and writes the page."""
    path = report_path(settings)
    page = make_page(read_model_report(settings), settings.model_report.corpus_report or _corpus_report(path))
    write_text(path, page)
    say("wrote", report=path, mb=f"{len(page.encode()) / 1e6:.1f}")


def report_path(settings: ModelSettings) -> Path:
    """Where the page goes: ``model_report.path``, else beside the corpus report, else among the results."""
    if settings.model_report.path:
        return Path(settings.model_report.path)
    warehouse = settings.warehouse.path
    return results_path(settings, PAGE) if "://" in warehouse else Path(warehouse) / PAGE


def _corpus_report(path: Path) -> str:
    return "report.html" if (path.parent / "report.html").is_file() else ""


def make_page(report: ModelReport, corpus_report: str) -> str:
    """The page as HTML.

    Args:
        report: what it says.
        corpus_report: address of the corpus report, relative to the page; empty: no link.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"shown": shown_token, "f3": _three_places, "lang_of": _target_language}
    figures = {
        "layers": draw_layer_curves(report.layer_curves) if report.layer_curves else "",
        "roc": draw_roc(report.roc) if report.roc else "",
        "scatter": draw_count_scores(report.count_scores) if report.count_scores else "",
        "training": draw_training(report.training) if report.training else "",
    }
    # Our own style sheet and figures are taken as they are; everything else is escaped.
    safe = {name: Markup(svg) for name, svg in figures.items()}  # noqa: S704
    style = Markup(resources.files("jobs.report").joinpath("report.css").read_text(encoding="utf-8"))  # noqa: S704
    template = environment.from_string(resources.files("jobs.gpu.report").joinpath(PAGE).read_text(encoding="utf-8"))
    return template.render(report=report, figures=safe, style=style, corpus_report=corpus_report)


def _three_places(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"


def _target_language(direction: str) -> str:
    return direction.split("-")[1]


def main(argv: Sequence[str] | None = None) -> int:
    """The job; see the module's docstring."""
    return run_job(write_report, __doc__ or "", argv)


if __name__ == "__main__":
    raise SystemExit(main())
