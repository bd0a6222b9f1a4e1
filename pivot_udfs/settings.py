"""What a run is: the sections of a TOML file in ``conf/``, typed and checked when it is loaded.

An unknown key, a wrong type or an impossible value raises ``ConfigError`` with the key's dotted path, the value,
and what is allowed. Keys that cannot change a result (memory, Spark's own settings) carry ``changes_result:
False`` and stay out of the fingerprint by which a rebuild decides what to run again.
"""

import logging
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

log = logging.getLogger(__name__)
T = TypeVar("T")

Arm = Literal["pivot", "random", "matched", "parallel"]
ARMS: tuple[Arm, ...] = ("pivot", "random", "matched", "parallel")
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
_NO_RESULT: dict[str, Any] = {"changes_result": False}


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _each_once(values: list[T]) -> list[T]:
    repeated = [value for place, value in enumerate(values) if value in values[:place]]
    if repeated:
        raise ValueError(f"each may stand once, {repeated[0]!r} stands more often")
    return values


def _spark_key(key: str) -> str:
    if not key.startswith("spark."):
        raise ValueError("keys begin with 'spark.'; Spark passes over others")
    return key


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must name something; an empty text would mean the current folder")
    return text


Once = AfterValidator(_each_once)
Place = Annotated[str, AfterValidator(_not_blank)]
"""A path or URI."""
Count = Annotated[int, Field(ge=1, le=(1 << 31) - 1)]
Long = Field(ge=-(1 << 63), le=(1 << 63) - 1)
"""What the JVM and compiled kernels hold in a number."""


class Section(BaseModel):
    """A table of the TOML file: frozen, strict, no unknown keys, no infinite number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


FieldName = Annotated[str, Field(pattern=r'^[^"\\\\\x00-\x1f]*$')]


class CorpusFields(Section):
    """Which field of a record is what: a JSON key, a Parquet column, or a dotted path such as ``meta.lang``."""

    id: FieldName = "id"
    """Empty: the shard's path and the record's number."""
    text: Annotated[FieldName, AfterValidator(_not_blank)] = "text"
    source: FieldName = "source"
    """Empty: the shard's file name."""
    lang: FieldName = "lang"
    """Empty: the language of every document is identified."""


class Corpus(Section):
    """What is read."""

    inputs: Annotated[list[Place], BeforeValidator(_as_list), Field(min_length=1), Once]
    """Files, folders or globs of shards, local or s3a://, gs://, hdfs://; one string or a list."""
    max_document_bytes: Annotated[int, Field(ge=1, le=1 << 28)] = 16 << 20
    """Documents with more UTF-8 bytes of text go to quarantine; bounds the memory of every later step."""
    max_record_bytes: Annotated[int, Field(ge=1, le=1 << 30, validate_default=True)] = 64 << 20
    """Longer lines are skipped in pieces, never held whole, and go to quarantine."""
    max_zstd_window_mb: Annotated[int, Field(ge=1, le=1 << 11)] = 128
    """Memory that reading one zstd shard may take beside everything else; ``zstd --long=31`` needs up to 2048."""
    max_parquet_page_mb: Annotated[int, Field(ge=1, le=1 << 11)] = 256
    """Largest page of a Parquet shard, decompressed; reading takes about twice as much."""
    fields: CorpusFields = CorpusFields()
    """Names of the fields in other corpora, such as ``{id = "url"}`` or ``{text = "raw_content", id = "doc_id"}``."""
    shards_per_task_mb: Annotated[int, Field(ge=1, le=1 << 20)] = Field(default=64, json_schema_extra=_NO_RESULT)
    """Small shards are read together, up to this many MB of input files a task."""

    @field_validator("max_record_bytes")
    @classmethod
    def _holds_a_document(cls, n_bytes: int, info: ValidationInfo) -> int:
        if n_bytes < (least := info.data.get("max_document_bytes", 0)):
            raise ValueError(f"a line holds a document and more: at least max_document_bytes ({least}) is needed")
        return n_bytes


class Warehouse(Section):
    """Where the tables are."""

    path: Place
    """Table *t* lies at ``<path>/<t>``."""
    workers_write: bool = Field(default=True, json_schema_extra=_NO_RESULT)
    """Python workers write the files of ``documents`` themselves (local, s3a, gs), several times as fast as Spark's
    row writer; ``false`` where only Spark has the store's credentials."""


class Tokenizer(Section):
    """Which tokens."""

    path: Place
    """A Hugging Face ``tokenizer.json`` or a SentencePiece ``.model``."""
    backend: Literal["auto", "byte_level", "fastokens", "tokenizers", "sentencepiece"] = Field(
        default="auto", json_schema_extra=_NO_RESULT
    )
    """``auto`` takes the fastest one whose ids equal the reference library's on a probe text."""


class Lexicon(Section):
    """Which words."""

    path: Place
    """A TSV: one concept a row, one column a language (ISO 639-1); other columns are left aside."""
    languages: Annotated[list[Language], Field(min_length=2), Once]
    """The columns to use."""
    shared_surfaces: Literal["document_language", "all"] = "document_language"
    """A surface of several languages counts for the document's language if it is one of them, or for all."""


class Cooccurrence(Section):
    """What counts as together."""

    window: Count | Literal["document"] = 100
    """Largest distance in tokens, or the whole document."""
    memory_budget_mb: Annotated[int, Field(ge=640, le=1 << 15)] = Field(default=1024, json_schema_extra=_NO_RESULT)
    """Memory of one Python worker, all of it; the counts are the same at any budget.

    A fifth of it holds tokens, of two bytes at the least, whose places are 32-bit numbers: hence at most 32 GiB.
    """


class Pivots(Section):
    """Which tokens are pivots."""

    association: Literal["npmi", "lift_difference", "llr"] = "npmi"
    pivots_per_pair: Count = 50
    min_score: float | None = None
    """Pair scores must exceed it; unset: 0.15 for npmi, 0 otherwise."""
    min_doc_count: Count = 5
    """Documents in which the token must co-occur, with each of the two words."""
    min_word_doc_count: Count = 10
    """Words in fewer documents have no pivots."""
    max_doc_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Tokens in a larger share of all documents are background, not pivots."""
    n_pivots: Count = 1000
    """Size of the pivot set."""

    @field_validator("min_score")
    @classmethod
    def _can_be_exceeded(cls, score: float | None, info: ValidationInfo) -> float | None:
        association = info.data.get("association")
        if score is not None and association in ("npmi", "lift_difference") and not -1 <= score < 1:
            raise ValueError(f"{association} is in [-1, 1] and must exceed it: -1 <= min_score < 1 is allowed")
        return score

    @property
    def score_floor(self) -> float:
        """The ``min_score`` in force."""
        if self.min_score is not None:
            return self.min_score
        return 0.15 if self.association == "npmi" else 0.0


class Selection(Section):
    """Which documents."""

    rule: Literal["top_share", "threshold", "token_budget"] = "top_share"
    """How the pivot arm is cut: the best share of each language's tokens, all above a density, or a budget."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Of ``top_share``: tokens taken, as a share of each language's tokens."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Of ``threshold``: smallest shrunken density taken."""
    tokens: Annotated[int, Long, Field(ge=1)] = 1_000_000
    """Of ``token_budget``: tokens taken in all."""
    language_quotas: dict[Language, Annotated[float, Field(ge=0, le=1)]] = {}
    """Share of the taken tokens each language gets (with ``token_budget``); empty: its share of the corpus."""
    shrinkage_tokens: Annotated[int, Long, Field(ge=0)] = 500
    """Ranking is by (n_pivot_tokens + k m) / (n_tokens + k), k this many tokens, m the language's own density."""
    bilingual_languages: Annotated[list[Language], Field(min_length=1), Once] = ["mul"]
    """Documents of these ``lang`` are the bilingual ones of the arm ``parallel``."""
    arms: Annotated[list[Arm], Field(min_length=1), Once] = list(ARMS)
    """Which datasets are written."""
    seed: Annotated[int, Long] = 0
    """Orders the documents of the random draws."""

    @model_validator(mode="after")
    def _quotas_fit(self) -> "Selection":
        if self.language_quotas and self.rule != "token_budget":
            raise ValueError(f"language_quotas go with rule = 'token_budget', got rule = {self.rule!r}")
        if sum(self.language_quotas.values()) > 1 + 1e-9:
            raise ValueError(f"language_quotas sum to {sum(self.language_quotas.values()):.3f}, at most 1 is allowed")
        return self


class Report(Section):
    """The HTML page of a rebuild."""

    path: str = ""
    """Where the page goes; empty: ``<warehouse.path>/report.html``."""
    n_examples: Annotated[int, Field(ge=0, le=50)] = 4
    """Selected documents shown with their pivots marked."""


class Spark(Section):
    """Spark's own settings, for what the cluster does not set."""

    master: str = Field(default="", json_schema_extra=_NO_RESULT)
    """Empty: what spark-submit says, or ``local[*]`` under plain python."""
    conf: dict[Annotated[str, AfterValidator(_spark_key)], str] = Field(default={}, json_schema_extra=_NO_RESULT)
    """Any ``spark.*`` key."""


class Settings(Section):
    """A whole run of the corpus pipeline."""

    corpus: Corpus
    warehouse: Warehouse
    tokenizer: Tokenizer
    lexicon: Lexicon
    cooccurrence: Cooccurrence = Cooccurrence()
    pivots: Pivots = Pivots()
    selection: Selection = Selection()
    report: Report = Report()
    spark: Spark = Spark()

    @model_validator(mode="after")
    def _warn_of_strange_quotas(self) -> "Settings":
        """The corpus may well be in languages that the lexicon has not: only it can tell, so this is no error."""
        known = sorted({*self.lexicon.languages, *self.selection.bilingual_languages})
        for language in sorted(set(self.selection.language_quotas) - set(known)):
            log.warning(
                "selection.language_quotas.%s: lexicon.languages and selection.bilingual_languages have %s; "
                "unless documents have lang = %r its share stays empty",
                *(language, ", ".join(known), language),
            )
        return self
