"""Where lines for a person are written: log records, errors, results. No credentials and no control characters pass."""

import logging
import sys
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime

from pivot_udfs.errors import SemanticPivotsError
from pivot_udfs.storage.messages import HIDDEN, printable

_SHORTEST = 4
_secrets: set[str] = set()


def hide(values: Iterable[str]) -> None:
    """Registers secret values, which no later line shows; values too short to be secrets are passed over."""
    _secrets.update(value for value in values if len(value) >= _SHORTEST and value not in ("true", "false"))


def clean(text: str) -> str:
    """The text as one line: credentials hidden, control characters escaped."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return printable(text)


def say(text: str, **values: object) -> None:
    """Writes one line to standard error: the time (UTC), what happened, and its numbers as ``name=value``."""
    numbers = " ".join(f"{name}={value}" for name, value in values.items())
    _write(f"{datetime.now(UTC):%H:%M:%S} {text} {numbers}".rstrip())


def write_error(job: str, error: SemanticPivotsError) -> None:
    """Writes an error that the user can fix: ``job: ConfigError: message``, each further argument on a line below."""
    first, *more = [str(part) for part in error.args] or [""]
    _write(f"{job}: {type(error).__name__}: {first}")
    for line in more:
        sys.stderr.write(f"  {clean(line)}\n")


def write_traceback(error: BaseException) -> None:
    """Writes the traceback of an error that nobody expected."""
    for line in "".join(traceback.format_exception(error)).splitlines():
        _write(line.replace("\t", "    "))


def start_logging() -> None:
    """Sends log records of all libraries, from WARNING on, to standard error, where nothing else has done so."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(CleanFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class CleanFormatter(logging.Formatter):
    """Formats a record through ``clean``."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The record's line."""
        return clean(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's own name
        """The lines of the traceback."""
        lines = super().formatException(ei).splitlines()  # type: ignore[arg-type]
        return "\n".join(clean(line) for line in lines)


def _write(line: str) -> None:
    sys.stderr.write(clean(line) + "\n")
    sys.stderr.flush()
