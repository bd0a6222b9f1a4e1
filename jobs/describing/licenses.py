"""Licences of sources: expressions of SPDX, which name licences of its list, or addresses."""

import re

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

_ADDRESS = re.compile(r"https?://\S+")


def spdx_expression(text: str) -> str | None:
    """The expression as SPDX writes it, such as ``MIT OR Apache-2.0``; None where it is none."""
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return None


def hub_licenses(text: str) -> list[str]:
    """The Hugging Face Hub's names of the licences in an expression; ``other`` for those that it has no name for."""
    if text == "NOASSERTION":
        return ["unknown"]
    expression = spdx_expression(text) or "other"
    names = re.split(" (?:AND|OR) ", re.sub("[()]", "", expression))
    return ["other" if " " in name or name.startswith("LicenseRef-") else name.lower() for name in names]


def is_known(text: str) -> bool:
    """Whether it is an expression of SPDX or an address."""
    return bool(_ADDRESS.fullmatch(text)) or spdx_expression(text) is not None
