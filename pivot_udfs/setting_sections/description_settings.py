"""The sections of the settings from which a release is described: where texts come from, and who publishes them."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from pivot_udfs.setting_sections.setting_types import NO_RESULT, MaybePlace, Section

_Text = Annotated[str, Field(json_schema_extra=NO_RESULT)]
SourceKind = Literal["public_dataset", "licensed", "private", "crawled", "user", "synthetic", "other"]


class Source(Section):
    """Where the documents of one `source` come from; the name is that of the field `source` of records."""

    model_config = ConfigDict(str_strip_whitespace=True)

    kind: SourceKind = Field(default="other", json_schema_extra=NO_RESULT)
    """How the texts were obtained, as the EU's summary of training content divides sources."""
    license: _Text = ""
    """SPDX expression, such as `MIT OR Apache-2.0`, or URL of the licence; empty: not stated."""
    url: _Text = ""
    """Where the texts were obtained."""
    description: _Text = ""
    """What the texts are, in one sentence."""
    collected: _Text = ""
    """When the texts were obtained, such as `2025-06` or `2024-01 to 2025-06`."""


class Description(Section):
    """What `describe_release` writes."""

    path: Annotated[MaybePlace, Field(json_schema_extra=NO_RESULT)] = ""
    """Folder of the descriptions; empty: ``<warehouse.path>/descriptions``."""
    title: _Text = "Semantic pivots"
    """Name of the corpus."""
    provider: _Text = ""
    """Name and contact of the person or organization that publishes the datasets."""
    url: _Text = ""
    """Page of the datasets; empty: their folder."""
    reservations: _Text = ""
    """How reservations of rights from text and data mining are respected."""
    illegal_content: _Text = ""
    """How illegal content is removed."""
