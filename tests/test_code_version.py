"""Which changes of the code make a stage run again, and which do not."""

from importlib import metadata

import pytest

from jobs import code_version
from jobs.code_version import meaning, package_versions, source_hash

MODULE = '''"""A module."""
import math


class Rule:
    """What it is."""

    floor: float = 0.5
    """Of scores."""


def kept(score: float) -> bool:
    """Whether a score is kept."""
    # the floor counts
    return score >= Rule.floor
'''


def test_comments_docstrings_and_layout_mean_nothing() -> None:
    bare = (
        "import math\nclass Rule:\n  floor: float = (0.5)\ndef kept(score: float) -> bool: return score >= Rule.floor\n"
    )
    assert meaning(MODULE) == meaning(bare)
    assert meaning('def f() -> None:\n    """Only words."""\n') == meaning('def f() -> None:\n    """Other words."""\n')


@pytest.mark.parametrize(("old", "new"), [("0.5", "0.6"), (">=", ">"), ("Rule.floor", 'Rule.floor and "x"')])
def test_a_change_of_what_is_done_counts(old: str, new: str) -> None:
    assert meaning(MODULE) != meaning(MODULE.replace(old, new))


def test_all_that_a_stage_runs_counts() -> None:
    filtering = {"jobs.filter_documents", "jobs.select_documents", "pivot_udfs.filter_documents"}
    assert filtering <= code_version._reached("jobs.filter_documents")
    assert "pivot_udfs.cooccurrence_kernel" in code_version._reached("jobs.count_cooccurrence")
    assert "pivot_udfs.match_words" not in code_version._reached("jobs.filter_documents")
    assert "jobs.delta_tables" not in code_version._reached("jobs.write_report")


def test_the_release_is_told_but_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    before = source_hash("find_pivots")
    monkeypatch.setattr(code_version, "__version__", "9.9.9")
    source_hash.cache_clear()
    assert source_hash("find_pivots") == before
    assert code_version.code_version("find_pivots") == f"9.9.9+{before[:12]}"


def test_the_pages_template_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = source_hash("write_report"), source_hash("find_pivots")
    monkeypatch.setattr(code_version, "_TEMPLATES", (".html",))
    source_hash.cache_clear()
    assert (source_hash("write_report") == before[0], source_hash("find_pivots") == before[1]) == (False, True)
    source_hash.cache_clear()


def test_packages_count_where_they_shape_rows() -> None:
    of_tokens = {name: metadata.version(name) for name in ("fastokens", "sentencepiece", "tokenizers")}
    assert of_tokens.items() <= package_versions("tokenize_corpus").items()
    assert "py3langid" in package_versions("tokenize_corpus")
    assert "ahocorasick_rs" in package_versions("count_cooccurrence")
    assert "ahocorasick_rs" not in package_versions("tokenize_corpus")
    assert package_versions("filter_documents") == {}
