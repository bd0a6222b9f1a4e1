"""Types and validators that the sections of both sides' settings share."""

import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pivot_udfs.text.language_tags import is_registered, language_of

T = TypeVar("T")

NO_RESULT: dict[str, Any] = {"changes_result": False}


class Section(BaseModel):
    """A table of the TOML file: frozen, strict, no unknown keys, no infinite number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def as_list(value: Any) -> Any:
    """A single string as a list of it."""
    return [value] if isinstance(value, str) else value


def _each_once(values: list[T]) -> list[T]:
    repeated = [value for place, value in enumerate(values) if value in values[:place]]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is given more than once")
    return values


def spark_key(key: str) -> str:
    """Checks that a key is one of Spark's."""
    if not key.startswith("spark."):
        raise ValueError("keys begin with 'spark.', in quotes as they have dots; Spark ignores others")
    return key


def not_blank(text: str) -> str:
    """Checks that a name or path is not empty."""
    if not text.strip():
        raise ValueError("must not be blank: name the field, file or folder")
    return text


def expanded(path: str) -> str:
    """Checks that a path does not begin with what a shell would replace, which would name a folder called ``~``."""
    if found := re.match(r"(?:~[\w.-]*/|~$|\$(?:\w+|\{\w+\})(?:/|$))", path):
        raise ValueError(f"{found[0].rstrip('/')} is not expanded here: write the whole path, or ./{path}")
    return path


def matching(pattern: str, expected: str) -> AfterValidator:
    """Checks that the whole text matches a regular expression; the error has what is expected instead of it."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(expected)
        return text

    return AfterValidator(check)


def of_documents(code: str) -> str:
    """Checks that a language code is one that documents can have: another of the same language is of no document."""
    language = language_of(code)
    if language != code:
        raise ValueError(f"documents of this language have {language!r}: write that, also in the lexicon's header")
    if not is_registered(code):
        raise ValueError("no language has this code in ISO 639, so that no document has it")
    return code


Language = Annotated[
    str,
    matching("[a-z]{2,3}", "a language code of two or three small letters is needed, such as 'zh' for zh-Hans"),
    AfterValidator(of_documents),
]
Once = AfterValidator(_each_once)
MaybePlace = Annotated[str, AfterValidator(expanded)]
"""A path or URI, or empty."""
Place = Annotated[MaybePlace, AfterValidator(not_blank)]
"""A path or URI."""
Count = Annotated[int, Field(ge=1, le=(1 << 31) - 1)]
Share = Annotated[float, Field(ge=0, le=1)]
"""A share, in [0, 1]."""
Long = Field(ge=-(1 << 63), le=(1 << 63) - 1)
"""A 64-bit integer, as the JVM and compiled kernels hold it."""
