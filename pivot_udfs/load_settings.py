"""Reads a TOML file and ``--set`` overrides into settings, and fingerprints what can change a result."""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pivot_udfs.errors import ConfigError
from pivot_udfs.settings import Section

S = TypeVar("S", bound=BaseModel)


def load_settings(path: str, overrides: Sequence[str], model: type[S]) -> S:
    """The settings in a TOML file, overridden by ``table.key=value`` strings.

    Args:
        path: a local TOML file.
        overrides: each ``table.key=value``; the value is TOML where it parses as such, else a plain string.
        model: the pydantic model of the whole file.

    Raises:
        ConfigError: with the dotted path, the value, and what is allowed, for every fault found.
    """
    tree = _read_toml(path)
    for override in overrides:
        _apply_override(tree, override)
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        lines = _explain(error, tree, model)
        raise ConfigError(f"{path} cannot be used:\n  " + "\n  ".join(lines)) from None


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {path}: {error.strerror}; give the path of a TOML file, see conf/") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path} is not TOML: {error}") from None


def _apply_override(tree: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    tables = dotted.strip().split(".")
    if not equals or not all(tables) or len(tables) < 2:
        raise ConfigError(f"--set {override!r}: expected table.key=value, such as cooccurrence.window=10")
    for table in tables[:-1]:
        tree = tree.setdefault(table, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {override!r}: {table} is a value, not a table")
    tree[tables[-1]] = _toml_value(text.strip())


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(error: ValidationError, tree: dict[str, Any], model: type[BaseModel]) -> list[str]:
    """One line a key: a value of which no allowed type would do is told once, with all of them."""
    lines: dict[str, str] = {}
    for fault in error.errors():
        keys = _user_keys(fault, tree, model)
        dotted = ".".join(keys) or "the file"
        problem = _problem(fault, keys, model)
        lines[dotted] = f"{lines[dotted]}, or {problem}" if dotted in lines else f"{dotted}{_value(fault)}{problem}"
    return list(lines.values())


def _user_keys(fault: Any, tree: Any, model: type[BaseModel]) -> list[str]:
    """The part of a fault's place that is a key, set or by default; pydantic adds the branch of a union and such."""
    keys: list[str] = []
    for part in fault["loc"]:
        known = part in tree if isinstance(tree, dict) else isinstance(tree, list) and isinstance(part, int)
        if known:
            tree = tree[part]
        if known or part in _known_keys(model, keys):
            keys.append(str(part))
    return keys


def _value(fault: Any) -> str:
    return " " if fault["type"] in ("extra_forbidden", "missing") else f" = {fault['input']!r}: "


def _problem(fault: Any, keys: list[str], model: type[BaseModel]) -> str:
    if fault["type"] == "extra_forbidden":
        known = _known_keys(model, keys[:-1])
        near = difflib.get_close_matches(keys[-1], known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"is not a known key; {hint}known keys: {', '.join(sorted(known))}"
    if fault["type"] == "missing":
        return "is missing; it must be set"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _known_keys(model: type[BaseModel], tables: Iterable[str]) -> list[str]:
    for table in tables:
        field = model.model_fields.get(table)
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        model = field.annotation
    return list(model.model_fields)


def resolved_toml(settings: BaseModel) -> str:
    """The settings with every default filled in, as TOML text that loads to the same settings."""
    lines: list[str] = []
    for table, section in settings.model_dump(exclude_none=True).items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {_as_toml(value)}" for key, value in section.items()]
        lines.append("")
    return "\n".join(lines)


def _as_toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {_as_toml(item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(_as_toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)


def result_settings(*sections: Section) -> dict[str, Any]:
    """The keys of these sections that can change a result, as ``{"section.key": value}``, sorted."""
    found: dict[str, Any] = {}
    for section in sections:
        for key, field in type(section).model_fields.items():
            extra = field.json_schema_extra
            if not (isinstance(extra, dict) and extra.get("changes_result") is False):
                value = getattr(section, key)
                name = f"{type(section).__name__.lower()}.{key}"
                found[name] = value.model_dump() if isinstance(value, BaseModel) else value
    return dict(sorted(found.items()))


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value, the same whatever the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
