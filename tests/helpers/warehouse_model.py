"""What the tables of a warehouse must hold, by brute force from the lines of its shards."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import counted
from changing_shards import Key, frequent_rows
from deltalake import DeltaTable

BAD = {"{": "not_json", "[]": "not_an_object", "null": "not_an_object"}
"""Lines that are no records, with the reason."""
_COUNTS = {
    "word_totals": ("lang", "word"),
    "token_totals": ("token_id",),
    "token_sources": ("source_group", "token_id"),
    "word_cooccurrence": ("lang_a", "word_a", "lang_b", "word_b"),
    "token_cooccurrence": ("lang", "word", "token_id"),
}


class Settings(NamedTuple):
    """What changes counts."""

    window: int
    shared: str

    @property
    def overrides(self) -> tuple[str, str]:
        return f"cooccurrence.window={self.window}", f"lexicon.shared_surfaces={self.shared}"


class Blocked(NamedTuple):
    """What was forgotten, and is kept out."""

    keys: frozenset[Key] = frozenset()
    shards: frozenset[str] = frozenset()
    """Paths."""
    contents: frozenset[str] = frozenset()
    """``content_id`` of shards."""

    def n_documents(self, shards: Mapping[str, Sequence[str]]) -> int:
        """How many documents of shards are not blocked."""
        return sum(not self.has(lines, line) for lines in shards.values() for line in lines if line not in BAD)

    def has(self, lines: Sequence[str], line: str) -> bool:
        """Whether a record of a shard with these lines is blocked."""
        return content_id(lines) in self.contents or (line not in BAD and key(line) in self.keys)


def content_id(lines: Sequence[str]) -> str:
    """That of a shard with these lines."""
    return sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def expected(
    shards: Mapping[str, Sequence[str]], blocked: Blocked, settings: Settings, tokenizer: str
) -> dict[str, object]:
    """Documents, quarantine, shards and counts.

    Args:
        shards: the lines of each shard, by path.
        blocked: what was forgotten.
        settings: of counting.
        tokenizer: a byte-level ``tokenizer.json``.
    """
    documents, quarantine, listed = Counter[Any](), Counter[Any](), {}
    counts: dict[str, Counter[Any]] = {name: Counter() for name in (*_COUNTS, "corpus_totals")}
    for shard, lines in shards.items():
        records = [(record, line) for record, line in enumerate(lines) if not blocked.has(lines, line)]
        kept = [(record, line) for record, line in records if line not in BAD]
        bad = [(record, line) for record, line in records if line in BAD]
        quarantine.update((shard, record, BAD[line]) for record, line in bad)
        of_shard = [_document(line, settings, tokenizer) for _, line in kept]
        documents.update((shard, record, *one.row) for (record, _), one in zip(kept, of_shard, strict=True))
        for one in of_shard:
            for name, cells in one.counts.items():
                counts[name].update(cells)
        listed[shard] = (
            len(kept),
            len(bad),
            sum(len(one.row[-1]) for one in of_shard),
            len(lines) - len(kept) - len(bad),
        )
    return {"documents": documents, "quarantine": quarantine, "shards": listed, **counts}


def key(line: str) -> Key:
    """Source and id of a record."""
    record = json.loads(line)
    return record["source"], record["id"]


class _Document(NamedTuple):
    row: tuple[Any, ...]
    counts: dict[str, Counter[Any]]


@cache
def _document(line: str, settings: Settings, tokenizer: str) -> _Document:
    record = json.loads(line)
    [encoded] = counted.byte_level(tokenizer, [(record["lang"], record["text"])])
    tables = counted.expected([encoded], frequent_rows(), settings.window, settings.shared, [record["source"]])
    counts = {name: _flat(getattr(tables, name)) for name in _COUNTS}
    ids = tuple(token.token_id for token in encoded[2])
    counts["corpus_totals"] = Counter({(record["lang"], "n_docs"): 1, (record["lang"], "n_tokens"): len(ids)})
    return _Document((record["source"], record["id"], record["lang"], record["text"], ids), counts)


def _flat(cells: Mapping[Any, Sequence[int]]) -> Counter[Any]:
    pairs = ((key if isinstance(key, tuple) else (key,), of) for key, of in cells.items())
    return Counter({(*key, kind): n for key, of in pairs for kind, n in zip(("pairs", "docs"), of, strict=True)})


def actual(warehouse: Path) -> dict[str, object]:
    """The same of the tables."""
    rows = {name: _rows(warehouse, name) for name in ("documents", "quarantine", "shards", "corpus_totals", *_COUNTS)}
    columns = ("shard", "record", "source", "doc_id", "lang", "text")
    found: dict[str, object] = {
        "documents": Counter((*(row[name] for name in columns), tuple(row["token_ids"])) for row in rows["documents"]),
        "quarantine": Counter((row["shard"], row["record"], row["reason"]) for row in rows["quarantine"]),
        "shards": {
            row["shard"]: (row["n_docs"], row["n_rejected"], row["n_tokens"], row["n_blocked"])
            for row in rows["shards"]
        },
        "corpus_totals": Counter(
            {(row["lang"], name): row[name] for row in rows["corpus_totals"] for name in ("n_docs", "n_tokens")}
        ),
    }
    for name, keys in _COUNTS.items():
        cells = {tuple(row[key] for key in keys): list(row.values())[-2:] for row in rows[name]}
        assert len(cells) == len(rows[name]), f"{name} has a cell twice"
        found[name] = _flat(cells)
    return found


def _rows(warehouse: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = DeltaTable(warehouse / name).to_pyarrow_dataset().to_table().to_pylist()
    return rows
