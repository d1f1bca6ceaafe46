"""Secrets in addresses: refused in the configuration, shown nowhere."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from embedlib.config.root import Config, load_config
from embedlib.errors import ConfigError, ServiceError
from embedlib.redact import holds_secret, redact

SECRET = "s3cret"
WITH_SECRETS = [
    f"http://me:{SECRET}@tracking:5000",
    f"https://{SECRET}@tracking",
    f"postgresql+psycopg2://me:{SECRET}@db/prod",
    f"http://me:{SECRET}/with/slash@host:80/x",
    f"https://host/path?api_key={SECRET}&x=1",
    f"sqlite:///file.db?token={SECRET}",
    f"s3://me:{SECRET}@bucket",
]
WITHOUT = [
    "http://127.0.0.1:5000", "sqlite:////srv/ws/mlflow.db", "postgresql://mlflow@db/mlflow", "databricks",
    "http://host:8080/name@version", "me@example.org", "https://host/?q=keyboard&monkey=1",
]  # fmt: skip


@pytest.mark.parametrize("address", WITH_SECRETS)
def test_an_address_with_a_secret_is_seen_and_masked(address):
    assert holds_secret(address)
    assert SECRET not in redact(f"cannot reach {address} (3 tries)")
    assert redact(f"cannot reach {address} (3 tries)").endswith(" (3 tries)")


@pytest.mark.parametrize("address", WITHOUT)
def test_an_address_without_one_is_not(address):
    assert not holds_secret(address)


@pytest.mark.parametrize("address", WITH_SECRETS)
@pytest.mark.parametrize(
    "option", ["tracking.uri", "ingest.source.url_env", "run.address", "tracking.url", "report", "model.name"]
)
def test_the_configuration_refuses_it_without_showing_it(option, address):
    overrides = ["ingest.source.type=sql", "ingest.source.query=select 1", f"{option}={address}"]
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=overrides)
    assert option.rpartition(".")[2] in str(caught.value)
    assert SECRET not in str(caught.value)


def test_nor_does_it_in_a_list_or_an_override_that_cannot_be_read():
    for override in (f"evaluate.measures=[{WITH_SECRETS[0]}]", WITH_SECRETS[0]):
        with pytest.raises(ConfigError) as caught:
            load_config(overrides=[override])
        assert SECRET not in str(caught.value)


def test_validation_by_prefect_does_not_show_it_either():
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"tracking": {"uri": WITH_SECRETS[0]}})
    assert SECRET not in str(caught.value)


def test_errors_do_not_show_what_came_from_the_environment():
    error = ServiceError("no answer", where=WITH_SECRETS[0], found=f"failed: {WITH_SECRETS[2]}")
    assert SECRET not in str(error)
    assert SECRET not in error.render()
