"""Features and properties of Delta tables that delta-rs cannot commit to."""

import re

from deltalake import DeltaTable

_SUPPORTED = frozenset(
    {
        "appendOnly", "changeDataFeed", "checkConstraints", "deletionVectors", "generatedColumns", "invariants",
        "timestampNtz", "v2Checkpoint", "variantType",
    }
)  # fmt: skip
"""Writer features of Delta tables that delta-rs commits to."""
_PROPERTIES = {"delta.appendOnly": "true", "delta.columnMapping.mode": "name|id"}
"""Properties with the values that make it impossible to replace a table's rows."""


def refused_feature(delta: DeltaTable) -> str | None:
    """The first property or writer feature of a table for which its rows cannot be replaced by delta-rs."""
    properties = delta.metadata().configuration
    for name, refused in _PROPERTIES.items():
        if re.fullmatch(refused, properties.get(name) or "", re.IGNORECASE):
            return f"{name} = {properties[name]}"
    unsupported = {*(delta.protocol().writer_features or [])} - _SUPPORTED
    # Others depend on domainMetadata, and are the ones that a user has switched on.
    return min(unsupported, key=lambda name: (name == "domainMetadata", name), default=None)
