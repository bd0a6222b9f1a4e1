"""Peak memory of a Python worker in counting, at 1 and at 10 times the corpus.

    python -m benchmarks.counting_memory --corpus FOLDER

Each size runs in a process of its own that feeds the counting step as Spark would, batch by batch, and reports its
peak resident memory (``ru_maxrss``). Target: the same within 10 %, and inside the budget.
"""

import resource
import subprocess
import sys
from collections.abc import Iterator

import pyarrow as pa

from benchmarks.common import parse, read_documents, report
from pivot_udfs.count_cooccurrence import CountPlan, count_cooccurrence
from pivot_udfs.lexicon import load_lexicon
from pivot_udfs.list_shards import list_shards
from pivot_udfs.read_shard import ReadLimits
from pivot_udfs.tokenize_corpus import TokenizePlan, tokenize_corpus
from pivot_udfs.tokenizer_backends import load_tokenizer

_BUDGET_MB = 512
_BATCH_DOCUMENTS = 4096


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    peaks = {times: _in_process(times) for times in (1, 10)}
    report(
        "counting_memory",
        {f"peak_MB_at_{times}x": round(peak) for times, peak in peaks.items()}
        | {
            "ratio": round(peaks[10] / peaks[1], 3),
            "budget_MB": _BUDGET_MB,
            "target": "within 10 %, inside the budget",
            "text_documents": len(read_documents(arguments.corpus)),
        },
    )


def _in_process(times: int) -> float:
    command = [sys.executable, "-m", "benchmarks.counting_memory", *sys.argv[1:], "--repeats", str(-times)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def child(times: int) -> None:
    """Counts the corpus ``times`` times over and prints this process's peak in MB."""
    arguments = parse(__doc__)
    tokenizer = load_tokenizer(arguments.tokenizer)
    lexicon = load_lexicon(arguments.lexicon, ["en", "fr", "zh", "ja"])
    shards = tuple(shard.path for shard in list_shards([arguments.corpus]))
    plan = TokenizePlan((shards,), ReadLimits(16 << 20, 64 << 20), tokenizer)

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(times):
            task = pa.RecordBatch.from_pydict({"id": [0]})
            yield from tokenize_corpus(iter([task]), plan, lambda tally: None)

    for _ in count_cooccurrence(batches(), CountPlan(lexicon, tokenizer, 100, "document_language", _BUDGET_MB)):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    repeats = parse(__doc__).repeats
    child(-repeats) if repeats < 0 else main()
