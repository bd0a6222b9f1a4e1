"""What all stages share: what each reads and writes, the provenance of its tables, and whether it must run again."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata

from jobs.framework.run_context import Run as Run
from jobs.warehouse.check_together import check_together
from pivot_udfs.errors import DamagedTableError, WarehouseError
from pivot_udfs.load_settings import result_settings
from pivot_udfs.provenance import Provenance, difference, is_place, other_content, shown
from pivot_udfs.schemas import DATASETS, PINNED, TABLES, made_by, table_of
from pivot_udfs.setting_sections.setting_types import Section
from pivot_udfs.settings import Settings
from pivot_udfs.storage.redact import redact


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline; ``run`` writes the tables in ``writes``, each with the provenance it is given."""

    name: str
    version: int
    """Of what it computes: raise it when the same inputs give other rows (``tests/golden`` shows when that is)."""
    reads: tuple[str, ...]
    """Tables; ``datasets/*`` stands for those of all configured arms."""
    sections: tuple[str, ...]
    """The settings that can change its tables."""
    files: tuple[str, ...]
    """Inputs that are files: ``tokenizer``, ``lexicon``, ``shards``."""
    run: Callable[[Run, Provenance], None]
    packages: tuple[str, ...] = ()
    """The installed packages whose release can change its tables."""
    why: Callable[[Run, Provenance], str | None] | None = None
    """For changes that provenance does not show: what has changed since it last ran, None where nothing has."""
    first: tuple[str, ...] = ()
    """The first of ``writes``, where it makes its other tables from these."""

    def writes(self, settings: Settings) -> tuple[str, ...]:
        """The tables that the registry names it for; the datasets of all configured arms where it makes these."""
        arms = settings.selection.arms if TABLES[DATASETS].maker == self.name else ()
        return (*made_by(self.name), *(f"datasets/{arm}" for arm in arms))

    def tables_read(self, settings: Settings) -> tuple[str, ...]:
        """The names in ``reads``, those of the arms in full."""
        arms = tuple(f"datasets/{arm}" for arm in settings.selection.arms)
        return tuple(name for read in self.reads for name in (arms if read == "datasets/*" else (read,)))


def check_inputs(run: Run, tables: Sequence[str]) -> None:
    """Raises WarehouseError where tables are missing, damaged, of different runs, or made with other settings."""
    for table in tables:
        run.warehouse.check_source(table)
        _check_made_alike(run, table)
    may_be_pinned = run.settings.refresh.rule != "always" or run.release is not None
    check_together(run.warehouse, tables, PINNED if may_be_pinned else ())
    if "documents" not in tables or run.release is not None:
        return
    if behind := run.ahead_of_shards() or run.unapplied_block_list() or run.half_loaded():
        raise WarehouseError(f"{behind}: run tokenize_corpus again (rebuild_corpus does)")


def make_provenance(run: Run, stage: Stage) -> Provenance:
    """The provenance of what a stage would write now; files of the tables that it reads are among its own."""
    settings = result_settings(*(getattr(run.settings, section) for section in stage.sections))
    contents = map(run.warehouse.content, stage.tables_read(run.settings))
    made = [content.provenance.files for content in contents if content and content.provenance]
    inherited = {name: sha256 for files in made for name, sha256 in files.items()}
    return Provenance(
        job=stage.name,
        version=stage.version,
        settings=json.loads(redact(json.dumps(settings))),
        tables=run.warehouse.rows(stage.tables_read(run.settings)),
        files=inherited | {name: run.file_hash(name) for name in stage.files if name != "shards"},
        packages={name: metadata.version(name) for name in stage.packages},
    )


def why_run(run: Run, stage: Stage, provenance: Provenance) -> str | None:
    """What has changed since the stage's tables were written; None when nothing has."""
    return why_anew(run, stage, provenance) or (stage.why(run, provenance) if stage.why else None)


def why_anew(run: Run, stage: Stage, provenance: Provenance) -> str | None:
    """Why the rows that the stage's tables have cannot stay; None where they can."""
    tables = stage.writes(run.settings)
    return next(
        (why for table in tables if (why := why_write(run, table, of_table(run, stage, table, provenance)))), None
    )


def of_table(run: Run, stage: Stage, table: str, provenance: Provenance) -> Provenance:
    """The provenance that a stage would give to one of its tables now."""
    first = () if table in stage.first else stage.first
    return replace(provenance, tables={**provenance.tables, **run.warehouse.rows(first)})


def why_write(run: Run, table: str, now: Provenance) -> str | None:
    """Why the rows of a table cannot stay, None where they can; ``now`` is from ``of_table``."""
    try:
        content = run.warehouse.content(table)
        restorable = content and not content.exact and table in run.tables_ahead()
    except DamagedTableError as error:
        return f"{str(error).rpartition(': ')[0]} and is written again"
    if content is None:
        return f"{table} is not there yet"
    if content.provenance is None:
        return f"{table} has no provenance"
    if not content.exact and not restorable:
        return f"{table} was changed by another tool"
    changed = difference(content.provenance, now, PINNED if run.pins and table in PINNED else None)
    return f"{table} was made with {changed}" if changed else None


def _check_made_alike(run: Run, table: str) -> None:
    """A stage must not mix tables of one configuration with settings of another."""
    made, path = _provenance_of(run, table), run.warehouse.table_path(table)
    remedy = f"run {made.job} again (rebuild_corpus does), or choose another warehouse.path"
    if run.release is not None:
        remedy = f"set it as release {run.release} has it"
    now = json.loads(redact(json.dumps(_all_settings(run.settings))))
    for key, value in made.settings.items():
        if not is_place(key) and key in now and now[key] != value:
            raise WarehouseError(
                f"{path} was made with {key} = {shown(value)}, this run has {shown(now[key])}: {remedy}"
            )
    for name in ("tokenizer", "lexicon"):
        if name in made.files and made.files[name] != run.file_hash(name):
            raise WarehouseError(
                f"{path} was made with {other_content(name, made.files[name], run.file_hash(name))}: run {made.job} "
                f"again, correct {name}.path, or choose another warehouse.path"
            )


def _provenance_of(run: Run, table: str) -> Provenance:
    content, path = run.warehouse.content(table), run.warehouse.table_path(table)
    if content is None or (content.provenance is None and not content.oldest):
        raise WarehouseError(f"{path} was not written by this project (no provenance); choose another warehouse.path")
    if content.provenance is None:
        raise WarehouseError(
            f"the log of {path} begins at version {content.oldest}, the commit that says what made it is no longer "
            f"there: run {table_of(table).maker} again (rebuild_corpus does); a longer delta.logRetentionDuration of "
            "the table keeps it"
        )
    if not content.exact:
        raise WarehouseError(
            f"{path} was changed by another tool since {content.provenance.job} wrote it: run "
            f"{content.provenance.job} again (rebuild_corpus does), or restore it to a version"
        )
    return content.provenance


def _all_settings(settings: Settings) -> dict[str, object]:
    sections = (getattr(settings, name) for name in Settings.model_fields)
    return result_settings(*(section for section in sections if isinstance(section, Section)))
