"""Compares a model's vocabulary with the tokenizer of the tables."""

from typing import Any

from jobs.gpu.common.settings import Model
from jobs.gpu.models.model_files import find_files, own_tokenizer, read_json
from pivot_udfs.errors import TokenizerError
from pivot_udfs.tokenization.backends import TokenizerSpec, load_tokenizer, reference_tokenizer, sentencepiece_processor


def check_vocabulary(settings: Model, model: Any, tokenizer: TokenizerSpec) -> None:
    """Refuses a model whose vocabulary differs from the tokenizer's, or cannot be compared with it.

    The model's own tokenizer (see ``model_tokens``) must have the same token for every id, and the model must have at
    least as many embeddings as the tokenizer has ids. A model without a tokenizer needs ``model.trust_vocabulary``.
    Raises TokenizerError where they differ, or the model has no file with its vocabulary.
    """
    ours, theirs = tokenizer_tokens(tokenizer), model_tokens(settings)
    rows = model.get_input_embeddings().weight.shape[0]
    if rows < len(ours):
        raise TokenizerError(
            f"{settings.path} has {rows} token embeddings, tokenizer.path has {len(ours)} ids: it is not the tokenizer "
            "of this model; set the tokenizer that the tables were made with and a model that uses it"
        )
    if not theirs and not settings.trust_vocabulary:
        raise TokenizerError(
            f"{settings.path} has no tokenizer.json, tokenizer.model or vocab.json, so its vocabulary cannot be "
            "compared with tokenizer.path: put the model's tokenizer beside its weights, or set "
            "model.trust_vocabulary = true if they are known to be the same"
        )
    different = [
        (index, a, b) for index, (a, b) in enumerate(zip(ours, theirs, strict=False)) if _spaced(a) != _spaced(b)
    ]
    if different:
        index, a, b = different[0]
        raise TokenizerError(
            f"{len(different)} ids of {settings.path} have other tokens than in tokenizer.path (id {index}: model "
            f"{b!r}, tokenizer {a!r}): use a model with the tables' tokenizer, or make the tables with the model's"
        )


def _spaced(token: str) -> str:
    """A token with plain spaces: GGUF files write runs of spaces so, ``tokenizer.json`` files with marks."""
    return token.replace("▁", " ")


def tokenizer_tokens(tokenizer: TokenizerSpec) -> list[str]:
    """The token of every id, as written in the tokenizer's file; empty for unused ids."""
    if tokenizer.kind == "sentencepiece":
        processor = sentencepiece_processor(tokenizer)
        return [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
    return _by_id(reference_tokenizer(tokenizer).get_vocab(with_added_tokens=True))


def model_tokens(settings: Model) -> list[str]:
    """The token of every id in the model's own vocabulary; an empty list if none of its files has it.

    Read from the GGUF file, or else from ``tokenizer.json``, ``tokenizer.model`` or ``vocab.json``.
    """
    files = find_files(settings)
    if settings.gguf_file:
        from gguf import GGUFReader

        field = GGUFReader(str(files.find(settings.gguf_file))).get_field("tokenizer.ggml.tokens")
        return list(field.contents()) if field else []
    if own := files.find("tokenizer.json"):
        return _by_id(own_tokenizer(own).get_vocab(with_added_tokens=True))
    if own := files.find("tokenizer.model"):
        return tokenizer_tokens(load_tokenizer(str(own), "reference"))
    own = files.find("vocab.json")
    return _by_id(read_json(own)) if own else []


def _by_id(vocab: dict[str, int]) -> list[str]:
    names = {index: token for token, index in vocab.items()}
    return [names.get(index, "") for index in range(max(names, default=-1) + 1)]
