"""Peak memory of a Python worker in counting, at 1 and at 10 times the corpus.

    python -m benchmarks.counting_memory --corpus FOLDER

Each size runs in a process of its own that tokenizes the corpus first, as a worker of a rebuild has, and then feeds the
counting step as Spark would, batch by batch. Reported is its peak resident memory while it counts (``VmHWM``, set back
after tokenizing; Linux only). Target: the same within 10 %, and inside the budget.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import parse, report
from pivot_udfs.count_cooccurrence import COUNTED, CountPlan, count_cooccurrence
from pivot_udfs.matching.lexicon import load_lexicon
from pivot_udfs.schemas import DOCUMENTS
from pivot_udfs.settings import Corpus
from pivot_udfs.shards.list_shards import list_shards
from pivot_udfs.tokenization.backends import load_tokenizer
from pivot_udfs.tokenize_corpus import TokenizePlan, tokenize_corpus

_BUDGET_MB = 768
_BATCH_DOCUMENTS = 1024


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    table = _documents(arguments)
    peaks = {times: _in_process(times, table) for times in (1, 10)}
    Path(table).unlink()
    report(
        "counting_memory",
        {f"peak_MB_at_{times}x": round(peak) for times, peak in peaks.items()}
        | {
            "ratio": round(peaks[10] / peaks[1], 3),
            "budget_MB": _BUDGET_MB,
            "target": "within 10 %, inside the budget",
        },
    )


def _documents(arguments: argparse.Namespace) -> str:
    """The corpus as one Parquet file of documents."""
    path = f"{arguments.scratch}/counting-memory.parquet"
    with pq.ParquetWriter(path, DOCUMENTS) as writer:
        for batch in _tokenized(arguments):
            writer.write_batch(batch)
    return path


def _tokenized(arguments: argparse.Namespace) -> Iterator[pa.RecordBatch]:
    shards = tuple(shard.path for shard in list_shards([arguments.corpus]))
    plan = TokenizePlan((shards,), Corpus(inputs=["."]), load_tokenizer(arguments.tokenizer))
    rows = tokenize_corpus(iter([pa.RecordBatch.from_pydict({"id": [0]})]), plan, lambda counts: None)
    return (batch for table, batch in rows if table == "documents")


def _in_process(times: int, table: str) -> float:
    command = [sys.executable, "-m", "benchmarks.counting_memory", *sys.argv[1:]]
    environment = os.environ | {"COUNT_TIMES": str(times), "COUNT_TABLE": table}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])


def count_in_process(times: int, table: str) -> None:
    """Counts the documents ``times`` times over and prints this process's peak in MB since it began to."""
    arguments = parse(__doc__)
    for _ in _tokenized(arguments):
        pass
    lexicon = load_lexicon(arguments.lexicon, ["en", "fr", "zh", "ja"])

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(times):
            file = pq.ParquetFile(table, pre_buffer=False)
            yield from file.iter_batches(_BATCH_DOCUMENTS, columns=COUNTED.names)

    plan = CountPlan(lexicon, load_tokenizer(arguments.tokenizer, "tokenizers"), 100, "document_language", _BUDGET_MB)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident now
    for _ in count_cooccurrence(batches(), plan):
        pass
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


if __name__ == "__main__":
    if "COUNT_TABLE" in os.environ:
        count_in_process(int(os.environ["COUNT_TIMES"]), os.environ["COUNT_TABLE"])
    else:
        main()
