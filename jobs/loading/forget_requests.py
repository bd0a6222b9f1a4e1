"""What a user asks to forget, as rows of the block list."""

import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from io import TextIOWrapper
from typing import TextIO

from jobs.loading.loaded_shards import LoadedShard
from pivot_udfs.errors import ConfigError
from pivot_udfs.shards.block_list import Blocked
from pivot_udfs.shards.list_shards import matches_parts, shard_path
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import printable, reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve

_JSON_LINES = (".jsonl", ".ndjson", ".json")
_HEADER = ("source", "doc_id")


def read_keys(place: str) -> set[Blocked]:
    """The keys in a file: JSON lines (.jsonl, .ndjson, .json) with ``source`` and ``doc_id``, or a TSV of the two.

    Raises ConfigError where the file cannot be read, has no key, or a line has not both as text.
    """
    parse = _json_keys if place.lower().endswith(_JSON_LINES) else _tsv_keys
    try:
        with resolve(place).open_input() as stream:
            keys = {Blocked(source, doc_id) for source, doc_id in parse(TextIOWrapper(stream, "utf-8-sig", newline=""))}
    except (ValueError, RecursionError, csv.Error, *STORE_ERRORS) as error:
        raise ConfigError(f"--keys {printable(place)} cannot be read ({reason(error)})") from None
    if not keys:
        raise ConfigError(f"--keys {printable(place)} has no key: write source and doc_id, one document a line")
    return keys


def _json_keys(lines: TextIO) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            row = json.loads(line)
            yield _key(number, [row.get(name) for name in _HEADER] if isinstance(row, dict) else [])


def _tsv_keys(lines: TextIO) -> Iterator[tuple[str, str]]:
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    for number, row in enumerate(rows, 1):
        if row and not (number == 1 and tuple(row) == _HEADER):
            yield _key(number, row)


def _key(number: int, values: Sequence[object]) -> tuple[str, str]:
    match values:
        case [str(source), str(doc_id)] if source and doc_id:
            return source, doc_id
    raise ValueError(f"line {number} is not a source and a doc_id, both text and not empty")


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

    So a copy under another path is kept out as well. Shards without a document, which may be empty, are not compared.
    """
    named = [row for entry in entries if (row := loaded.get(entry.shard or ""))]
    ids = {row.content_id for row in named if row.n_docs + row.n_blocked}
    copies = (Blocked(shard=path) for path, row in loaded.items() if row.content_id in ids)
    return {*entries, *copies, *(Blocked(content_id=content_id) for content_id in ids)}


def _parts(location: Location) -> list[str]:
    return [location.scheme, location.authority, *location.path.split("/")]
