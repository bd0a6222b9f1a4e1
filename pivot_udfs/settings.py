"""The settings of a run: the sections of a TOML file in ``conf/``, typed and validated when it is loaded.

An unknown key, a wrong type or a value out of range raises ``ConfigError`` with the key's dotted path, the value, and
what is allowed. Keys that cannot change a result (memory, Spark's own settings) carry ``changes_result: False`` and
stay out of the fingerprint by which a rebuild decides what to run again. The docstrings of sections and keys are the
text of ``docs/configuration.md``.
"""

import logging
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from pivot_udfs.setting_sections.description_settings import Description, Source
from pivot_udfs.setting_sections.pivot_and_selection_settings import ArmName as ArmName
from pivot_udfs.setting_sections.pivot_and_selection_settings import Pivots as Pivots
from pivot_udfs.setting_sections.pivot_and_selection_settings import Refresh as Refresh
from pivot_udfs.setting_sections.pivot_and_selection_settings import Selection as Selection
from pivot_udfs.setting_sections.setting_types import (
    NO_RESULT,
    Count,
    Language,
    MaybePlace,
    Once,
    Place,
    Section,
    as_list,
    matching,
    not_blank,
    spark_key,
)

log = logging.getLogger(__name__)

FieldName = Annotated[
    str, matching(r'[^"\\\x00-\x1f]*', "names of fields have no quotation mark, backslash or control character")
]


class CorpusFields(Section):
    """Which field of a record is what: a JSON key, a Parquet column, or a dotted path such as ``meta.lang``."""

    id: FieldName = "id"
    """Name of the id field; empty: ids consist of the shard's path and the record's number."""
    text: Annotated[FieldName, AfterValidator(not_blank)] = "text"
    """Name of the text field."""
    source: FieldName = "source"
    """Name of the source field; empty: the shard's file name is the source."""
    lang: FieldName = "lang"
    """Name of the language label field; empty: the language of every document is identified."""


class Corpus(Section):
    """The input shards."""

    inputs: Annotated[list[Place], BeforeValidator(as_list), Field(min_length=1), Once] = Field(
        json_schema_extra=NO_RESULT
    )
    """Files, folders or globs of shards, local or in an object store; one string or a list."""
    max_document_bytes: Annotated[int, Field(ge=1, le=1 << 28)] = 16 << 20
    """Documents with more bytes of UTF-8 text go to quarantine; this bounds the memory of every later step."""
    max_record_bytes: Annotated[int, Field(ge=1, le=1 << 30, validate_default=True)] = 64 << 20
    """Longer lines (bytes) go to quarantine and are never held in memory whole; at least ``max_document_bytes``."""
    max_zstd_window_mb: Annotated[int, Field(ge=1, le=1 << 11)] = 128
    """Memory that reading one zstd shard may take beside everything else; ``zstd --long=31`` needs up to 2048."""
    max_parquet_page_mb: Annotated[int, Field(ge=1, le=1 << 11)] = 256
    """Largest page, or lists of a row group, of a Parquet shard, decompressed; reading takes about twice as much."""
    fields: CorpusFields = CorpusFields()
    """Names of the fields in other corpora, such as ``{id = "url"}`` or ``{text = "raw_content", id = "doc_id"}``."""
    shards_per_task_mb: Annotated[int, Field(ge=1, le=1 << 20)] = Field(default=64, json_schema_extra=NO_RESULT)
    """Small shards are read together, up to this many MB of input files in one task."""
    batch_gb: Annotated[float, Field(gt=0, le=1 << 20)] = Field(default=32.0, json_schema_extra=NO_RESULT)
    """Input files, in GB, whose records are committed together; a run that was stopped goes on after the last batch."""
    max_quarantine_share: Annotated[float, Field(ge=0, le=1)] = Field(default=0.01, json_schema_extra=NO_RESULT)
    """Largest share of a run's records that may be rejected, and of its shards that may be empty or not readable to
    their end, so far or in one batch; beyond it the run stops before the batch is committed. Of fewer than 100 records
    10 may be rejected, of fewer than 20 shards one may be bad, but not all that the run reads."""

    @field_validator("max_record_bytes")
    @classmethod
    def _holds_a_document(cls, n_bytes: int, info: ValidationInfo) -> int:
        if n_bytes < (least := info.data.get("max_document_bytes", 0)):
            raise ValueError(f"a line contains a document and more: at least max_document_bytes ({least}) is needed")
        return n_bytes


class Warehouse(Section):
    """Where the tables are."""

    path: Place
    """A local folder or a URI; table *t* is at ``<path>/<t>``."""
    release: Annotated[int, Field(ge=0)] | None = Field(default=None, json_schema_extra=NO_RESULT)
    """Which release is read by the report, explanations, queries, descriptions and the model side; unset: the newest.
    ``--release N`` of these jobs sets it; jobs that write tables do not use it."""


class Tokenizer(Section):
    """How text becomes tokens."""

    path: Place
    """A Hugging Face ``tokenizer.json`` or a SentencePiece ``.model``."""
    backend: Literal["auto", "byte_level", "fastokens", "tokenizers", "sentencepiece"] = Field(
        default="auto", json_schema_extra=NO_RESULT
    )
    """``auto``: the fastest backend whose ids equal the reference library's on a probe text."""


class Lexicon(Section):
    """The words that are counted."""

    path: Place
    """A TSV file: a row for each concept, a column for each language (ISO 639-1); other columns are ignored."""
    languages: Annotated[list[Language], Field(min_length=2), Once]
    """The columns that are used."""
    shared_surfaces: Literal["document_language", "all"] = "document_language"
    """Which languages a word of several counts for: the document's if it is one of them (else each), or each."""


class Cooccurrence(Section):
    """What is counted as co-occurrence."""

    window: Count | Literal["document"] = 100
    """Largest distance in tokens at which two things co-occur, or the whole document."""
    memory_budget_mb: Annotated[int, Field(ge=640, le=1 << 15)] = Field(default=1024, json_schema_extra=NO_RESULT)
    """Memory (MiB) that one Python worker may use in all; the counts are the same at any budget.

    A fifth of it holds tokens of two bytes or more, whose positions are 32-bit numbers: hence the upper limit.
    """


class Maintenance(Section):
    """When ``maintain_warehouse`` compacts and removes files of the tables; rows never change."""

    target_file_mb: Annotated[int, Field(ge=1, le=1 << 14)] = Field(default=512, json_schema_extra=NO_RESULT)
    """Small files are compacted into files of about this size."""
    documents_file_mb: Annotated[int, Field(ge=1, le=1 << 14)] = Field(default=64, json_schema_extra=NO_RESULT)
    """The same for ``documents``: a file with rows of many shards is rewritten when one of these shards changes."""
    min_small_files: Count = Field(default=16, json_schema_extra=NO_RESULT)
    """A table is compacted when it has this many files of less than half of that size."""
    retention_hours: Annotated[int, Field(ge=0, le=1 << 16)] = Field(default=168, json_schema_extra=NO_RESULT)
    """Files that were removed from a table, or left by a run that was stopped, are deleted after this time. Must exceed
    the duration of a run, and the time for which earlier versions are read."""


class Report(Section):
    """The HTML page of a rebuild."""

    path: MaybePlace = ""
    """Where the page goes; empty: ``<warehouse.path>/report.html``. That of release 3 has ``_release_3`` in its
    name."""
    n_examples: Annotated[int, Field(ge=0, le=50)] = 4
    """Number of selected documents that are shown with their pivots marked."""


class Lineage(Section):
    """OpenLineage events of the stages that run; see ``docs/schedule.md``."""

    target: Annotated[
        str, matching("https?://.+|file:.+|/.*|[^:]*", "a path is needed, or an address such as 'http://host:5000'")
    ] = Field(default="", json_schema_extra=NO_RESULT)
    """A local file that events are appended to, or the address of a server (``http://host:5000``, to which
    ``/api/v1/lineage`` is added); empty: no events. Needs the extra ``lineage``."""


class Catalog(Section):
    """Registers the tables by name after each rebuild; see ``docs/query.md``."""

    database: Annotated[
        str, matching(r"(\w+(\.\w+)*)?", "letters, digits and _ are allowed, with dots between the parts of the name")
    ] = Field(default="", json_schema_extra=NO_RESULT)
    """Database (schema) of Spark's catalog, such as ``corpus`` or ``unity.corpus``; empty: none."""


class Spark(Section):
    """Spark's own settings, before those of ``spark-defaults.conf``; what ``spark-submit`` has takes precedence."""

    master: str = Field(default="", json_schema_extra=NO_RESULT)
    """Spark's master, such as ``local[4]``; empty: that of spark-submit, or ``local[*]`` without it."""
    conf: dict[Annotated[str, AfterValidator(spark_key)], str] = Field(default={}, json_schema_extra=NO_RESULT)
    """Any ``spark.*`` keys; sizes of memory are written as ``3g`` or ``512m``. Under ``spark-submit`` those that only
    count when the JVM starts, such as ``spark.driver.memory`` and ``spark.jars.packages``, are warned about."""


class Settings(Section):
    """A whole run of the corpus pipeline."""

    corpus: Corpus
    warehouse: Warehouse
    tokenizer: Tokenizer
    lexicon: Lexicon
    cooccurrence: Cooccurrence = Cooccurrence()
    pivots: Pivots = Pivots()
    selection: Selection = Selection()
    refresh: Refresh = Refresh()
    report: Report = Report()
    maintenance: Maintenance = Maintenance()
    lineage: Lineage = Lineage()
    description: Description = Description()
    sources: dict[str, Source] = Field(default={}, json_schema_extra=NO_RESULT)
    catalog: Catalog = Catalog()
    spark: Spark = Spark()

    @model_validator(mode="after")
    def _warn_of_unknown_quotas(self) -> "Settings":
        """Warns only: the corpus may have documents in languages that the lexicon has not."""
        known = sorted({*self.lexicon.languages, *self.selection.bilingual_languages})
        for language in sorted(set(self.selection.language_quotas) - set(known)):
            log.warning(
                "selection.language_quotas.%s: lexicon.languages and selection.bilingual_languages have %s; "
                "unless documents have lang = %r its share stays empty",
                *(language, ", ".join(known), language),
            )
        return self
