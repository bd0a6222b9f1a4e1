"""Descriptions of a small release: their numbers are those of the rows, and other programs can read them."""

import io
import json
import re
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
from huggingface_hub import DatasetCard
from small_release import SETTINGS, SOURCES, small_release
from spdx_python_model import v3_0_1 as spdx

from jobs.describe_release import CARD, CROISSANT, SPDX, SUMMARY, main
from jobs.describing.croissant import croissant
from jobs.describing.dataset_card import dataset_card
from jobs.describing.dataset_facts import DatasetFacts, Size
from jobs.describing.licenses import hub_licenses, is_known, spdx_expression
from jobs.describing.spdx import spdx_document
from jobs.describing.training_summary import training_summary
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import DATASET
from pivot_udfs.setting_sections.description_settings import Description, Source

ODD_TITLE = 'T: "x" # \u2028\x85\x7f <b>|\\| \U0001f600'
ODD = {
    '<script>alert("x")</script>': {"license": " MIT \n", "url": "https://e.org/a b#<c>", "description": "[x](y) `z`"},
    "a\nb\t|\\|c": {"license": "Л", "url": "https://e.org/a b#<c>", "kind": "crawled", "collected": "---\n# x"},
    "#{[%é\U0001f600\u202e\x1b": {"license": "https://e.org/l?a=b c|d", "description": "<!-- *x* __y__"},
    "---\n- x: &y *z": {"license": "x" * 300, "url": "no address at all"},
}
"""Names and settings of sources with what means something in HTML, Markdown, YAML, JSON and URIs."""


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The folder of the descriptions, and the rows of the dataset."""
    folder = tmp_path_factory.mktemp("described")
    rows = small_release(folder)
    assert main(["--config", f"{folder}/run.toml"]) == 0
    return folder / "warehouse" / "descriptions" / "pivot", rows


def tokens_by(rows: list[dict[str, Any]], column: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row[column]] += len(row["token_ids"])
    return counts


def last_numbers(text: str, n_cells: int, place: int) -> Counter[str]:
    """The numbers in a column of all Markdown tables with so many columns, by the first cell."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == n_cells and re.fullmatch(r"[\d,]+", cells[place]):
            found[cells[0].replace("\\|", "|")] += int(cells[place].replace(",", ""))
    return found


def test_numbers_of_the_card_are_those_of_the_rows(described: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, rows = described
    text = (folder / CARD).read_text(encoding="utf-8")
    assert last_numbers(text, 6, 5) == tokens_by(rows, "source")
    assert last_numbers(text, 6, 4) == Counter(row["source"] for row in rows)
    assert last_numbers(text, 3, 2) == tokens_by(rows, "lang")
    assert f"60 documents, {sum(tokens_by(rows, 'source').values()):,} tokens." in text


def test_the_hub_reads_the_card_s_header(described: tuple[Path, list[dict[str, Any]]]) -> None:
    header = DatasetCard.load(described[0] / CARD, ignore_metadata_errors=False).data
    assert header.license == ["apache-2.0", "cc-by-4.0", "mit", "unknown"]
    assert header.language == ["en", "fr"]
    assert header.size_categories == ["n<1K"]


def test_every_source_is_in_the_section_of_its_kind(described: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, rows = described
    text = (folder / SUMMARY).read_text(encoding="utf-8")
    sections = {part.split("\n")[0][:5].split()[0]: part for part in text.split("### ")[1:]}
    found = {number: last_numbers(part, 7, 6) for number, part in sections.items()}
    tokens = tokens_by(rows, "source")
    wanted = {"2.2.1": "a | book", "2.3": "web", "2.6": "letters"}
    assert {number: counts for number, counts in found.items() if counts} == {
        number: Counter({source: tokens[source]}) for number, source in wanted.items()
    }
    assert last_numbers(sections["1.3"], 3, 1) == tokens_by(rows, "lang")
    assert "A University, corpus@example.org" in sections["1.1"]
    assert "Collected: 2025-06" in sections["1.3"]


def test_croissant_s_own_library_finds_no_error(described: tuple[Path, list[dict[str, Any]]]) -> None:
    dataset = mlcroissant.Dataset(described[0] / CROISSANT)
    assert dataset.metadata.ctx.issues.errors == set()
    assert dataset.metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"
    (records,) = dataset.metadata.record_sets
    assert [field.id for field in records.fields] == [f"documents/{name}" for name in DATASET.names]


def test_croissant_has_the_files_and_the_origins(described: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, rows = described
    tree = json.loads((folder / CROISSANT).read_text(encoding="utf-8"))
    files = [part for part in tree["distribution"] if part["@type"] == "cr:FileObject"]
    assert [(folder / file["contentUrl"]).stat().st_size for file in files] == [
        int(file["contentSize"].removesuffix(" B")) for file in files
    ]
    tokens, origins = tokens_by(rows, "source"), tree["prov:wasDerivedFrom"]
    assert {label for origin in origins for label in [origin["prov:label"].rpartition(", ")[2]]} == {
        f"{n} tokens" for n in tokens.values()
    }
    assert {origin["@id"] for origin in origins} == {
        "https://example.org/web", "https://example.org/books", "urn:source:letters"
    }  # fmt: skip
    assert tree["license"] == ["CC-BY-4.0", "MIT AND Apache-2.0", "NOASSERTION"]


def test_the_spdx_document_is_one_for_spdx_s_own_library(described: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, rows = described
    document, text = spdx.SHACLObjectSet(), (folder / SPDX).read_bytes()
    spdx.JSONLDDeserializer().read(io.BytesIO(text), document)
    spdx.JSONLDSerializer().write(document, io.BytesIO())  # raises where a property that must be there is not
    (dataset,) = document.foreach_type(spdx.dataset_DatasetPackage)
    assert dataset.description.endswith(f" 60 documents, {sum(tokens_by(rows, 'source').values())} tokens.")
    licenses = {}
    for link in document.foreach_type(spdx.Relationship):
        if link.relationshipType == spdx.RelationshipType.hasDeclaredLicense:
            licenses[link.from_.name] = getattr(link.to[0], "simplelicensing_licenseExpression", None)
    assert licenses == {"web": "CC-BY-4.0", "a | book": "MIT AND Apache-2.0", "letters": None}
    tokens = {one.name: int(one.description.split(" ")[-2]) for one in document.foreach_type(spdx.software_Package)}
    assert {name: tokens[name] for name in SOURCES} == tokens_by(rows, "source")


def shown(markdown: str) -> str:
    """The text of a cell, by the rules of CommonMark for backslashes and addresses."""
    return re.sub(r"<(https?://[^>]*)>|\\([!-/:-@\[-`{-~])", lambda found: found[1] or found[2], markdown)


def cells_of(text: str, n_cells: int) -> set[str]:
    """The first cells of all rows with so many cells, as they are shown."""
    rows = [re.findall(r" ((?:\\.|[^\\|])*) (?=\|)", line) for line in text.splitlines() if line.startswith("| ")]
    return {shown(row[0]) for row in rows if len(row) == n_cells}


def test_descriptions_of_odd_names_are_valid_and_show_them(tmp_path: Path) -> None:
    def toml(value: str) -> str:
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f").replace("{", "{{")

    text = SETTINGS[: SETTINGS.index("[description]")]
    text += (
        f"[description]\ntitle = {toml(ODD_TITLE)}\nprovider = {toml('- [x](y) <b>')}\nurl = 'https://e.org/a b#c'\n"
    )
    for name, keys in ODD.items():
        text += f"[sources.{toml(name)}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in keys.items())
    rows = small_release(tmp_path, text, list(ODD))
    assert main(["--config", f"{tmp_path}/run.toml"]) == 0
    folder = tmp_path / "warehouse" / "descriptions" / "pivot"
    header = DatasetCard.load(folder / CARD, ignore_metadata_errors=False).data
    assert (header["pretty_name"], header.license) == (f"{ODD_TITLE}: pivot", ["mit", "other"])
    names = {" ".join(name.split()).replace("\u202e", "\\u202e").replace("\x1b", "\\x1b") for name in ODD}
    card, summary = ((folder / name).read_text(encoding="utf-8") for name in (CARD, SUMMARY))
    assert cells_of(card, 6) >= names
    assert cells_of(summary, 7) >= names
    assert "\n\\- \\[x\\](y) \\<b\\>\n" in summary
    dataset = mlcroissant.Dataset(folder / CROISSANT)
    assert dataset.metadata.ctx.issues.errors == set()
    origins = json.loads((folder / CROISSANT).read_text(encoding="utf-8"))["prov:wasDerivedFrom"]
    assert len({origin["@id"] for origin in origins}) == len(ODD)
    assert not [origin["@id"] for origin in origins if re.search(r'[\s<>"{}|\\^`]', origin["@id"])]
    document = spdx.SHACLObjectSet()
    spdx.JSONLDDeserializer().read(io.BytesIO((folder / SPDX).read_bytes()), document)
    tokens = {one.name: int(one.description.split(" ")[-2]) for one in document.foreach_type(spdx.software_Package)}
    assert {name: tokens[name] for name in ODD} == tokens_by(rows, "source")


def test_sources_without_a_licence_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_release(tmp_path)
    assert main(["--config", f"{tmp_path}/run.toml", "--set", "warehouse.release=0"]) == 0
    warning = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: "))
    assert warning == "warning: pivot: no licence or url in the settings [sources.<name>] of letters"


@pytest.mark.parametrize(
    ("stated", "expression", "hub", "warned"),
    [
        (
            "mit or (Apache-2.0 AND CC-BY-4.0)",
            "MIT OR (Apache-2.0 AND CC-BY-4.0)",
            ["apache-2.0", "cc-by-4.0", "mit"],
            0,
        ),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0", ["other"], 0),
        ("LicenseRef-ours", "LicenseRef-ours", ["other"], 0),
        ("https://e.org/licence", None, ["other"], 0),
        ("Apache 2.0", None, ["other"], 1),
        ("MTI", None, ["other"], 1),
        ("MIT OR", None, ["other"], 1),
        ("(" * 300, None, ["other"], 1),
    ],
)
def test_licences_are_expressions_of_spdx_or_addresses(
    stated: str, expression: str | None, hub: list[str], warned: int
) -> None:
    assert spdx_expression(stated) == expression
    assert sorted(hub_licenses(stated)) == hub
    assert is_known(stated) is not bool(warned)


def test_a_licence_that_is_no_expression_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_release(tmp_path)
    options = ["--set", "sources.letters={license = 'MTI', url = 'https://e.org'}"]
    assert main(["--config", f"{tmp_path}/run.toml", *options]) == 0
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert warning.startswith("warning: pivot: sources.letters.license = 'MTI' is no expression of SPDX: write one")
    assert "NoAssertionLicense" in (tmp_path / "warehouse/descriptions/pivot" / SPDX).read_text(encoding="utf-8")


def test_a_warehouse_without_a_release_is_an_error_of_the_user(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.toml").write_text(SETTINGS.format(folder=tmp_path), encoding="utf-8")
    assert main(["--config", f"{tmp_path}/run.toml"]) == 2
    assert "WarehouseError: there is no release at" in capsys.readouterr().err


def test_a_dry_run_names_the_files_and_writes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_release(tmp_path)
    asked = ["--config", str(tmp_path / "run.toml"), "--dry-run"]
    before = sorted(tmp_path.rglob("*"))
    assert main(asked) == 0
    line = f"pivot: would describe release 0 in {tmp_path}/warehouse/descriptions/pivot: README.md, croissant.json, "
    assert line in capsys.readouterr().out
    for override, message in (
        ("warehouse.release=7", "has no release 7"),
        ('selection.arms=["pivot", "random"]', "there is no table datasets/random at "),
        ("description.path=/proc/x", "description.path = /proc/x: /proc cannot be written"),
    ):
        assert main([*asked, "--set", override]) == 2
        assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dataset_of_thousands_of_sources_is_described_in_seconds() -> None:
    """Where every site is a source, sums must not be made anew for each source."""
    names = [f"site{number}.example" for number in range(5_000)]
    facts = DatasetFacts(
        "pivot", Description(), {name: Source(url="https://e.org") for name in names}, {}, "file:///t", {}, 0,
        date(2026, 1, 1), 0, Provenance("filter_documents", 1),
    )  # fmt: skip
    assert facts.total == (0, 0)
    facts = replace(facts, sizes={(name, lang): Size(1, 10) for name in names for lang in ("en", "fr")})
    assert facts.total == (10_000, 100_000)
    assert facts.by_source == dict.fromkeys(sorted(names), (2, 20))
    assert facts.by_language == {"en": (5_000, 50_000), "fr": (5_000, 50_000)}
    for text in (croissant(facts, "t"), dataset_card(facts), spdx_document(facts), training_summary(facts)):
        assert text.count(names[-1]) >= 1
