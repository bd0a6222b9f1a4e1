"""Traces how a model translates: the logit lens at the answer position of every layer. An interrupted run is resumed.

    python -m jobs.gpu.trace_layers --config conf/demo-model.toml [--set trace.top_k=20] [--dry-run]

Reads the task (the prompts of its first draw) and the table ``pair_pivots``; writes one part per direction to
``<results.path>/traces/``: for every word the top k tokens of every layer, the summed probabilities of the tokens of
source word, target word and pair pivots, and the behaviour labels.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from jobs.framework.log_lines import say
from jobs.gpu.build_translation_task import load_task, task_identity
from jobs.gpu.common.files import results_path
from jobs.gpu.common.progress import progress_bar
from jobs.gpu.common.provenance import provenance
from jobs.gpu.common.read_tables import PinnedTable, check_files, open_table
from jobs.gpu.common.result_parts import Parts
from jobs.gpu.common.run_job import run_job
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.model_files import model_hashes, model_settings
from jobs.gpu.models.output_head import OutputHead, captured_outputs, find_output_head
from jobs.gpu.tracing.behaviour_labels import behaviour, word_behaviour
from jobs.gpu.tracing.logit_lens import LayerReadings, join_readings, read_layers
from jobs.gpu.translation.corpus_counts import PairKey, pair_key, read_pair_pivots
from jobs.gpu.translation.prompt_runner import PromptRunner
from jobs.gpu.translation.prompts import WordTokens, split_answer
from jobs.gpu.translation.score_words import draw_prompts
from jobs.gpu.translation.task_model import load_task_model
from jobs.gpu.translation.translation_task import TaskWord
from pivot_udfs.load_settings import result_settings
from pivot_udfs.provenance import Provenance

VERSION = 2
TOKEN_SETS = ("source", "target", "pivot")
LABELS = ("behaviour", "word_behaviour")
_WORD = ("direction", "concept", "source", "target")


def trace(settings: ModelSettings) -> None:
    """Traces ``[model]`` over the task and writes the readings of every layer."""
    task, table = (
        load_task(settings),
        open_table(settings.warehouse.path, "pair_pivots", release=settings.warehouse.release),
    )
    check_files(table, task.provenance.files["tokenizer"], task.provenance.files["lexicon"])
    pivots = read_pair_pivots(table, settings.trace.n_pivots)
    parts = Parts(results_path(settings, "traces"), _provenance(settings, table))
    subject = load_task_model(settings, task, settings.trace.batch_size)
    head, tokens = find_output_head(subject.model), subject.tokens
    for direction, draws in progress_bar(task.examples.items(), desc="directions", unit="direction"):
        if not parts.has(direction):
            words, top_k = task.of_direction(direction), settings.trace.top_k
            work = partial(trace_words, head=head, words=words, examples=draws[0], tokens=tokens, pivots=pivots)
            rows = subject.runner.within_memory(partial(work, top_k=top_k, lead=task.leads[direction]))
            parts.write(direction, rows)
            _say_labels(direction, rows)


def _provenance(settings: ModelSettings, table: PinnedTable) -> Provenance:
    of_task, task_file = task_identity(settings)
    of_run = model_settings(settings.model) | result_settings(settings.trace) | of_task
    files = {**task_file, **model_hashes(settings.model)}
    return provenance("trace_layers", VERSION, of_run, {"pair_pivots": table.rows}, files)


def trace_words(
    runner: PromptRunner,
    head: OutputHead,
    words: Sequence[TaskWord],
    examples: Sequence[tuple[str, str]],
    tokens: WordTokens,
    pivots: dict[PairKey, list[int]],
    top_k: int,
    lead: Sequence[int] = (),
) -> pa.Table:
    """One row per word: the readings at the answer position, after the tokens of ``lead`` that the answer begins with.

    Returns:
        direction, concept, source, target, top_ids list<list<int32>> and top_probabilities (layers, k),
        p_source, p_target, p_pivot (list<float>, one per layer, 0..1), n_pivots, and both labels with their layers.
    """
    sets = [_token_sets(word, tokens, pivots) for word in words]
    texts = draw_prompts([word.source for word in words], words[0].direction, examples, tokens)
    target = words[0].direction.split("-")[1]
    leads = [split_answer(tokens.answer(target, word.target), lead)[0] for word in words]
    prompts = [[*prompt, *forced] for prompt, forced in zip(texts, leads, strict=True)]
    order: list[int] = []
    readings: list[LayerReadings] = []
    with captured_outputs(head.layers) as outputs:
        for last in runner.run(prompts):
            hidden = [last.of(output) for output in outputs]
            readings.append(read_layers(head, hidden, [sets[row] for row in last.rows], top_k))
            order += last.rows
    return _table(words, sets, join_readings(readings, order), tokens)


def _token_sets(word: TaskWord, tokens: WordTokens, pivots: dict[PairKey, list[int]]) -> list[list[int]]:
    """Token ids of the source word, the target word, and the pair's pivots without tokens of either word."""
    source, target = word.direction.split("-")
    own = [tokens.of(source, word.source), tokens.of(target, word.target)]
    found = pivots.get(pair_key((source, word.source), (target, word.target)), [])
    return [sorted(own[0]), sorted(own[1]), [token for token in found if token not in own[0] | own[1]]]


def _table(
    words: Sequence[TaskWord], sets: list[list[list[int]]], readings: LayerReadings, tokens: WordTokens
) -> pa.Table:
    ids, probabilities = readings.top_ids.int().numpy(), readings.top_probabilities.numpy()
    best, certainty = ids[:, :, 0].tolist(), probabilities[:, :, 0].tolist()
    source = [frozenset(of_word[0]) for of_word in sets]
    rows = list(zip(best, certainty, source, strict=True))
    labels = [[behaviour(*row) for row in rows], [word_behaviour(*row, tokens.wordless) for row in rows]]
    sums = readings.set_probabilities.numpy()
    columns: dict[str, Any] = {name: [getattr(word, name) for word in words] for name in _WORD}
    columns |= {"top_ids": ids.tolist(), "top_probabilities": probabilities.tolist()}
    columns |= {f"p_{name}": sums[:, :, index].tolist() for index, name in enumerate(TOKEN_SETS)}
    columns |= {"n_pivots": [len(of_word[2]) for of_word in sets]}
    for name, found in zip(LABELS, labels, strict=True):
        columns |= {name: [label for label, _ in found], f"{name}_layer": [layer for _, layer in found]}
    return pa.table(columns, schema=_SCHEMA)


_SCHEMA = pa.schema(
    [
        ("direction", pa.string()),
        ("concept", pa.int64()),
        *((name, pa.string()) for name in ("source", "target")),
        ("top_ids", pa.list_(pa.list_(pa.int32()))),
        ("top_probabilities", pa.list_(pa.list_(pa.float32()))),
        *((f"p_{name}", pa.list_(pa.float32())) for name in TOKEN_SETS),
        ("n_pivots", pa.int32()),
        *(item for name in LABELS for item in ((name, pa.string()), (f"{name}_layer", pa.int32()))),
    ]
)


def _say_labels(direction: str, rows: pa.Table) -> None:
    labels = rows["behaviour"].to_pylist()
    counts = {"words": len(labels), "direct": labels.count("direct"), "pivot": labels.count("pivot")}
    counts["pivot_by_words"] = rows["word_behaviour"].to_pylist().count("pivot")
    say(f"traced {direction}", **counts, without_pair_pivots=rows["n_pivots"].to_pylist().count(0))


main = partial(run_job, trace, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
