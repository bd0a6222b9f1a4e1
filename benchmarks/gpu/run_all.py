"""Measures the model side on a GPU or a CPU: ratios, throughput, and MFU if the device's peak is known.

    python -m benchmarks.gpu.run_all [--config conf/demo-model.toml] [--only trace,task,packing,training]

Needs the model that ``make demo-model`` saved (``<results.path>/base``) and the demo's tables. Writes
``benchmarks/results/model_side.json``: what was measured, with device, versions and date.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import deltalake
import numpy as np
import pyarrow.compute as pc
import torch
import transformers

from jobs.gpu.build_translation_task import load_task, task_tokens
from jobs.gpu.common.processes import started_accelerator
from jobs.gpu.common.provenance import provenance
from jobs.gpu.common.read_tables import PinnedTable, open_table, read_columns
from jobs.gpu.common.settings import ModelSettings, Results, Training
from jobs.gpu.models.load_model import load_model, pick_device
from jobs.gpu.models.output_head import find_output_head
from jobs.gpu.pack_dataset import pack_arm
from jobs.gpu.packing.order_documents import batches
from jobs.gpu.packing.packed_file import PackedFile
from jobs.gpu.tracing.concept_tokens import concept_tokens
from jobs.gpu.tracing.trace_words import Tracer
from jobs.gpu.training.model_flops_utilization import flops_per_token, mfu
from jobs.gpu.training.training_loop import Trainer
from jobs.gpu.training.training_setup import wrap
from jobs.gpu.translation.corpus_counts import read_pair_pivots
from jobs.gpu.translation.lexicon_concepts import read_concepts
from jobs.gpu.translation.prompt_runner import PromptRunner, reuse_is_exact
from jobs.gpu.translation.score_words import draw_prompts, longest_sequence, score_draw
from pivot_udfs.load_settings import load_settings
from pivot_udfs.tokenization.backends import load_tokenizer

RESULTS = Path(__file__).parents[1] / "results" / "model_side.json"
_MANY_TOKENS = 20_000_000
_ONE_BILLION = {
    "model_type": "olmo",
    "vocab_size": 50304,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "tie_word_embeddings": True,
    "max_position_embeddings": 2048,
}


def main() -> int:
    """Runs the chosen measurements, prints them and adds them to the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="conf/demo-model.toml")
    parser.add_argument("--only", default="trace,task,packing,training")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = load_settings(options.config, [], ModelSettings)
        model = base.model.model_copy(
            update={"path": f"{base.results.path}/base", "gguf_file": "", "device": "auto", "dtype": "auto"}
        )
        results = base.results.model_copy(update={"path": folder})
        settings = base.model_copy(update={"model": model, "results": results})
        measured: dict[str, Callable[[ModelSettings], dict[str, Any]]] = {
            "trace": measure_trace,
            "task": measure_task,
            "packing": measure_packing,
            "training": measure_training,
        }
        for name in options.only.split(","):
            _keep(name, measured[name](settings))
    return 0


def _keep(name: str, row: dict[str, Any]) -> None:
    """Prints one measurement and stores it in the results file."""
    before = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(before | {name: row | _conditions()}, indent=1, sort_keys=True) + "\n")
    print(name, json.dumps(row, indent=1), flush=True)


def _conditions() -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "load_average_at_end": os.getloadavg()[0],
    }


def _seconds(work: Callable[[], Any]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _alternating(first: Callable[[], Any], second: Callable[[], Any], repeats: int = 3) -> tuple[float, float, float]:
    """Median seconds of both, alternating after a warm-up, and the median of their ratios (first to second)."""
    first(), second()
    pairs = [(_seconds(first), _seconds(second)) for _ in range(repeats)]
    ratio = statistics.median(a / b for a, b in pairs)
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), ratio


def measure_trace(settings: ModelSettings) -> dict[str, Any]:
    """A trace of all layers, with and without prefix reuse, against the plain forward pass of its prompts.

    The words are distinct words of one direction, with the token sets of the tables' pair pivots.
    """
    n, repeats = 1000, 3 if torch.cuda.is_available() else 1
    everything = settings.translation.model_copy(update={"n_words": 0, "directions": ["fr-zh"]})
    task = load_task(settings.model_copy(update={"translation": everything, "results": _beside(settings, "trace")}))
    words, examples = task.words[:n], task.examples["fr-zh"][0]
    tokens = task_tokens(settings, load_tokenizer(settings.tokenizer.path))
    pivots = read_pair_pivots(open_table(settings.warehouse.path, "pair_pivots"), settings.trace.n_pivots)
    model = load_model(settings.model)
    head, size = find_output_head(model), settings.trace.batch_size
    runners = {reuse: PromptRunner(model, size, reuse) for reuse in (False, True)}
    languages = settings.lexicon.languages
    concepts = concept_tokens(read_concepts(settings.lexicon.path, languages)[0], languages, tokens)
    tracer = Tracer(head, tokens, concepts, pivots, settings.trace, settings.translation.seed)
    traced = partial(tracer.trace, words=words, examples=examples, lead=task.leads["fr-zh"])

    def plain() -> None:
        for _ in runners[False].run(draw_prompts([w.source for w in words], "fr-zh", examples, tokens)):
            pass

    trace_s, plain_s, ratio = _alternating(partial(traced, runners[False]), plain, repeats)
    reused_s, _, reused_ratio = _alternating(partial(traced, runners[True]), plain, repeats)
    found = {"prompts": len(words), "trace_s": trace_s, "plain_forward_s": plain_s, "ratio": ratio}
    return found | {"with_prefix_reuse_s": reused_s, "ratio_with_prefix_reuse": reused_ratio}


def _beside(settings: ModelSettings, name: str) -> Results:
    """A separate results folder, for a task with other settings."""
    return Results(path=f"{settings.results.path}/{name}")


def measure_task(settings: ModelSettings) -> dict[str, Any]:
    """One direction and draw of the task with and without prefix reuse, and whether the scores agree.

    Without reuse every prompt is computed together with its answer; equal sequences are computed once.
    """
    model, task = load_model(settings.model), load_task(settings)
    tokens = task_tokens(settings, load_tokenizer(settings.tokenizer.path))
    direction = next(iter(task.examples))
    words = task.of_direction(direction)[: None if torch.cuda.is_available() else 24]
    examples, size = task.examples[direction][0], settings.translation.batch_size
    found: dict[bool, Any] = {}

    def score(reuse: bool) -> None:
        found[reuse] = score_draw(PromptRunner(model, size, reuse), words, examples, tokens, task.leads[direction])

    with_s, without_s, ratio = _alternating(partial(score, True), partial(score, False))
    return {
        "words": len(words),
        "reuse_is_exact": reuse_is_exact(model, longest_sequence(task.only([direction]), tokens)),
        "with_reuse_s": with_s,
        "without_reuse_s": without_s,
        "times_faster": 1 / ratio,
        "words_per_s": len(words) / with_s,
        "largest_difference": float(np.abs(found[True][0] - found[False][0]).max()),
    }


def measure_packing(settings: ModelSettings) -> dict[str, Any]:
    """Packing an arm, including checksums, against reading the same table: as it is, and repeated."""
    table = open_table(settings.warehouse.path, f"datasets/{settings.packing.arm}")
    n_tokens = int(pc.sum(read_columns(table, ["n_tokens"])["n_tokens"]).as_py())
    repeated = settings.warehouse.model_copy(update={"path": f"{settings.results.path}/repeated"})
    _repeat_table(table, f"{repeated.path}/{table.name}", -(-_MANY_TOKENS // n_tokens))
    longer = settings.model_copy(update={"warehouse": repeated})
    return _packing_ratio(settings) | {"repeated": _packing_ratio(longer)}


def _packing_ratio(settings: ModelSettings) -> dict[str, Any]:
    tokenizer = load_tokenizer(settings.tokenizer.path)
    table = open_table(settings.warehouse.path, f"datasets/{settings.packing.arm}")

    def read() -> None:
        for _ in batches(table, table.table.schema().to_arrow().names):
            pass

    pack_s, read_s, ratio = _alternating(lambda: pack_arm(settings, tokenizer), read, repeats=9)
    n = pack_arm(settings, tokenizer)["n_tokens"]
    return {"tokens": n, "pack_s": pack_s, "read_s": read_s, "share_of_reading_speed": 1 / ratio}


def _repeat_table(table: PinnedTable, path: str, times: int) -> None:
    """A table with the same Parquet files many times."""
    Path(path).mkdir(parents=True)
    for k, uri in itertools.product(range(times), table.table.file_uris()):
        source = Path(unquote(uri.removeprefix("file://")))
        shutil.copy(source, Path(path) / f"{k}-{source.name}")
    made_from = provenance("benchmark", 1, files={"tokenizer": table.file_sha256("tokenizer") or ""})
    metadata = deltalake.CommitProperties(custom_metadata={"userMetadata": made_from.to_json()})
    deltalake.convert_to_deltalake(path, commit_properties=metadata)


def _one_billion() -> Any:
    """A model of OLMo-1B's shape with random float32 weights."""
    auto: Any = transformers.AutoModelForCausalLM
    return auto.from_config(transformers.AutoConfig.for_model(**_ONE_BILLION), dtype=torch.float32)


def measure_training(settings: ModelSettings) -> dict[str, Any]:
    """Optimizer steps: of the base model on a CPU, of a model of OLMo-1B's shape at sequence length 2,048 on a GPU."""
    device = pick_device("auto")
    cuda = device.type == "cuda"
    base = settings.model.model_copy(update={"dtype": "float32"})
    model = _one_billion().to(device) if cuda else load_model(base)
    length, per_step, micro = (2048, 32, 8) if cuda else (128, 4, 4)
    options = Training(
        sequence_length=length,
        global_batch_tokens=length * per_step,
        micro_batch=micro,
        token_budget=length * per_step * (20 if cuda else 4),
        warmup_share=0.0,
        compile=cuda,
    )
    size = model.get_input_embeddings().weight.shape[0]
    ids = np.random.default_rng(0).integers(0, size, length * per_step * 20 + 1).astype(np.uint32)
    packed = PackedFile(Path("random"), {}, ids, np.array([0, len(ids)]))
    with started_accelerator(device, options) as accelerator:
        precision = accelerator.mixed_precision
        wrapped, optimizer = wrap(model, options, accelerator)
        wrapped.train()
        times = [result.seconds for result in Trainer(wrapped, optimizer, packed, options, accelerator).steps(0)]
    rate = options.global_batch_tokens / statistics.median(times[len(times) // 2 :])
    return {
        "model": "OLMo-1B shape" if cuda else "the demo's base model",
        "precision": "bfloat16" if precision == "bf16" else "float32",
        "sequence_length": length,
        "tokens_per_s": rate,
        "mfu": mfu(rate, flops_per_token(model, length), device, 1),
    }


if __name__ == "__main__":
    raise SystemExit(main())
