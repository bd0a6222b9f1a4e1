"""Errors of Python, Java, Spark and the stores become one line that says what to do; unknown ones stay as they are."""

import errno

import pytest

from jobs.framework.user_errors import user_error, worker_error
from pivot_udfs.errors import (
    CorpusError,
    SemanticPivotsError,
    SetupError,
    TokenizerError,
    TransientError,
    WarehouseError,
)

IN_A_WORKER = """An error occurred while calling o77.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 0.0 failed 1 times
Traceback (most recent call last):
  File "worker.py", line 1, in main
    process()
{cause}

\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handlePythonException(PythonRunner.scala:581)
"""
JVM_DIED = "[JAVA_GATEWAY_EXITED] Java gateway process exited before sending its port number."
KNOWN = [
    (
        "o1.save.\n: java.io.IOException: No space left on device\n\tat java.base/sun.nio.ch.FileDispatcherImpl.write0",
        "",
        "a disk is full: free space",
    ),
    (
        IN_A_WORKER.format(cause="OSError: [Errno 28] Error writing bytes to file. Detail: No space left on device"),
        "",
        "a disk is full",
    ),
    ("Generic LocalFileSystem error: Unable to open file /w/x: Too many open files (os error 24)", "", "too many open"),
    ("java.io.FileNotFoundException: /w/t/_delta_log/0.json (Permission denied)", "", "permission denied (/w/t/_del"),
    (
        IN_A_WORKER.format(
            cause="pyspark.errors.exceptions.base.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] Python in worker has "
            "different version: 3.12 than that in driver: 3.11, PySpark cannot run with different minor versions."
        ),
        "",
        "workers run Python 3.12, the driver does not: set spark.pyspark.python",
    ),
    (
        'java.io.IOException: Cannot run program "/opt/python": error=2, No such file or directory',
        "",
        "a worker cannot start /opt/python: set spark.pyspark.python",
    ),
    ("java.nio.file.FileSystemException: /w: Read-only file system", "", "a file system is read-only: choose another"),
    (
        "org.apache.spark.SparkException: Could not parse Master URL: 'lokal'",
        "",
        "spark.master = lokal is no master: use local[*]",
    ),
    (
        "java.lang.IllegalArgumentException: System memory 100663296 must be at least 471859200.",
        "",
        "little memory (100",
    ),
    (
        'org.apache.hadoop.fs.UnsupportedFileSystemException: No FileSystem for scheme "ftp"',
        "",
        "no file system for ftp",
    ),
    (
        "java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AFileSystem not found",
        "",
        "Spark lacks org.apache.hadoop.fs.s3a.S3AFileSystem: run semantic-pivots setup-jars --s3, or give",
    ),
    (
        "java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.azurebfs.SecureAzureBlobFileSystem not found",
        "",
        "setup-jars --azure, or give spark-submit --packages org.apache.hadoop:hadoop-azure:3.5.0",
    ),
    (
        "java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.gs.GoogleHadoopFileSystem not found",
        "",
        "setup-jars --gs, or give spark-submit --packages org.apache.hadoop:hadoop-gcp:3.5.0",
    ),
    (
        "[INVALID_CONF_VALUE.TYPE_MISMATCH] The value 'x' in the config \"spark.task.cpus\" is invalid. It should be "
        "a/an 'int' value. SQLSTATE: 22022\n\tat org.apache.spark",
        "",
        "should be a/an 'int' value: change it in spark.conf",
    ),
    (
        "java.nio.file.AccessDeniedException: s3a://b/w/documents: getFileStatus on s3a://b/w/documents: "
        "software.amazon.awssdk.services.s3.model.S3Exception: Forbidden (Service: S3, Status Code: 403)",
        "",
        "the store refuses Spark access (s3a://b/w/documents), which takes credentials of its own: see docs/stores.md",
    ),
    (
        "java.nio.file.AccessDeniedException: b: org.apache.hadoop.fs.s3a.auth.NoAuthWithAWSException: No AWS "
        "Credentials provided by TemporaryAWSCredentialsProvider",
        "",
        "the store refuses Spark access, which takes",
    ),
    ("java.lang.OutOfMemoryError: Java heap space", "", "raise spark.driver.memory"),
    (
        "[FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading file file:///w/t/part-1.zstd.parquet. File "
        "does not exist.",
        "",
        "file cannot be read (file:///w/t/part-1.zstd.parquet): VACUUM",
    ),
    (
        IN_A_WORKER.format(cause="FileNotFoundError: [Errno 2] Failed to open local file '/w/t/part-1.zstd.parquet'"),
        "",
        "file cannot be read (/w/t/part-1.zstd.parquet): VACUUM",
    ),
    ("Malformed input or input contains unmappable characters: /tmp/?t?", "", "set LC_ALL=C.UTF-8"),
    (JVM_DIED, "Invalid maximum heap size: -Xmx3gb", "a memory size (3gb) is not valid"),
    (JVM_DIED, "Could not reserve enough space for 966367641600KB object heap", "lower spark.driver.memory"),
    (JVM_DIED, "java.lang.UnsupportedClassVersionError: org/apache/spark/Main has been compiled", "Java 17 or later"),
    (JVM_DIED, "Segmentation fault", "Spark's JVM did not start: SPARK_HOME must be unset"),
    (
        JVM_DIED,
        "Error occurred during initialization of boot layer\n"
        "java.lang.module.FindException: Module jdk.incubator.vector not found\n",
        "or later (it wrote: java.lang.module.FindException: Module jdk.incubator.vector not found)",
    ),
    (
        JVM_DIED,
        "Unrecognized VM option 'UseGC'\nError: Could not create the Java Virtual Machine.\n"
        "Error: A fatal exception has occurred. Program will exit.\n",
        "(it wrote: Unrecognized VM option 'UseGC')",
    ),
    (
        "Answer from Java side is empty",
        "ERROR DiskBlockManager: Failed to create any local dir.",
        "set spark.local.dir",
    ),
    ("Answer from Java side is empty", "", "Spark's JVM has ended during the run"),
]


STORE_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "a disk is full (/w/x): "),
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTUNREACH),
        "a disk or a mounted store has failed (/w/x): ",
    ),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "permission denied (/w/x): "),
    errno.EROFS: "a file system is read-only (/w/x): ",
}


@pytest.mark.parametrize(("code", "line"), STORE_ERRORS.items())
def test_an_error_of_a_store_is_known_by_its_number(code: int, line: str) -> None:
    found = user_error(OSError(code, "whatever the store says", "/w/x"))
    assert isinstance(found, TransientError if "has failed" in line else SetupError)
    assert str(found).startswith(line)


@pytest.mark.parametrize(("text", "output", "line"), KNOWN, ids=range(len(KNOWN)))
def test_known_errors_say_what_to_do_in_one_line(text: str, output: str, line: str) -> None:
    found = user_error(RuntimeError(text), output)
    assert isinstance(found, SetupError | TransientError)
    assert line in str(found)
    assert "\n" not in str(found)


def test_a_refused_connection_means_that_the_jvm_has_ended() -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    assert "set spark.local.dir" in str(user_error(refused, "ERROR DiskBlockManager: Failed to create any local dir."))
    assert "Spark's JVM has ended" in str(user_error(refused, "last words"))


def test_what_the_jvm_wrote_is_not_blamed_while_it_runs() -> None:
    assert user_error(RuntimeError("a bug"), "WARN x: Permission denied\nNo space left on device") is None


@pytest.mark.parametrize(
    "error",
    [
        KeyError("No space left on device"),
        ValueError("Permission denied"),
        OSError(errno.ENOENT, "No such file or directory", "/x"),
        RuntimeError("anything"),
        RuntimeError(IN_A_WORKER.format(cause="KeyError: 'x'")),
    ],
)
def test_unknown_errors_stay_unknown(error: Exception) -> None:
    assert user_error(error) is None


def test_an_error_that_a_worker_raised_on_purpose_keeps_its_class_and_message() -> None:
    text = IN_A_WORKER.format(cause="pivot_udfs.errors.TokenizerError: no such token: change tokenizer.path")
    found = user_error(RuntimeError(text))
    assert type(found) is TokenizerError
    assert str(found) == "no such token: change tokenizer.path"
    assert worker_error(text) == f"pivot_udfs.errors.TokenizerError: {found}"
    assert worker_error("no traceback") is None


def test_an_argument_that_is_not_utf_8_is_named() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        "sur\udce9".encode()
    assert str(user_error(caught.value)) == "sur\\udce9 is not UTF-8: correct the argument or setting"


def test_errors_of_this_project_are_passed_on() -> None:
    class OtherError(SemanticPivotsError):
        """Defined elsewhere."""

    error = OtherError("x")
    assert user_error(error) is error


@pytest.mark.parametrize(
    "cause",
    [
        "AWS Error SIGNATURE_DOES_NOT_MATCH during CreateMultipartUpload operation: the signature does not match",
        "AWS Error UNKNOWN (HTTP status 403) during HeadObject operation: No response body.",
        "Kernel error: Error performing GET http://h/b/k in 1.7ms - Server returned non-2xx status code: 403 Forbidden",
    ],
)
def test_a_store_that_refuses_access_is_said_to_need_credentials(cause: str) -> None:
    known = user_error(WarehouseError(f"s3://b/w cannot be read ({cause})"))
    assert isinstance(known, WarehouseError)
    assert str(known).endswith(f"({cause}): check the credentials of the store (docs/stores.md)")


@pytest.mark.parametrize(
    "cause",
    [
        "AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7, Could not connect to server",
        "client error (Connect): tcp connect error: Connection refused (os error 111)",
        "client error (Connect): dns error: failed to lookup address information: Name or service not known",
        "google::cloud::Status(UNAVAILABLE: PerformWork() - CURL error [6]=Couldn't resolve host name)",
        "hdfsListDirectory failed, java.net.ConnectException: Call From a/127.0.0.1 to b:8020 failed",
    ],
)
def test_a_store_that_does_not_answer_is_said_to_need_an_address(cause: str) -> None:
    for error in (CorpusError(f"corpus.inputs: cannot be listed: {cause}"), WarehouseError(f"no log ({cause})")):
        assert "check the address of the store (of S3: AWS_ENDPOINT_URL) and the network" in str(user_error(error))
        assert "credentials" not in str(user_error(error))


def test_sparks_own_client_that_cannot_reach_a_store_is_one_line() -> None:
    trace = (
        "An error occurred while calling o1.exists.\n: java.net.ConnectException: getFileStatus on s3a://b/w: software."
        "amazon.awssdk.core.exception.SdkClientException: Unable to execute HTTP request: Connect to h:9 failed: "
        "Connection refused\n\tat java.base/sun.nio.ch.Net.pollConnect(Native Method)"
    )
    known = "the store does not answer Spark (Connect to h:9 failed: Connection refused): check its address"
    assert known in str(user_error(RuntimeError(trace)))


def test_sparks_own_client_at_an_overloaded_store_is_one_line() -> None:
    trace = (
        "An error occurred while calling o1.load.\n: org.apache.hadoop.fs.s3a.AWSServiceThrottledException: "
        "getFileStatus on s3a://b/w: S3Exception: Please reduce your request rate. (Status Code: 503)\n\tat x"
    )
    found = user_error(RuntimeError(trace))
    assert isinstance(found, TransientError)
    assert "the store does not answer Spark (getFileStatus on s3a://b/w: S3Exception: Please" in str(found)


@pytest.mark.parametrize("cause", ["AWS Error ACCESS_DENIED", "AWS Error NETWORK_CONNECTION during HeadObject"])
def test_what_to_do_about_a_store_is_said_once(cause: str) -> None:
    once = user_error(WarehouseError(f"s3://b/w cannot be read ({cause})"))
    assert once is not None
    assert "check the " in str(once)
    assert str(user_error(once)) == str(once)


PASSING = [
    "When listing objects: AWS Error NETWORK_CONNECTION during ListObjectsV2 operation: curlCode: 28, Timeout",
    "When uploading part: AWS Error SLOW_DOWN during UploadPart operation: Please reduce your request rate.",
    "AWS Error UNKNOWN (HTTP status 503) during HeadObject operation: No response body.",
    "Generic S3 error: Error after 10 retries in 9 s: Server returned non-2xx status code: 503 Service Unavailable: ",
    "Generic S3 error: HTTP error: operation timed out",
    "[Errno 5] Input/output error: '/mnt/store/a.jsonl'",
    "[Errno 110] Connection timed out",
    "[Errno 113] No route to host",
]


@pytest.mark.parametrize("text", PASSING)
def test_a_store_that_does_not_answer_is_a_fault_that_passes_wherever_it_is_met(text: str) -> None:
    """On the driver, in an error of this project, and in a worker with or without one."""
    in_errors = [CorpusError(f"s3://b/x cannot be listed ({text})"), WarehouseError(f"t cannot be read ({text})")]
    in_workers = [f"pivot_udfs.errors.StoreError: shard x cannot be read: {text}; check", f"OSError: {text}"]
    raised = [OSError(text), *in_errors, *(RuntimeError(IN_A_WORKER.format(cause=cause)) for cause in in_workers)]
    found = [user_error(error) for error in raised]
    assert [(type(error), error and error.exit_code) for error in found] == [(TransientError, 75)] * len(raised), found
    assert all("\n" not in str(error) for error in found)


@pytest.mark.parametrize(
    "text",
    [
        "AWS Error ACCESS_DENIED during HeadObject operation (HTTP status 403)",
        "AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation",
        "[Errno 13] Permission denied: '/mnt/store/timeout-503.jsonl'",
        "[Errno 2] No such file or directory: '/mnt/store/a.jsonl'",
    ],
)
def test_a_store_that_refuses_or_lacks_something_is_no_fault_that_passes(text: str) -> None:
    raised = [CorpusError(f"s3://b/x cannot be listed ({text})"), OSError(text)]
    raised.append(RuntimeError(IN_A_WORKER.format(cause=f"pivot_udfs.errors.StoreError: shard x: {text}")))
    assert {error.exit_code for each in raised if (error := user_error(each))} == {2}
