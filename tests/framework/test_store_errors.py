"""Errors of stores say what to do, in one line, wherever they occur; those that pass by themselves have a class."""

import errno

import pytest
from worker_traceback import IN_A_WORKER

from jobs.framework.user_errors import user_error
from pivot_udfs.errors import CorpusError, SetupError, TransientError, WarehouseError

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


@pytest.mark.parametrize(
    "cause",
    [
        "AWS Error SIGNATURE_DOES_NOT_MATCH during CreateMultipartUpload operation: the signature does not match",
        "AWS Error UNKNOWN (HTTP status 403) during HeadObject operation: No response body.",
        "Kernel error: Error performing GET http://h/b/k in 1.7ms - Server returned non-2xx status code: 403 Forbidden",
        "Kernel error -> Operation not supported: an error occurred while loading credentials: IMDS is disabled",
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
