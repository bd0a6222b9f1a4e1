"""Trains a tuned lens: each layer's translator brings what is read there close to the model's own prediction."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import kl_div

from jobs.gpu.common.trace_settings import TunedLens
from jobs.gpu.models.output_head import captured_outputs, find_output_head
from jobs.gpu.packing.packed_file import PackedFile
from jobs.gpu.tracing.lenses import Lens

_TEST_EVERY, _MOST_TEST_BATCHES = 8, 10
"""Every eighth sequence is kept for the test, which reads at most so many batches of them."""


class LensTrainer:
    """A lens in training, the model that it is of, whose weights are frozen, and two sequences or more.

    The loss is the divergence KL(last layer || layer) in nats, averaged over positions. Sequences and positions are
    drawn by the number of the step, so that a resumed run sees what the run would have seen.
    """

    def __init__(self, model: Any, packed: PackedFile, options: TunedLens) -> None:
        self._model, self._packed, self._options = model.requires_grad_(False), packed, options
        self._head = find_output_head(model)
        self._size = options.sequence_length
        order = np.random.default_rng(0).permutation(packed.n_sequences(self._size))
        self._test, self._train = order[::_TEST_EVERY], order[np.arange(len(order)) % _TEST_EVERY > 0]
        self.lens = Lens(len(self._head.layers), model.config.get_text_config().hidden_size).to(model.device)
        self.step, self._adam = 0, torch.optim.Adam(self.lens.parameters(), options.learning_rate)

    def steps(self) -> Iterator[int]:
        """Trains until all steps are done; yields the number of each after it."""
        n = self._options.n_steps
        while self.step < n:
            self._adam.param_groups[0]["lr"] = self._options.learning_rate * (1 - self.step / n)
            first = self.step * self._options.batch_size
            hidden = self._outputs(np.arange(first, first + self._options.batch_size), self._train, self.step)
            log_p = self._head.logits(hidden[-1]).log_softmax(dim=-1)
            self._adam.zero_grad()
            for layer in range(len(hidden) - 1):  # one by one: the logits of all layers would take gigabytes
                translated = self.lens.translated(hidden[layer], layer)
                with self._rounded():
                    loss = self._divergence(log_p, translated)
                loss.backward()  # type: ignore[no-untyped-call]
            self._adam.step()
            self.step += 1
            yield self.step

    @torch.no_grad()
    def divergences(self) -> list[dict[str, float]]:
        """Per layer but the last, the mean divergence in nats on sequences kept for the test: ``logit``, ``tuned``."""
        size = self._options.batch_size
        starts = range(0, min(len(self._test), _MOST_TEST_BATCHES * size), size)
        found = []
        for start in starts:
            hidden = self._outputs(np.arange(start, min(start + size, len(self._test))), self._test, start)
            log_p = self._head.logits(hidden[-1]).log_softmax(dim=-1)
            read = [(x, self.lens.translated(x, layer)) for layer, x in enumerate(hidden[:-1])]
            found.append([[float(self._divergence(log_p, x)) for x in of_layer] for of_layer in read])
        return [{"logit": logit, "tuned": tuned} for logit, tuned in np.mean(found, axis=0).tolist()]

    def _rounded(self) -> torch.autocast:
        """Matrix products in bfloat16 on a GPU: in float32, those of the output head would take most of the time."""
        return torch.autocast(self._model.device.type, torch.bfloat16, enabled=self._model.device.type == "cuda")

    def _divergence(self, log_p: Tensor, hidden: Tensor) -> Tensor:
        log_q = self._head.logits(hidden).log_softmax(dim=-1)
        return kl_div(log_q, log_p, reduction="batchmean", log_target=True)

    @torch.no_grad()
    def _outputs(self, numbers: NDArray[Any], sequences: NDArray[Any], seed: int) -> list[Tensor]:
        """Per layer the outputs (positions, hidden size) at random positions of sequences, taken in turn."""
        rows = self._packed.sequences(sequences[numbers % len(sequences)], self._size)[:, :-1]
        places = np.random.default_rng(seed).permuted(np.tile(np.arange(self._size), (len(rows), 1)), axis=1)
        chosen = torch.tensor(places[:, : self._options.n_positions], device=self._model.device)
        with captured_outputs(self._head.layers) as outputs:
            self._model(input_ids=torch.tensor(rows, device=self._model.device), use_cache=False, logits_to_keep=1)
        batch = torch.arange(len(rows), device=self._model.device)[:, None]
        return [output[batch, chosen].flatten(0, 1) for output in outputs]

    def save(self, path: Path) -> None:
        """Writes everything that a resumed run needs."""
        tensors = {f"lens/{name}": value for name, value in self.lens.state_dict().items()}
        moments = self._adam.state_dict()["state"]
        tensors |= {f"adam/{k}/{name}": value for k, state in moments.items() for name, value in state.items()}
        save_file(tensors | {"step": torch.tensor(self.step)}, path)

    def load(self, path: Path) -> None:
        """Continues from what ``save`` wrote."""
        tensors = load_file(path, device=str(self._model.device))
        self.step = int(tensors["step"])
        self.lens.load_state_dict(_below("lens/", tensors))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("adam/", tensors).items():
            k, entry = name.split("/")
            moments.setdefault(int(k), {})[entry] = value
        self._adam.load_state_dict({"state": moments, "param_groups": self._adam.state_dict()["param_groups"]})


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
