"""All tables in; one self-contained HTML page out.

spark-submit jobs/write_report.py --config conf/demo.toml [--set report.path=...] [--dry-run]
"""

import html
import re
import sys
from collections.abc import Sequence

from pyarrow import fs

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from jobs.report.read_report import read_report
from jobs.report.render_page import make_page
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance, difference
from pivot_udfs.schemas import STAGE_TABLES
from pivot_udfs.settings import Settings
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve

PAGE = "report.html"
_HEAD_BYTES = 1 << 16
_RECORD = re.compile(r'<meta name="semantic-pivots-made-of" content="([^"]*)">')
MODEL_REPORT = "model_report.html"
"""Written by the model side into the folder of the page, which links it where it is present."""


def run(run: Run, provenance: Provenance) -> None:
    """Reads the tables and writes the page."""
    with run.progress.watch(run.spark, "write_report", "tables"):
        report = read_report(run)
    page = make_page(report, model_report_beside(report_location(run.settings)), provenance.to_json()).encode()
    _write(report_location(run.settings), page)
    run.progress.say("write_report", f"{report_location(run.settings)}: {len(page) / 1e6:.1f} MB")


def why_write(run: Run, now: Provenance) -> str | None:
    """Why the page is not the one that would be written now; None when it is."""
    page = report_location(run.settings)
    head = _read_head(page)
    if head is None:
        return f"{page} is not there yet"
    found = _RECORD.search(head.decode(errors="replace"))
    made = Provenance.from_json(html.unescape(found[1])) if found else None
    if made is None:
        return f"{page} has no provenance"
    changed = difference(made, now)
    return f"{page} was made with {changed}" if changed else None


def report_location(settings: Settings) -> Location:
    """The page: ``report.path``, else ``report.html`` beside the tables."""
    return resolve(settings.report.path) if settings.report.path else resolve(settings.warehouse.path).child(PAGE)


def model_report_beside(page: Location) -> str | None:
    """Address of the model report relative to the page; None if it is not there."""
    try:
        return MODEL_REPORT if resolve(f"{page.uri.rpartition('/')[0]}/{MODEL_REPORT}").exists() else None
    except STORE_ERRORS:
        return None


def _read_head(page: Location) -> bytes | None:
    """The first bytes of the page; None where there is none."""
    try:
        if not page.exists():
            return None
        if page.type() != fs.FileType.File:
            raise IsADirectoryError("it is no file")
        with page.open_input() as stream:
            return stream.read(_HEAD_BYTES)
    except STORE_ERRORS as error:
        raise _unusable("read from", page, error) from None


def _write(page: Location, content: bytes) -> None:
    try:
        with page.open_output() as stream:
            stream.write(content)
    except STORE_ERRORS as error:
        raise _unusable("written to", page, error) from None


def _unusable(use: str, page: Location, error: BaseException) -> WarehouseError:
    return WarehouseError(f"the report cannot be {use} {page} ({reason(error)}): correct report.path")


STAGE = Stage(
    name="write_report",
    version=4,
    reads=(*STAGE_TABLES, "datasets/*"),
    writes=lambda settings: (),
    sections=("report",),
    files=("tokenizer", "lexicon"),
    packages=("regex", "sentencepiece", "tokenizers"),
    run=run,
    why=why_write,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Writes the HTML report of a rebuild.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
