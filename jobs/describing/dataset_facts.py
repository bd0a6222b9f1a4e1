"""What the tables of a release say about one dataset; every description is made from these numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import quote

import pyarrow as pa
from deltalake import QueryBuilder

from jobs.warehouse.arrow_tables import ArrowTables
from jobs.warehouse.delta.open_table import data_files
from jobs.warehouse.releases import Release
from pivot_udfs.provenance import Provenance
from pivot_udfs.setting_sections.description_settings import Description, Source

_BY_SOURCE = """
    SELECT source, lang, count(*) AS n_docs, sum(n_tokens) AS n_tokens FROM dataset
    GROUP BY source, lang ORDER BY n_tokens DESC, source, lang
"""
NOT_LANGUAGES = ("mul", "und")
"""Values of ``lang`` that name no single language."""


class Size(NamedTuple):
    """Documents and tokens."""

    n_docs: int
    n_tokens: int


@dataclass(frozen=True)
class DatasetFacts:
    """One dataset of a release."""

    arm: str
    about: Description
    sources: Mapping[str, Source]
    """Sources of the dataset's documents by name, with their settings or defaults."""
    sizes: Mapping[tuple[str, str], Size]
    """By source and language, the largest first."""
    location: str
    """URI of the table."""
    files: Mapping[str, int]
    """Bytes of the dataset's Parquet files, by their path within the table."""
    release: int
    published: date
    version: int
    """Delta version of the table."""
    provenance: Provenance

    @property
    def total(self) -> Size:
        """Of all documents."""
        return Size(sum(n_docs for n_docs, _ in self.sizes.values()), sum(n for _, n in self.sizes.values()))

    @property
    def languages(self) -> list[str]:
        """Languages that documents are labelled with, the largest first; not ``mul``."""
        return [lang for lang in self.by_language if lang not in NOT_LANGUAGES]

    @property
    def licenses(self) -> list[str]:
        """Distinct licences of the sources, in order; NOASSERTION for sources without one."""
        return sorted({source.license or "NOASSERTION" for source in self.sources.values()})

    @cached_property
    def by_source(self) -> dict[str, Size]:
        """Sizes by source, the largest first."""
        return _summed((source, size) for (source, _), size in self.sizes.items())

    @cached_property
    def by_language(self) -> dict[str, Size]:
        """Sizes by language, the largest first."""
        return _summed((lang, size) for (_, lang), size in self.sizes.items())


def read_facts(
    tables: ArrowTables, release: Release, arm: str, about: Description, sources: Mapping[str, Source]
) -> DatasetFacts:
    """Reads a dataset's numbers: its columns ``source``, ``lang`` and ``n_tokens``, and its log.

    Raises WarehouseError where the release has no such dataset.
    """
    name = f"datasets/{arm}"
    (table, _), provenance = tables.existing(name), tables.provenance(name)
    rows = pa.table(QueryBuilder().register("dataset", table).execute(_BY_SOURCE).read_all()).to_pylist()
    names = sorted({row["source"] for row in rows})
    return DatasetFacts(
        arm,
        about,
        {source: sources.get(source, Source()) for source in names},
        {(row["source"], row["lang"]): Size(row["n_docs"], row["n_tokens"]) for row in rows},
        tables.location(name).uri,
        data_files(table),
        release.release,
        release.committed_at.date(),
        table.version(),
        provenance,
    )


def iri(address: str) -> str:
    """An address with percent escapes for the characters that none may have, such as spaces."""
    return quote(address, safe=";/?:@&=+$,-_.!~*'()#%[]")


def comment_of(column: "pa.Field[Any]") -> str:
    """What a column of a dataset's schema holds."""
    return (column.metadata or {})[b"comment"].decode()


def _summed(sizes: Iterable[tuple[str, Size]]) -> dict[str, Size]:
    sums: dict[str, Size] = {}
    for name, (n_docs, n_tokens) in sizes:
        before = sums.get(name, Size(0, 0))
        sums[name] = Size(before.n_docs + n_docs, before.n_tokens + n_tokens)
    return dict(sorted(sums.items(), key=lambda item: (-item[1].n_tokens, item[0])))
