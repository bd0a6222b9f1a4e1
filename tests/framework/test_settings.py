"""Settings: a fault is reported with its dotted path, the value and what is allowed; what is printed loads again."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from minimal_settings import MINIMAL, load

from pivot_udfs.errors import ConfigError
from pivot_udfs.load_settings import fingerprint, load_settings, resolved_toml, result_settings
from pivot_udfs.settings import CorpusFields, Settings

ROOT = Path(__file__).parents[2]
PIPELINE_CONFIGS = [
    path
    for path in sorted((ROOT / "conf").glob("*.toml"))
    if not path.name.startswith(("demo-model", "experiment", "olmo", "traces"))
]


def test_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.corpus.inputs == ["shards"]
    assert (settings.cooccurrence.window, settings.pivots.n_pivots) == (100, 1000)
    pivots = settings.pivots
    assert (pivots.association, pivots.pivots_per_pair, pivots.score_floor) == ("npmi", 50, 0.15)
    assert (pivots.min_doc_count, pivots.min_word_doc_count, pivots.max_doc_share) == (5, 10, 0.2)
    assert settings.lexicon.shared_surfaces == "document_language"
    assert load(tmp_path, "pivots.association=llr").pivots.score_floor == 0
    assert load(tmp_path, "pivots.association=llr", "pivots.min_score=0.5").pivots.score_floor == 0.5


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("cooccurrence.window=10", "cooccurrence.window", 10),
        ("cooccurrence.window=document", "cooccurrence.window", "document"),
        ('cooccurrence.window="document"', "cooccurrence.window", "document"),
        ('corpus.inputs=["a", "b"]', "corpus.inputs", ["a", "b"]),
        ("corpus.inputs=s3a://bucket/x=1/*.zst", "corpus.inputs", ["s3a://bucket/x=1/*.zst"]),
        (" pivots.n_pivots = 7 ", "pivots.n_pivots", 7),
        ("selection.share=0.5", "selection.share", 0.5),
        ('selection.arms=["pivot"]', "selection.arms", ["pivot"]),
        ('spark.conf={"spark.executor.cores" = "2"}', "spark.conf", {"spark.executor.cores": "2"}),
        ('spark.conf."spark.executor.memory"=3g', "spark.conf", {"spark.executor.memory": "3g"}),
        ("warehouse.path='a'\nb = 1", "warehouse.path", "'a'\nb = 1"),
        ("corpus . 'fields' = {id = ''}", "corpus.fields", CorpusFields(id="")),
    ],
)
def test_set_forms(tmp_path: Path, override: str, path: str, value: Any) -> None:
    section, key = path.split(".")
    assert getattr(getattr(load(tmp_path, override), section), key) == value


def test_set_reaches_nested_tables_and_the_last_wins(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "selection.rule=token_budget",
        "selection.language_quotas.fr=0.5",
        "pivots.n_pivots=1",
        "pivots.n_pivots=2",
    )
    assert settings.selection.language_quotas == {"fr": 0.5}
    assert settings.pivots.n_pivots == 2


FAULTS = [
    ("pivots.n_pivotz=5", ["pivots.n_pivotz is not a known key", "did you mean 'n_pivots'?", "min_doc_count"]),
    ("pivot.n_pivots=5", ["pivot is not a known key", "did you mean 'pivots'?"]),
    ("sources.web.licence=MIT", ["sources.web.licence is not a known key", "did you mean 'license'?", "collected"]),
    ("sources.web=MIT", ["sources.web = 'MIT': "]),
    ("sources.web.kind=scraped", ["sources.web.kind = 'scraped': ", "'crawled'"]),
    ("pivots.n_pivots=many", ["pivots.n_pivots = 'many'", "integer"]),
    ("pivots.n_pivots=0", ["pivots.n_pivots = 0", "greater than or equal to 1"]),
    ("pivots.n_pivots=1.0", ["pivots.n_pivots = 1.0", "integer"]),
    ("pivots.min_sources=33", ["pivots.min_sources = 33", "less than or equal to 32"]),
    ("pivots.association=pmi", ["pivots.association = 'pmi'", "known measures: 'npmi', 'lift_difference', 'llr'"]),
    ("pivots.max_doc_share=2", ["pivots.max_doc_share = 2", "less than or equal to 1"]),
    ("cooccurrence.window=0", ["cooccurrence.window = 0:", "greater than or equal to 1", "'document'"]),
    ("cooccurrence.window=doc", ["cooccurrence.window = 'doc':", "integer", "or input should be 'document'"]),
    ("cooccurrence.memory_budget_mb=1", ["cooccurrence.memory_budget_mb = 1", "640"]),
    ('lexicon.languages=["en"]', ["lexicon.languages = ['en']", "at least 2 items"]),
    ('lexicon.languages=["en", "English"]', ["lexicon.languages.1 = 'English'", "two or three small letters"]),
    ('lexicon.languages=["en", "zh-Hans"]', ["lexicon.languages.1 = 'zh-Hans'", "such as 'zh' for zh-Hans"]),
    ('lexicon.languages=["en", "cmn"]', ["lexicon.languages.1 = 'cmn'", "documents of this language have 'zh'"]),
    ('lexicon.languages=["iw", "zh"]', ["lexicon.languages.0 = 'iw'", "'he'"]),
    ('lexicon.languages=["en", "jp"]', ["lexicon.languages.1 = 'jp'", "no language has this code"]),
    ("selection.bilingual_languages=['eng']", ["selection.bilingual_languages.0 = 'eng'", "have 'en'"]),
    ("selection.language_quotas={EN = 0.5}", ["selection.language_quotas.EN = 'EN'", "two or three small letters"]),
    ("corpus.fields.id='a\"b'", ["corpus.fields.id = ", "no quotation mark, backslash or control character"]),
    ("lineage.target=ftp://host", ["lineage.target = 'ftp://host'", "such as 'http://host:5000'"]),
    ("catalog.database=my-corpus", ["catalog.database = 'my-corpus'", "letters, digits and _ are allowed"]),
    ("lexicon.shared_surfaces=both", ["lexicon.shared_surfaces = 'both'", "'document_language' or 'all'"]),
    ("corpus.inputs=[]", ["corpus.inputs = []", "at least 1 item"]),
    ("corpus.inputs=5", ["corpus.inputs = 5", "list"]),
    ('selection.arms=["pivots"]', ["selection.arms.0 = 'pivots'", "'pivot'", "'parallel'"]),
    ("selection.share=0", ["selection.share = 0", "greater than 0"]),
    ("selection.language_quotas={fr = 0.5}", ["selection = ", "token_budget"]),
    ("selection.language_quotas={fr = 1.5}", ["selection.language_quotas.fr = 1.5", "less than or equal to 1"]),
    ("tokenizer.backend=tokie", ["tokenizer.backend = 'tokie'", "'fastokens'"]),
    ('spark.conf={"spark.a" = 1}', ["spark.conf.spark.a = 1", "string"]),
    ('spark.conf={a = "b"}', ["spark.conf.a = 'a'", "begin with 'spark.'"]),
    ("corpus.inputs=", ["corpus.inputs = ''", "must not be blank"]),
    ('corpus.inputs=["a", " "]', ["corpus.inputs.1 = ' '", "must not be blank"]),
    ('corpus.inputs=["a", "a"]', ["corpus.inputs = ['a', 'a']", "'a' is given more than once"]),
    ("warehouse.path=", ["warehouse.path = ''", "must not be blank: name the"]),
    ('corpus.fields.text=" "', ["corpus.fields.text = ' '", "must not be blank: name the field"]),
    ("corpus.max_record_bytes=5", ["corpus.max_record_bytes = 5", "at least max_document_bytes (16777216)"]),
    ("corpus.max_document_bytes=100000000", ["corpus.max_record_bytes = 67108864", "max_document_bytes (100000000)"]),
    ('lexicon.languages=["en", "en"]', ["lexicon.languages = ['en', 'en']", "is given more than once"]),
    ('selection.arms=["pivot", "pivot"]', ["selection.arms = ['pivot', 'pivot']", "is given more than once"]),
    ("selection.bilingual_languages=['mul', 'mul']", ["selection.bilingual_languages = ", "is given more than once"]),
    ("pivots.min_score=nan", ["pivots.min_score = nan", "finite number"]),
    ("pivots.min_score=-inf", ["pivots.min_score = -inf", "finite number"]),
    ("pivots.max_doc_share=nan", ["pivots.max_doc_share = nan"]),
    ("selection.threshold=nan", ["selection.threshold = nan"]),
    ("pivots.min_score=7", ["pivots.min_score = 7", "npmi is in [-1, 1]", "-1 <= min_score < 1"]),
    ("pivots.min_score=1", ["pivots.min_score = 1", "npmi is in [-1, 1]"]),
    ("pivots.min_score=-1.5", ["pivots.min_score = -1.5", "npmi is in [-1, 1]"]),
    ("cooccurrence.window=9223372036854775808", ["cooccurrence.window = 9223372036854775808", "2147483647"]),
    ("pivots.n_pivots=9223372036854775808", ["pivots.n_pivots = 9223372036854775808", "2147483647"]),
    ("selection.seed=9223372036854775808", ["selection.seed = 9223372036854775808", "9223372036854775807"]),
    ("selection.seed=-9223372036854775809", ["selection.seed = -9223372036854775809", "-9223372036854775808"]),
    ("selection.tokens=9223372036854775808", ["selection.tokens = 9223372036854775808", "9223372036854775807"]),
    (
        "selection.shrinkage_tokens=9223372036854775807",
        ["selection.shrinkage_tokens = 9223372036854775807", "2147483647"],
    ),
    ("cooccurrence.memory_budget_mb=32769", ["cooccurrence.memory_budget_mb = 32769", "32768"]),
    ("warehouse.path=~/x", ["warehouse.path = '~/x'", "~ is not expanded here"]),
    ("corpus.inputs=$HOME/x", ["corpus.inputs", "$HOME is not expanded here"]),
    ("report.path=${HOME}", ["report.path = '${HOME}'", "is not expanded here"]),
    ("description.path=~user/x", ["description.path = '~user/x'", "~user is not expanded here"]),
    (f"{'a.' * 2000}b=1", ["tables or lists within each other"]),
    ("corpus=5", ["table.key=value", "'corpus'"]),
    ("pivots.n_pivots", ["table.key=value"]),
    ("pivots.=5", ["table.key=value"]),
    ("corpus.inputs.x=5", ["inputs is a value, not a table"]),
]


@pytest.mark.parametrize(("override", "parts"), FAULTS)
def test_faults_are_reported(tmp_path: Path, override: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, override)
    message = str(caught.value)
    assert [part for part in parts if part not in message] == [], message
    for noise in ("constrained", "literal[", "function-", "pydantic", "pattern"):
        assert noise not in message
    assert len(message.splitlines()) == 1
    assert message.startswith("--set "), "the file is not to blame"


def test_lift_difference_has_the_bounds_of_a_difference_of_shares(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pivots.min_score = 2.*lift_difference is in \[-1, 1\]"):
        load(tmp_path, "pivots.association=lift_difference", "pivots.min_score=2")
    assert load(tmp_path, "pivots.association=llr", "pivots.min_score=12.5").pivots.score_floor == 12.5


def test_quotas_of_unknown_languages_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    quotas = "selection.language_quotas={en = 0.2, fr = 0.2, mul = 0.1, nl = 0.2}"
    load(tmp_path, "selection.rule=token_budget", quotas)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["selection.language_quotas.nl"]
    assert "have en, fr, mul;" in caplog.text


def test_all_faults_at_once_each_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "cooccurrence.window=-1", "pivots.nothing=1", text=MINIMAL.replace('path = "out"', ""))
    lines = str(caught.value).splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["warehouse.path", "cooccurrence.window", "pivots.nothing"]
    assert "is missing; it must be set" in lines[0]
    assert [line.endswith(" (from --set)") for line in lines] == [False, True, True]


def test_a_fault_in_the_file_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^/.*x\.toml cannot be used: lexicon\.languages = \['en'\]"):
        load(tmp_path, "pivots.n_pivots=5", text=MINIMAL.replace(', "fr"', ""))


def test_files_that_are_not_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing.toml.*No such file.*semantic-pivots config"):
        load_settings(str(tmp_path / "nothing.toml"), [], Settings)
    with pytest.raises(ConfigError, match="is not TOML"):
        load(tmp_path, text="[corpus")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_settings(str(tmp_path / "latin.toml"), [], Settings)
    with pytest.raises(ConfigError, match="corpus is missing"):
        load(tmp_path, text="")
    for value in ("9" * 5_000, "[" * 5_000 + "]" * 5_000):
        with pytest.raises(ConfigError, match="is not TOML"):
            load(tmp_path, text=f"{MINIMAL}\n[pivots]\nn_pivots = {value}")
        with pytest.raises(ConfigError, match="integer"):
            load(tmp_path, f"pivots.n_pivots={value}")


def test_a_file_without_an_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", str(tmp_path / "pipe")):
        with pytest.raises(ConfigError, match=f"^--config {path} is no regular file: give the path of a TOML file"):
            load_settings(path, [], Settings)
    with (tmp_path / "large.toml").open("w", encoding="utf-8") as large:
        large.truncate(5 << 20)
    with pytest.raises(ConfigError, match=r"large\.toml has more than 4,194,304 characters"):
        load_settings(str(tmp_path / "large.toml"), [], Settings)


def test_a_file_that_a_shell_pipes_is_read() -> None:
    read, write = os.pipe()
    os.write(write, MINIMAL.encode())
    os.close(write)
    assert load_settings(f"/dev/fd/{read}", [], Settings).lexicon.languages == ["en", "fr"]
    os.close(read)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, text=f"\ufeff{MINIMAL}") == load(tmp_path)


def test_a_path_that_is_not_utf_8_can_be_printed(tmp_path: Path) -> None:
    assert "sur\\udce9" in resolved_toml(load(tmp_path, "corpus.inputs=sur\udce9")).encode().decode()


@pytest.mark.parametrize("path", PIPELINE_CONFIGS, ids=lambda path: path.name)
def test_every_config_loads_and_names_files_that_are_there(path: Path) -> None:
    settings = load_settings(str(path), [], Settings)
    for name in (*settings.corpus.inputs, settings.tokenizer.path, settings.lexicon.path):
        if name.startswith("tests/"):
            assert (ROOT / name).exists()


def test_there_is_a_demo() -> None:
    assert "demo.toml" in [path.name for path in PIPELINE_CONFIGS]


def test_resolved_toml_loads_to_the_same_settings(tmp_path: Path) -> None:
    overrides = [
        'corpus.inputs=["a\\"b", "水\\\\é\\u0001\\u007f\\u2028"]',
        "cooccurrence.window=document",
        "pivots.min_score=0.25",
        "selection.rule=token_budget",
        "selection.language_quotas={en = 0.25, fr = 0.75}",
        'spark.conf={"spark.executor.memory" = "2g"}',
    ]
    for settings in (load(tmp_path), load(tmp_path, *overrides)):
        assert load(tmp_path, text=resolved_toml(settings)) == settings


def test_only_what_changes_a_result_is_fingerprinted(tmp_path: Path) -> None:
    def of(*overrides: str) -> str:
        settings = load(tmp_path, *overrides)
        return fingerprint(result_settings(settings.corpus, settings.tokenizer, settings.cooccurrence, settings.spark))

    assert of() == of(
        "cooccurrence.memory_budget_mb=700",
        "tokenizer.backend=tokenizers",
        "corpus.shards_per_task_mb=1",
        "corpus.batch_gb=1",
        "corpus.inputs=x",
    )
    assert of() == of("spark.master=local[1]", 'spark.conf={"spark.a" = "b"}')
    assert len({of(), of("cooccurrence.window=10"), of("corpus.max_document_bytes=5")}) == 3


@pytest.mark.parametrize("path", ["~t.jsonl", "./~/x", "a/~/x", "$x.jsonl", "a$b/c", "a b%20c", "s3://b/~/x"])
def test_paths_may_have_any_characters(tmp_path: Path, path: str) -> None:
    assert load(tmp_path, f"corpus.inputs={path}").corpus.inputs == [path]


@pytest.mark.parametrize("name", ["\U0001f600", "\x7f\x9b", 'a"\\', "a\nb\tc", "é\u2028e", ""])
def test_names_of_any_characters_are_written_as_toml(tmp_path: Path, name: str) -> None:
    key = json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
    text = f"{MINIMAL}[sources.{key}]\nlicense = {key}\n[spark.conf]\n{key[0]}spark.{key[1:]} = {key}\n"
    settings = load(tmp_path, text=text)
    assert (settings.sources[name].license, settings.spark.conf) == (name, {f"spark.{name}": name})
    assert load(tmp_path, text=resolved_toml(settings)) == settings


def test_sources_may_have_any_name_and_change_no_result(tmp_path: Path) -> None:
    text = f'{MINIMAL}[sources."a \\"b\\" é.c"]\nlicense = "MIT"\n[sources.web]\nkind = "crawled"\n'
    settings = load(tmp_path, text=text)
    assert settings.sources['a "b" é.c'].license == "MIT"
    assert load(tmp_path, text=resolved_toml(settings)) == settings
    assert result_settings(settings.description, *settings.sources.values()) == {}
