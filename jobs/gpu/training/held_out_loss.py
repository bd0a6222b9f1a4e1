"""Bits per byte of the held-out documents of each language.

The negative log-probability of all tokens except end tokens, in bits, divided by the UTF-8 bytes of the texts: it is
comparable across tokenizers and languages. The documents of a language are concatenated and cut into windows; every
token is predicted once.
"""

from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from jobs.gpu.packing.packed_file import PackedFile
from jobs.gpu.training.token_loss import summed_loss

Bits = dict[str, float]


def bits_per_byte(model: Any, packed: PackedFile, length: int, batch: int, accelerator: Accelerator) -> Bits:
    """Bits per byte by language, and of all languages together (``all``), of a held-out file.

    It is cut into windows of ``length`` tokens, ``batch`` of them in one forward pass, and divided among processes.
    """
    was_training = model.training
    model.eval()
    found, nats_all, bytes_all = {}, 0.0, 0
    with torch.no_grad(), accelerator.autocast():
        start = 0
        for language, about in packed.manifest["languages"].items():
            windows = _windows(packed, start, about["n_tokens"], length)
            start += about["n_tokens"]
            nats = _nats(model, windows, packed, batch, accelerator)
            found[language] = nats / np.log(2) / max(1, about["n_bytes"])
            nats_all, bytes_all = nats_all + nats, bytes_all + about["n_bytes"]
    model.train(was_training)
    return {language: float(value) for language, value in found.items()} | {
        "all": float(nats_all / np.log(2) / max(1, bytes_all))
    }


def _windows(packed: PackedFile, start: int, n_tokens: int, length: int) -> NDArray[np.int64]:
    """int64 (windows, length + 1): inputs and shifted targets; the last window is padded with -1."""
    ids = np.concatenate([[packed.manifest["end_id"]], packed.tokens[start : start + n_tokens]]).astype(np.int64)
    n = -(-(len(ids) - 1) // length)
    padded = np.full(n * length + 1, -1, np.int64)
    padded[: len(ids)] = ids
    return np.lib.stride_tricks.sliding_window_view(padded, length + 1)[::length]


def _nats(model: Any, windows: NDArray[np.int64], packed: PackedFile, batch: int, accelerator: Accelerator) -> float:
    total = torch.zeros((), dtype=torch.float64, device=accelerator.device)
    end_id = int(packed.manifest["end_id"])
    mine = windows[accelerator.process_index :: accelerator.num_processes]
    for start in range(0, len(mine), batch):
        rows = torch.tensor(packed.started(np.array(mine[start : start + batch])), device=accelerator.device)
        logits = model(input_ids=rows[:, :-1].clamp_min(0), use_cache=False).logits
        total += summed_loss(logits, rows[:, 1:].masked_fill(rows[:, 1:] == end_id, -1))
    summed: torch.Tensor = accelerator.reduce(total, "sum")
    return float(summed)
