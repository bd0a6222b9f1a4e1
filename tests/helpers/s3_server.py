"""An S3 server on this machine, and the environment that leads all three libraries to it."""

import pickle
import socket
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
import pickle, sys
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, ThreadedMotoServer
answer, states, contents, keeps = DomainDispatcherApplication.__call__, [], {}, False
def without_condition(self, environ, start_response):
    environ.pop("HTTP_IF_NONE_MATCH", None)
    return answer(self, environ, start_response)
def objects():
    keys = {f"{name}/{key}": of for name, bucket in s3_backends["123456789012"]["aws"].buckets.items()
            for key, of in bucket.keys.items()}
    for of in keys.values():
        if of not in contents:
            contents[of] = of.value
    return {key: contents[of] for key, of in keys.items()}
def with_states(self, environ, start_response):
    global keeps
    operation = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}"
    if operation == "GET /_states?":
        start_response("200 OK", [])
        found, keeps = pickle.dumps(states), not keeps
        states.clear()
        contents.clear()
        return [found]
    if keeps and not operation.startswith(("GET", "HEAD")):
        states.append((operation, objects()))
    return answer(self, environ, start_response)
if "ignores_conditions" in sys.argv:
    DomainDispatcherApplication.__call__ = without_condition
if "keeps_states" in sys.argv:
    DomainDispatcherApplication.__call__ = with_states
server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
input()
"""


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def s3_server(*arguments: str, port: int = 0) -> Iterator[str]:
    """The address of a server in a process of its own: delta-rs holds the interpreter's lock while it waits."""
    command = [sys.executable, "-c", SERVER, str(port), *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()


def taken_states(server: str) -> list[tuple[str, dict[str, bytes]]]:
    """Operations since the last call on a server that ``keeps_states``, and all objects before each, by bucket/key.

    Every other call starts a recording, and has none itself.
    """
    with urlopen(f"{server}/_states") as answer:  # noqa: S310 - the server above
        states: list[tuple[str, dict[str, bytes]]] = pickle.loads(answer.read())  # noqa: S301
    return states


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
