"""A table that replaces the rows of changed shards has the rows of all documents, whatever was changed in between."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from jobs.warehouse.delta.open_table import data_files
from jobs.warehouse.documents_to_read import covered_documents, documents_to_read
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import DOCUMENTS
from pivot_udfs.storage.read_parquet import read_listed
from pivot_udfs.storage.write_parquet import rows_of_table, step_to_files

MADE = Provenance("tokenize_corpus", 1)
Document = dict[str, Any]
Place = tuple[str, int, str]


def document(shard: str, record: int, text: str) -> Document:
    key = {"source": "s", "doc_id": str(record), "lang": "en", "shard": shard, "record": record}
    return key | {"text": text, "token_ids": [1], "n_tokens": 1}


class Corpus:
    """The table ``documents``, changed file by file as ``replace_shards`` does."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self.warehouse, self.draw = Warehouse(None, str(folder)), draw  # type: ignore[arg-type]
        self.files: dict[str, list[Document]] = {}

    def commit(self, added: Sequence[list[Document]], removed: Sequence[str] = ()) -> None:
        """One commit that adds files with these rows and removes others."""
        step = partial(rows_of_table, table="documents", schema=DOCUMENTS)
        uris = {"documents": self.warehouse.location("documents").uri}
        written = []
        for rows in filter(None, added):
            (file,) = step_to_files(iter([pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS)]), step, uris)
            written += file.to_pylist()
            self.files[written[-1]["path"]] = rows
        self.files = {path: rows for path, rows in self.files.items() if path not in removed}
        self.warehouse.commit("documents", written, MADE, list(removed))

    def load(self, shards: Sequence[str]) -> None:
        """Loads shards, anew where they are there, into files of one or several of them; one spans two files."""
        rows = [[document(s, k, str(self.draw.random())) for k in range(self.draw.randrange(1, 6))] for s in shards]
        holding = [path for path, of in self.files.items() if any(row["shard"] in shards for row in of)]
        kept = [[row for row in self.files[path] if row["shard"] not in shards] for path in holding]
        half = self.draw.randrange(len(rows) + 1)
        files = [list(chain.from_iterable(rows[:half])), list(chain.from_iterable(rows[half:]))]
        self.commit([*files[:1], files[1][:2], files[1][2:], *kept], holding)

    def forget(self) -> None:
        """Removes a document from its file."""
        path = self.draw.choice(sorted(self.files))
        self.commit([self.files[path][1:]], [path])

    def compact(self, vacuum: bool) -> None:
        """OPTIMIZE, and VACUUM."""
        table = DeltaTable(self.warehouse.location("documents").path)
        table.optimize.compact()
        if vacuum:
            table.vacuum(0, dry_run=False, enforce_retention_duration=False)
        rows = list(chain.from_iterable(self.files.values()))
        sizes = data_files(DeltaTable(table.table_uri))
        self.warehouse = Warehouse(None, self.warehouse.path)  # type: ignore[arg-type]
        self.files = {path: self.read([path]) for path in sizes}
        assert places(list(chain.from_iterable(self.files.values()))) == places(rows)

    def read(self, files: Sequence[str], shards: frozenset[str] | None = None) -> list[Document]:
        """Documents as a worker reads them."""
        listed = iter([pa.RecordBatch.from_pydict({"file": list(files)})])
        folder = self.warehouse.location("documents").uri
        return [row for batch in read_listed(listed, folder, DOCUMENTS, shards) for row in batch.to_pylist()]

    def scores(self) -> Provenance:
        """The provenance of scores of these documents."""
        content = self.warehouse.content("documents")
        assert content is not None
        return Provenance("score_documents", 1, tables={"documents": content.rows})


def places(rows: Sequence[Mapping[str, Any]]) -> Counter[Place]:
    return Counter((row["shard"], row["record"], row["text"]) for row in rows)


@pytest.mark.parametrize("seed", range(12))
def test_replaced_shards_give_the_rows_of_all_documents(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - a test's fixed draw
    corpus, names = Corpus(tmp_path, draw), [f"shard-{k}" for k in range(6)]
    covered, rows, by_difference = None, Counter[Place](), 0
    for _ in range(12):
        change = draw.choice(["load", "load", "forget", "compact"]) if corpus.files else "load"
        if change == "load":
            corpus.load(draw.sample(names, draw.randrange(1, 4)))
        elif change == "forget":
            corpus.forget()
        else:
            corpus.compact(vacuum=draw.random() < 0.3)
        if draw.random() < 0.7:
            now = corpus.scores().tables["documents"]
            part = documents_to_read(corpus.warehouse, covered, now)
            gone = {place for place in rows if part.outdated is None or place[0] in part.outdated}
            rows = Counter({place: n for place, n in rows.items() if place not in gone})
            rows += places(corpus.read(list(part.files), part.shards))
            by_difference += part.shards is not None
            covered = now
            assert rows == places(list(chain.from_iterable(corpus.files.values())))
    assert by_difference


def test_documents_of_other_shards_are_not_read(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, random.Random(0))  # noqa: S311 - a test's fixed draw
    corpus.load(["a", "b"])
    corpus.load(["c"])
    before = corpus.scores().tables["documents"]
    corpus.load(["d"])
    part = documents_to_read(corpus.warehouse, before, corpus.scores().tables["documents"])
    assert (part.shards, part.outdated) == ({"d"}, frozenset())
    assert {row["shard"] for path in part.files for row in corpus.files[path]} == {"d"}


def test_a_table_covers_documents_only_where_nothing_else_has_changed(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, random.Random(0))  # noqa: S311 - a test's fixed draw
    corpus.load(["a"])
    made = corpus.scores()
    corpus.warehouse.commit_rows("document_scores", [], made)
    assert not DeltaTable(corpus.warehouse.location("document_scores").path).file_uris()
    assert covered_documents(corpus.warehouse, "document_scores", made) is None
    corpus.load(["b"])
    now = corpus.scores()
    assert covered_documents(corpus.warehouse, "document_scores", now) == made.tables["documents"]
    for other in (
        replace(now, version=2),
        replace(now, settings={"x": 1}),
        replace(now, tables=now.tables | {"pivots": now.tables["documents"]}),
        replace(now, tables={"documents": now.tables["documents"]._replace(fingerprint="other")}),
    ):
        assert covered_documents(corpus.warehouse, "document_scores", other) is None
    for lost in ({"id": "other"}, {"files": "other"}):
        rows = made.tables["documents"]._replace(**lost)
        corpus.warehouse.commit_rows("document_scores", [], replace(made, tables={"documents": rows}))
        assert covered_documents(corpus.warehouse, "document_scores", now) is None
    assert covered_documents(corpus.warehouse, "datasets/pivot", now) is None
