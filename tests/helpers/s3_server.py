"""An S3 server on this machine, and the environment that leads all three libraries to it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest

from pivot_udfs.storage.stores import resolve

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "anyone",
    "AWS_SECRET_ACCESS_KEY": "anything",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
SERVER = """
import sys
from moto.server import DomainDispatcherApplication, ThreadedMotoServer
answer = DomainDispatcherApplication.__call__
def without_condition(self, environ, start_response):
    environ.pop("HTTP_IF_NONE_MATCH", None)
    return answer(self, environ, start_response)
if "ignores_conditions" in sys.argv:
    DomainDispatcherApplication.__call__ = without_condition
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
input()
"""


@contextmanager
def s3_server(*arguments: str) -> Iterator[str]:
    """The address of a server in a process of its own: delta-rs holds the interpreter's lock while it waits."""
    command = [sys.executable, "-c", SERVER, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()


def make_bucket(server: str, test: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, which the environment leads to as it does on a cluster."""
    for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": server}).items():
        monkeypatch.setenv(name, value)
    name = f"b{abs(hash(server + test))}"  # connections are kept by bucket
    with urlopen(Request(f"{server}/{name}", method="PUT")) as answer:  # noqa: S310 - the server above
        assert answer.status == 200
    return name


def put(uri: str, payload: bytes) -> str:
    """Writes an object; returns its URI."""
    with resolve(uri).open_output() as stream:
        stream.write(payload)
    return uri
