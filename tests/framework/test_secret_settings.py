"""Credentials among the settings are shown neither in printed settings nor in errors."""

from pathlib import Path

import pytest
from minimal_settings import load

from pivot_udfs.errors import ConfigError
from pivot_udfs.load_settings import resolved_toml, secret_values

SECRET = "hunter2-and-more"  # noqa: S105 - a test's
SECRET_KEYS = [
    "spark.hadoop.fs.s3a.secret.key",
    "spark.hadoop.fs.s3a.bucket.b.access.key",
    "spark.hadoop.fs.s3a.session.token",
    "spark.hadoop.fs.azure.account.key.store.dfs.core.windows.net",
    "spark.ssl.keyStorePassword",
    "spark.executorEnv.AWS_SECRET_ACCESS_KEY",
    "spark.hadoop.fs.gs.auth.service.account.private.key",
    "spark.authenticate.secret",
    "spark.executorEnv.APP_PWD",
    "spark.executorEnv.PGPASS",
    "spark.redis.auth",
    "spark.hadoop.b2.app.key",
    "spark.jdbc.pass",
    "spark.hadoop.fs.azure.sas.container.account.blob.core.windows.net",
    "spark.executorEnv.AZURE_STORAGE_CONNECTION_STRING",
    "spark.executorEnv.GITHUB_PAT",
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_secrets_in_spark_conf_are_not_shown(tmp_path: Path, key: str) -> None:
    settings = load(tmp_path, f'spark.conf={{"{key}" = "{SECRET}", "spark.a" = "seen"}}')
    assert secret_values(settings.model_dump()) == [SECRET]
    shown = resolved_toml(settings, hide_secrets=True)
    assert SECRET not in shown
    assert '"spark.a" = "seen"' in shown
    assert load(tmp_path, text=shown).spark.conf[key] == "(hidden)"
    assert SECRET in resolved_toml(settings)


@pytest.mark.parametrize(
    "override",
    [
        f'spark.conf={{"{SECRET_KEYS[0]}" = ["{SECRET}"]}}',
        f'spark=[{{"{SECRET_KEYS[0]}" = "{SECRET}"}}]',
        f'spark={{conf = {{"{SECRET_KEYS[0]}" = "{SECRET}"}}, master = 5}}',
        f"spark.conf.x.y=z{SECRET_KEYS[0]}={SECRET}",
    ],
)
def test_secrets_are_not_shown_in_errors_about_settings(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, override)
    assert SECRET not in str(caught.value)
