"""A made-up report, and a parser that checks the page made of it."""

from collections import Counter
from html.parser import HTMLParser

from pyspark.sql import Row

from jobs.report.report_types import (
    ArmContent,
    Intake,
    LanguageDensity,
    LanguagePair,
    Mix,
    Report,
)
from jobs.selection.budgets import Budget
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.write_report import Passage

Source = Row("source", "langs", "n_docs", "n_tokens")
WordPair = Row("word_a", "word_b", "pair_count", "doc_count", "npmi", "is_translation")
LinkedPair = Row("lang_a", "word_a", "lang_b", "word_b")
Pivot = Row("rank", "token", "score", "n_concepts", "n_language_pairs", "doc_share", "n_sources", "pairs", "overlap")
LengthBin = Row("n_tokens", "n_docs", "n_taken", "n_by_raw")
SampledDocument = Row("n_tokens", "density", "shrunken", "taken")
Tokens = Row("key", "corpus", "pivot", "random")
Document = Row("source", "doc_id", "shard", "lang", "n_tokens", "pivot_density", "shrunken_density", "cut", "arms")
Rejected = Row("reason", "n_records", "n_shards", "examples")
QuarantinedRecord = Row("shard", "record", "detail", "raw", "source", "doc_id")
VOID = {"meta", "link", "br", "wbr", "input", "img", "hr", "path", "use", "image", "rect"}


def made_up_report(word: str = "水", text: str = "喝水") -> Report:
    """A small report whose words and texts are given."""
    density = LanguageDensity(
        lang="zh",
        n_docs=3,
        n_tokens=300,
        density=0.1,
        n_taken=1,
        cut=0.12,
        bin_width=0.1,
        raw=(1, 1, 1),
        shrunken=(0, 2, 1),
        taken=(0, 0, 1),
        lengths=(LengthBin(64, 30, 3, 5), LengthBin(128, 20, 2, 1)),
        sample=(SampledDocument(100, 0.1, 0.1, True), SampledDocument(70, 0.0, 0.05, False)),
    )
    pair = WordPair("water", word, 1234567, 9876, 0.5, True)
    rejected = Rejected("not_json", 2, 1, (QuarantinedRecord("a.jsonl", 7, word, word, None, None),))
    tables = {"documents": TableVersion("id", 3, "f" * 64)}
    made = Provenance("tokenize_corpus", 1, tables=tables, files={"tokenizer": "0" * 64})
    return Report(
        warehouse=word,
        window="100",
        association="npmi",
        rule="all",
        shrinkage_tokens=500,
        min_doc_count=10,
        n_pivots=1,
        intake=Intake(1, 3, 300, 12345, 2, 1, (Source(word, ["zh"], 3, 300),), (rejected,)),
        language_pairs=(LanguagePair("en", "zh", 10, 5, (pair,)),),
        n_language_pairs=1,
        pivots=(Pivot(1, word, 2.5, 3, 2, 0.1, 1, (LinkedPair("en", word, "zh", "水"),), 0.25),),
        drift=(3, 0.125),
        densities=(density,),
        arms=(
            ArmContent("pivot", 1, 100, 0.2, 1, ((Budget("pivot", "zh", "tokens", 110), 100),)),
            ArmContent("random", 0, 0, 0.0, 0, ()),
        ),
        compared={"random": "pivot"},
        mixes=tuple(
            Mix(kind, (Tokens(key, 300, 100, 0),), {"random": 0.125})
            for kind, key in (("language", "zh"), ("source", word), ("length", "5"))
        ),
        examples=(
            (
                Document(word, word, "b.jsonl", "zh", 2, 0.5, 0.4, 0.25, ["pivot", "random"]),
                Passage((("喝", False), (text, True)), True, False),
            ),
        ),
        tables=(("documents", 3, made),),
        settings={"pivots.n_pivots": "1000", "key": word},
    )


class PageReader(HTMLParser):
    """Checks that tags nest, and collects tags with their attributes, addresses, ids and marked texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: Counter[str] = Counter()
        self.marks: list[str] = []
        self.attributes: list[tuple[str, dict[str, str]]] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.append((tag, {name: value or "" for name, value in attrs}))
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "mark" in self.open and "article" in self.open:
            self.marks.append(data)
