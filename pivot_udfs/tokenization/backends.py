"""Tokenizers: loaded and checked once on the driver, sent to executors as bytes.

The reference is what ``tokenizers`` (or ``sentencepiece``) gives. Of the faster backends, compiled loops for byte-level
BPE and ``fastokens``, the first is used whose ids are the same on a probe text in many scripts. Executors never open
the tokenizer's path: a ``TokenizerSpec`` is part of the closure, and each process builds its encoder once.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

import sentencepiece
import tokenizers
from pyarrow import fs

from pivot_udfs.errors import TokenizerError
from pivot_udfs.storage.redact import printable, reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve
from pivot_udfs.tokenization.byte_level import ByteLevelEncoder, splits_digits, unsupported_by_loops
from pivot_udfs.tokenization.encoders import fastokens_encoder, sentencepiece_encoder, tokenizers_encoder
from pivot_udfs.tokenization.equivalence_probe import first_difference, probe_texts
from pivot_udfs.tokenization.text_batch import Encoder
from pivot_udfs.tokenization.token_bytes import entry_bytes, is_byte_level

Backend = Literal["byte_level", "fastokens", "tokenizers", "sentencepiece"]
_FAST: tuple[Backend, ...] = ("byte_level", "fastokens")
_BACKENDS = ("auto", *_FAST, "tokenizers", "sentencepiece")
_MOST_IDS = 1 << 24
"""Counting holds arrays with a place for each id."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TokenizerSpec:
    """All an executor needs to tokenize.

    ``payload`` is a SentencePiece model, or a ``tokenizer.json`` without truncation, padding and post-processor;
    ``sha256`` (hex) is that of the whole file.
    """

    kind: Literal["huggingface", "sentencepiece"]
    backend: Backend
    sha256: str
    payload: bytes = field(repr=False, compare=False)


def load_tokenizer(path: str, backend: str = "auto") -> TokenizerSpec:
    """Reads and checks a tokenizer on the driver: a ``tokenizer.json`` or a SentencePiece ``.model``, local or a URI.

    ``backend`` is ``auto`` (the fastest with the reference's ids), ``reference`` (the library of the file's kind, which
    is ready at once) or a backend's name. Raises TokenizerError where the file is missing, broken or of a wrong kind,
    or the backend does not fit it.
    """
    spec = read_tokenizer(path, backend)
    return fastest(spec, path) if backend == "auto" else spec


def read_tokenizer(path: str, backend: str) -> TokenizerSpec:
    """``load_tokenizer`` without ``fastest``, which takes a second: for ``auto``, the backend is the reference."""
    if backend == "reference":
        backend = "sentencepiece" if path.lower().endswith(".model") else "tokenizers"
    if backend not in _BACKENDS:
        raise TokenizerError(f"tokenizer.backend = {backend!r}: one of {', '.join(_BACKENDS)} is allowed")
    raw = _read_bytes(path)
    sha256 = hashlib.sha256(raw).hexdigest()
    if path.lower().endswith(".model"):
        return _load_sentencepiece(path, backend, sha256, raw)
    if backend == "sentencepiece":
        raise TokenizerError(f"{path}: backend sentencepiece reads a .model file; use auto for a tokenizer.json")
    spec = TokenizerSpec("huggingface", "tokenizers", sha256, _checked_json(path, raw))
    try:
        with _panics_as_errors():
            ids, _ = encoder(spec)(probe_texts(()))
    except Exception as error:
        raise TokenizerError(f"{path}: tokenizers cannot use it ({error}); save it again as a tokenizer.json") from None
    if not len(ids):
        raise TokenizerError(f"{path} gives no token for any text: its vocabulary is empty, or it drops all text")
    _check_tokens(path, reference_tokenizer(spec))
    return fastest(spec, path, backend) if backend in _FAST else spec


def _check_tokens(path: str, tokenizer: tokenizers.Tokenizer) -> None:
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    if largest >= _MOST_IDS:
        raise TokenizerError(
            f"{path} has a token with id {largest}; ids below {_MOST_IDS} are allowed: number them again"
        )
    plain = [token for token in tokenizer.get_added_tokens_decoder().values() if not token.special]
    if any(token.rstrip for token in plain) and any(token.lstrip and token.content.isspace() for token in plain):
        raise TokenizerError(
            f"{path} has an added token of white space with lstrip, which makes tokenizers fail at texts where it"
            " follows one with rstrip; set its lstrip to false in the file"
        )


def tokenizer_sha256(path: str) -> str:
    """SHA-256 (hex) of a tokenizer's file, local or a URI; raises TokenizerError where it cannot be read."""
    return hashlib.sha256(_read_bytes(path)).hexdigest()


def _read_bytes(path: str) -> bytes:
    try:
        location = resolve(path)
        if location.type() == fs.FileType.Directory:
            raise TokenizerError(f"{location} is a folder; give the tokenizer.json or .model file in it")
        return location.read()
    except STORE_ERRORS as error:
        why = f"cannot be read: {reason(error)}; set tokenizer.path to a tokenizer.json or .model"
        raise TokenizerError(f"{printable(path)} {why}") from None


@lru_cache(maxsize=2)
def _checked_json(path: str, raw: bytes) -> bytes:
    try:
        config = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{path} is not JSON ({error}; it begins {raw[:40]!r}); give a tokenizer.json") from None
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise TokenizerError(f"{path} is JSON but has no 'model': it is not a Hugging Face tokenizer.json; give one")
    if config["model"].get("dropout"):
        raise TokenizerError(f"{path}: model.dropout makes ids differ from run to run; set it to null in the file")
    return json.dumps(config | {"truncation": None, "padding": None, "post_processor": None}).encode()


def _load_sentencepiece(path: str, backend: str, sha256: str, raw: bytes) -> TokenizerSpec:
    if backend not in ("auto", "sentencepiece"):
        raise TokenizerError(f"{path}: a .model file is read by sentencepiece, not by {backend}; use auto")
    spec = TokenizerSpec("sentencepiece", "sentencepiece", sha256, raw)
    try:
        piece_bytes(sentencepiece_processor(spec))
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path} is damaged (a piece is not UTF-8: {error}); copy it again") from None
    except Exception:
        begins = f"{len(raw)} bytes that begin {raw[:20]!r}"
        raise TokenizerError(f"{path} is no SentencePiece model ({begins}); give a SentencePiece .model") from None
    return spec


def fastest(spec: TokenizerSpec, path: str, wanted: str = "auto") -> TokenizerSpec:
    """The first fast backend with the reference's ids, or the one that is wanted; logs which do not fit and why."""
    if spec.kind == "sentencepiece":
        return spec
    reasons: list[str] = []
    # fastokens is 7.5 times slower than the loops where digits are split off first, and faster elsewhere.
    by_speed = _FAST if splits_digits(json.loads(spec.payload)) else _FAST[::-1]
    for name in [name for name in by_speed if wanted in ("auto", name)]:
        fast = replace(spec, backend=name)
        why = _difference(fast, spec)
        if why is None:
            if reasons:
                _log.warning("%s is tokenized by %s, a slower backend: %s", path, name, "; ".join(reasons))
            return fast
        reasons.append(f"{name} does not fit: {why}")
    if wanted != "auto":
        raise TokenizerError(f"{path}: backend {reasons[0]}; use auto or tokenizers")
    _log.warning("%s is tokenized by tokenizers, a slower backend: %s", path, "; ".join(reasons))
    return spec


def _difference(fast: TokenizerSpec, reference: TokenizerSpec) -> str | None:
    """Why the fast backend cannot replace the reference, or None."""
    if fast.backend == "byte_level" and (why := unsupported_by_loops(json.loads(fast.payload))):
        return why
    added = reference_tokenizer(reference).get_added_tokens_decoder().values()
    if any(token.single_word and not token.special for token in added):
        return "an added token is single_word, which it judges otherwise beside another added token"
    texts = probe_texts(token.content for token in added)
    try:
        with _panics_as_errors():
            return first_difference(texts, encoder(fast)(texts), encoder(reference)(texts))
    except Exception as error:
        return f"it refuses this tokenizer ({str(error).partition(chr(10))[0]})"


@contextmanager
def _panics_as_errors() -> Iterator[None]:
    """A panic of a Rust library is no ``Exception``; within a ``with`` block it is one."""
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise RuntimeError(str(error)) from None


@lru_cache(maxsize=8)
def encoder(spec: TokenizerSpec) -> Encoder:
    """The encoder of a tokenizer, one thread, built once a process."""
    for name in ("RAYON_NUM_THREADS", "FASTOKENS_BPE_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if spec.backend == "sentencepiece":
        return sentencepiece_encoder(sentencepiece_processor(spec))
    if spec.backend == "byte_level":
        return ByteLevelEncoder(json.loads(spec.payload), reference_tokenizer(spec))
    reference = tokenizers_encoder(reference_tokenizer(spec))
    if spec.backend == "fastokens":
        import fastokens  # a GPU machine need not have it

        return fastokens_encoder(fastokens.Tokenizer.from_json_str(_without_gaps(spec.payload)), reference)
    return reference


def _without_gaps(payload: bytes) -> str:
    """A ``tokenizer.json`` with a token for every id below the largest: fastokens refuses vocabularies with gaps.

    The tokens added have a space, which is no character of byte-level vocabularies, so that no text becomes them.
    """
    config = json.loads(payload)
    vocab = config["model"].get("vocab")
    if not isinstance(vocab, dict) or not is_byte_level(config):
        return payload.decode()
    gaps = set(range(max(vocab.values(), default=0))) - set(vocab.values())
    config["model"]["vocab"] = vocab | {f" {token_id}": token_id for token_id in gaps}
    return json.dumps(config) if gaps else payload.decode()


@lru_cache(maxsize=8)
def reference_tokenizer(spec: TokenizerSpec) -> tokenizers.Tokenizer:
    """The Hugging Face tokenizer of a spec, set so that special tokens' text stays plain text."""
    tokenizer = tokenizers.Tokenizer.from_str(spec.payload.decode())
    tokenizer.encode_special_tokens = True
    return tokenizer


@lru_cache(maxsize=8)
def sentencepiece_processor(spec: TokenizerSpec) -> Any:
    """The SentencePiece processor of a spec."""
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(spec.payload)
    return processor


def piece_bytes(processor: Any) -> list[bytes]:
    """The bytes that each id of a SentencePiece processor stands for; raises ValueError where a piece is damaged."""
    ids = range(processor.get_piece_size())
    return [entry_bytes(processor.id_to_piece(k), processor.is_byte(k)) for k in ids]


def forget_encoders() -> None:
    """Drops every encoder of this process, with the pre-tokens that it keeps; the next use builds it again."""
    for kept in (encoder, reference_tokenizer, sentencepiece_processor):
        kept.cache_clear()
