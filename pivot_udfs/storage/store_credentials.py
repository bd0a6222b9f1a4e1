"""How each store is connected to, and where its credentials come from; ``docs/stores.md`` lists them.

pyarrow and delta-rs read those of S3 and Google Cloud Storage from the environment themselves.
"""

import os
import subprocess
import sys
from base64 import b64decode
from contextlib import suppress
from functools import lru_cache

from pyarrow import fs

from pivot_udfs.errors import StoreError

AZURE = ("abfss", "abfs")
_ASK_AZURE = """
import contextlib, sys
from pyarrow import fs
with contextlib.suppress(OSError):
    fs.FileSystem.from_uri(sys.argv[1])[0].get_file_info("container")
"""
"""Fails where no credentials are found: the library's exception ends the process."""


@lru_cache(maxsize=64)
def connect(scheme: str, authority: str) -> fs.FileSystem:
    """The file system of a bucket, container or host; raises StoreError where Azure has no valid credentials."""
    uri = f"{scheme}://{authority}/"
    if scheme not in AZURE:
        return fs.FileSystem.from_uri(uri)[0]
    key, token = os.environ.get("AZURE_STORAGE_ACCOUNT_KEY"), os.environ.get("AZURE_STORAGE_SAS_TOKEN")
    account = authority.partition("@")[2].partition(".")[0]
    if key:
        with suppress(ValueError):  # the library ends the process where a key is no Base64
            b64decode(key, validate=True)
            return fs.AzureFileSystem(account, account_key=key)
        raise StoreError("AZURE_STORAGE_ACCOUNT_KEY is no Base64: copy the whole key")
    if token:
        return fs.AzureFileSystem(account, sas_token=f"?{token.lstrip('?')}")
    if subprocess.run([sys.executable, "-c", _ASK_AZURE, uri], capture_output=True, check=False).returncode:
        raise StoreError(f"no credentials for {uri}: set AZURE_STORAGE_ACCOUNT_KEY or another one of docs/stores.md")
    return fs.FileSystem.from_uri(uri)[0]


def delta_options(uri: str) -> dict[str, str]:
    """Options of delta-rs for a URI beyond those that it reads from the environment: S3 servers without TLS."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    endpoint = next((os.environ[name] for name in names if os.environ.get(name)), "")
    return {"AWS_ALLOW_HTTP": "true"} if uri.startswith("s3") and endpoint.startswith("http:") else {}
