"""One run: its session, settings and input files, and what the tables' states say of each other."""

from dataclasses import dataclass, field
from functools import cached_property

from pyspark.sql import SparkSession

from jobs.framework.progress import Progress
from jobs.loading.compare_shards import LOADED, read_loaded
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.matching.lexicon import Lexicon, load_lexicon
from pivot_udfs.provenance import TableVersion
from pivot_udfs.schemas import BLOCK_LIST
from pivot_udfs.settings import Settings
from pivot_udfs.shards.list_shards import Shard, list_shards
from pivot_udfs.tokenization.backends import TokenizerSpec, fastest, read_tokenizer


@dataclass
class Run:
    """One run of one or more stages: the session, the settings, and the inputs that are files."""

    spark: SparkSession
    settings: Settings
    progress: Progress = field(default_factory=Progress)
    content_ids: dict[str, str] = field(default_factory=dict)
    """SHA-256 (hex) of the shards that this run had to compare with loaded ones, by path."""
    release: int | None = None
    """The number of the release whose tables are read; None: the newest tables, to which a run can add."""
    refresh: str | None = None
    """Why pinned tables are made anew where their inputs have changed; None: ``refresh.rule`` decides."""

    pivot_drift: float | None = None
    """Share of the pivot set that would change if it were found in today's counts; None: not measured by this run."""
    budget_missed: dict[str, float] | None = None
    """``missed_budgets`` of the arms; None: not measured by this run."""

    @property
    def pins(self) -> bool:
        """Whether pinned tables stay as they are though their inputs have other rows."""
        return self.refresh is None and self.settings.refresh.rule != "always"

    @cached_property
    def warehouse(self) -> Warehouse:
        """Where the tables are."""
        return Warehouse(self.spark, self.settings.warehouse.path, self.release)

    @cached_property
    def tokenizer(self) -> TokenizerSpec:
        """The configured tokenizer, checked, with the fastest backend that fits it."""
        chosen = self.settings.tokenizer
        return fastest(self._tokenizer_file, chosen.path) if chosen.backend == "auto" else self._tokenizer_file

    @cached_property
    def _tokenizer_file(self) -> TokenizerSpec:
        return read_tokenizer(self.settings.tokenizer.path, self.settings.tokenizer.backend)

    @cached_property
    def lexicon(self) -> Lexicon:
        """The configured lexicon."""
        return load_lexicon(self.settings.lexicon.path, self.settings.lexicon.languages)

    @cached_property
    def shards(self) -> list[Shard]:
        """The configured input shards."""
        return list_shards(self.settings.corpus.inputs)

    def tables_ahead(self) -> dict[str, TableVersion]:
        """The tables with other rows than those that the table ``shards`` lists; the rows that it lists, by table."""
        shards = self.warehouse.content("shards")
        listed = {name: rows for name, rows in (shards.tables if shards else {}).items() if name != BLOCK_LIST}
        return {table: listed[table] for table, rows in self.warehouse.rows(listed).items() if rows != listed[table]}

    def ahead_of_shards(self) -> str | None:
        """Describes the first of ``tables_ahead``; None where there is none."""
        for table, listed in self.tables_ahead().items():
            rows = self.warehouse.rows([table])[table]
            return f"{self.warehouse.table_path(table)} is {rows}, but the table shards lists those of {listed}"
        return None

    def unapplied_block_list(self) -> str | None:
        """Why ``documents`` may hold blocked records; None where the whole block list was applied to it."""
        shards, blocked = self.warehouse.content("shards"), self.warehouse.content(BLOCK_LIST)
        if shards is None or blocked is None or shards.tables.get(BLOCK_LIST) == blocked.rows:
            return None
        return f"{self.warehouse.table_path(BLOCK_LIST)} is {blocked.rows}, which was not applied to documents yet"

    def half_loaded(self) -> str | None:
        """Why ``documents`` may lack shards; None where the run that loaded the newest ones reached its last batch."""
        shards = self.warehouse.content("shards")
        if shards is None:
            return None
        rows = read_loaded(self.warehouse.location("shards"), shards.newest)
        if all(row.status == LOADED for row in rows.values()):
            return None
        return f"{self.warehouse.table_path('documents')} has only the first batches of a run that was stopped"

    def file_hash(self, name: str) -> str:
        """SHA-256 of ``tokenizer`` or ``lexicon``."""
        return self._tokenizer_file.sha256 if name == "tokenizer" else self.lexicon.sha256
