"""Saves a model (GGUF, or any other format that loads) as float32 safetensors with the tables' tokenizer.

    python -m jobs.gpu.convert_model --config conf/demo-model.toml [--dry-run]

Writes ``<results.path>/base/``. A GGUF file takes many times longer to load and cannot be trained.
"""

from functools import partial

from jobs.framework.log_lines import say
from jobs.gpu.common.check_inputs import check_model, check_tokenizer, run_checked
from jobs.gpu.common.files import publish, results_path
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.vocabulary_check import check_vocabulary
from pivot_udfs.tokenization.backends import load_tokenizer


def convert(settings: ModelSettings) -> None:
    """Loads ``[model]``, checks its vocabulary, and saves it."""
    from jobs.gpu.models.load_model import load_model, save_model

    tokenizer = load_tokenizer(settings.tokenizer.path, "reference")
    model = load_model(settings.model.model_copy(update={"dtype": "float32", "device": "cpu"}))
    check_vocabulary(settings.model, model, tokenizer)
    final = results_path(settings, "base")
    publish(final, lambda folder: save_model(model, folder, tokenizer))
    say("saved", model=final)


def check(settings: ModelSettings) -> list[str]:
    """The tokenizer and the model."""
    return [*check_tokenizer(settings), *check_model(settings.model)]


main = partial(run_checked, "convert_model", __doc__, convert, check)


if __name__ == "__main__":
    raise SystemExit(main())
