"""All tables in; one self-contained HTML page out.

    spark-submit jobs/write_report.py --config conf/demo.toml [--release N] [--set report.path=...] [--dry-run]

Where pivots and cuts are pinned, a rebuild writes the page at refreshes; in between it only brings the section of the
releases up to date.
"""

import html
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from pyarrow import fs

from jobs.forgetting.block_list_table import read_block_list
from jobs.forgetting.remove_records import without_documents
from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance, difference
from pivot_udfs.schemas import PINNED, STAGE_TABLES
from pivot_udfs.shards.block_list import NOTHING_BLOCKED
from pivot_udfs.storage.list_files import list_folder
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve

PAGE = "report.html"
_SHARDS = "shards"
"""Not compared: what the page has of shards is in ``documents`` and ``quarantine`` too, but for a touched shard."""
_END = "</html>"
_CUTS = "selection_cuts"
"""Between refreshes only what made them is compared: cuts of a source that was forgotten are removed."""
_SHOWN = re.compile(r'<meta name="semantic-pivots-shows" content="([^"]*)">')
_RECORD = re.compile(r'<meta name="semantic-pivots-made-of" content="([^"]*)">')
MODEL_REPORT = "model_report.html"
"""Written by the model side into the folder of the page, which links it where it is present."""


def run(run: Run, provenance: Provenance) -> None:
    """Reads the tables and writes the page."""
    # Matplotlib and pandas, which a dry run and the other stages do not need.
    from jobs.report.read_report import read_report
    from jobs.report.render_page import make_page

    with run.progress.watch(run.spark, "write_report", "tables"):
        report = read_report(run)
    location = report_location(run)
    page = make_page(report, model_report_beside(location), provenance.to_json())
    page = _with_releases(run, page, provenance)
    _write(location, page)
    run.progress.say("write_report", f"{location}: {len(page) / 1e6:.1f} MB")


def why_write(run: Run, now: Provenance) -> str | None:
    """Why the page is not the one that would be written now; None when it is, or stays until the next refresh."""
    location = report_location(run)
    page = _read(location)
    if page is None:
        return f"{location} is not there yet"
    made = _made_of(page)
    if made is None:
        return f"{location} has no provenance, or is incomplete"
    compared = {*PINNED} - {_CUTS} if run.pins else {*made.tables, *now.tables} - {_SHARDS}
    if changed := difference(made, now, compared):
        return f"{location} was made with {changed}"
    return f"{location} shows what was forgotten" if _shows_blocked(run, page) else None


def update_releases(run: Run) -> None:
    """Brings the section of the releases up to date, where the page is there; its other sections stay."""
    location = report_location(run)
    page = _read(location)
    made = _made_of(page) if page else None
    if page and made and (updated := _with_releases(run, page, made)) != page:
        _write(location, updated)


def _with_releases(run: Run, page: str, made: Provenance) -> str:
    from jobs.report.releases_section import with_releases

    shown = {name: rows for name, rows in made.tables.items() if name != _SHARDS}
    return with_releases(page, run.settings.warehouse.path, shown, run.settings.refresh.max_drift, run.release)


def _shows_blocked(run: Run, page: str) -> bool:
    """Whether a page has a text or the name of a source that is blocked, or of a source that has no document left."""
    blocks, shown = read_block_list(run.warehouse), _SHOWN.search(page)
    if blocks == NOTHING_BLOCKED or not shown:
        return blocks != NOTHING_BLOCKED
    records = json.loads(html.unescape(shown[1]))
    sources = {source for source, doc_id, shard in records if doc_id is None and shard is None}
    return any(blocks.has(*record) for record in records) or bool(without_documents(run, sources))


def _made_of(page: str) -> Provenance | None:
    found = _RECORD.search(page)
    return Provenance.from_json(html.unescape(found[1])) if found and page.rstrip().endswith(_END) else None


def report_location(run: Run) -> Location:
    """The page: ``report.path``, else ``report.html`` beside the tables; of a release that is named a file of its own.

    That is ``report_release_3.html`` for release 3, so that the newest page stays.
    """
    path = run.settings.report.path
    page = resolve(path) if path else resolve(run.settings.warehouse.path).child(PAGE)
    if run.release is None:
        return page
    name = PurePosixPath(page.name)
    named = f"{name.stem}_release_{run.release}{name.suffix}"
    return replace(page, path=f"{page.path.removesuffix(page.name)}{named}")


def pages_of_releases(run: Run) -> list[Location]:
    """The pages of releases that were named: they keep what they show when documents are forgotten."""
    page = report_location(run)
    name, folder = PurePosixPath(page.name), replace(page, path=page.path.removesuffix(f"/{page.name}"))
    pattern = re.compile(rf"{re.escape(name.stem)}_release_\d+{re.escape(name.suffix)}")
    return [entry.location for entry in list_folder(folder) if pattern.fullmatch(entry.location.name)]


def model_report_beside(page: Location) -> str | None:
    """Address of the model report relative to the page; None if it is not there."""
    try:
        return MODEL_REPORT if resolve(f"{page.uri.rpartition('/')[0]}/{MODEL_REPORT}").exists() else None
    except STORE_ERRORS:
        return None


def _read(page: Location) -> str | None:
    """The page; None where there is none."""
    try:
        if not page.exists():
            return None
        if page.type() != fs.FileType.File:
            raise IsADirectoryError("it is no file")
        return page.read().decode(errors="replace")
    except STORE_ERRORS as error:
        raise _unusable("read from", page, error) from None


def _write(page: Location, content: str) -> None:
    try:
        page.write(content.encode())
    except STORE_ERRORS as error:
        raise _unusable("written to", page, error) from None


def _unusable(use: str, page: Location, error: BaseException) -> WarehouseError:
    return WarehouseError(f"the report cannot be {use} {page} ({reason(error)}): correct report.path")


STAGE = Stage(
    name="write_report",
    version=10,
    reads=(*STAGE_TABLES, "datasets/*"),
    sections=("report",),
    files=("tokenizer", "lexicon"),
    packages=("regex", "sentencepiece", "tokenizers"),
    run=run,
    why=why_write,
)


main = partial(run_job, STAGE, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
