"""Reads the tables for the report. Spark adds up; what comes to the driver is bounded whatever the corpus size.

Documents themselves are read for the examples only, by key.
"""

from concurrent.futures import ThreadPoolExecutor

from jobs.framework.stage import Run
from jobs.report.arms import KEY, arm_members, pivot_keys, read_arms, read_examples
from jobs.report.content import Report, TableNote
from jobs.report.densities import read_densities
from jobs.report.intake import read_intake
from jobs.report.words import read_language_pairs, read_pivots
from jobs.selection.select_documents import language_sums, with_shrunken_density
from pivot_udfs.load_settings import result_settings
from pivot_udfs.schemas import TABLES
from pivot_udfs.settings import Selection, Settings
from pivot_udfs.tokenization.vocabulary import vocabulary

N_LANGUAGE_PAIRS = 12
_N_THREADS = 3


def read_report(run: Run) -> Report:
    """Everything that the page shows, from the newest tables of the warehouse."""
    scores = run.warehouse.read("document_scores")
    members = arm_members(run)
    shrinkage_tokens = run.settings.selection.shrinkage_tokens
    scored = with_shrunken_density(scores, language_sums(scores), shrinkage_tokens)
    scored = scored.join(pivot_keys(members), on=list(KEY), how="left").fillna(False, ["taken"]).persist()
    vocabulary(run.tokenizer)  # loaded once, before the threads need it
    # Each part is many small queries, most of whose time is Spark's planning: the parts run side by side.
    with ThreadPoolExecutor(_N_THREADS) as pool:
        pairs_ = pool.submit(read_language_pairs, run)
        pivots = pool.submit(read_pivots, run)
        arms = pool.submit(read_arms, run.settings.selection, members)
        tables = pool.submit(_table_notes, run)
        densities = read_densities(scored)
        intake = read_intake(run, scored)
        examples = read_examples(run, scored, [language.lang for language in densities])
    scored.unpersist()
    pairs = pairs_.result()
    return Report(
        warehouse=run.warehouse.path,
        window=str(run.settings.cooccurrence.window),
        association=run.settings.pivots.association,
        rule=_rule(run.settings.selection),
        shrinkage_tokens=shrinkage_tokens,
        min_doc_count=run.settings.pivots.min_word_doc_count,
        n_pivots=run.warehouse.read("pivots").count(),
        intake=intake,
        language_pairs=pairs[:N_LANGUAGE_PAIRS],
        n_language_pairs=len(pairs),
        pivots=pivots.result(),
        densities=densities,
        arms=arms.result(),
        examples=examples,
        tables=tables.result(),
        settings=_settings(run.settings),
    )


def _table_notes(run: Run) -> tuple[TableNote, ...]:
    notes = []
    for name in (*TABLES, *(f"datasets/{arm}" for arm in run.settings.selection.arms)):
        recipe, version = run.warehouse.recipe(name), run.warehouse.version(name)
        if recipe and version is not None:
            made = (recipe.job, recipe.code_version, recipe.fingerprint, recipe.inputs, recipe.files)
            notes.append(TableNote(name, version, *made))
    return tuple(notes)


def _rule(selection: Selection) -> str:
    if selection.rule == "top_share":
        return f"the densest {selection.share:.0%} of each language's tokens"
    if selection.rule == "threshold":
        return f"all documents with a shrunken density of {selection.threshold:g} or more"
    return f"the densest documents, {selection.tokens:,} tokens in all"


def _settings(settings: Settings) -> dict[str, str]:
    sections = (settings.corpus, settings.lexicon, settings.cooccurrence, settings.pivots, settings.selection)
    return {key: str(value) for key, value in result_settings(*sections).items()}
