"""A small lexicon, tokenizer, tables and settings for the tests of the model side."""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import table_of

LEXICON = [
    ("water", "eau", "水", "n"), ("house", "maison", "房子", "n"), ("book", "livre", "书", "n"),
    ("cat", "chat", "猫", "n"), ("dog", "chien", "狗", "n"), ("bread", "pain", "面包", "n"),
    ("moon", "lune", "月亮", "n"), ("sun", "soleil", "太阳", "n"), ("tree", "arbre", "树", "n"),
    ("river", "fleuve", "河", "n"), ("stream", "fleuve", "溪", "n"), ("door", "porte", "门", "n"),
    ("key", "clé", "钥匙", "n"), ("train", "train", "火车", "n"), ("king", "roi", "国王", "n"),
    ("milk", "lait", "牛奶", "n"), ("bird", "oiseau", "鸟", "n"), ("fish", "poisson", "鱼", "n"),
    ("to eat", "manger", "吃", "v"), ("to drink", "boire", "喝", "v"), ("to sleep", "dormir", "睡", "v"),
    ("to run", "courir", "跑", "v"), ("red", "rouge", "红", "adj"), ("green", "vert", "绿", "adj"),
    ("hand", "main", "手", "n"), ("foot", "pied", "脚", "n"), ("eye", "œil", "眼睛", "n"),
]  # fmt: skip


def write_lexicon(path: Path) -> Path:
    """The lexicon as a TSV with part of speech and frequency."""
    rows = [f"{en}\t{fr}\t{zh}\t{pos}\t{6 - k / 10:.2f}" for k, (en, fr, zh, pos) in enumerate(LEXICON)]
    path.write_text("\n".join(["en\tfr\tzh\tpos\tzipf_en", *rows]) + "\n", encoding="utf-8")
    return path


def write_tokenizer(path: Path, vocabulary: int = 400, extra: str = "") -> Path:
    """A byte-level BPE trained on the lexicon, with an end token of id 0."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [f"Please translate words from French to English Chinese: {en} {fr} {extra}" for en, fr, _, _ in LEXICON]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))
    return path


def settings_text(folder: Path, **sections: dict[str, Any]) -> str:
    """A TOML file for the small world in ``folder``; keys of ``sections`` are added or replaced."""
    tree: dict[str, dict[str, Any]] = {
        "warehouse": {"path": str(folder / "warehouse")},
        "tokenizer": {"path": str(folder / "tokenizer.json")},
        "lexicon": {"path": str(folder / "lexicon.tsv"), "languages": ["en", "fr", "zh"]},
        "model": {"path": str(folder / "model"), "device": "cpu", "dtype": "float32", "trust_vocabulary": True},
        "results": {"path": str(folder / "results")},
        "translation": {"n_draws": 2, "n_examples": 2, "n_distractors": 3, "n_neighbours": 6, "n_resamples": 100},
    }
    for name, keys in sections.items():
        tree.setdefault(name, {}).update(keys)
    lines = []
    for name, keys in tree.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def make_world(folder: Path, **sections: dict[str, Any]) -> Path:
    """Lexicon, tokenizer and configuration in ``folder``; gives the configuration's path."""
    write_lexicon(folder / "lexicon.tsv")
    write_tokenizer(folder / "tokenizer.json")
    config = folder / "run.toml"
    config.write_text(settings_text(folder, **sections), encoding="utf-8")
    return config


def write_table(
    folder: Path,
    name: str,
    rows: list[dict[str, Any]],
    tokenizer: Path | None,
    lexicon: Path | None = None,
) -> Path:
    """A Delta table in the schema of the corpus side, whose commit records which files made it."""
    schema = table_of(name).schema
    given = {"tokenizer": tokenizer, "lexicon": lexicon}
    files = {key: hashlib.sha256(path.read_bytes()).hexdigest() for key, path in given.items() if path}
    made = Provenance("test", 1, files=files)
    deltalake.write_deltalake(
        str(folder / name),
        pa.Table.from_pylist(rows, schema=schema),
        mode="overwrite",
        commit_properties=deltalake.CommitProperties(custom_metadata={"userMetadata": made.to_json()}),
    )
    return folder / name


def write_pair_tables(folder: Path) -> None:
    """``pair_pivots``, ``word_cooccurrence`` and ``word_totals`` of the lexicon, in ``folder/warehouse``."""
    tokenizer, lexicon, warehouse = folder / "tokenizer.json", folder / "lexicon.tsv", folder / "warehouse"
    pivots, pairs, words = [], [], []
    for concept, (en, fr, zh, _) in enumerate(LEXICON):
        texts = {"en": en, "fr": fr, "zh": zh}
        words += [{"lang": k, "word": w, "count": 10 + concept, "doc_count": 5} for k, w in texts.items()]
        for a, b in itertools.combinations(sorted(texts.items()), 2):
            pair = {"lang_a": a[0], "word_a": a[1], "lang_b": b[0], "word_b": b[1]}
            pairs.append(pair | {"pair_count": (concept * 7) % 11, "doc_count": 1})
            score = {"token": "?", "association_a": 0.5, "association_b": 0.5, "score": 0.5}
            pivots += [
                {"concept": concept, **pair, "token_id": 260 + rank, "rank": rank, **score} for rank in (1, 2, 3)
            ]
    for name, rows in {"pair_pivots": pivots, "word_cooccurrence": pairs, "word_totals": words}.items():
        write_table(warehouse, name, rows, tokenizer, lexicon)
