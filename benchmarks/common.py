"""What the benchmarks share: a corpus folder, a session, fair timing, and where results go."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs.framework.spark.spark_session import start_session
from jobs.framework.stage import Run
from pivot_udfs.settings import Corpus, Lexicon, Settings, Spark, Tokenizer, Warehouse
from pivot_udfs.shards.list_shards import list_shards
from pivot_udfs.shards.read_shard import read_shard
from pivot_udfs.shards.validate_record import Document

RESULTS = Path(__file__).parent / "results"
SAMPLES = Path(__file__).parent.parent / "tests" / "samples"
PACKAGES = ("pyspark", "delta-spark", "pyarrow", "numpy", "numba", "fastokens", "tokenizers")
MASTER = "local[2]"


def parse(description: str | None, **more: dict[str, Any]) -> argparse.Namespace:
    """The benchmarks' command line; ``more`` are options of one of them."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--corpus", default=str(SAMPLES / "shards"), help="a folder of shards")
    parser.add_argument("--tokenizer", default=str(SAMPLES / "tokenizer.json"))
    parser.add_argument("--lexicon", default=str(SAMPLES / "lexicon.tsv"))
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each side, in turn")
    parser.add_argument("--scratch", default=tempfile.gettempdir(), help="a folder for tables")
    for name, options in more.items():
        parser.add_argument(f"--{name}", **options)
    return parser.parse_args()


def settings_for(
    arguments: argparse.Namespace, inputs: str, warehouse: str, both_compilers: bool = False, **sections: Any
) -> Settings:
    """Settings of a run over ``inputs``; with ``both_compilers`` of the JVM, as Spark's own operators are fastest."""
    compilers = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=4"} if both_compilers else {}
    return Settings(
        corpus=Corpus(inputs=[inputs]),
        warehouse=Warehouse(path=warehouse),
        tokenizer=Tokenizer(path=arguments.tokenizer),
        lexicon=Lexicon(path=arguments.lexicon, languages=["en", "fr", "zh", "ja"]),
        spark=Spark(master=MASTER, conf={"spark.driver.memory": "6g"} | compilers),
        **sections,
    )


def start_run(settings: Settings) -> Run:
    """A run in a fresh or the running session."""
    return Run(start_session("benchmark", settings.spark), settings)


def read_documents(corpus: str) -> list[Document]:
    """All documents of a folder."""
    limits = Corpus(inputs=["."])
    records = (record for shard in list_shards([corpus]) for record in read_shard(shard.path, limits))
    return [record for record in records if isinstance(record, Document)]


def text_megabytes(documents: Sequence[Document]) -> float:
    """UTF-8 megabytes (10**6) of text."""
    return sum(len(document.text.encode()) for document in documents) / 1e6


def repeated_corpus(corpus: str, times: int, scratch: str) -> str:
    """A folder with ``times`` copies of every shard of a corpus; links to one file would be one shard."""
    folder = Path(tempfile.mkdtemp(prefix="repeated-", dir=scratch))
    for shard in list_shards([corpus]):
        for copy in range(times):
            shutil.copyfile(shard.path, folder / f"{copy:03d}-{Path(shard.path).name}")
    return str(folder)


def seconds(body: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    body()
    return time.perf_counter() - start


def in_turn(
    repeats: int, between: Callable[[], Any] = lambda: None, **sides: Callable[[], Any]
) -> dict[str, list[float]]:
    """Times all sides in turn, A B C A B C ..., so that a change of the machine's speed meets all of them.

    ``between`` is called before each, not timed, to clear away what the one before left to do.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, body in sides.items():
            between()
            times[name].append(seconds(body))
    return times


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return sorted(values)[len(values) // 2]


def fresh(path: str) -> str:
    """A path with nothing at it."""
    shutil.rmtree(path, ignore_errors=True)
    return path


def settled(path: str) -> None:
    """Nothing at a path, and what was written there no longer on its way to the disk."""
    fresh(path)
    os.sync()


def report(name: str, figures: dict[str, Any]) -> None:
    """Prints a benchmark's figures and writes them to ``benchmarks/results/<name>.json`` with machine and versions."""
    RESULTS.mkdir(exist_ok=True)
    result = {"benchmark": name, "figures": figures, "machine": _machine(), "versions": _versions()}
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{name}:")
    for key, value in figures.items():
        print(f"  {key}: {value}")


def _machine() -> dict[str, Any]:
    cpu = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def _versions() -> dict[str, str]:
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr.splitlines()[0]
    return {"java": java} | {package: version(package) for package in PACKAGES}
