"""Explains one document, or one rejected record: its place, its pivots, its densities, its arms, and what led there.

    python jobs/explain_document.py --config conf/demo.toml --source S --id D
    python jobs/explain_document.py --config conf/demo.toml --shard P --record N --format json

It reads the tables without Spark.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial

from jobs.explaining.explain_record import DOCUMENT_TABLES, Place, explain_record, place_of
from jobs.explaining.print_explanation import print_explanation, print_plan
from jobs.framework.command_line import Arguments, run_command
from jobs.warehouse.arrow_tables import ArrowTables
from pivot_udfs.errors import ConfigError
from pivot_udfs.settings import Settings


class DocumentArguments(Arguments):
    """Which record to explain, and how."""

    source: str | None
    id: str | None
    shard: str | None
    record: int | None
    format: str

    def add_to(self, parser: ArgumentParser) -> None:
        """Adds a key or a place, and the format."""
        parser.add_argument("--source", help="of the document; with --id")
        parser.add_argument("--id", help="of the document within its source")
        parser.add_argument("--shard", help="as the table shards lists it; with --record")
        parser.add_argument("--record", type=int, help="the record's number within its shard, from 0")
        parser.add_argument("--format", choices=("text", "json"), default="text", help="of the explanation")


def run(settings: Settings, arguments: DocumentArguments) -> None:
    """Prints the explanation."""
    tables, place, _ = _asked_for(settings, arguments)
    print_explanation(explain_record(tables, place), tables.release, arguments.format == "json")


def plan(settings: Settings, arguments: DocumentArguments) -> None:
    """Prints which record would be explained; raises as ``run`` where it, or a table, is not there."""
    tables, (shard, record), names = _asked_for(settings, arguments)
    print_plan(f"record {record} of {shard}", tables, names)


def _asked_for(settings: Settings, arguments: DocumentArguments) -> tuple[ArrowTables, Place, Sequence[str]]:
    """The tables, the record's place, and the names of the tables that an explanation surely needs."""
    tables = ArrowTables(settings.warehouse.path, settings.warehouse.release)
    record, by_key, by_place = arguments.record, (arguments.source, arguments.id), (arguments.shard, arguments.record)
    if by_key == (None, None) and arguments.shard is not None and record is not None and 0 <= record < 1 << 63:
        return tables, (arguments.shard, record), ("documents", "quarantine")
    if by_place == (None, None) and arguments.source is not None and arguments.id is not None:
        return tables, place_of(tables, arguments.source, arguments.id), DOCUMENT_TABLES
    raise ConfigError("give either --source and --id, or --shard and --record, a number from 0")


main = partial(
    run_command, "explain_document", __doc__, Settings, run, plan=plan, arguments=DocumentArguments, reads_release=True
)


if __name__ == "__main__":
    raise SystemExit(main())
