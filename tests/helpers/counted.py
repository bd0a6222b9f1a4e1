"""Runs the counting step on plain documents and reads its cells as tables, to be held against the oracle."""

import gzip
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import oracle
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers
import zstandard

from pivot_udfs.count_cooccurrence import CountPlan, count_cooccurrence, window_in_tokens
from pivot_udfs.counting.partial_rows import PARTIAL_ROWS
from pivot_udfs.matching.lexicon import Lexicon, parse_lexicon
from pivot_udfs.schemas import TABLES
from pivot_udfs.sum_counts import SumPlan, sum_counts
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.vocabulary import vocabulary

SAMPLES = Path(__file__).parents[1] / "samples"
LANGUAGES = ("en", "fr", "ja", "zh")
Document = tuple[str, str]
"""Language and text."""
Encoded = tuple[str, str, list[oracle.Token]]
Rows = Sequence[dict[str, str]]
"""A lexicon: a word by language in each row."""


def tsv(rows: Rows, languages: Iterable[str] = LANGUAGES) -> bytes:
    """A lexicon file."""
    header = list(languages)
    return "\n".join(
        "\t".join(cells) for cells in [header, *([row.get(k, "") for k in header] for row in rows)]
    ).encode()


def lexicon_of(rows: Rows, languages: Sequence[str] = LANGUAGES) -> Lexicon:
    """The product's lexicon of these rows."""
    return parse_lexicon(tsv(rows, languages), languages)


def forms_of(rows: Rows, languages: Sequence[str] = LANGUAGES) -> dict[str, dict[str, str]]:
    """The oracle's lexicon of these rows."""
    return {lang: oracle.forms_of(row[lang] for row in rows if row.get(lang)) for lang in languages}


@cache
def sample_rows() -> tuple[dict[str, str], ...]:
    """The sample lexicon, read by a plain split."""
    lines = (SAMPLES / "lexicon.tsv").read_text(encoding="utf-8").splitlines()
    header = lines[0].split("\t")
    return tuple({k: v for k, v in zip(header, line.split("\t"), strict=True) if k in LANGUAGES} for line in lines[1:])


@cache
def sample_texts() -> tuple[tuple[str, list[Document]], ...]:
    """(shard, documents) of every sample shard, read without the product's reader."""
    return tuple((path.name, _read(path)) for path in sorted((SAMPLES / "shards").iterdir()))


def _read(path: Path) -> list[Document]:
    if path.suffix == ".parquet":
        records = pq.read_table(path).to_pylist()
    else:
        raw = path.read_bytes()
        data = (
            gzip.decompress(raw)
            if path.suffix == ".gz"
            else zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw)).read()
        )
        records = [json.loads(line) for line in data.splitlines()]
    return [(record.get("lang") or "en", record["text"]) for record in records]


@cache
def _byte_vocabulary(path: str) -> tuple[tokenizers.Tokenizer, dict[int, bytes]]:
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.encode_special_tokens = True
    return tokenizer, oracle.byte_level_vocabulary(Path(path).read_text(encoding="utf-8"))


def byte_level(path: str, documents: Sequence[Document]) -> list[Encoded]:
    """Documents with the oracle's tokens, by a byte-level tokenizer."""
    tokenizer, vocabulary = _byte_vocabulary(path)
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for _, text in documents]
    return [
        (lang, text, oracle.byte_level_tokens(text, row, vocabulary))
        for (lang, text), row in zip(documents, ids, strict=True)
    ]


def with_sample_tokenizer(documents: Sequence[Document]) -> list[Encoded]:
    """Documents with the oracle's tokens, by the samples' tokenizer."""
    return byte_level(str(SAMPLES / "tokenizer.json"), documents)


def batches_of(documents: Sequence[Encoded], sizes: Iterable[int] = ()) -> list[pa.RecordBatch]:
    """Record batches of the given numbers of documents, then one with the rest."""
    batches, rest = [], list(documents)
    for size in [*sizes, len(rest)]:
        chunk, rest = rest[:size], rest[size:]
        ids = [[token.token_id for token in tokens] for _, _, tokens in chunk]
        columns = [
            pa.array([lang for lang, _, _ in chunk], pa.string()),  # as the source
            pa.array([lang for lang, _, _ in chunk], pa.string()),
            pa.array([text for _, text, _ in chunk], pa.string()),
            pa.array(ids, pa.list_(pa.int32())),
        ]
        batches.append(pa.RecordBatch.from_arrays(columns, ["source", "lang", "text", "token_ids"]))
    return batches


def plan_of(rows: Rows, tokenizer: TokenizerSpec, window: int | str, shared: str = "document_language") -> CountPlan:
    """A plan for these words; memory is replaced where a test needs it."""
    lexicon = lexicon_of(rows)
    return CountPlan(lexicon, tokenizer, window_in_tokens(window), shared, 1024)


def with_budget(plan: CountPlan, megabytes: int) -> CountPlan:
    """The plan with another memory budget."""
    return replace(plan, memory_budget_mb=megabytes)


def counted(batches: Iterable[pa.RecordBatch], plan: CountPlan, rows_a_batch: int = 5) -> oracle.Tables:
    """What both halves of counting make of documents, decoded; a sort stands where Spark's shuffle is.

    Memory is not released first: in a large process that takes a hundred times as long as counting a few documents.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivot_udfs.count_cooccurrence.release_memory", lambda: None)
        partial_rows = pa.Table.from_batches(count_cooccurrence(iter(batches), plan), PARTIAL_ROWS)
    together = partial_rows.sort_by([("kind", "ascending"), ("row", "ascending")]).combine_chunks()
    return summed(together.to_batches(max_chunksize=rows_a_batch), plan)


def summed(partial_rows: Iterable[pa.RecordBatch], plan: CountPlan) -> oracle.Tables:
    """The tables of partial rows in order."""
    tables = oracle.Tables()
    for name, batch in sum_counts(iter(partial_rows), SumPlan(plan.lexicon, vocabulary(plan.tokenizer).size)):
        rows = pa.Table.from_batches([batch]).cast(TABLES[name].schema).to_pylist()
        for *key, count, doc_count in (row.values() for row in rows):
            cell = key[0] if name == "token_totals" else tuple(key)
            assert cell not in getattr(tables, name), f"{name}: {cell} comes twice"
            getattr(tables, name)[cell] = [count, doc_count]
    return tables


def expected(
    documents: Sequence[Encoded],
    rows: Rows,
    window: int | str,
    shared: str = "document_language",
    sources: Sequence[str] | None = None,
) -> oracle.Tables:
    """The oracle's tables; the source of a document is its language where none are given."""
    tables, forms = oracle.Tables(), forms_of(rows)
    for number, (lang, text, tokens) in enumerate(documents):
        source = sources[number] if sources else lang
        oracle.add_document(tables, oracle.find_hits(text, lang, forms, shared), tokens, window, text, source)
    return tables


def assert_same(got: oracle.Tables, wanted: oracle.Tables, but: Sequence[str] = ()) -> None:
    """Every table equal, except those named, with a short list of what differs."""
    for name in vars(wanted).keys() - set(but):
        ours, theirs = getattr(got, name), getattr(wanted, name)
        wrong = {key: (ours.get(key), theirs.get(key)) for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)}
        assert not wrong, (
            f"{name}: {len(wrong)} of {len(theirs)} cells differ, (got, expected): {dict(list(wrong.items())[:5])}"
        )
