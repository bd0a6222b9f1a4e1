"""A rebuild after one of 100 shards was added, changed or removed, against the rebuild of all, on ``local[2]``.

    python -m benchmarks.incremental_rebuild --corpus FOLDER [--batches 10]

The corpus' documents are written to 100 shards, of which 99 are loaded first; then pivots and cuts stay. Each row of
the result has, by stage, the core-seconds of this process and all processes below it (JVM, workers), and the bytes of
new files in the warehouse.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import fresh, parse, read_documents, report, seconds, settings_for, start_run
from jobs import rebuild_corpus
from jobs.framework.run_stages import run_stage
from pivot_udfs.settings import Corpus, Refresh, Settings
from pivot_udfs.shards.validate_record import Document

_N_SHARDS = 100
_TICKS = os.sysconf("SC_CLK_TCK")
Figures = dict[str, dict[str, float]]


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__, batches={"type": int, "default": 10, "help": "batches of the first load"})
    root = Path(fresh(f"{arguments.scratch}/bench-incremental"))
    parts = _parts(read_documents(arguments.corpus))
    folder = root / "shards"
    folder.mkdir(parents=True)
    for number in range(_N_SHARDS - 1):
        _write(folder, number, parts[number])
    settings = settings_for(arguments, str(folder), str(root / "warehouse"), refresh=Refresh(rule="on_request"))
    _rebuild(settings_for(arguments, str(folder), str(root / "warm")))
    figures = {"first_load": _rebuild(settings), "nothing_changed": _rebuild(settings)}
    figures |= {name: _after(settings, change, folder, parts) for name, change in _CHANGES.items()}
    n_bytes = sum(path.stat().st_size for path in folder.iterdir())
    batched = settings.model_copy(
        update={
            "corpus": Corpus(inputs=[str(folder)], batch_gb=n_bytes / arguments.batches / 1e9),
            "warehouse": settings.warehouse.model_copy(update={"path": str(root / "batched")}),
        }
    )
    figures["first_load_in_batches"] = _rebuild(batched)
    fresh(str(root))
    report("incremental_rebuild", {"input_bytes": n_bytes, "batches": arguments.batches, "stages": figures})


def _add(folder: Path, parts: list[list[str]]) -> None:
    _write(folder, _N_SHARDS - 1, parts[-1])


def _change(folder: Path, parts: list[list[str]]) -> None:
    _write(folder, 3, parts[3][1:])


def _remove(folder: Path, parts: list[list[str]]) -> None:
    (folder / "007.jsonl").unlink()


_CHANGES = {"one_added": _add, "one_changed": _change, "one_removed": _remove}


def _after(
    settings: Settings, change: Callable[[Path, list[list[str]]], None], folder: Path, parts: list[list[str]]
) -> Figures:
    change(folder, parts)
    return _rebuild(settings)


def _parts(documents: list[Document]) -> list[list[str]]:
    """JSON lines of each shard: every hundredth document."""
    lines = [
        json.dumps({"source": d.source, "id": f"{d.doc_id}-{k}", "text": d.text, "lang": d.lang}, ensure_ascii=False)
        for k, d in enumerate(documents)
    ]
    return [lines[start::_N_SHARDS] for start in range(_N_SHARDS)]


def _write(folder: Path, number: int, lines: list[str]) -> None:
    (folder / f"{number:03}.jsonl").write_text("\n".join(lines), encoding="utf-8")


def _rebuild(settings: Settings) -> Figures:
    """Figures of each stage that ran, or of its check where it was skipped."""
    run, figures = start_run(settings), {}
    for stage in rebuild_corpus.STAGES:
        core, n_bytes = _core_seconds(), _bytes_below(Path(settings.warehouse.path))
        wall = seconds(lambda: run_stage(run, stage, skip_unchanged=True))  # noqa: B023 - called at once
        figures[stage.name] = {
            "seconds": round(wall, 2),
            "core_seconds": round(_core_seconds() - core, 2),
            "bytes": _bytes_below(Path(settings.warehouse.path)) - n_bytes,
        }
    return figures


def _core_seconds() -> float:
    """Processor time of this process and its descendants, with those that have ended."""
    parents, times = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(stat.parent.name)
        parents[pid], times[pid] = int(fields[1]), sum(map(int, fields[11:15])) / _TICKS
    ours, found = {os.getpid()}, set[int]()
    while ours:
        found |= ours
        ours = {pid for pid, parent in parents.items() if parent in ours} - found
    return sum(times.get(pid, 0.0) for pid in found)


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0


if __name__ == "__main__":
    main()
