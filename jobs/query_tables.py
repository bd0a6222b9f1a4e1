"""Answers an SQL query over the tables of a release, without Spark: one line a row, with tabs, or as JSON.

    python jobs/query_tables.py --config conf/demo.toml --sql "SELECT * FROM pivots ORDER BY rank LIMIT 10"

Tables are named as in ``docs/tables.md``, those of datasets ``datasets_<arm>``. The dialect is DataFusion's.
"""

import json
import re
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from functools import partial

import pyarrow as pa
from deltalake import QueryBuilder

from jobs.framework.command_line import Arguments, run_command
from jobs.framework.log_lines import clean
from jobs.maintain_warehouse import table_names
from jobs.warehouse.arrow_tables import ArrowTables
from pivot_udfs.errors import ConfigError
from pivot_udfs.settings import Settings
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.stores import resolve


class Query(Arguments):
    """The query, and how its rows are printed."""

    sql: str
    format: str

    def add_to(self, parser: ArgumentParser) -> None:
        """Adds the query and the format."""
        parser.add_argument("--sql", required=True, help="one SELECT")
        parser.add_argument("--format", choices=("tsv", "json"), default="tsv", help="json: one object a line")


def run(settings: Settings, query: Query) -> None:
    """Prints the rows as they are computed; raises ConfigError where the query is not valid."""
    _execute(settings, query, lambda rows: _print(rows, query.format == "json"))


def plan(settings: Settings, query: Query) -> None:
    """Prints the columns that the rows would have; raises ConfigError where the query is not valid."""
    _execute(settings, query, lambda rows: _print_line([f"would print the columns {', '.join(rows.schema.names)}"]))


def _execute(settings: Settings, query: Query, use: Callable[[pa.RecordBatchReader], None]) -> None:
    tables, builder = ArrowTables(settings.warehouse.path, settings.warehouse.release), QueryBuilder()
    names = []
    for name in table_names(resolve(settings.warehouse.path)):
        if table := tables.delta(name):
            names.append(name.replace("/", "_"))
            builder.register(names[-1], table)
    try:
        use(pa.RecordBatchReader.from_stream(builder.execute(query.sql)))
    except BrokenPipeError:
        sys.stderr.close()
    except Exception as error:  # DataFusion's errors have no class of their own
        known = f"; tables: {', '.join(names)}" if re.search("table .* not found", str(error)) else ""
        raise ConfigError(f"--sql: {reason(error)}{known}") from None


def _print(rows: pa.RecordBatchReader, as_json: bool) -> None:
    if not as_json:
        _print_line(rows.schema.names)
    for batch in rows:
        for row in batch.to_pylist():
            if as_json:
                sys.stdout.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            else:
                _print_line("" if value is None else str(value) for value in row.values())


def _print_line(cells: Iterable[str]) -> None:
    sys.stdout.write("\t".join(clean(cell) for cell in cells) + "\n")


main = partial(run_command, "query_tables", __doc__, Settings, run, plan=plan, arguments=Query, reads_release=True)


if __name__ == "__main__":
    raise SystemExit(main())
