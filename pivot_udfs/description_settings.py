"""The sections of the settings from which a release is described: where texts come from, and who publishes them."""

from typing import Literal

from pydantic import Field

from pivot_udfs.setting_types import NO_RESULT, Section

SourceKind = Literal["public_dataset", "licensed", "private", "crawled", "user", "synthetic", "other"]


class Source(Section):
    """Where the documents of one `source` come from; the name is that of the field `source` of records."""

    kind: SourceKind = Field(default="other", json_schema_extra=NO_RESULT)
    """How the texts were obtained, as the EU's summary of training content divides sources."""
    license: str = Field(default="", json_schema_extra=NO_RESULT)
    """SPDX identifier, or URL of the licence; empty: not stated."""
    url: str = Field(default="", json_schema_extra=NO_RESULT)
    """Where the texts were obtained."""
    description: str = Field(default="", json_schema_extra=NO_RESULT)
    """What the texts are, in one sentence."""
    collected: str = Field(default="", json_schema_extra=NO_RESULT)
    """When the texts were obtained, such as `2025-06` or `2024-01 to 2025-06`."""


class Description(Section):
    """What `describe_release` writes."""

    path: str = Field(default="", json_schema_extra=NO_RESULT)
    """Folder of the descriptions; empty: ``<warehouse.path>/descriptions``."""
    title: str = Field(default="Semantic pivots", json_schema_extra=NO_RESULT)
    """Name of the corpus."""
    provider: str = Field(default="", json_schema_extra=NO_RESULT)
    """Name and contact of the person or organization that publishes the datasets."""
    url: str = Field(default="", json_schema_extra=NO_RESULT)
    """Page of the datasets; empty: their folder."""
    reservations: str = Field(default="", json_schema_extra=NO_RESULT)
    """How reservations of rights from text and data mining are respected."""
    illegal_content: str = Field(default="", json_schema_extra=NO_RESULT)
    """How illegal content is removed."""
