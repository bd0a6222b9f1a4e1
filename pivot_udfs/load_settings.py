"""Reads a TOML file and ``--set`` overrides into settings, and fingerprints what can change a result."""

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pivot_udfs.errors import ConfigError
from pivot_udfs.setting_sections.setting_types import Section
from pivot_udfs.storage.redact import SENSITIVE, redact

S = TypeVar("S", bound=BaseModel)
_SECRET_KEY = re.compile(rf"^spark\..*(?:{SENSITIVE}|token|[._]auth$)", re.IGNORECASE)
"""Settings of Spark are the only ones that may hold secrets."""
_MAX_CONFIG = 1 << 22
"""Characters of a file; an endless one is read no further."""
_DESCRIPTORS = ("/dev/fd/", "/dev/stdin")
"""What a shell makes of ``<(command)``, and of ``|``."""


def load_settings(path: str, overrides: Sequence[str], model: type[S]) -> S:
    """The settings in a local TOML file, overridden by ``table.key=value`` strings; values are TOML or plain text.

    Relative paths, also those in the file, are relative to the working directory. Raises ConfigError with the dotted
    path, the value, and what is allowed, for every fault found; a fault in an override names ``--set``, one in the file
    the file.
    """
    tree = _read_toml(path)
    given = [_apply_override(tree, override) for override in overrides]
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        with suppress(RecursionError):
            raise _invalid(path, _explain(error, tree, model), given) from None
        where = "--set" if given else path
        raise ConfigError(f"{where} cannot be used: too many tables or lists within each other") from None


def _invalid(path: str, faults: dict[str, str], given: list[str]) -> ConfigError:
    """The error of faulty keys: one line for one fault, else one each; those that were set by a flag name it."""
    from_flag = {key for key, line in faults.items() if any(_caused(dotted, key, line) for dotted in given)}
    where = "--set" if from_flag == faults.keys() else path
    if len(faults) == 1:
        return ConfigError(f"{where} cannot be used: {next(iter(faults.values()))}")
    mixed = where == path
    lines = [f"{line} (from --set)" if mixed and key in from_flag else line for key, line in faults.items()]
    return ConfigError(f"{where} cannot be used:", *lines)


def _caused(dotted: str, key: str, line: str) -> bool:
    """Whether an override caused a fault: it set the key, a table around it, or what the default conflicts with."""
    if f"{key}.".startswith(f"{dotted}.") or f"{dotted}.".startswith(f"{key}."):
        return True
    return key.split(".")[0] == dotted.split(".")[0] and dotted.split(".")[-1] in line and " is missing" not in line


def _read_toml(path: str) -> dict[str, Any]:
    file = Path(path)
    try:
        if file.exists() and not (file.is_file() or file.is_dir() or path.startswith(_DESCRIPTORS)):
            raise ConfigError(f"--config {path} is no regular file: give the path of a TOML file")
        with file.open(encoding="utf-8-sig") as stream:
            text = stream.read(_MAX_CONFIG + 1)
        if len(text) > _MAX_CONFIG:
            raise ConfigError(f"--config {path} has more than {_MAX_CONFIG:,} characters: give the path of a TOML file")
        return tomllib.loads(text)
    except OSError as error:
        place = "" if Path(path).is_absolute() else f" in {Path.cwd()}"
        raise ConfigError(
            f"--config {path}: {error.strerror}{place}: give the path of a TOML file; semantic-pivots config prints one"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--config {path} is not TOML: {error}") from None


def _apply_override(tree: dict[str, Any], override: str) -> str:
    """Sets the key in ``tree``; returns it."""
    dotted, equals, text = override.partition("=")
    tables = _keys_of(dotted)
    if not equals or len(tables) < 2:
        raise ConfigError(f"--set {dotted!r}: expected table.key=value, such as cooccurrence.window=10")
    for table in tables[:-1]:
        tree = tree.setdefault(table, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {dotted!r}: {table} is a value, not a table")
    tree[tables[-1]] = text.strip()
    with suppress(ValueError, RecursionError):
        [tree[tables[-1]]] = tomllib.loads(f"value = {text}").values()
    return ".".join(tables)


def _keys_of(dotted: str) -> list[str]:
    """The keys of a dotted key as in TOML, with quotes around those that have dots; none where it is not one."""
    keys: list[str] = []
    with suppress(ValueError, RecursionError):
        tree: Any = tomllib.loads(f"{dotted.strip()} = 0")
        while isinstance(tree, dict):
            [(key, tree)] = tree.items()
            keys.append(key)
    return keys


def _explain(error: ValidationError, tree: dict[str, Any], model: type[BaseModel]) -> dict[str, str]:
    """Each faulty key with one line; where several types are allowed, the line has what each of them allows."""
    lines: dict[str, str] = {}
    for fault in error.errors():
        keys = _user_keys(fault, tree, model)
        dotted = ".".join(keys) or "the file"
        value = f" = {without_secrets(fault['input'], dotted)!r}: "
        if fault["type"] in ("extra_forbidden", "missing"):
            value = " "
        before = f"{lines[dotted]}, or " if dotted in lines else f"{dotted}{value}"
        lines[dotted] = before + _problem(fault, keys, model)
    return lines


def _user_keys(fault: Any, tree: Any, model: type[BaseModel]) -> list[str]:
    """The keys in a fault's location, set or by default, without the union branches that pydantic adds."""
    keys: list[str] = []
    for part in fault["loc"]:
        known = part in tree if isinstance(tree, dict) else isinstance(tree, list) and isinstance(part, int)
        if known:
            tree = tree[part]
        if known or part in _known_keys(model, keys):
            keys.append(str(part))
    return keys


def _problem(fault: Any, keys: list[str], model: type[BaseModel]) -> str:
    if fault["type"] == "extra_forbidden":
        known = _known_keys(model, keys[:-1])
        near = difflib.get_close_matches(keys[-1], known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"is not a known key; {hint}known keys: {', '.join(sorted(known))}"
    if fault["type"] == "missing":
        return "is missing; it must be set"
    if fault["type"] == "list_type":
        return 'input should be a list, such as ["a", "b"] (in a shell in single quotes)'
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _known_keys(model: type[BaseModel], tables: Iterable[str]) -> list[str]:
    keys = iter(tables)
    for key in keys:
        kind = getattr(model.model_fields.get(key), "annotation", None)
        if get_origin(kind) is dict:  # tables with names of their own, as [sources.<name>]
            kind = get_args(kind)[1]
            next(keys, None)
        if not isinstance(kind, type) or not issubclass(kind, BaseModel):
            return []
        model = kind
    return list(model.model_fields)


def resolved_toml(settings: BaseModel, hide_secrets: bool = False) -> str:
    """The settings with every default filled in, as TOML text that loads to the same settings.

    ``hide_secrets``, for people to read: ``(hidden)`` for the values of keys such as ``...secret.key``, and no
    credentials in URIs.
    """
    lines: list[str] = []
    tree = settings.model_dump(exclude_none=True)
    for table, section in (without_secrets(tree) if hide_secrets else tree).items():
        lines.append(f"[{table}]")
        lines += [f"{_toml_key(key)} = {_as_toml(value)}" for key, value in section.items()]
        lines.append("")
    return "\n".join(lines)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else _as_toml(key)


def _as_toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_as_toml(key)} = {_as_toml(item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(_as_toml(item) for item in value)}]"
    text = json.dumps(value, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def is_secret(key: str) -> bool:
    """Whether the name of a key says that its value is secret, such as ``spark.hadoop.fs.s3a.secret.key``."""
    return bool(_SECRET_KEY.search(key))


def without_secrets(value: Any, key: str = "") -> Any:
    """A value, or tree of values, with secrets replaced: those whose keys name them, and credentials in texts."""
    if isinstance(value, dict):
        return {name: without_secrets(item, str(name)) for name, item in value.items()}
    if is_secret(key):
        return "(hidden)"
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def secret_values(tree: Any, key: str = "") -> list[str]:
    """The values in a tree of settings whose keys say that they are secret."""
    if isinstance(tree, dict):
        return [value for name, item in tree.items() for value in secret_values(item, str(name))]
    return [tree] if isinstance(tree, str) and is_secret(key) else []


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
