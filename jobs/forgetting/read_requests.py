"""What a user asks to forget, as rows of the block list."""

import json
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

from jobs.loading.compare_shards import LoadedShard
from pivot_udfs.errors import ConfigError
from pivot_udfs.shards.block_list import Blocked
from pivot_udfs.shards.list_shards import matches_parts, shard_path
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import printable, reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve
from pivot_udfs.text.tab_separated import decoded, tab_separated_rows

_JSON_LINES = (".jsonl", ".ndjson", ".json")
_COLUMNS = ("source", "doc_id")
_LINE = re.compile(r"[^\n]*\n?")
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_keys(place: str) -> set[Blocked]:
    """The keys in a file: JSON lines (.jsonl, .ndjson, .json) or a TSV with ``source`` and ``doc_id``.

    Raises ConfigError where the file cannot be read, has no key, or a line has not both.
    """
    parse = _json_keys if place.lower().endswith(_JSON_LINES) else _tsv_keys
    try:
        keys = {_key(number, values) for number, values in parse(resolve(place).read())}
    except (ValueError, RecursionError, *STORE_ERRORS) as error:
        why = f"{reason(error)}; give JSON lines or a TSV with source and doc_id, see docs/forgetting.md"
        raise ConfigError(f"--keys {printable(place)} cannot be read: {why}") from None
    if not keys:
        raise ConfigError(f"--keys {printable(place)} has no key: write source and doc_id, one document a line")
    return keys


def _json_keys(payload: bytes) -> Iterator[tuple[int, list[object]]]:
    for number, line in enumerate(_LINE.finditer(decoded(payload)), 1):
        if line.group().strip():
            row = json.loads(line.group())
            yield number, [row.get(name) for name in _COLUMNS] if isinstance(row, dict) else []


def _tsv_keys(payload: bytes) -> Iterator[tuple[int, list[str]]]:
    """Two cells of each row, or those that a header names; blank rows, and blank cells beyond, are skipped."""
    rows = ((number, row) for number, row in tab_separated_rows(payload) if any(map(str.strip, row)))
    first, header = next(rows, (0, []))
    names = [cell.strip().lower() for cell in header]
    if set(_COLUMNS).isdisjoint(names):
        for number, row in chain([(first, header)] if header else [], rows):
            yield number, row if any(map(str.strip, row[2:])) else row[:2]
        return
    if missing := [name for name in _COLUMNS if name not in names]:
        raise ValueError(f"line {first}, the header, has no column {missing[0]}")
    places = [names.index(name) for name in _COLUMNS]
    for number, row in rows:
        yield number, [row[place] for place in places if place < len(row)]


def _key(number: int, values: Sequence[object]) -> Blocked:
    """A key; integers are taken as text, as they are in records."""
    match [str(value) if type(value) is int else value for value in values]:
        case [str(source), str(doc_id)] if source and doc_id and not _SURROGATE.search(source + doc_id):
            return Blocked(sys.intern(source), doc_id)
    raise ValueError(f"line {number} is not a source and a doc_id, both text or integers and not empty")


def shards_named(given: Sequence[str], loaded: Collection[str]) -> tuple[set[Blocked], list[str]]:
    """The loaded shards that paths, folders and globs name, as in ``corpus.inputs``, and those that name none.

    A path that names no loaded shard is blocked all the same, as it may be listed later.
    """
    parts = {shard: _parts(resolve(shard)) for shard in loaded}
    found, missing = set(), []
    for place in given:
        location = resolve(place)
        pattern = _parts(location)
        named = {place} if place in loaded else {each for each in loaded if matches_parts(parts[each], pattern)}
        if not named:
            missing.append(place)
            named = set() if any(character in location.path for character in "*?[") else {shard_path(location)}
        found |= named
    return {Blocked(shard=shard) for shard in found}, missing


def with_copies(entries: Collection[Blocked], loaded: Mapping[str, LoadedShard]) -> set[Blocked]:
    """Entries of shards, with the content of those that are loaded, and the loaded shards that have the same.

    So a copy under another path is kept out as well. Shards with one rejection alone, which may be empty, are not
    compared.
    """
    named = [row for entry in entries if (row := loaded.get(entry.shard or ""))]
    ids = {row.content_id for row in named if row.n_docs + row.n_blocked or row.n_rejected > 1}
    copies = (Blocked(shard=path) for path, row in loaded.items() if row.content_id in ids)
    return {*entries, *copies, *(Blocked(content_id=content_id) for content_id in ids)}


def _parts(location: Location) -> list[str]:
    return [location.scheme, location.authority, *location.path.split("/")]
