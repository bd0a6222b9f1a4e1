"""Steps of ``on_a_gpu`` about scores, traces, the tuned lens and packing, with the small trained model."""

import itertools
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from safetensors.torch import load_file, save_file

from benchmarks.gpu.context import Context, SkippedError
from benchmarks.gpu.timing import alternating
from jobs.gpu.build_translation_task import load_task, task_tokens
from jobs.gpu.common.read_tables import PinnedTable, open_table, read_columns
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.load_model import load_model
from jobs.gpu.models.output_head import find_output_head
from jobs.gpu.pack_dataset import pack_arm
from jobs.gpu.packing.split_held_out import batches
from jobs.gpu.tracing.concept_tokens import concept_tokens
from jobs.gpu.tracing.lens_files import lens_file, lens_folder
from jobs.gpu.tracing.trace_words import Tracer
from jobs.gpu.train_tuned_lens import train
from jobs.gpu.translation.lexicon_concepts import read_concepts
from jobs.gpu.translation.prompt_runner import PromptRunner, reuse_is_exact
from jobs.gpu.translation.score_words import draw_prompts, longest_sequence, score_draw
from pivot_udfs.provenance import Provenance
from pivot_udfs.tokenization.backends import load_tokenizer

Row = dict[str, Any]
_MANY_TOKENS = 20_000_000


class _Words:
    """The first words of the task's first direction, and a model with this dtype that answers them."""

    def __init__(self, context: Context, dtype: str, n: int | None) -> None:
        self._settings = settings = context.settings
        task, self._size = load_task(settings), settings.translation.batch_size
        self.tokens = task_tokens(settings, load_tokenizer(settings.tokenizer.path, "reference"))
        direction = next(iter(task.examples))
        self.words, self.examples = task.of_direction(direction)[:n], task.examples[direction][0]
        self._lead, self.longest = task.leads[direction], longest_sequence(task.only([direction]), self.tokens)
        self.model = load_model(settings.model.model_copy(update={"dtype": dtype}))

    def runner(self, reuse: bool) -> PromptRunner:
        return PromptRunner(self.model, self._size, reuse)

    def trace(self, reuse: bool) -> pa.Table:
        """The readings of all layers, without pair pivots."""
        languages = self._settings.lexicon.languages
        concepts = concept_tokens(read_concepts(self._settings.lexicon.path, languages)[0], languages, self.tokens)
        head, options = find_output_head(self.model), self._settings.trace
        tracer = Tracer(head, self.tokens, concepts, {}, options, self._settings.translation.seed)
        return tracer.trace(self.runner(reuse), self.words, self.examples, self._lead)

    def scores(self, reuse: bool) -> Any:
        """P(target | word): float64 (words,)."""
        return score_draw(self.runner(reuse), self.words, self.examples, self.tokens, self._lead)[0]

    def forward(self) -> None:
        """The plain forward pass of the prompts."""
        prompts = draw_prompts([w.source for w in self.words], self.words[0].direction, self.examples, self.tokens)
        for _ in self.runner(False).run(prompts):
            pass


def check_traces(context: Context) -> Iterator[Row]:
    """Traces in bfloat16 against float32: top tokens that lead by 0.05 are the same in 95 % of layers and words."""
    n = 8 if context.toy else 256
    exact, rounded = (_Words(context, dtype, n).trace(True) for dtype in ("float32", "bfloat16"))
    ids = [np.asarray(rows["top_ids"].to_pylist())[:, :, 0] for rows in (exact, rounded)]
    p = [np.asarray(rows["top_probabilities"].to_pylist()) for rows in (exact, rounded)]
    same, leads = ids[0] == ids[1], p[0][:, :, 0] - p[0][:, :, 1] > 0.05
    yield {
        "words": len(same),
        "equal_top_tokens": float(same.mean()),
        "equal_top_tokens_last_layer": float(same[:, -1].mean()),
        "share_that_lead": float(leads.mean()),
        "equal_where_they_lead": float(same[leads].mean()) if leads.any() else None,
        "largest_difference": float(np.abs(p[0] - p[1])[:, :, 0][same].max(initial=0)),
        "passed": bool(not leads.any() or same[leads].mean() >= 0.95),
    }


def check_reuse(context: Context) -> Iterator[Row]:
    """Prefix reuse in both dtypes: whether the test at load time allows it, and the scores' largest difference."""
    for dtype in ("float32", "bfloat16"):
        words = _Words(context, dtype, 8 if context.toy else 64)
        found, expected = words.scores(True), words.scores(False)
        exact = reuse_is_exact(words.model, words.longest)
        largest = float(np.abs(np.log(found) - np.log(expected)).max())
        yield {"dtype": dtype, "reuse_is_exact": exact, "largest_log_difference": largest, "passed": exact}


def measure_task(context: Context) -> Iterator[Row]:
    """One direction and draw of the task, with and without prefix reuse.

    Without reuse every prompt is computed together with its answer; equal sequences are computed once.
    """
    words = _Words(context, "auto", _n(context, 24))
    with_s, without_s, ratio = alternating(lambda: words.scores(True), lambda: words.scores(False), _repeats(context))
    n = len(words.words)
    yield {"words": n, "with_reuse_s": with_s, "without_reuse_s": without_s, "times_faster": 1 / ratio} | {
        "words_per_s": n / with_s
    }


def measure_trace(context: Context) -> Iterator[Row]:
    """A trace of all layers, with and without prefix reuse, against the plain forward pass of its prompts."""
    words = _Words(context, "auto", _n(context, 200))
    for reuse in (True, False):
        trace_s, plain_s, ratio = alternating(partial(words.trace, reuse), words.forward, _repeats(context))
        row = {"prompts": len(words.words), "reuse": reuse, "trace_s": trace_s, "plain_forward_s": plain_s}
        yield row | {"ratio": ratio, "prompts_per_s": len(words.words) / trace_s}


def _n(context: Context, on_a_cpu: int) -> int | None:
    if context.toy:
        return 4
    return None if context.device.type == "cuda" else on_a_cpu


def _repeats(context: Context) -> int:
    return 3 if context.device.type == "cuda" else 1


def train_lens(context: Context) -> Iterator[Row]:
    """The model's tuned lens, and how close it comes to the last layer; its tensors are brought back in bfloat16."""
    settings = context.settings
    train(settings)
    folder = lens_folder(settings)
    tensors = load_file(lens_file(folder, allow_pickle=False))
    save_file({name: tensor.bfloat16() for name, tensor in tensors.items()}, context.out / "lens.safetensors")
    yield {"divergences": json.loads((folder / "divergences.json").read_text(encoding="utf-8"))}


def measure_packing(context: Context) -> Iterator[Row]:
    """Packing an arm, including checksums, against reading the same table: as it is, and repeated."""
    settings = context.settings
    if not settings.experiment.pack:
        raise SkippedError("the tables are not here")
    table = open_table(settings.warehouse.path, f"datasets/{settings.packing.arm}")
    n_tokens = int(pc.sum(read_columns(table, ["n_tokens"])["n_tokens"]).as_py())
    repeated = settings.warehouse.model_copy(update={"path": str(context.work / "repeated")})
    _repeat_table(table, f"{repeated.path}/{table.name}", 2 if context.toy else -(-_MANY_TOKENS // n_tokens))
    results = settings.results.model_copy(update={"path": str(context.work / "packed")})
    for warehouse in (settings.warehouse, repeated):
        yield _packing_ratio(settings.model_copy(update={"warehouse": warehouse, "results": results}))


def _packing_ratio(settings: ModelSettings) -> Row:
    tokenizer = load_tokenizer(settings.tokenizer.path, "reference")
    table = open_table(settings.warehouse.path, f"datasets/{settings.packing.arm}")

    def read() -> None:
        for _ in batches(table, table.table.schema().to_arrow().names):
            pass

    pack_s, read_s, ratio = alternating(lambda: pack_arm(settings, tokenizer), read, repeats=9)
    n = pack_arm(settings, tokenizer)["n_tokens"]
    return {"tokens": n, "pack_s": pack_s, "read_s": read_s, "share_of_reading_speed": 1 / ratio}


def _repeat_table(table: PinnedTable, path: str, times: int) -> None:
    """A table with the same Parquet files many times."""
    import deltalake

    shutil.rmtree(path, ignore_errors=True)
    Path(path).mkdir(parents=True)
    for k, uri in itertools.product(range(times), table.table.file_uris()):
        source = Path(unquote(uri.removeprefix("file://")))
        shutil.copy(source, Path(path) / f"{k}-{source.name}")
    made_from = Provenance("benchmark", 1, files={"tokenizer": table.file_sha256("tokenizer") or ""})
    metadata = deltalake.CommitProperties(custom_metadata={"userMetadata": made_from.to_json()})
    deltalake.convert_to_deltalake(path, commit_properties=metadata)
