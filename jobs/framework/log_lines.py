"""Writes log records, errors and progress, as text or as JSON, without credentials and control characters."""

import json
import logging
import sys
import traceback
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from tqdm import tqdm

from pivot_udfs.errors import SemanticPivotsError
from pivot_udfs.storage.redact import HIDDEN, printable

_SHORTEST = 4
_secrets: set[str] = set()
_json_job: list[str] = []
"""The name of the job whose lines are JSON; empty where lines are text."""
_least = logging.INFO
"""The least severe level of the lines that are written."""


def hide(values: Iterable[str]) -> None:
    """Registers secret values, which no later line shows; values too short to be secrets are ignored."""
    _secrets.update(value for value in values if len(value) >= _SHORTEST and value not in ("true", "false"))


def clean(text: str) -> str:
    """The text as one line: credentials hidden, control characters escaped."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return printable(text)


def say(text: str, **values: object) -> None:
    """Writes one line to standard error: the time (UTC), what happened, and its numbers as ``name=value``."""
    numbers = " ".join(f"{name}={value}" for name, value in values.items())
    write_line(f"{datetime.now(UTC):%H:%M:%S} {text} {numbers}".rstrip(), message=text, values=values)


def write_error(job: str, error: SemanticPivotsError) -> None:
    """Writes an error that the user can fix: ``job: ConfigError: message``, each further argument on a line below."""
    first, *more = [str(part) for part in error.args] or [""]
    message = f"{type(error).__name__}: {first}"
    if _json_job:
        return write_line("", "ERROR", message=" ".join([message, *more]))
    write_line(f"{job}: {message}", "ERROR")
    for line in more:
        sys.stderr.write(f"  {clean(line)}\n")
    return None


def write_traceback(error: BaseException) -> None:
    """Writes the traceback of an unexpected error."""
    lines = [line.replace("\t", "    ") for line in "".join(traceback.format_exception(error)).splitlines()]
    if _json_job:
        return write_line("", "ERROR", message=lines[-1], values={"traceback": [clean(line) for line in lines]})
    for line in lines:
        write_line(line, "ERROR")
    return None


def start_logging(job: str = "", as_json: bool = False, level: str = "INFO") -> None:
    """Sends log records of all libraries, from WARNING on, to standard error, where nothing else has done so.

    ``as_json``: from now on every line is one JSON object: time (UTC, ISO 8601), level, ``job``, stage, message, and
    more values by name. Lines less severe than ``level`` are not written.
    """
    global _least
    _json_job[:], _least = [job] if as_json else [], logging.getLevelNamesMapping()[level]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(CleanFormatter())
    handler.addFilter(lambda record: not _is_interrupt(record))
    logging.basicConfig(level=max(logging.WARNING, _least), handlers=[handler])


def _is_interrupt(record: logging.LogRecord) -> bool:
    """Py4J logs an interrupt and raises it again, and that of a call that Spark's handler makes within another."""
    error = record.exc_info[1] if record.exc_info else None
    return isinstance(error, KeyboardInterrupt) or (error is not None and "reentrant call" in str(error.__context__))


class CleanFormatter(logging.Formatter):
    """Formats a record through ``clean``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines; as JSON always one."""
        lines = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        lines, message = [clean(line) for line in lines], f"{record.name}: {record.getMessage()}"
        if _json_job:
            return _as_json(record.levelname, "", message, {"traceback": lines} if lines else {})
        return "\n".join([clean(f"{record.levelname} {message}"), *lines])


def is_shown(level: str) -> bool:
    """Whether lines of a level, such as ``INFO``, are written."""
    return logging.getLevelNamesMapping()[level] >= _least


def is_json() -> bool:
    """Whether lines are JSON objects."""
    return bool(_json_job)


def write_line(
    text: str,
    level: str = "INFO",
    stage: str = "",
    message: str | None = None,
    values: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Writes one line to standard error: ``text``, or JSON with these values and ``message`` (None: ``text``)."""
    if not is_shown(level):
        return
    line = _as_json(level, stage, text if message is None else message, values) if _json_job else clean(text)
    tqdm.write(line, file=sys.stderr)  # above the bars of a terminal
    sys.stderr.flush()


def _as_json(level: str, stage: str, message: str, values: Mapping[str, object]) -> str:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    record = {"time": time, "level": level, "job": _json_job[0], "stage": stage, "message": clean(message)}
    shown = {name: clean(value) if isinstance(value, str) else value for name, value in values.items()}
    return json.dumps(record | shown | record, ensure_ascii=False, default=str)


def progress_bar(*items: Any, disable: bool = False, **options: Any) -> Any:
    """A bar of ``tqdm`` over items, or one that is updated by hand; only on a terminal, and not beside JSON lines."""
    return tqdm(*items, disable=True if disable or is_json() else None, **options)
