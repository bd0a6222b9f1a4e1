"""A dataset's description as an SPDX 3.0.1 document: a dataset package, its sources, and their declared licences."""

import json
from typing import Any
from urllib.parse import quote

from jobs.describing.dataset_facts import DatasetFacts, iri
from jobs.describing.licenses import spdx_expression
from pivot_udfs.arms import ARMS

_CREATION = "_:creation"
_UNKNOWN_LICENSE = "https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoAssertionLicense"


def spdx_document(facts: DatasetFacts) -> str:
    """The document as JSON-LD."""
    base = f"{iri(facts.about.url or facts.location).partition('#')[0]}#release-{facts.release}/{facts.arm}"
    time, provider = f"{facts.published.isoformat()}T00:00:00Z", f"{base}/provider"
    creation = {"type": "CreationInfo", "@id": _CREATION, "specVersion": "3.0.1", "created": time}
    profiles = ["core", "software", "dataset", "simpleLicensing"]
    graph = [
        creation | {"createdBy": [provider]},
        _element("Organization", provider, name=facts.about.provider or "not stated"),
        _element("SpdxDocument", f"{base}/document", rootElement=[base], profileConformance=profiles),
        _dataset(facts, base, time, provider),
    ]
    for source in facts.sources:
        graph += _source(facts, source, base)
    tree = {"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": graph}
    return json.dumps(tree, ensure_ascii=False, indent=1) + "\n"


def _dataset(facts: DatasetFacts, base: str, time: str, provider: str) -> dict[str, Any]:
    made, total = facts.provenance, facts.total
    return _element(
        "dataset_DatasetPackage",
        base,
        name=f"{facts.about.title} {facts.arm}",
        description=f"{ARMS[facts.arm].description} {total.n_docs} documents, {total.n_tokens} tokens.",
        originatedBy=[provider],
        releaseTime=time,
        builtTime=time,
        software_primaryPurpose="data",
        software_packageVersion=str(facts.release),
        software_downloadLocation=iri(facts.about.url or facts.location),
        dataset_datasetType=["text"],
        dataset_datasetSize=sum(facts.files.values()),
        dataset_dataPreprocessing=[f"{made.job} version {made.version}, semantic-pivots {made.release}"],
        dataset_intendedUse="Pretraining of language models",
    )


def _source(facts: DatasetFacts, name: str, base: str) -> list[dict[str, Any]]:
    """A source, its declared licence, and that the dataset was made from it."""
    source, size, place = facts.sources[name], facts.by_source[name], f"{base}/source/{quote(name, safe='')}"
    located = {"software_downloadLocation": iri(source.url)} if source.url else {}
    text = f"{source.description} ({size.n_docs} documents, {size.n_tokens} tokens)".strip()
    package = _element(
        "software_Package", place, name=name, description=text, software_primaryPurpose="data", **located
    )
    made = _relationship(f"{place}/generates", place, "generates", base)
    stated = spdx_expression(source.license)
    if stated is None:
        return [package, made, _relationship(f"{place}/licensed", place, "hasDeclaredLicense", _UNKNOWN_LICENSE)]
    license_id = f"{place}/license"
    declared = _element("simplelicensing_LicenseExpression", license_id, simplelicensing_licenseExpression=stated)
    return [package, made, declared, _relationship(f"{place}/licensed", place, "hasDeclaredLicense", license_id)]


def _relationship(spdx_id: str, start: str, kind: str, end: str) -> dict[str, Any]:
    return _element("Relationship", spdx_id, **{"from": start, "relationshipType": kind, "to": [end]})


def _element(kind: str, spdx_id: str, **values: Any) -> dict[str, Any]:
    return {"type": kind, "spdxId": spdx_id, "creationInfo": _CREATION, **values}
