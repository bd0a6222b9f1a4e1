"""The settings of a run of the model side: the sections of its TOML file beside those of the corpus side.

``[warehouse]``, ``[tokenizer]`` and ``[lexicon]`` are those of the corpus jobs; the others are read here only. The
docstrings of sections and keys are the text of ``docs/configuration.md``.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from jobs.gpu.common.trace_settings import Explanation, Sweep, Trace, TunedLens
from jobs.gpu.translation.prompt_styles import template_of
from pivot_udfs.arms import CROSSOVER, PIVOT, arms_of, known_contrast
from pivot_udfs.setting_sections.setting_types import NO_RESULT, Language, MaybePlace, Place, Section, matching
from pivot_udfs.settings import ArmName, Lexicon, Tokenizer, Warehouse

Direction = Annotated[
    str, matching("[a-z]{2,3}-[a-z]{2,3}", "a direction is two codes of lexicon.languages, such as 'fr-zh'")
]


def _known_prompt(prompt: str) -> str:
    template_of(prompt)
    return prompt


class Model(Section):
    """Which model, and how its weights may be read."""

    path: Place
    """A folder, a name on the hub, or ``package:<name>`` for the folder of an installed Python package."""
    gguf_file: str = ""
    """The GGUF file inside ``path``; empty: safetensors."""
    revision: str = ""
    """Branch, tag or commit of a model on the hub; empty: its main revision."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """``auto``: bfloat16 on a GPU, float32 on a CPU."""
    device: str = Field(default="auto", json_schema_extra=NO_RESULT)
    """``auto``, ``cpu``, ``cuda`` or ``cuda:<n>``."""
    trust_remote_code: bool = False
    """Whether code that comes with the model may run."""
    allow_pickle: bool = False
    """Whether weights that are not safetensors may be read; unpickling can run any code."""
    trained_on_corpus: bool = Field(default=False, json_schema_extra=NO_RESULT)
    """Whether the model was trained on the corpus whose counts are in the tables; the report says where it was not."""
    trust_vocabulary: bool = Field(default=False, json_schema_extra=NO_RESULT)
    """Whether a model may be used that has no tokenizer to compare ``tokenizer.path`` with."""


class Results(Section):
    """Where the model side writes its results."""

    path: Place
    """A local folder."""


class Translation(Section):
    """The word translation task."""

    directions: list[Direction] = Field(default=[])
    """Such as ``["fr-zh"]``; empty: every direction of ``lexicon.languages``."""
    n_words: Annotated[int, Field(ge=0)] = 0
    """Number of concepts that are tested, drawn by seed and the same in all directions; 0: the whole lexicon."""
    with_pivots: bool = False
    """Whether only concepts with pair pivots in the tables are tested; their pivots are saved with the task."""
    n_distractors: Annotated[int, Field(ge=1)] = 9
    """Number of other source words whose probability of the answer is subtracted."""
    n_neighbours: Annotated[int, Field(ge=1)] = 40
    """Distractors are drawn from this many words nearest in frequency."""
    n_draws: Annotated[int, Field(ge=1)] = 5
    """Number of draws of examples over which scores are averaged."""
    n_examples: Annotated[int, Field(ge=1)] = 5
    """Number of examples in each prompt."""
    seed: int = 0
    """Seed of the draws of concepts, examples and distractors."""
    prompt: Annotated[str, AfterValidator(_known_prompt)] = "plain"
    """How a pair is written: ``plain``, ``quoted``, or a template with the fields ``{source_language}``, ``{source}``,
    ``{target_language}`` and ``{target}`` in this order."""
    start_token: str = ""
    """Text of the special token before every prompt, for models trained with one (``"<bos>"``); empty: none."""
    batch_size: Annotated[int, Field(ge=1)] = Field(default=32, json_schema_extra=NO_RESULT)
    """Source words in one forward pass; halved once where memory does not suffice."""
    n_resamples: Annotated[int, Field(ge=100)] = 2000
    """Number of resamples of the bootstrap confidence intervals."""


class Packing(Section):
    """Which documents become a packed file of tokens."""

    arm: ArmName = PIVOT
    """The arm whose dataset is packed and trained on."""
    seed: int = 0
    """Seed of the order of documents."""
    token_budget: Annotated[int, Field(ge=0)] = 0
    """Number of training tokens packed, end tokens included; 0: all."""
    held_out_share: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of the documents held out of training, by a hash of their key: the same documents for every arm."""
    held_out_tokens: Annotated[int, Field(ge=1)] = 200_000
    """Largest number of held-out tokens packed for each language."""
    end_token: str = ""
    """Text of the token between documents; empty: the first of the usual ones that the tokenizer has."""


class Training(Section):
    """Continued pretraining."""

    sequence_length: Annotated[int, Field(ge=2)] = 2048
    """Tokens of one training sequence."""
    global_batch_tokens: Annotated[int, Field(ge=2)] = 65_536
    """Tokens of one optimizer step, over all processes; a multiple of the sequence length."""
    micro_batch: Annotated[int, Field(ge=1)] = Field(default=4, json_schema_extra=NO_RESULT)
    """Sequences in one forward pass of one process; halved once where memory does not suffice."""
    token_budget: Annotated[int, Field(ge=1)] = 1_000_000
    """Training stops after this many tokens."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Largest learning rate, reached after the warm-up."""
    final_learning_rate_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of ``learning_rate`` that the decay ends at, after the last step."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps in which the learning rate rises from 0."""
    decay: Literal["cosine", "linear"] = "cosine"
    """How the learning rate falls after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Weight decay of AdamW."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of AdamW's first moment."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Decay of AdamW's second moment."""
    max_gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients with a larger norm are scaled down to it."""
    seed: int = 0
    """Seed of the order of sequences; the packed file has its own."""
    start_token: str = ""
    """Text of the special token in place of the first token of every sequence, in training and in held-out texts, for
    models trained with one (``"<bos>"``); empty: none."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Precision of the forward pass; weights and optimizer stay float32. ``auto``: bfloat16 on a GPU, else float32."""
    compile: bool = False
    """Whether the model's layers and the loss are compiled."""
    deterministic: bool = Field(default=False, json_schema_extra=NO_RESULT)
    """Use deterministic, slower algorithms: on GPUs, and with several processes, a resumed run is bit-identical only
    with them."""
    gradient_checkpointing: bool = Field(default=False, json_schema_extra=NO_RESULT)
    """Whether activations are computed again in the backward pass, which saves memory and takes time."""
    evaluate_every_steps: Annotated[int, Field(ge=0)] = Field(default=100, json_schema_extra=NO_RESULT)
    """Steps between measurements of held-out bits per byte; 0: only before and after training."""
    checkpoint_every_minutes: Annotated[float, Field(ge=0)] = Field(default=30.0, json_schema_extra=NO_RESULT)
    """Minutes of training between checkpoints, each written after a step; 0: none."""
    keep_checkpoints: Annotated[int, Field(ge=1)] = Field(default=2, json_schema_extra=NO_RESULT)
    """Number of newest checkpoints that are kept."""
    delete_checkpoints: bool = Field(default=True, json_schema_extra=NO_RESULT)
    """Whether checkpoints are deleted when the run is finished; false, to trace them (``sweep.revisions``)."""

    @model_validator(mode="after")
    def _whole_sequences(self) -> "Training":
        batch, length = self.global_batch_tokens, self.sequence_length
        if batch % length:
            raise ValueError(f"global_batch_tokens = {batch} is not a multiple of sequence_length = {length}")
        return self


class Experiment(Section):
    """The comparison of arms: each is trained on with each seed, and evaluated."""

    contrasts: list[Annotated[str, AfterValidator(known_contrast)]] = Field(
        default=["pivot_matched-matched"], min_length=1
    )
    """Pairs of arms that are compared, ``<treatment>-<control>``, the primary one first, with all seeds."""
    seeds: list[int] = Field(default=[0, 1, 2, 3], min_length=1)
    """The values of ``training.seed``; tests of fewer than four reject a true null too often
    (``docs/experiment.md``)."""
    pilot: MaybePlace = ""
    """The ``experiment.json`` of an earlier run: what this one can detect is computed from its variances, too, by those
    of the contrast of the same name, else of the first one of the same kind."""
    pack: bool = Field(default=True, json_schema_extra=NO_RESULT)
    """Whether arms are packed first; false, for a machine without the tables: packed files are used as they are."""
    keep_models: bool = Field(default=True, json_schema_extra=NO_RESULT)
    """Whether the weights of a trained model are kept after its evaluation."""

    @property
    def arms(self) -> list[str]:
        """The arms that are trained on, in the order of the contrasts."""
        return list(dict.fromkeys(arm for contrast in self.contrasts for arm in arms_of(contrast)))


class ModelReport(Section):
    """The HTML page of the model side."""

    path: MaybePlace = ""
    """Where the page is written; empty: ``<warehouse.path>/model_report.html``, or under ``results.path`` where the
    warehouse is a URI."""


class ModelSettings(Section):
    """A whole run of the model side."""

    warehouse: Warehouse
    tokenizer: Tokenizer
    lexicon: Lexicon
    model: Model
    results: Results
    translation: Translation = Translation()
    trace: Trace = Trace()
    tuned_lens: TunedLens = TunedLens()
    sweep: Sweep = Sweep()
    explanation: Explanation = Explanation()
    packing: Packing = Packing()
    training: Training = Training()
    experiment: Experiment = Experiment()
    model_report: ModelReport = ModelReport()

    @model_validator(mode="after")
    def _directions_known(self) -> "ModelSettings":
        for direction in self.translation.directions:
            source, target = direction.split("-")
            if source == target or not {source, target} <= set(self.lexicon.languages):
                raise ValueError(
                    f"translation.directions: {direction!r} is not a pair of two of lexicon.languages "
                    f"{self.lexicon.languages}"
                )
        return self

    @model_validator(mode="after")
    def _halves_known(self) -> "ModelSettings":
        if CROSSOVER in self.experiment.contrasts and not self.translation.with_pivots:
            raise ValueError(f"the contrast {CROSSOVER} needs translation.with_pivots = true")
        return self

    @property
    def directions(self) -> list[tuple[str, str]]:
        """The (source, target) languages to run, in the order given."""
        languages: list[Language] = self.lexicon.languages
        every = [f"{a}-{b}" for a in languages for b in languages if a != b]
        return [(d.split("-")[0], d.split("-")[1]) for d in self.translation.directions or every]
