"""A dataset's description in Croissant 1.1, the vocabulary of MLCommons for datasets, with its provenance in PROV."""

import json
from collections import Counter
from importlib import resources
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from jobs.describing.dataset_facts import DatasetFacts, comment_of, iri
from pivot_udfs.arms import ARMS
from pivot_udfs.schemas import DATASET

_TYPES = {pa.string(): "sc:Text", pa.int64(): "cr:Int64", pa.int32(): "cr:Int32", pa.float64(): "cr:Float64"}
_PARQUET, _FILES, _ROWS = "application/x-parquet", "parquet-files", "documents"


def croissant(facts: DatasetFacts, table_path: str) -> str:
    """The description as JSON-LD; ``table_path`` leads to the table's folder, a URL or relative to the description."""
    arm, context = ARMS[facts.arm], resources.files("jobs.describing").joinpath("croissant_context.json")
    tree: dict[str, Any] = {
        "@context": json.loads(context.read_text("utf-8")),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": f"{facts.about.title} {facts.arm}",
        "description": f"{arm.description} {facts.total.n_docs} documents, {facts.total.n_tokens} tokens.",
        "url": iri(facts.about.url or facts.location),
        "license": facts.licenses,
        "creator": {"@type": "sc:Organization", "name": facts.about.provider or "not stated"},
        "datePublished": facts.published.isoformat(),
        "version": f"{facts.release}.0.0",
        "inLanguage": sorted(facts.languages),
        "isLiveDataset": True,
        "distribution": _distribution(facts, table_path),
        "recordSet": [{"@type": "cr:RecordSet", "@id": _ROWS, "field": [_field(field) for field in DATASET]}],
        **_provenance(facts),
    }
    return json.dumps(tree, ensure_ascii=False, indent=1) + "\n"


def _distribution(facts: DatasetFacts, table_path: str) -> list[dict[str, Any]]:
    """Each file by itself: the folder of a Delta table may have files of other versions."""
    files = [
        {
            "@type": "cr:FileObject",
            "@id": path,
            "contentUrl": f"{table_path}/{path}",
            "contentSize": f"{n_bytes} B",
            "encodingFormat": _PARQUET,
        }
        for path, n_bytes in sorted(facts.files.items())
    ]
    inside = [{"@id": file["@id"]} for file in files]
    whole = {"@type": "cr:FileSet", "@id": _FILES, "containedIn": inside, "encodingFormat": _PARQUET}
    return [*files, whole | {"includes": "*.parquet"}]


def _field(field: "pa.Field[Any]") -> dict[str, Any]:
    is_list = pa.types.is_list(field.type)
    return {
        "@type": "cr:Field",
        "@id": f"{_ROWS}/{field.name}",
        "description": comment_of(field),
        "dataType": _TYPES[field.type.value_type if is_list else field.type],
        **({"isArray": True, "arrayShape": "-1"} if is_list else {}),
        "source": {"fileSet": {"@id": _FILES}, "extract": {"column": field.name}},
    }


def _provenance(facts: DatasetFacts) -> dict[str, Any]:
    n_sources = Counter(source.url for source in facts.sources.values())
    sources = [
        {
            "@type": "prov:Entity",
            "@id": iri(source.url)
            if source.url and n_sources[source.url] == 1
            else f"urn:source:{quote(name, safe='')}",
            "prov:label": f"{name}: {size.n_docs} documents, {size.n_tokens} tokens",
            "license": source.license or "NOASSERTION",
        }
        for name, size in facts.by_source.items()
        for source in [facts.sources[name]]
    ]
    made = facts.provenance
    used = [
        {"@type": "prov:Entity", "@id": f"urn:uuid:{state.id}", "prov:label": f"{name} version {state.version}"}
        for name, state in made.tables.items()
    ]
    label = f"{made.job} version {made.version} of semantic-pivots {made.release}"
    activity = {"@type": "prov:Activity", "prov:label": label, "prov:used": used}
    return {"prov:wasDerivedFrom": sources, "prov:wasGeneratedBy": activity}
