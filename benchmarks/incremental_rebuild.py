"""A rebuild after one of 100 shards was added, changed or removed, or documents were forgotten, against that of all.

    python -m benchmarks.incremental_rebuild --corpus FOLDER [--batches 10] [--repeat 1]

On ``local[2]``. The corpus' documents are written to 100 shards, of which 99 are loaded first; then pivots and cuts
stay. Each row of the result has, by stage, the core-seconds of this process and all processes below it (JVM, workers),
and the bytes of new files in the warehouse. What is forgotten are 1,000 documents spread evenly over the corpus, with
all their copies; "copied" is what remains, every file of documents, scores and datasets written once more. With
``--repeat`` (at most 100) each document is written so many times, each copy in another shard and with its lines in
another order: such a corpus has fewer distinct cells of counts than one of as many different documents.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.common import fresh, parse, read_documents, report, seconds, settings_for, start_run
from jobs import forget_documents, rebuild_corpus
from jobs.framework.run_stages import run_stage
from jobs.framework.stage import Run
from jobs.loading.replace_shards import files_without
from pivot_udfs.settings import Corpus, Refresh, Settings
from pivot_udfs.shards.validate_record import Document

_N_SHARDS = 100
_N_FORGOTTEN = 1_000
_TICKS = os.sysconf("SC_CLK_TCK")
_TIMES: dict[tuple[int, str], float] = {}
"""Processor time by process: its number and when it started."""
Figures = dict[str, dict[str, float]]


def main() -> None:
    """Runs it."""
    arguments = parse(
        __doc__,
        batches={"type": int, "default": 10, "help": "batches of a second first load; 0: none"},
        repeat={"type": int, "default": 1, "help": "how often each document is written"},
    )
    threading.Thread(target=_keep_times, daemon=True).start()
    root = Path(fresh(f"{arguments.scratch}/bench-incremental"))
    folder, documents = root / "shards", read_documents(arguments.corpus)
    folder.mkdir(parents=True)
    for number in range(_N_SHARDS - 1):
        _write(folder, number, _lines(documents, number, arguments.repeat))
    settings = settings_for(arguments, str(folder), str(root / "warehouse"), refresh=Refresh(rule="on_request"))
    some = [str(path) for path in sorted(folder.iterdir())[:: 3 * arguments.repeat]]
    _rebuild(_changed(settings, root / "warm", corpus=Corpus(inputs=some)))
    figures = {"first_load": _rebuild(settings), "nothing_changed": _rebuild(settings)}
    _write(folder, _N_SHARDS - 1, _lines(documents, _N_SHARDS - 1, arguments.repeat))
    figures["one_added"] = _rebuild(settings)
    _write(folder, 3, islice(_lines(documents, 3, arguments.repeat), 1, None))
    figures["one_changed"] = _rebuild(settings)
    (folder / "007.jsonl").unlink()
    figures["one_removed"] = _rebuild(settings)
    figures["forgotten"] = _forget(settings, root / "keys.jsonl", documents, arguments.repeat)
    n_bytes = sum(path.stat().st_size for path in folder.iterdir())
    if arguments.batches:
        corpus = Corpus(inputs=[str(folder)], batch_gb=n_bytes / arguments.batches / 1e9)
        figures["first_load_in_batches"] = _rebuild(_changed(settings, root / "batched", corpus=corpus))
    fresh(str(root))
    name = "incremental_rebuild" + (f"_{arguments.repeat}x" if arguments.repeat > 1 else "")
    report(name, {"input_bytes": n_bytes, "batches": arguments.batches, "stages": figures})


def _changed(settings: Settings, warehouse: Path, **sections: Any) -> Settings:
    path = settings.warehouse.model_copy(update={"path": str(warehouse)})
    return settings.model_copy(update={"warehouse": path, **sections})


def _lines(documents: list[Document], number: int, repeat: int) -> Iterator[str]:
    """JSON lines of a shard: of each copy of the corpus every hundredth document, of no two copies the same ones."""
    for copy in range(repeat):
        for place in range((number - copy) % _N_SHARDS, len(documents), _N_SHARDS):
            document = documents[place]
            key = _key(document, place, copy)
            record = {"source": key["source"], "id": key["doc_id"], "lang": document.lang}
            yield json.dumps(record | {"text": _copy(document.text, copy)}, ensure_ascii=False)


def _copy(text: str, number: int) -> str:
    """The text itself, or with its lines in an order that depends on the number of the copy."""
    lines = text.splitlines(keepends=True)
    if number:
        Random(number).shuffle(lines)  # noqa: S311 - a benchmark
    return "".join(lines)


def _key(document: Document, place: int, copy: int) -> dict[str, str]:
    return {"source": document.source, "doc_id": f"{document.doc_id}-{place}-{copy}"}


def _write(folder: Path, number: int, lines: Iterable[str]) -> None:
    with (folder / f"{number:03}.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def _rebuild(settings: Settings) -> Figures:
    """Figures of each stage that ran, or of its check where it was skipped."""
    run, figures = start_run(settings), {}
    for stage in rebuild_corpus.STAGES:
        figures[stage.name] = _measured(settings, lambda: run_stage(run, stage, skip_unchanged=True))  # noqa: B023
    print(figures, flush=True)
    return figures


def _forget(settings: Settings, keys: Path, documents: list[Document], repeat: int) -> Figures:
    """Figures of ``forget_documents``, with the stages that follow."""
    places = range(0, len(documents), len(documents) // _N_FORGOTTEN)[:_N_FORGOTTEN]
    rows = (_key(documents[place], place, copy) for place in places for copy in range(repeat))
    keys.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    request = forget_documents.Request(keys=str(keys), sources=None, shards=None, artefacts=[], purge=False)
    run = start_run(settings)
    return {
        "forget_documents": _measured(settings, lambda: forget_documents.run(run, request)),
        "copied": _measured(settings, lambda: _copy_files(run)),
    }


def _copy_files(run: Run) -> None:
    tables = ("documents", "document_scores", *(f"datasets/{arm}" for arm in run.settings.selection.arms))
    files = {f"{table}/{path}": size for table in tables for path, size in run.warehouse.files(table).items()}
    files_without(run.warehouse, files, _nothing)


def _nothing(rows: pa.RecordBatch) -> pa.BooleanArray:
    return pa.array(np.zeros(rows.num_rows, np.bool_))


def _measured(settings: Settings, body: Callable[[], object]) -> dict[str, float]:
    core, n_bytes = _core_seconds(), _bytes_below(Path(settings.warehouse.path))
    return {
        "seconds": round(seconds(body), 2),
        "core_seconds": round(_core_seconds() - core, 2),
        "bytes": _bytes_below(Path(settings.warehouse.path)) - n_bytes,
    }


def _core_seconds() -> float:
    """Processor time of this process and its descendants, with those that have ended."""
    parents, times = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(stat.parent.name)
        parents[pid], times[pid] = int(fields[1]), ((pid, fields[19]), sum(map(int, fields[11:13])) / _TICKS)
    ours, found = {os.getpid()}, set[int]()
    while ours:
        found |= ours
        ours = {pid for pid, parent in parents.items() if parent in ours} - found
    _TIMES.update(times[pid] for pid in found if pid in times)
    return sum(_TIMES.copy().values())


def _keep_times() -> None:
    """Looks at all processes each second: an idle Python worker that Spark ends is in no parent's time."""
    while True:
        _core_seconds()
        time.sleep(1)


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0


if __name__ == "__main__":
    main()
