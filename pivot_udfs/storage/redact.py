"""Text that is safe to print: without credentials, and without characters that a terminal would act on."""

import os
import re

HIDDEN = "***"
SENSITIVE = (
    r"secret|passw|passphrase|pass(?![a-z])|pwd"
    r"|(?:session|sas|access|auth|security|bearer|oauth|refresh)[._-]?token|token[._-]?secret"
    r"|(?:access|account|api|app|private|storage|shared|encryption)[._-]?key|credential|signature|x-amz-[a-z-]"
    r"|[._-]sas[._-]|connection[._-]?string|cookie|[._-]pat(?![\w.-])"
)
_RUN = re.compile(r"[^\s@'\"]+@?")
_USER_AND_PASSWORD = re.compile(r"(?<=://)[^/:]*:(?!\d{1,5}/).*@")
"""What is before the host of a URI; a password may hold slashes, and ``host:8020/`` is no user with a password."""
_PATTERNS = (
    (re.compile(r"((?:s3[an]?|https?)://)[^\s/:@'\"]+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    # uri?name=value&name=value
    (re.compile(r"([?&](?:amp;)?[\w.-]+=)[^&\s'\",)]+"), rf"\1{HIDDEN}"),
    # name=value, "name": "value"; the whole name is matched at once, so that the time is linear
    (
        re.compile(
            rf"((?<![\w.-])(?=[\w.-]*?(?:{SENSITIVE}))[\w.-]++['\"]?\s*(?:=>|[=:])\s*['\"]?)[^\s'\",;&)}}]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|$)", re.DOTALL), HIDDEN),
    (re.compile(r"(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b"), HIDDEN),
    (re.compile(r"\bsig=[^&\s'\"]+"), f"sig={HIDDEN}"),
)
_SECRET_VARIABLE = re.compile(rf"{SENSITIVE}|_token$", re.IGNORECASE)
_SHORTEST_SECRET = 8
_CAUSE = re.compile(r"\n[^\S\n]*(?:\x1b\[\d+m)?↳(?:\x1b\[0m)?\s*")

_NUMBERED = re.compile(r"^\[Errno \d+\] (.*)\. Detail: \[errno \d+\] ")


def redact(text: str) -> str:
    """The text with credentials replaced by ``***``.

    Credentials are: user and password of a URI, values of its query, values whose names say that they are secret
    (``fs.s3a.secret.key=...``), access keys of AWS, signatures of Azure, and values of secret environment variables.
    The time is linear in the length of the text.
    """
    for name, value in os.environ.items():
        is_secret = len(value) >= _SHORTEST_SECRET and _SECRET_VARIABLE.search(name)
        if is_secret and not os.path.exists(value):  # noqa: PTH110 - Path.exists raises for long values
            text = text.replace(value, HIDDEN)
    text = _RUN.sub(_without_password, text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _without_password(run: re.Match[str]) -> str:
    return _USER_AND_PASSWORD.sub(f"{HIDDEN}@", run[0], count=1) if run[0].endswith("@") else run[0]


def printable(text: str) -> str:
    """A path, URI or name for a message: redacted, with control and other unprintable characters escaped."""
    return escaped(redact(text))


def escaped(text: str) -> str:
    """A value of a table as one line: control and other unprintable characters are escaped, nothing is removed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def reason(error: BaseException) -> str:
    """The first line of an error's message, printable, with the causes that delta-rs and pyarrow add to it."""
    lines = _CAUSE.sub(": ", str(error).strip()).splitlines() or [type(error).__name__]
    return printable(_NUMBERED.sub(r"\1: ", lines[0]))
