"""Errors of Python, Java, Spark and the stores become one line that says what to do; unknown ones stay as they are."""

import errno
from pathlib import Path

import pytest
from worker_traceback import IN_A_WORKER

from jobs.framework.user_errors import user_error, worker_error
from pivot_udfs.errors import (
    SemanticPivotsError,
    SetupError,
    TokenizerError,
    TransientError,
)

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
    (JVM_DIED, "Initial heap size set to a larger value than the maximum heap size", "lower spark.driver.memory"),
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


def test_names_that_are_too_long_are_an_error_of_the_user() -> None:
    with pytest.raises(OSError, match="too long") as caught:
        Path("x" * 300).stat()
    assert "the name of a file or folder is too long (xxx" in str(user_error(caught.value))


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
