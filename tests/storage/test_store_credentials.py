"""Where credentials and options of stores come from, and what is said where there are none."""

import os

import pytest
from pyarrow import fs

from pivot_udfs.errors import StoreError
from pivot_udfs.storage import location, store_credentials
from pivot_udfs.storage.store_credentials import delta_options
from pivot_udfs.storage.stores import resolve


def test_a_server_without_tls_is_allowed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    assert delta_options("s3://bucket") == {}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://host:9000")
    assert delta_options("s3://bucket") == {"AWS_ALLOW_HTTP": "true"}
    assert delta_options("file:///a") == {}


AZURE = "abfss://c@nowhere.dfs.core.windows.net/a"


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No credentials, and a library that finds none; it ends the process."""
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(store_credentials, "_ASK_AZURE", "import os; os.abort()")
    monkeypatch.setattr(location, "connect", store_credentials.connect.__wrapped__)
    return monkeypatch


@pytest.mark.parametrize("token", ["sv=1&sig=abc", "?sv=1&sig=abc"])
def test_a_sas_token_is_a_query_for_the_library(azure: pytest.MonkeyPatch, token: str) -> None:
    azure.setenv("AZURE_STORAGE_SAS_TOKEN", token)
    azure.setattr(fs, "AzureFileSystem", lambda account, **given: (account, given))
    assert resolve(AZURE).filesystem == ("nowhere", {"sas_token": "?sv=1&sig=abc"})


@pytest.mark.parametrize(("key", "says"), [("", "no credentials for abfss://c@nowhere"), ("!", "is no Base64")])
def test_an_azure_store_without_credentials_is_an_error(azure: pytest.MonkeyPatch, key: str, says: str) -> None:
    azure.setenv("AZURE_STORAGE_ACCOUNT_KEY", key)
    with pytest.raises(StoreError, match=says):
        resolve(AZURE).exists()
