"""Describes each dataset of a release: dataset card, Croissant, SPDX, and the EU's summary of training content.

    python jobs/describe_release.py --config conf/demo.toml [--set description.path=...]

It needs neither Spark nor Java. Licences and origins come from ``[sources.<name>]``; every number from the tables.
"""

import os.path
import sys
from functools import partial

from jobs.describing.croissant import croissant
from jobs.describing.dataset_card import dataset_card
from jobs.describing.dataset_facts import DatasetFacts, read_facts
from jobs.describing.licenses import is_known
from jobs.describing.spdx import spdx_document
from jobs.describing.training_summary import training_summary
from jobs.framework.check_paths import check_folder
from jobs.framework.command_line import run_command
from jobs.framework.log_lines import clean, say, write_line
from jobs.warehouse.arrow_tables import ArrowTables
from jobs.warehouse.releases import Release, read_release
from pivot_udfs.errors import WarehouseError
from pivot_udfs.settings import Settings
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve

NAME = "describe_release"
CARD, CROISSANT, SUMMARY, SPDX = "README.md", "croissant.json", "training_content_summary.md", "dataset.spdx.json"


def run(settings: Settings) -> None:
    """Writes four files for each configured arm, into ``<description.path>/<arm>``."""
    release, tables, folder = _asked_for(settings)
    for arm in settings.selection.arms:
        facts = read_facts(tables, release, arm, settings.description, settings.sources)
        _warn(facts)
        _write(facts, folder.child(arm), tables.location(f"datasets/{arm}"))


def plan(settings: Settings) -> None:
    """Prints the files that would be written; raises as ``run`` where the release, a dataset or the folder is not."""
    release, tables, folder = _asked_for(settings)
    tables.check(f"datasets/{arm}" for arm in settings.selection.arms)
    for arm in settings.selection.arms:
        files = ", ".join((CARD, CROISSANT, SUMMARY, SPDX))
        sys.stdout.write(
            clean(f"{arm}: would describe release {release.release} in {folder.child(arm)}: {files}") + "\n"
        )


def _asked_for(settings: Settings) -> tuple[Release, ArrowTables, Location]:
    """The release, its tables, and the folder of the descriptions, which can be written."""
    root = resolve(settings.warehouse.path)
    release = read_release(root, settings.warehouse.release)
    if release is None:
        raise WarehouseError(f"there is no release at {root}: run rebuild_corpus first, or correct warehouse.path")
    folder = resolve(settings.description.path) if settings.description.path else root.child("descriptions")
    check_folder(settings.description.path or settings.warehouse.path, key="description.path")
    return release, ArrowTables(settings.warehouse.path, release.release), folder


def _warn(facts: DatasetFacts) -> None:
    missing = [name for name, source in facts.sources.items() if not (source.license and source.url)]
    if missing:
        _warning(facts, f"no licence or url in the settings [sources.<name>] of {', '.join(missing)}")
    for name, source in facts.sources.items():
        if source.license and not is_known(source.license):
            _warning(
                facts,
                f"sources.{name}.license = {source.license!r} is no expression of SPDX: write one, such as "
                "'MIT OR Apache-2.0', an address, or LicenseRef-<name> for a licence that SPDX does not list",
            )


def _warning(facts: DatasetFacts, text: str) -> None:
    write_line(f"warning: {facts.arm}: {text}", "WARNING")


def _write(facts: DatasetFacts, folder: Location, table: Location) -> None:
    is_near = folder.is_local and table.is_local
    path = os.path.relpath(table.path, folder.path) if is_near else table.uri
    texts = {CARD: dataset_card(facts), CROISSANT: croissant(facts, path), SUMMARY: training_summary(facts)} | {
        SPDX: spdx_document(facts)
    }
    for name, text in texts.items():
        try:
            folder.child(name).write(text.encode())
        except STORE_ERRORS as error:
            raise WarehouseError(f"{folder.child(name)} cannot be written ({reason(error)})") from None
    say(f"{facts.arm}: {facts.total.n_docs:,} documents, {facts.total.n_tokens:,} tokens: {folder}")


main = partial(run_command, NAME, __doc__, Settings, run, plan=plan, reads_release=True)


if __name__ == "__main__":
    raise SystemExit(main())
