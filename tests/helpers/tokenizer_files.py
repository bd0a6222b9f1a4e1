"""Tiny tokenizers trained on the spot, as files: the kinds that people bring, on text of four languages."""

import json
import unicodedata
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

CORPUS = [
    "The cat drank water from the river, and the water was cold.",
    "L'eau de la rivière était froide ; le chat a bu l'été dernier.",
    "猫在河边喝水，水很冷。我们学习计算机科学。",
    "猫が川の水を飲んだ。水はとても冷たかった。カタカナ",
] * 20
TEXTS = [
    "",
    " ",
    "The cat drank l'eau 水",
    "  two  spaces\n\n猫が水を🙂飲んだ ꙮ",
    "e\u0301te\u0301 \ufb01n Å 1234",
    "a <|end|> b<|end|>c <s> [mark] x[mark]y",
]


STEPS = (16, pytest.param(1, marks=pytest.mark.nightly))
"""Of ``characters``, in the tests and in ``make torture``."""


def byte_level(folder: Path, plain: str = "[mark]") -> str:
    """Byte-level BPE that alters nothing, with a special and, unless ``plain`` is empty, a plain added token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if plain:
        tokenizer.add_tokens([AddedToken(plain, special=False)])
    return _saved(tokenizer, folder / "byte_level.json")


def byte_level_nfc(folder: Path) -> str:
    """The same behind an NFC normalizer, so that byte lengths are positions in texts in that form only."""
    tokenizer = Tokenizer.from_file(byte_level(folder))
    tokenizer.normalizer = normalizers.NFC()
    return _saved(tokenizer, folder / "byte_level_nfc.json")


def byte_level_nfkc(folder: Path) -> str:
    """The same behind NFKC and lower case, which expand and alter characters."""
    tokenizer = Tokenizer.from_file(byte_level(folder))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    return _saved(tokenizer, folder / "byte_level_nfkc.json")


CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = CL100K.replace("{1,3}", "")
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2_FAMILIES = ("gpt2", "smollm")
"""Families that the compiled loops serve."""
OTHER_FAMILIES = ("neox", "llama3", "cl100k", "qwen", "o200k")


def family(folder: Path, name: str) -> str:
    """A small tokenizer with the normalizer, the pre-tokenizer and the kinds of added tokens of a family."""
    tokenizer = Tokenizer.from_file(byte_level(folder, plain="" if name in (*GPT2_FAMILIES, "cl100k") else "[mark]"))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "smollm":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level])  # type: ignore[assignment]
    elif name not in ("gpt2", "neox"):
        pattern = {"qwen": QWEN, "o200k": O200K}.get(name, CL100K)
        split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        if name == "cl100k":
            split = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
        steps = [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)  # type: ignore[assignment]
    if name in ("neox", "qwen"):
        tokenizer.normalizer = normalizers.NFC()  # type: ignore[assignment]
        plain = [AddedToken(" " * k, special=False, normalized=True) for k in (2, 3, 4)]
        plain += [AddedToken("caf\u00e9", special=False, normalized=True)]
        tokenizer.add_tokens([*plain, AddedToken("<tool>", special=False, normalized=False)])
    config = json.loads(tokenizer.to_str())
    config["model"]["ignore_merges"] = name == "llama3"
    if name == "llama3":  # no merges lead to these
        taken = max(config["model"]["vocab"].values()) + 1
        for k, token in enumerate(("\u0120qzx", "zqxqzxqzxqzxqzxqzxqzxqzxqzx", "\u00e6\u00b0\u00b4\u00e6\u00b0\u00b4")):
            config["model"]["vocab"][token] = taken + k
        config["added_tokens"][-1]["id"] = taken + 3
    if name == "cl100k":  # ids that no token has, as in files converted from tiktoken
        last = max(config["model"]["vocab"].values()) + 15
        config["model"]["vocab"]["<|last|>"] = last
        config["added_tokens"].append(config["added_tokens"][0] | {"content": "<|last|>", "id": last})
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


def byte_fallback(folder: Path) -> str:
    """BPE on words marked with ▁, falling back to bytes, as the Llama 2 family does."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    config = json.loads(tokenizer.to_str())
    config["added_tokens"] = config["added_tokens"][:2]  # the bytes are ordinary tokens, as in published files
    return _saved(Tokenizer.from_str(json.dumps(config)), folder / "byte_fallback.json")


def unigram(folder: Path) -> str:
    """Unigram behind NFKC, as the XLM-R family does."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=["<unk>", "<s>"],
        unk_token="<unk>",  # noqa: S106 - no password
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _saved(tokenizer, folder / "unigram.json")


def unigram_bytes(folder: Path) -> str:
    """Unigram that falls back to bytes; the library treats unknown characters in a row as one."""
    config = json.loads(Path(unigram(folder)).read_text(encoding="utf-8"))
    config["normalizer"], config["model"]["byte_fallback"] = None, True
    config["model"]["vocab"] += [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]
    return _saved(Tokenizer.from_str(json.dumps(config)), folder / "unigram_bytes.json")


def marked_words(folder: Path, kind: str, texts: list[str]) -> str:
    """A vocabulary of all words and characters of ``texts``, without spaces: "##" of WordPiece, "</w>", WordLevel."""
    unknown = "[UNK]"
    tokenizer: Tokenizer
    trainer: trainers.Trainer
    if kind == "##":
        tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
        trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=[unknown], show_progress=False)
    elif kind == "</w>":
        tokenizer = Tokenizer(models.BPE(unk_token=unknown, end_of_word_suffix=kind))
        trainer = trainers.BpeTrainer(
            vocab_size=900, special_tokens=[unknown], end_of_word_suffix=kind, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=unknown))
        trainer = trainers.WordLevelTrainer(special_tokens=[unknown], show_progress=False)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator([*CORPUS, *texts], trainer)
    return _saved(tokenizer, folder / "marked_words.json")


def sentencepiece_model(folder: Path) -> str:
    """SentencePiece with byte fallback."""
    text = folder / "corpus.txt"
    text.write_text("\n".join(CORPUS), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / "small"),
        vocab_size=400,
        byte_fallback=True,
        character_coverage=0.98,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return str(folder / "small.model")


def _saved(tokenizer: Tokenizer, path: Path) -> str:
    tokenizer.save(str(path))
    return str(path)


def characters(step: int) -> list[str]:
    """All characters of the planes in use, but only every ``step``-th ideograph, Hangul syllable and unassigned one."""
    planes = ((0, 0xD800), (0xE000, 0x33500), (0xE0000, 0xE0200))
    points = [chr(point) for plane in planes for point in range(*plane)]
    return [char for k, char in enumerate(points) if k % step == 0 or not _is_one_of_many(char)]


def _is_one_of_many(char: str) -> bool:
    return unicodedata.category(char) in ("Co", "Cn") or unicodedata.name(char, "").startswith(
        ("CJK UNIFIED", "HANGUL SYL")
    )
