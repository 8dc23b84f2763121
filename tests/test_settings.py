"""Settings: what people set is what counts, once, and nothing more of the environment gets through."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from skillyard.settings import Settings

SECRET = "https://user:hunter2@index.example/simple"


def test_our_own_name_for_the_engine_wins_over_the_one_all_docker_tools_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://shared.example:1")
    assert Settings().docker_host == "tcp://shared.example:1"
    monkeypatch.setenv("SKILLYARD_DOCKER_HOST", "tcp://ours.example:2")
    assert Settings().docker_host == "tcp://ours.example:2"
    assert Settings(docker_host="tcp://given.example:3").docker_host == "tcp://given.example:3"


def test_credentials_of_an_index_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLYARD_INDEX_URL", SECRET)
    monkeypatch.setenv("SKILLYARD_EXTRA_INDEX_URLS", f'["{SECRET}"]')
    settings = Settings()
    assert "hunter2" not in f"{settings!r}{settings}{settings.model_dump_json()}"
    assert settings.index_url is not None
    assert settings.index_url.get_secret_value() == SECRET


def test_a_databases_password_does_not_show_when_settings_are_printed_or_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "postgresql+asyncpg://yard:hunter2@db.example/skills"
    monkeypatch.setenv("SKILLYARD_DATABASE_URL", url)
    settings = Settings()
    assert settings.database == url
    assert "hunter2" not in f"{settings!r}{settings}{settings.model_dump_json()}"
    monkeypatch.setenv("SKILLYARD_DATABASE_URL", url.replace("postgresql", "mysql"))
    with pytest.raises(ValidationError, match="database URL begins with") as refused:
        Settings()
    assert "hunter2" not in str(refused.value)


def test_a_value_that_is_not_allowed_stops_the_start_and_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLYARD_PORT", "70000")
    with pytest.raises(ValidationError, match="port"):
        Settings()


def test_settings_do_not_change_once_they_are_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


def test_tools_get_proxy_and_certificates_and_nothing_else_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("CLOUD_SECRET_KEY", "hunter2")
    monkeypatch.setenv("SKILLYARD_TOKEN", "hunter2")
    environment = Settings(index_ca_bundle=Path("/etc/ca.pem")).tool_environment
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert environment["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert "hunter2" not in environment.values()


def test_a_proxy_that_is_set_for_indexes_replaces_the_one_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://elsewhere.example:1")
    monkeypatch.setenv("SKILLYARD_INDEX_PROXY", "http://index-proxy.example:2")
    environment = Settings().tool_environment
    proxies = {
        value for name, value in environment.items() if name.lower().endswith("_proxy") and "NO" not in name.upper()
    }
    assert proxies == {"http://index-proxy.example:2"}
