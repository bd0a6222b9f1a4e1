"""What an artefact was made from: one record for every table, page, packed dataset, training run and result.

The record is stored as JSON beside or inside the artefact: in the ``userMetadata`` of a Delta commit, in a ``<meta>``
tag of the report, in a manifest or a state file. An artefact is up to date when ``difference`` between the stored
record and the one of the current run is None.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from pivot_udfs import __version__
from pivot_udfs.load_settings import fingerprint

_COMPARED = ("packages", "settings", "files", "tables")
_N_SHOWN = 60


class TableVersion(NamedTuple):
    """One state of a table's rows.

    A version number alone does not identify rows: a table that was removed and written anew begins at 0 again, and
    where the newest commits of a log were lost, the next ones take their numbers.
    """

    id: str
    """Delta's table id, unique to each table that was ever created; copies of a table share it."""
    version: int
    """The version that made the rows; versions made by OPTIMIZE or VACUUM are not counted."""
    fingerprint: str
    """``Provenance.recipe`` of the table's own provenance."""
    files: str = ""
    """``hash_of_paths`` of the data files that the commit of this version left; "" where another tool made the rows."""

    def __str__(self) -> str:
        return f"version {self.version} (table {self.id[:8]}, made from {self.fingerprint[:8]})"


@dataclass(frozen=True)
class Provenance:
    """What an artefact was made from; equal fingerprints mean equal content."""

    job: str
    version: int
    """Declared by the job: raised when the same inputs give another result."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """``section.key`` to JSON-able value, those that can change the result. Keys that end in ``.path`` are recorded but
    not compared: ``files`` and ``tables`` identify the content."""
    tables: Mapping[str, TableVersion] = field(default_factory=dict)
    """The tables that were read."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 (hex) of the files that were read: ``tokenizer``, ``lexicon``, ``shards`` (their list), ``model``."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Releases of the installed packages that can change the result."""
    release: str = __version__
    """Of this project; recorded for the reader, not compared."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that is compared."""
        return fingerprint([self.job, self.version, sorted(_compared(self).items())])

    @property
    def recipe(self) -> str:
        """SHA-256 (hex) of everything that is compared but the versions of tables: what has only grown has the same."""
        return fingerprint([self.job, self.version, sorted(_compared(self, ()).items())])

    def to_tree(self) -> dict[str, Any]:
        """The record as a part of a JSON file, with the fingerprint for other tools; ``from_tree`` reads it."""
        tables = {name: table._asdict() for name, table in self.tables.items()}
        return asdict(self) | {"tables": tables, "fingerprint": self.fingerprint}

    def to_json(self) -> str:
        """``to_tree`` as one line; ``from_json`` reads it."""
        return json.dumps(self.to_tree(), ensure_ascii=False)

    @classmethod
    def from_tree(cls, tree: Any) -> "Provenance | None":
        """The record in a value of a JSON file, None where it is none."""
        try:
            tables = {name: TableVersion(**table) for name, table in tree["tables"].items()}
            return cls(**{name: tree[name] for name in _FIELDS} | {"tables": tables})
        except (TypeError, KeyError, AttributeError):
            return None

    @classmethod
    def from_json(cls, text: str | None) -> "Provenance | None":
        """The record in a text, None where the text is none."""
        try:
            return cls.from_tree(json.loads(text or ""))
        except ValueError:
            return None


_FIELDS = tuple(each.name for each in fields(Provenance))


def difference(made: Provenance | None, now: Provenance, same_rows: Collection[str] | None = None) -> str | None:
    """The first difference between an artefact's record and the one that it would get now; None where it is current.

    Such as ``settings cooccurrence.window = 50, now 10``. ``same_rows`` are the tables whose rows are compared (None:
    all); of the others only the recipe is compared.
    """
    if made is None:
        return "something unknown (no provenance)"
    if made.job != now.job:
        return f"job {made.job}, now {now.job}"
    before, after = _compared(made, same_rows), _compared(now, same_rows)
    for kind, key in sorted({*before, *after}, key=lambda place: (_COMPARED.index(place[0]), place[1])):
        if before.get((kind, key)) != after.get((kind, key)):
            if kind == "tables" and (kind, key) in before and (kind, key) in after:
                return other_rows(key, made.tables[key], now.tables[key])
            if kind == "files" and key in made.files and key in now.files:
                return other_content(key, made.files[key], now.files[key])
            return f"{kind} {key} = {_shown(made, kind, key)}, now {_shown(now, kind, key)}"
    if made.version != now.version:
        return f"version {made.version} of {now.job}, now {now.version}"
    return None


def other_content(name: str, made: str, now: str) -> str:
    """Describes a file (``tokenizer``, ``lexicon``, ...) with another SHA-256 than the one of the same role before."""
    return f"another {name}: the file's content has changed (SHA-256 {made[:12]}, now {now[:12]})"


def other_rows(name: str, made: TableVersion, now: TableVersion) -> str:
    """Describes a table with other rows than those that were read before."""
    how = " with other rows" if made.version == now.version else ""
    how = how if made.fingerprint == now.fingerprint else " made with other settings, inputs or versions"
    how = how if made.id == now.id else " of a new table"
    return f"tables {name} = version {made.version}, now version {now.version}{how}"


def is_place(key: str) -> bool:
    """Whether a setting only says where something lies."""
    return key.endswith(".path")


def shown(value: object) -> str:
    """A value in at most 60 characters, for a message."""
    text = str(value)
    return text if len(text) <= _N_SHOWN else text[: _N_SHOWN - 3] + "..."


def _compared(provenance: Provenance, same_rows: Collection[str] | None = None) -> dict[tuple[str, str], str]:
    """(kind, key) to value as JSON, so that a tuple equals the list that JSON makes of it."""
    return {(kind, key): json.dumps(value, sort_keys=True) for kind, key, value in _entries(provenance, same_rows)}


def _entries(provenance: Provenance, same_rows: Collection[str] | None) -> Iterator[tuple[str, str, Any]]:
    for kind in _COMPARED:
        for key, value in getattr(provenance, kind).items():
            if kind == "tables" and same_rows is not None and key not in same_rows:
                yield kind, key, value.fingerprint
            elif kind != "settings" or not is_place(key):
                yield kind, key, value


def _shown(provenance: Provenance, kind: str, key: str) -> str:
    entries = getattr(provenance, kind)
    if key not in entries:
        return "none"
    return entries[key][:12] if kind == "files" else shown(entries[key])
