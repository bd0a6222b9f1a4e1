"""The command ``semantic-pivots``: a table from names to jobs, each of which has its own command line.

The wheel holds the folders of this project inside the package ``semantic_pivots``, so that it installs no top-level
package called ``jobs``. The command puts that folder on the module path of its own process and of those that it starts.
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import argcomplete
from argcomplete.lexers import split_line

ROOT = Path(__file__).resolve().parents[2]
"""The folder that contains ``jobs``, ``pivot_udfs``, ``conf`` and ``tests/samples``, installed or not."""
NAME = "semantic-pivots"


class Job(NamedTuple):
    """A module with ``main(argv)``, and the configuration in ``conf/`` that it is given where it is a demo."""

    module: str
    help: str
    config: str = ""


JOBS = {
    "demo": Job("jobs.rebuild_corpus", "run the whole pipeline on the samples that come with this package", "demo"),
    "rebuild": Job("jobs.rebuild_corpus", "run the whole pipeline, skipping what has not changed"),
    "tokenize": Job("jobs.tokenize_corpus", "shards to documents"),
    "count": Job("jobs.count_cooccurrence", "count words, tokens and what occurs together"),
    "find-pivots": Job("jobs.find_pivots", "find the pivots in the counts"),
    "score": Job("jobs.score_documents", "score documents by their share of pivots"),
    "filter": Job("jobs.filter_documents", "write the datasets"),
    "report": Job("jobs.write_report", "write the HTML report"),
    "describe": Job("jobs.describe_release", "write dataset cards, Croissant files and summaries for the law"),
    "explain": Job("jobs.explain_document", "explain why a document is in a dataset, or not"),
    "explain-pivot": Job("jobs.explain_pivot", "explain why a token is a pivot, or not"),
    "query": Job("jobs.query_tables", "answer an SQL query over the tables, without Spark"),
    "forget": Job("jobs.forget_documents", "remove documents from every table"),
    "maintain": Job("jobs.maintain_warehouse", "compact tables and remove unused files"),
    "setup-jars": Job("jobs.setup_jars", "install the jars that Spark needs: Delta Lake, and object stores"),
}
MODEL_JOBS = {
    "demo": Job("jobs.gpu.demo_model", "run the model side on the tables of the demo", "demo-model"),
    "convert": Job("jobs.gpu.convert_model", "save a model as float32 safetensors"),
    "build-task": Job("jobs.gpu.build_translation_task", "build the word translation task"),
    "evaluate": Job("jobs.gpu.evaluate_translation", "score a model on the word translation task"),
    "trace": Job("jobs.gpu.trace_layers", "trace how a model translates, layer by layer"),
    "sweep": Job("jobs.gpu.sweep_revisions", "trace several revisions of a model: how pivots arise"),
    "explain": Job("jobs.gpu.explain_behaviour", "compare traces and scores with corpus counts"),
    "pack": Job("jobs.gpu.pack_dataset", "pack a dataset for training"),
    "train-lens": Job("jobs.gpu.train_tuned_lens", "train the tuned lens of a model"),
    "train": Job("jobs.gpu.continue_pretraining", "continue the pretraining of a model"),
    "experiment": Job("jobs.gpu.run_experiment", "train and compare all arms"),
    "report": Job("jobs.gpu.write_model_report", "write the HTML report of the model side"),
}
SAMPLES = {"corpus.inputs": "shards", "tokenizer.path": "tokenizer.json", "lexicon.path": "lexicon.tsv"}
"""Settings of the demos that name files of ``tests/samples``."""
_INSTALL_GPU = "pip install '.[gpu]' in a checkout, or 'FILE[gpu]' with the path of the wheel"
_MODEL, _CONFIG, _SAMPLES = "model", "config", "samples"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job that the first argument names; returns its exit code: 130 after an interrupt."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        sys.stderr.write(f"{NAME}: interrupted\n")
        return 130


def _main(argv: Sequence[str] | None) -> int:
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    words = _typed_words() if "_ARGCOMPLETE" in os.environ else list(sys.argv[1:] if argv is None else argv)
    others = {
        _MODEL: "the model side: needs the extra packages of `gpu`",
        _CONFIG: "print a configuration to start from",
        _SAMPLES: "print the folder of the sample shards, tokenizer and lexicon",
    }
    if words[:1] == [_MODEL]:
        return _run(f"{NAME} {_MODEL}", MODEL_JOBS, _rest(words), {})
    if words[:1] == [_CONFIG]:
        return _print_config(_rest(words))
    if words[:1] == [_SAMPLES]:
        return _print_samples(_rest(words))
    return _run(NAME, JOBS, words, others)


def _run(prog: str, jobs: Mapping[str, Job], words: Sequence[str], others: Mapping[str, str]) -> int:
    if words and (job := jobs.get(words[0])):
        _name_commands(prog, words[0], job)
        argv = demo_arguments(job.config) + _rest(words) if job.config else _rest(words)
        try:
            return int(importlib.import_module(job.module).main(argv))
        except ModuleNotFoundError as error:
            if jobs is JOBS:
                raise
            sys.stderr.write(f"{prog}: there is no package {error.name}: {_INSTALL_GPU}\n")
            return 2
    parser = argparse.ArgumentParser(
        prog=prog, description="Pivot-rich pretraining corpora for cross-lingual transfer."
    )
    version = importlib.import_module("pivot_udfs").__version__
    parser.add_argument("--version", action="version", version=f"{NAME} {version}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for name, text in {**{name: job.help for name, job in jobs.items()}, **others}.items():
        commands.add_parser(name, help=text, add_help=False)
    argcomplete.autocomplete(parser)
    parser.parse_args(words)
    return 2


def _name_commands(prog: str, name: str, job: Job) -> None:
    """Lets jobs name each other as the user does; the job that runs has the name that was typed."""
    from jobs.framework.command_line import commands  # found on the module path that ``_main`` has set

    for side, jobs in ((NAME, JOBS), (f"{NAME} {_MODEL}", MODEL_JOBS)):
        commands.update({one.module.rpartition(".")[2]: f"{side} {typed}" for typed, one in jobs.items()})
    commands[job.module.rpartition(".")[2]] = f"{prog} {name}"


def demo_arguments(config: str) -> list[str]:
    """The arguments that run a configuration of the demos on the samples, from any working directory."""
    text = (ROOT / "conf" / f"{config}.toml").read_text(encoding="utf-8")
    arguments = ["--config", str(ROOT / "conf" / f"{config}.toml")]
    for key, name in SAMPLES.items():
        if f"[{key.partition('.')[0]}]" in text:
            arguments += ["--set", f"{key}={json.dumps(str(ROOT / 'tests' / 'samples' / name))}"]
    return arguments


def _print_config(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"{NAME} {_CONFIG}", description="Prints a configuration of conf/.")
    names = sorted(path.stem for path in (ROOT / "conf").glob("*.toml"))
    parser.add_argument("name", choices=names, nargs="?", default="corpus", help="default: corpus")
    argcomplete.autocomplete(parser)
    sys.stdout.write((ROOT / "conf" / f"{parser.parse_args(words).name}.toml").read_text(encoding="utf-8"))
    return 0


def _print_samples(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"{NAME} {_SAMPLES}", description="Prints the folder of the samples.")
    argcomplete.autocomplete(parser)
    parser.parse_args(words)
    sys.stdout.write(f"{ROOT / 'tests' / 'samples'}\n")
    return 0


def _typed_words() -> list[str]:
    """In shell completion: the whole words after the command."""
    line, point = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    return [str(word) for word in split_line(line, point)[3][int(os.environ["_ARGCOMPLETE"]) :]]


def _rest(words: Sequence[str]) -> list[str]:
    """The words after the first, which completion then takes as the name of the program."""
    if "_ARGCOMPLETE" in os.environ:
        os.environ["_ARGCOMPLETE"] = str(int(os.environ["_ARGCOMPLETE"]) + 1)
    return list(words[1:])


if __name__ == "__main__":
    sys.exit(main())
