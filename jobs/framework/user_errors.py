"""Turns errors of Python, Java, Spark and the stores into one line that says what to do, where there is something.

The first pattern that is found in the error's text decides (for Spark that has the Java stack trace and a worker's
Python traceback), or, where the JVM has ended, in what it wrote: specific patterns come first.
"""

import errno
import re
from typing import NamedTuple

from pivot_udfs import errors
from pivot_udfs.errors import ConfigError, SemanticPivotsError, SetupError, StoreError, TransientError
from pivot_udfs.storage.redact import printable


class Remedy(NamedTuple):
    """What to do about an error; ``{0}`` is the pattern's group, ``{note}`` the same in brackets, where it has one."""

    pattern: str
    line: str
    kind: type[SemanticPivotsError] = SetupError


_FULL = "a disk is full{note}: free space there, or choose another warehouse.path, TMPDIR or spark.local.dir"
_READ_ONLY = "a file system is read-only{note}: choose another path, or mount it for writing"
_DENIED = "permission denied{note}: change the owner or mode of the path, or choose another"
_FAILED = "a disk or a mounted store has failed{note}: check it, then run this again"
_OPEN_FILES = "too many open files: raise the limit (ulimit -n 4096) or start fewer tasks (spark.master = 'local[1]')"

_OTHER_SPARK = (
    "SPARK_HOME must be unset or hold the release of the pyspark installed here, and JAVA_HOME a Java 17 or later"
)
_REMEDIES = (
    Remedy(
        r"^ModuleNotFoundError: No module named '(accelerate|gguf|safetensors|scipy|torch|transformers)\b",
        "there is no package {0}: pip install '.[gpu]' in a checkout, or 'FILE[gpu]' with the path of the wheel",
    ),
    Remedy(r"No space left on device|Disk quota exceeded|StorageFull", _FULL),
    Remedy(r"Too many open files", _OPEN_FILES),
    Remedy(
        r"\[DELTA_(?:PATH_DOES_NOT_EXIST|TABLE_NOT_FOUND)\] ([^\n]*)|TableNotFoundError: ([^\n]*)",
        "a table was removed during the run{note}: run this again",
        TransientError,
    ),
    Remedy(
        r"AccessDeniedException: (\w+://[^\s:]+)|NoA\w*Credentials?\w*Exception|NoAuthWithAWSException|"
        r"AbfsRestOperationException[^\n]*\b40[13]\b|GoogleJsonResponseException: 40[13]|credentials were not found",
        "the store refuses Spark access{note}, which takes credentials of its own: see docs/stores.md",
    ),
    Remedy(
        r"Input/output error|Stale file handle|Transport endpoint is not connected|\[Errno (?:110|112|113)\]",
        _FAILED,
        TransientError,
    ),
    Remedy(r"Read-only file system|ReadOnlyFilesystem", _READ_ONLY),
    Remedy(
        r"(?:Could not parse Master|[Ii]nvalid (?:Spark|master)) URL: ?'?([^'\n]*)",
        "spark.master = {0} is no master: use local[*], yarn, spark://host:port or k8s://",
    ),
    Remedy(
        r"All masters are unresponsive|Failed to connect to master",
        "Spark's master does not answer: check spark.master, and that the cluster runs",
        TransientError,
    ),
    Remedy(
        r"Unable to execute HTTP request: ([^\n]*)|ConnectException: (Call From [^\n]* failed)|"
        r"AWS(?:ServiceThrottled|Status500|ApiCallTimeout|ClientIO)Exception: ([^\n]*)",
        "the store does not answer Spark{note}: check its address and the network (docs/stores.md)",
        TransientError,
    ),
    Remedy(
        r"Invalid (?:maximum|initial) heap size: -Xm[sx](\S*)|Failed to parse byte string: (?:-Xm[sx])?(\S*)|"
        r"NumberFormatException: Size must be specified as bytes[^\n]*",
        "a memory size{note} is not valid: write spark.driver.memory, for example, as 3g or 512m",
    ),
    Remedy(
        r"(?:System|Executor) memory (\d+) must be at least|Too small (?:maximum|initial) heap",
        "Spark's JVM has too little memory{note}: set spark.driver.memory to 1g or more",
    ),
    Remedy(
        r"Could not reserve enough space|insufficient memory for the Java Runtime|Cannot allocate memory|"
        r"larger (?:value )?than the maximum heap|exceeds the maximum representable size",
        "Java cannot have the memory asked for: lower spark.driver.memory, or free memory",
    ),
    Remedy(
        r"java\.lang\.OutOfMemoryError: (?:Java heap space|GC overhead)",
        "Spark's JVM ran out of memory: raise spark.driver.memory (in local mode) or spark.executor.memory",
    ),
    Remedy(
        r"(?:IllegalArgumentException|NumberFormatException): (spark\.\S+ should be [^\n]*)|"
        r"(?:IllegalArgumentException|NumberFormatException): ([^\n]* of config '?spark\.[^\n]*)|"
        r"\[INVALID_CONF_VALUE[.\w]*\] ([^\n]*?)\.?(?: SQLSTATE|\n|$)",
        "{0}: change it in spark.conf",
    ),
    Remedy(
        r"UnsupportedClassVersionError|JAVA_HOME is not set",
        "Java 17 or later is needed: install one, and set JAVA_HOME to it",
    ),
    Remedy(
        r"No FileSystem for scheme \"?([\w.+-]+)",
        "Spark has no file system for {0}: use a local path, or add the store's jars by --packages",
    ),
    *(
        Remedy(
            rf"ClassNotFoundException: (?:Class )?(org\.apache\.hadoop\.fs\.{package}\.\S+)",
            f"Spark lacks {{0}}: run semantic-pivots setup-jars --{option}, or give spark-submit --packages "
            f"org.apache.hadoop:{artifact}:3.5.0",
        )
        for package, option, artifact in (
            ("s3a", "s3", "hadoop-aws"),
            ("gs", "gs", "hadoop-gcp"),
            ("azurebfs", "azure", "hadoop-azure"),
        )
    ),
    Remedy(
        r"Malformed input or input contains unmappable characters: ([^\n]*)",
        "Java cannot name {0} in this locale: set LC_ALL=C.UTF-8",
    ),
    Remedy(
        r"Failed to create (?:any )?local dir",
        "Spark cannot make a folder for temporary files: set spark.local.dir, or TMPDIR, to one that can be written",
    ),
    Remedy(
        r"\[PYTHON_VERSION_MISMATCH\] Python in worker has different version: ([\d.]+)",
        "workers run Python {0}, the driver does not: set spark.pyspark.python to a Python of the driver's version",
    ),
    Remedy(
        r"IOException: Cannot run program \"([^\"]*)\"",
        "a worker cannot start {0}: set spark.pyspark.python to a Python that is there on every node",
    ),
    Remedy(r"'JavaPackage' object is not callable|NoSuchMethodError: [^\n]*org\.apache\.spark", _OTHER_SPARK),
    Remedy(
        r"java\.io\.FileNotFoundException: ([^\n]*) \(Permission denied\)|AccessDeniedException: ([^\n]*)|"
        r"Permission denied|Operation not permitted",
        _DENIED,
    ),
    Remedy(
        r"FAILED_READ_FILE[^\]]*\] Encountered error while reading file (\S+?)\.?(?:\s|$)|"
        r"FileNotFoundError: [^\n]*?([^\s']*/part-[^\s']*\.parquet)",
        "a table's file cannot be read{note}: VACUUM removed it during the run, or it is damaged; run rebuild_corpus",
        TransientError,
    ),
)
_JVM_ENDED = (
    Remedy(r"\[JAVA_GATEWAY_EXITED\]", f"Spark's JVM did not start: {_OTHER_SPARK}"),
    Remedy(
        r"Answer from Java side is empty|^Py4JNetworkError|^ConnectionRefusedError",
        "Spark's JVM has ended during the run, most often killed for lack of memory: lower spark.driver.memory or "
        "cooccurrence.memory_budget_mb, or use fewer cores (spark.master = 'local[1]')",
    ),
)
_JVM_FAULT = re.compile(
    r"^(?:Exception in thread .*|Error: .*|Unrecognized .*|[\w.]+(?:Exception|Error): .*)$", re.MULTILINE
)
_BY_ERRNO = {
    errno.ENAMETOOLONG: "the name of a file or folder is too long{note}: choose a shorter path",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _FULL),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _OPEN_FILES),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTUNREACH), _FAILED),
    errno.EROFS: _READ_ONLY,
    **dict.fromkeys((errno.EACCES, errno.EPERM), _DENIED),
}
_REFUSED = re.compile(
    r"ACCESS_DENIED|SIGNATURE_DOES_NOT_MATCH|INVALID_ACCESS_KEY_ID|HTTP status 40[13]|403 Forbidden|401 Unauthorized|"
    r"AuthenticationFailed|AuthorizationFailure|security/credentials|api/token|loading credentials"
)
"""What pyarrow and delta-rs report where a store refuses access, or where there are no credentials."""
_UNREACHABLE = re.compile(
    r"NETWORK_CONNECTION|(?:tcp connect|dns|CURL) error|[Cc]ould(?:n't| not) (?:connect|resolve)|Connection refused|"
    r"Connection timed out|operation timed out|ConnectException|UnknownHostException"
)
"""What they report, and Hadoop's client, where a store does not answer."""
_OVERLOADED = re.compile(
    r"SLOW_?DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING|REQUEST_TIMEOUT|HTTP status (?:429|5\d\d)|"
    r"\b(?:429 Too Many|500 Internal Server Error|502 Bad Gateway|503 Service Unavailable|504 Gateway Timeout)|"
    r"SocketTimeoutException|Connection reset|(?:[Rr]ead|[Rr]equest) timed out|Input/output error|Remote I/O error|"
    r"Stale file handle|endpoint is not connected|No route to host|Host is down",
    re.IGNORECASE,
)
"""What they report where a store, or a mounted file system, fails at a request."""
_STORE_REMEDIES = (
    (_REFUSED, ": check the credentials of the store (docs/stores.md)", None),
    (
        _UNREACHABLE,
        ": check the address of the store (of S3: AWS_ENDPOINT_URL) and the network (docs/stores.md)",
        TransientError,
    ),
    (_OVERLOADED, ": the store has failed or is overloaded, run this again later", TransientError),
)
_WORKER_TRACEBACK = re.compile(r"^.*Traceback \(most recent call last\):\n(?:[ \t].*\n)+(\S.*)$", re.MULTILINE)
_OWN_ERROR = re.compile(r"(?:pivot_udfs\.)errors\.(\w+): (.*)")
_OF_STORE = re.compile(r"OSError: (?!\[Errno)(.*)", re.DOTALL)
"""What pyarrow raises for remote stores."""


def user_error(error: BaseException, output: str = "") -> SemanticPivotsError | None:
    """The error as one that the user can fix, None where no remedy is known; ``output``: what the JVM wrote."""
    if isinstance(error, SemanticPivotsError):
        return _with_remedy(error)
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        line = _BY_ERRNO[error.errno]
        return (TransientError if line is _FAILED else SetupError)(_filled(line, str(error.filename or "")))
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return ConfigError(f"{printable(error.object)} is not UTF-8: correct the argument or setting")
    text = str(error)
    last = worker_error(text) or f"{type(error).__name__}: {text}"
    if own := _OWN_ERROR.fullmatch(last):
        kind: type[SemanticPivotsError] | None = getattr(errors, own[1], None)
        return _with_remedy(kind(own[2])) if kind else None
    if (store := _OF_STORE.fullmatch(last)) and (known := _with_remedy(unknown := StoreError(store[1]))) is not unknown:
        return known
    if isinstance(error, KeyError | TypeError | ValueError | AssertionError) and "Java" not in text:
        return None
    text = f"{type(error).__name__}: {text}"
    ended = _by_pattern(text, _JVM_ENDED)
    return _by_pattern(text, _REMEDIES) or (ended and (_by_pattern(output, _REMEDIES) or _with_cause(ended, output)))


def _with_cause(ended: SemanticPivotsError, output: str) -> SemanticPivotsError:
    """The error with the first line in which a JVM that has ended names a fault."""
    found = _JVM_FAULT.search(output)
    return type(ended)(f"{ended} (it wrote: {found[0]})") if found else ended


def _with_remedy(error: SemanticPivotsError) -> SemanticPivotsError:
    """The error, with what to do about it, once, where a store fails, does not answer or refuses access."""
    text = str(error)
    for pattern, remedy, kind in _STORE_REMEDIES if len(error.args) == 1 else ():
        if pattern.search(text):
            return (kind or type(error))(text if text.endswith(remedy) else text + remedy)
    return error


def worker_error(text: str) -> str | None:
    """The last line of the Python traceback in Spark's message about a failed task; None where it has none."""
    found = _WORKER_TRACEBACK.findall(text)
    return found[-1].strip() if found else None


def _by_pattern(text: str, remedies: tuple[Remedy, ...]) -> SemanticPivotsError | None:
    for pattern, line, kind in remedies:
        if found := re.search(pattern, text):
            return kind(_filled(line, next((group for group in found.groups() if group), "")))
    return None


def _filled(line: str, given: str) -> str:
    return line.format(given, note=f" ({given})" if given else "")
