"""Tokenizing in memory, one core: the compiled loops, fastokens and ``tokenizers`` side by side; ids must be equal.

    python -m benchmarks.tokenize_memory --corpus FOLDER [--tokenizers NAME=FILE ...]

Documents are shuffled and cut into slices; each backend encodes a slice in turn, so that a change of the machine's
speed affects all alike. First pass: each backend is new, and meets every text for the first time. Second pass: it has
met all of them (the fast ones keep pre-tokens). Every document's ids are compared. Targets for the first pass: 4 times
fastokens and 30 times ``tokenizers``.
"""

import dataclasses
import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common import parse, read_documents, report
from pivot_udfs.tokenization.backends import Backend, TokenizerSpec, encoder, forget_encoders, load_tokenizer
from pivot_udfs.tokenization.text_batch import Encoded, Encoder, TextBatch

_SLICES = 24
_BATCH = 512
_BACKENDS: tuple[Backend, ...] = ("byte_level", "fastokens", "tokenizers")


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__, tokenizers={"nargs": "*", "default": [], "help": "NAME=FILE, beside the given one"})
    texts = [document.text for document in read_documents(arguments.corpus)]
    random.Random(0).shuffle(texts)  # noqa: S311
    files = dict([("given", arguments.tokenizer), *(named.split("=", 1) for named in arguments.tokenizers)])
    figures = {name: _measured(path, [texts[k::_SLICES] for k in range(_SLICES)]) for name, path in files.items()}
    text_megabytes = sum(len(text.encode()) for text in texts) / 1e6
    everything = {"documents": len(texts), "text_MB": round(text_megabytes, 1), "targets": [4, 30]}
    report("tokenize_memory", everything | figures)


def _measured(path: str, slices: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Load time, MB/s of each backend in both passes, ratios, and how many documents have other ids."""
    forget_encoders()
    start = time.perf_counter()
    spec = load_tokenizer(path, "tokenizers")
    backends = {name: made for name in _BACKENDS if (made := _made(spec, name)) is not None}
    loaded = time.perf_counter() - start
    for made in backends.values():  # compiles
        made(["Text 1."])
    passes, differing = [], dict.fromkeys(backends, 0)
    for turn in range(2):
        spent = dict.fromkeys(backends, 0.0)
        for texts in slices:
            ids: dict[str, list[Encoded]] = {}
            for name, made in backends.items():
                if turn == 0 or name != "tokenizers":
                    start = time.perf_counter()
                    ids[name] = [made(TextBatch.of(texts[k : k + _BATCH])) for k in range(0, len(texts), _BATCH)]
                    spent[name] += time.perf_counter() - start
            if turn == 0:
                for name in differing:
                    differing[name] += _differing(ids[name], ids["tokenizers"])
        passes.append({name: value for name, value in spent.items() if value})
    megabytes = sum(len(text.encode()) for texts in slices for text in texts) / 1e6
    found: dict[str, Any] = {"load_s": round(loaded, 1), "differing_documents": differing}
    for name, spent in zip(("first_pass", "second_pass"), passes, strict=True):
        found[f"{name}_MB_per_s"] = {backend: round(megabytes / value, 2) for backend, value in spent.items()}
        found[f"{name}_ratio_to"] = {
            backend: round(passes[0].get(backend, value) / spent["byte_level"], 1)
            if backend == "tokenizers"
            else round(value / spent["byte_level"], 1)
            for backend, value in (passes[0] | spent).items()
            if backend != "byte_level" and "byte_level" in spent
        }
    return found


def _made(spec: TokenizerSpec, backend: Backend) -> Encoder | None:
    try:
        return encoder(dataclasses.replace(spec, backend=backend))
    except BaseException as error:  # a panic of a Rust library is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        print(f"  {backend} refuses this tokenizer: {str(error).splitlines()[0]}")
        return None


def _differing(got: list[Encoded], expected: list[Encoded]) -> int:
    """How many documents have other ids."""
    count = 0
    for (ids, offsets), (wanted, places) in zip(got, expected, strict=True):
        if np.array_equal(ids, wanted) and np.array_equal(offsets, places):
            continue
        pairs = zip(offsets[:-1], offsets[1:], places[:-1], places[1:], strict=True)
        count += sum(not np.array_equal(ids[a:b], wanted[c:d]) for a, b, c, d in pairs)
    return count


if __name__ == "__main__":
    main()
