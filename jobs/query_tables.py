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
from math import isfinite

import pyarrow as pa
from deltalake import QueryBuilder

from jobs.framework.command_line import Arguments, run_command
from jobs.maintain_warehouse import table_names
from jobs.warehouse.arrow_tables import ArrowTables
from pivot_udfs.errors import ConfigError
from pivot_udfs.settings import Settings
from pivot_udfs.storage.redact import escaped, reason
from pivot_udfs.storage.stores import resolve

_READS = re.compile(
    r"(?:--[^\n]*\n|/\*.*?\*/|[\s(])*(?:explain\s+(?:analyze\s+)?(?:verbose\s+)?[\s(]*)?(?:select|with|values|describe)\b",
    re.IGNORECASE | re.DOTALL,
)
"""The beginning of a query that only reads: DataFusion would also write files (``COPY ... TO``)."""


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
    if not _READS.match(query.sql):
        raise ConfigError("--sql: only queries that read are possible: begin it with SELECT or WITH")
    tables, builder = ArrowTables(settings.warehouse.path, settings.warehouse.release), QueryBuilder()
    names = {name.replace("/", "_"): name for name in table_names(resolve(settings.warehouse.path))}
    for alias, name in names.items():
        if re.search(rf"\b{re.escape(alias)}\b", query.sql) and (table := tables.delta(name)):
            builder.register(alias, table)
    try:
        rows = pa.RecordBatchReader.from_stream(builder.execute(query.sql))
        if repeated := sorted({name for name in rows.schema.names if rows.schema.names.count(name) > 1}):
            raise ValueError(f"several columns are named {', '.join(repeated)}: give them other names by AS")
        use(rows)
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
                finite = {
                    name: None if isinstance(value, float) and not isfinite(value) else value
                    for name, value in row.items()
                }
                sys.stdout.write(json.dumps(finite, ensure_ascii=False, allow_nan=False, default=_text) + "\n")
            else:
                _print_line("" if value is None else _text(value) for value in row.values())


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _print_line(cells: Iterable[str]) -> None:
    sys.stdout.write("\t".join(escaped(cell) for cell in cells) + "\n")


main = partial(run_command, "query_tables", __doc__, Settings, run, plan=plan, arguments=Query, reads_release=True)


if __name__ == "__main__":
    raise SystemExit(main())
