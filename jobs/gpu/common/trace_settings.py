"""The sections of the settings for traces: ``[trace]``, ``[explanation]``, ``[tuned_lens]`` and ``[sweep]``."""

from typing import Annotated, Literal

from pydantic import Field

from pivot_udfs.setting_sections.setting_types import NO_RESULT, Section


class Trace(Section):
    """What the trace stores of every layer."""

    lens: Literal["logit", "tuned"] = "logit"
    """How a layer is read: by the model's norm and output head, or by them after a trained translator of the layer."""
    tokens_before: Annotated[int, Field(ge=0)] = 0
    """Layers are read this many tokens before the answer position; directions are removed at the answer position (0)
    only."""
    top_k: Annotated[int, Field(ge=1, le=1000)] = 10
    """Number of most probable tokens stored for each layer."""
    batch_size: Annotated[int, Field(ge=1)] = Field(default=32, json_schema_extra=NO_RESULT)
    """Source words in one forward pass; halved once where memory does not suffice."""
    n_pivots: Annotated[int, Field(ge=1)] = 50
    """Number of best pivots of a word pair whose probabilities are summed."""
    pivot_level: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """A word is labelled ``pivot`` only if its third-language word has a higher probability in some middle layer."""
    control_share: Annotated[float, Field(gt=0, le=1)] = 0.01
    """A word is labelled ``pivot`` only if less than this share of the other concepts reach the probability there."""


class Explanation(Section):
    """What traces and scores are compared with."""

    max_occurrences: Annotated[int, Field(ge=1)] = 50_000
    """``sampled_pair_count`` is estimated from at most this many occurrences of each word; the default is that of the
    queries with which the paper's authors counted."""


class TunedLens(Section):
    """The tuned lens: where it lies, and how it is trained on the held-out part."""

    path: str = ""
    """Folder written by ``train_tuned_lens`` or by the package ``tuned-lens``; empty: ``<results.path>/tuned_lens``."""
    n_steps: Annotated[int, Field(ge=1)] = 100
    """Number of optimizer steps."""
    batch_size: Annotated[int, Field(ge=1)] = 4
    """Sequences in each step."""
    sequence_length: Annotated[int, Field(ge=2)] = 128
    """Tokens of one sequence."""
    n_positions: Annotated[int, Field(ge=1)] = 16
    """Positions of each sequence, drawn at random, at which the lens is compared with the last layer."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate of Adam at the start; it falls to 0 linearly."""


class Sweep(Section):
    """Traces of several revisions of one model."""

    revisions: list[str] = Field(default=[])
    """Revisions of ``model.path`` on the hub, or folders of saved models or checkpoints, in the order of training."""
