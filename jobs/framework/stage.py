"""What the five stages share: what each reads and writes, what made its tables, and whether it must run again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata

from pyspark.sql import SparkSession

from jobs.framework.progress import Progress
from jobs.warehouse.lineage import Recipe
from jobs.warehouse.tables import MAKERS, Warehouse
from jobs.warehouse.tables_together import check_together
from pivot_udfs import __version__
from pivot_udfs.errors import WarehouseError
from pivot_udfs.load_settings import fingerprint, result_settings
from pivot_udfs.matching.lexicon import Lexicon, load_lexicon
from pivot_udfs.settings import Settings
from pivot_udfs.shards.list_shards import Shard, list_shards
from pivot_udfs.tokenization.backends import TokenizerSpec, load_tokenizer


@dataclass
class Run:
    """One run of one or more stages: the session, the settings, and the inputs that are files."""

    spark: SparkSession
    settings: Settings
    progress: Progress = field(default_factory=Progress)

    @cached_property
    def warehouse(self) -> Warehouse:
        """Where the tables are."""
        return Warehouse(self.spark, self.settings.warehouse.path, self.settings.warehouse.workers_write)

    @cached_property
    def tokenizer(self) -> TokenizerSpec:
        """The configured tokenizer, checked."""
        return load_tokenizer(self.settings.tokenizer.path, self.settings.tokenizer.backend)

    @cached_property
    def lexicon(self) -> Lexicon:
        """The configured lexicon."""
        return load_lexicon(self.settings.lexicon.path, self.settings.lexicon.languages)

    @cached_property
    def shards(self) -> list[Shard]:
        """The configured input shards."""
        return list_shards(self.settings.corpus.inputs)

    def file_hash(self, name: str) -> str:
        """SHA-256 of what a file input holds: ``tokenizer``, ``lexicon`` or ``shards`` (paths, sizes, times)."""
        if name == "tokenizer":
            return self.tokenizer.sha256
        if name == "lexicon":
            return self.lexicon.sha256
        return fingerprint([(shard.path, shard.n_bytes, shard.modified_ns) for shard in self.shards])


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline; ``run`` writes the tables in ``writes``, each with the recipe it is given."""

    name: str
    version: int
    """Of what it computes: raise it when the same inputs give other rows (``tests/golden`` shows when that is)."""
    reads: tuple[str, ...]
    """Tables; ``datasets/*`` stands for those of all configured arms."""
    writes: Callable[[Settings], tuple[str, ...]]
    sections: tuple[str, ...]
    """The settings that can change its tables."""
    files: tuple[str, ...]
    run: Callable[[Run, Recipe], None]
    packages: tuple[str, ...] = ()
    """The installed packages whose release can change its tables."""
    why: Callable[[Run, Recipe], str | None] | None = None
    """What has changed since it ran, asked instead of its tables where it writes none."""

    def tables_read(self, settings: Settings) -> tuple[str, ...]:
        """The names in ``reads``, those of the arms in full."""
        arms = tuple(f"datasets/{arm}" for arm in settings.selection.arms)
        return tuple(name for read in self.reads for name in (arms if read == "datasets/*" else (read,)))


def run_stage(run: Run, stage: Stage, skip_unchanged: bool = False) -> bool:
    """Runs a stage; with ``skip_unchanged`` only if its inputs, configuration or code have changed.

    Returns:
        Whether it ran.

    Raises:
        WarehouseError: see ``check_inputs``.
    """
    check_inputs(run, stage.tables_read(run.settings))
    recipe = make_recipe(run, stage)
    reason = why_run(run, stage, recipe)
    if skip_unchanged and reason is None:
        run.progress.say(stage.name, "skipped: inputs, configuration and code are unchanged")
        return False
    run.progress.say(stage.name, f"runs: {reason or 'asked for'}")
    stage.run(run, recipe)
    return True


def check_inputs(run: Run, tables: Sequence[str]) -> None:
    """Makes sure that a stage may read these tables with this run's settings.

    Raises:
        WarehouseError: one is missing, was left unchecked, or was made with other settings than this run's; or they
            are of different runs.
    """
    for table in tables:
        run.warehouse.read(table)
        _check_made_alike(run, table)
    check_together(run.warehouse, tables)


def make_recipe(run: Run, stage: Stage) -> Recipe:
    """The recipe of the tables that a stage would write now."""
    settings = result_settings(*(getattr(run.settings, section) for section in stage.sections))
    reads = stage.tables_read(run.settings)
    inputs = {table: version for table in reads if (version := run.warehouse.version(table)) is not None}
    files = {name: run.file_hash(name) for name in stage.files}
    packages = {name: metadata.version(name) for name in stage.packages}
    # Where a file lies changes nothing: ``files`` has what it holds.
    shaping = {key: value for key, value in settings.items() if not _is_path(key)}
    made_of = fingerprint([stage.name, stage.version, packages, shaping, inputs, files])
    return Recipe(stage.name, f"{__version__}/{stage.version}", made_of, settings, inputs, files, packages)


def why_run(run: Run, stage: Stage, recipe: Recipe) -> str | None:
    """What has changed since the stage's tables were written; None when nothing has."""
    if stage.why:
        return stage.why(run, recipe)
    for table in stage.writes(run.settings):
        made = run.warehouse.recipe(table)
        if made is None:
            return f"{table} is not there yet" if run.warehouse.version(table) is None else f"{table} has no recipe"
        if not made.fingerprint:
            return f"{table} was left unchecked"
        if made.fingerprint != recipe.fingerprint:
            return f"{table} was made with {_difference(made, recipe)}"
    return None


def _difference(made: Recipe, now: Recipe) -> str:
    for kind in ("packages", "settings", "files", "inputs"):
        before, after = getattr(made, kind), getattr(now, kind)
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key) and not (kind == "settings" and _is_path(key)):
                return f"{key} = {_short(before.get(key))}, now {_short(after.get(key))}"
    if made.code_version != now.code_version:
        return f"code {made.code_version}, now {now.code_version}"
    return f"fingerprint {made.fingerprint[:12]}, now {now.fingerprint[:12]}"


def _is_path(key: str) -> bool:
    return key.endswith(".path")


def _short(value: object) -> str:
    return text if len(text := str(value)) <= 60 else text[:57] + "..."


def _check_made_alike(run: Run, table: str) -> None:
    """A stage must not mix tables of one configuration with settings of another."""
    made = _recipe_of(run, table)
    path = run.warehouse.table_path(table)
    now = _all_settings(run.settings)
    for key, value in made.settings.items():
        if not _is_path(key) and key in now and now[key] != value:
            raise WarehouseError(
                f"{path} was made with {key} = {_short(value)}, this run says {_short(now[key])}: "
                f"run {made.job} again (rebuild_corpus does), or choose another warehouse.path"
            )
    for name in ("tokenizer", "lexicon"):
        if name in made.files and made.files[name] != run.file_hash(name):
            raise WarehouseError(
                f"{path} was made with another {name} ({made.files[name][:12]}) than {name}.path names now "
                f"({run.file_hash(name)[:12]}): run {made.job} again, or choose another warehouse.path"
            )


def _recipe_of(run: Run, table: str) -> Recipe:
    content, path = run.warehouse.content(table), run.warehouse.table_path(table)
    if content is None or (content.recipe is None and not content.oldest):
        raise WarehouseError(f"{path} was not written by this project (no recipe); choose another warehouse.path")
    if content.recipe is None:
        raise WarehouseError(
            f"the log of {path} begins at version {content.oldest}, the commit that says what made it is no longer "
            f"there: run {MAKERS.get(table, 'filter_documents')} again (rebuild_corpus does); a longer "
            "delta.logRetentionDuration of the table keeps it"
        )
    if not content.recipe.fingerprint:
        raise WarehouseError(
            f"{path} was left unchecked by a run of {content.recipe.job} that did not end well, or restored by time: "
            f"run {content.recipe.job} again"
        )
    return content.recipe


def _all_settings(settings: Settings) -> dict[str, object]:
    return result_settings(*(getattr(settings, section) for section in Settings.model_fields))
