"""The special token that begins every text of some models, Gemma for one: in prompts, and in training."""

from jobs.framework.log_lines import say
from jobs.gpu.common.settings import Model
from jobs.gpu.models.model_files import start_token
from pivot_udfs.errors import TokenizerError
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.vocabulary import vocabulary


def special_tokens(tokenizer: TokenizerSpec) -> dict[str, int]:
    """The ids of the special tokens by text; of several with one text, the first."""
    words = vocabulary(tokenizer)
    return {words.texts[index]: index for index in sorted(words.special_ids, reverse=True)}


def special_id(tokenizer: TokenizerSpec, text: str, setting: str) -> int | None:
    """The id of the special token with this text; None if it is empty.

    Raises TokenizerError where the tokenizer has no such special token; the message names ``setting``.
    """
    special = special_tokens(tokenizer)
    if text and text not in special:
        raise TokenizerError(
            f"{setting} = {text!r} is not a special token of the tokenizer; it has {', '.join(sorted(special))}"
        )
    return special.get(text)


def warn_without_start_token(model: Model, tokenizer_path: str, setting: str, text: str) -> None:
    """Warns if ``setting`` is empty though the model's own tokenizer begins every text with a special token."""
    added = start_token(model, tokenizer_path)
    if added and not text:
        say(
            f"WARNING: this model's own tokenizer begins every text with {added!r}, but {setting} is empty, so results "
            f"may be meaningless: set {setting} = {added!r}, or ignore this if the model was also trained without it"
        )
