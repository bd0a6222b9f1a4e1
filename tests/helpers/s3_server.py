"""A small S3 server for tests, all in memory: buckets are first folders, whoever asks may do anything.

It runs as a process of its own, since delta-rs holds the interpreter's lock while it waits for an answer. It knows what
Arrow and delta-rs ask of a store: whole, ranged and conditional reads and writes, uploads in parts, lists, deletion.
"""

import hashlib
import io
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

DATE, HTTP_DATE = "2026-01-01T00:00:00.000Z", "Thu, 01 Jan 2026 00:00:00 GMT"
OBJECTS: dict[str, bytes] = {}
PARTS: dict[str, dict[int, bytes]] = {}
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _asked(self) -> tuple[str, dict[str, str]]:
        url = urlsplit(self.path)
        return unquote(url.path).strip("/"), dict(parse_qsl(url.query, keep_blank_values=True))

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code></Error>".encode() if self.command != "HEAD" else b"")

    def do_HEAD(self) -> None:
        key, _ = self._asked()
        if "/" not in key:
            self._answer(200)
        elif (body := OBJECTS.get(key)) is None:
            self._refuse(404, "NoSuchKey")
        else:
            self._answer(200, ETag=_tag(body), Last_Modified=HTTP_DATE, Content_Length=str(len(body)))

    def do_GET(self) -> None:
        key, query = self._asked()
        if "/" not in key:
            return self._answer(200, _list(key, query.get("prefix", ""), query.get("delimiter", "")))
        if (body := OBJECTS.get(key)) is None:
            return self._refuse(404, "NoSuchKey")
        headers = {"ETag": _tag(body), "Last_Modified": HTTP_DATE}
        if not (wanted := self.headers.get("Range", "").removeprefix("bytes=")):
            return self._answer(200, body, **headers)
        first, _, last = wanted.partition("-")
        start = int(first) if first else max(0, len(body) - int(last))
        end = min(int(last), len(body) - 1) if first and last else len(body) - 1
        return self._answer(206, body[start : end + 1], Content_Range=f"bytes {start}-{end}/{len(body)}", **headers)

    def do_PUT(self) -> None:
        (key, query), body = self._asked(), self._body()
        with LOCK:
            if "partNumber" in query:
                PARTS[query["uploadId"]][int(query["partNumber"])] = body
            elif self.headers.get("If-None-Match") == "*" and key in OBJECTS:
                return self._refuse(412, "PreconditionFailed")
            else:
                OBJECTS[key] = body
        return self._answer(200, ETag=_tag(body))

    def do_POST(self) -> None:
        (key, query), _ = self._asked(), self._body()
        if "uploads" in query:
            PARTS[key] = {}
            return self._answer(200, _xml("InitiateMultipartUploadResult", f"<UploadId>{escape(key)}</UploadId>"))
        OBJECTS[key] = b"".join(body for _, body in sorted(PARTS.pop(query["uploadId"]).items()))
        return self._answer(200, _xml("CompleteMultipartUploadResult", f"<ETag>{_tag(OBJECTS[key])}</ETag>"))

    def do_DELETE(self) -> None:
        OBJECTS.pop(self._asked()[0], None)
        self._answer(204)

    def _body(self) -> bytes:
        """What was sent, without the chunks and checksums that the SDK may wrap it in."""
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = _joined(self.rfile) if chunked else self.rfile.read(int(self.headers.get("Content-Length", 0)))
        wrapped = self.headers.get("X-Amz-Content-Sha256", "").startswith("STREAMING")
        return _joined(io.BytesIO(body)) if wrapped else body


def _joined(stream: BinaryIO) -> bytes:
    whole = b""
    while size := int(stream.readline().split(b";")[0], 16):
        whole += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return whole


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _xml(name: str, inner: str) -> bytes:
    return f'<?xml version="1.0"?><{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{name}>'.encode()


def _list(bucket: str, prefix: str, delimiter: str) -> bytes:
    entries: dict[str, str] = {}
    for key, body in sorted(OBJECTS.items()):
        name = key.removeprefix(f"{bucket}/")
        if name == key or not name.startswith(prefix):
            continue
        head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
        if cut:
            folder = escape(prefix + head + cut)
            entries[folder] = f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
        else:
            facts = f"<LastModified>{DATE}</LastModified><ETag>{_tag(body)}</ETag><Size>{len(body)}</Size>"
            entries[name] = f"<Contents><Key>{escape(name)}</Key>{facts}</Contents>"
    counts = f"<KeyCount>{len(entries)}</KeyCount><IsTruncated>false</IsTruncated>"
    return _xml("ListBucketResult", f"<Name>{bucket}</Name>{counts}{''.join(entries.values())}")


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
