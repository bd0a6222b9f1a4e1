"""Traces how a model translates: what a lens reads at the answer position of every layer. Runs resume.

    python -m jobs.gpu.trace_layers --config conf/demo-model.toml [--set trace.top_k=20] [--dry-run]

Reads the task (the prompts of its first draw), the lexicon and the table ``pair_pivots``; writes one part per direction
to ``<results.path>/traces/``: for every word the top k tokens of every layer, the probability of the concept's word in
every language and of the same for a random concept, the labels, and the log-probability of the answer with and without
the pivot's direction. ``docs/traces.md`` describes the columns.
"""

from functools import partial

import pyarrow as pa

from jobs.framework.log_lines import progress_bar, say
from jobs.gpu.build_translation_task import check_task, load_task, task_identity
from jobs.gpu.common.check_inputs import check_model, check_tables, run_checked
from jobs.gpu.common.files import results_path
from jobs.gpu.common.read_tables import PinnedTable, check_files, open_table
from jobs.gpu.common.result_parts import Parts
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.model_files import model_hashes, model_settings
from jobs.gpu.tracing.behaviour_labels import LATENT_LABELS
from jobs.gpu.tracing.concept_tokens import concept_tokens
from jobs.gpu.tracing.lens_files import lens_file, lens_folder
from jobs.gpu.translation.corpus_counts import read_pair_pivots
from jobs.gpu.translation.lexicon_concepts import read_concepts
from pivot_udfs.load_settings import result_settings
from pivot_udfs.provenance import Provenance

VERSION = 6


def trace(settings: ModelSettings) -> None:
    """Traces ``[model]`` over the task and writes the readings of every layer."""
    from jobs.gpu.models.output_head import find_output_head
    from jobs.gpu.tracing.lenses import lens_identity, load_trace_lens
    from jobs.gpu.tracing.trace_words import Tracer
    from jobs.gpu.translation.task_model import load_task_model

    task = load_task(settings)
    table = open_table(settings.warehouse.path, "pair_pivots", settings.warehouse.release)
    check_files(table, task.provenance.files["tokenizer"], task.provenance.files["lexicon"])
    parts = Parts(results_path(settings, "traces"), _provenance(settings, table, lens_identity(settings)))
    if all(map(parts.has, task.examples)):
        say("all directions are traced already", folder=parts.folder)
        return
    subject = load_task_model(settings, task, settings.trace.batch_size)
    languages = settings.lexicon.languages
    tracer = Tracer(
        find_output_head(subject.model),
        subject.tokens,
        concept_tokens(read_concepts(settings.lexicon.path, languages)[0], languages, subject.tokens),
        read_pair_pivots(table, settings.trace.n_pivots),
        settings.trace,
        settings.translation.seed,
        load_trace_lens(settings, subject.model),
    )
    for direction, draws in progress_bar(task.examples.items(), desc="directions", unit="direction"):
        if not parts.has(direction):
            words, lead = task.of_direction(direction), task.leads[direction]
            rows = subject.runner.within_memory(partial(tracer.trace, words=words, examples=draws[0], lead=lead))
            parts.write(direction, rows)
            _say_labels(direction, rows)


def _provenance(settings: ModelSettings, table: PinnedTable, of_lens: dict[str, str]) -> Provenance:
    of_task, task_file = task_identity(settings)
    of_run = model_settings(settings.model) | result_settings(settings.trace) | of_task | of_lens
    of_run |= {"lexicon.languages": settings.lexicon.languages, "trace.control_seed": settings.translation.seed}
    files = {**task_file, **model_hashes(settings.model)}
    return Provenance("trace_layers", VERSION, of_run, {"pair_pivots": table.rows}, files)


def _say_labels(direction: str, rows: pa.Table) -> None:
    labels, control = (rows[name].to_pylist() for name in ("latent_behaviour", "control_behaviour"))
    counts = {label: labels.count(label) for label in LATENT_LABELS}
    say(f"traced {direction}", words=len(labels), **counts, pivot_of_controls=control.count("pivot"))


def check(settings: ModelSettings) -> list[str]:
    """The task, the pair pivots, the model and, where it is asked for, the tuned lens."""
    found = [*check_task(settings), *check_tables(settings, "pair_pivots"), *check_model(settings.model)]
    if settings.trace.lens == "tuned":
        found.append(f"tuned lens {lens_file(lens_folder(settings), settings.model.allow_pickle)}")
    return found


main = partial(run_checked, "trace_layers", __doc__, trace, check, reads_release=True)


if __name__ == "__main__":
    raise SystemExit(main())
