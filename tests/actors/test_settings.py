"""Settings: defaults, the environment, and complaints that say what to do."""

from __future__ import annotations

from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any

import pytest

from actors.settings import Settings, load_settings, unknown_variables
from reception.errors import InvalidRequest
from reception.placement.recycling import RecyclingRules

PEPPER = "p" * 32


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"REALTIME_{name.upper()}", raising=False)


def test_the_promised_defaults() -> None:
    settings = load_settings()
    assert settings.target_latency_ms == 100
    assert (settings.memory_threshold, settings.cpu_threshold) == (80.0, 70.0)
    assert settings.cost_limits_micros() == {
        "hour": 50_000_000, "day": 500_000_000, "week": 2_500_000_000, "month": 8_000_000_000,
    }  # fmt: skip
    assert settings.metrics_collection_interval == 30
    assert settings.alert_cooldown_seconds == 300
    assert (settings.rate_limit_per_minute, settings.rate_limit_per_hour) == (60, 1_000)
    assert settings.auto_block_enabled
    assert (settings.cost_failure, settings.security_failure) == ("lease", "closed")
    assert (settings.profile, settings.insecure_dev) == ("development", False)
    assert (settings.provider, settings.model) == ("embedded", "embedded")


@pytest.mark.parametrize(
    ("given", "alone_s"),
    [
        ({}, 60.0),
        ({"unbilled_s": 2.0, "cost_failure": "closed"}, 2.0),
        ({"unbilled_s": 2.0, "cost_failure": "open"}, inf),
    ],
)
def test_how_long_a_call_lasts_that_nobody_bills(given: dict[str, Any], alone_s: float) -> None:
    assert load_settings(**given).alone_s() == alone_s


def test_relative_paths_are_those_of_the_starting_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(receptionist_path="mine.yaml")
    assert settings.database_url == f"sqlite:///{tmp_path}/var/reception.db"
    assert settings.receptionist_path == tmp_path / "mine.yaml"
    assert settings.prices_path.is_file()


def test_the_environment_counts_and_overrides_count_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_WORKERS", "5")
    monkeypatch.setenv("REALTIME_POOL_SIZE", "12")
    monkeypatch.setenv("REALTIME_COST_LIMIT_HOURLY", "0.1")
    monkeypatch.setenv("REALTIME_AUTO_BLOCK_ENABLED", "false")
    settings = load_settings(workers=3)
    assert (settings.workers, settings.pool_size) == (3, 12)
    assert settings.cost_limit_hourly == Decimal("0.1")
    assert not settings.auto_block_enabled


@pytest.mark.parametrize(
    ("provider", "given", "model"),
    [
        ("openai", None, "gpt-realtime-2.1-mini"),
        ("embedded", None, "embedded"),
        ("openai", "gpt-realtime-2.1", "gpt-realtime-2.1"),
        ("embedded", "scripted", "scripted"),
    ],
)
def test_the_model_follows_the_provider(
    monkeypatch: pytest.MonkeyPatch, provider: str, given: str | None, model: str
) -> None:
    monkeypatch.setenv("REALTIME_PROVIDER", provider)
    assert load_settings(**({"model": given} if given else {})).model == model


@pytest.mark.parametrize("url", ["postgresql://u:secret@h/db", "postgres://u@h/db"])
def test_a_database_server_is_taken_as_it_is(url: str) -> None:
    settings = load_settings(database_url=url)
    assert settings.database_url == url
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("named", "variable", "words"),
    [
        ({"pool_size": 0}, "REALTIME_POOL_SIZE", ["'0'", "1"]),
        ({"workers": "many"}, "REALTIME_WORKERS", ["'many'", "integer"]),
        ({"cost_limit_daily": -1}, "REALTIME_COST_LIMIT_DAILY", ["'-1'", "0"]),
        ({"cost_limit_daily": "0.0000001"}, "REALTIME_COST_LIMIT_DAILY", ["6 decimal"]),
        ({"memory_threshold": 101}, "REALTIME_MEMORY_THRESHOLD", ["'101'", "100"]),
        ({"grpc_port": 70_000}, "REALTIME_GRPC_PORT", ["'70000'", "65535"]),
        ({"provider": "acme"}, "REALTIME_PROVIDER", ["'acme'", "'embedded' or 'openai'"]),
        ({"profile": "test"}, "REALTIME_PROFILE", ["'test'", "'production'"]),
        ({"budget_timezone": "Mars/X"}, "REALTIME_BUDGET_TIMEZONE", ["'Mars/X'", "Europe/Berlin"]),
        ({"provider_region": "moon"}, "REALTIME_PROVIDER_REGION", ["'moon'", "'eu' or 'us'"]),
        ({"provider_base_url": "ftp://x"}, "REALTIME_PROVIDER_BASE_URL", ["'ftp://x'", "http"]),
        ({"database_url": "mysql://u:pw@h/d"}, "REALTIME_DATABASE_URL", ["//***@h", "sqlite"]),
        ({"database_url": "sqlite://"}, "REALTIME_DATABASE_URL", ["file"]),
        ({"database_url": "sqlite:///:memory:"}, "REALTIME_DATABASE_URL", ["file"]),
        ({"nonsense": 1}, "REALTIME_NONSENSE", ["not a setting"]),
        ({"profile": "production", "insecure_dev": True, "key_pepper": PEPPER},
         "REALTIME_INSECURE_DEV", ["must be false"]),
        ({"profile": "production", "key_pepper": "short"}, "REALTIME_KEY_PEPPER", ["32"]),
    ],
)  # fmt: skip
def test_a_bad_value_stops_the_start(
    named: dict[str, Any], variable: str, words: list[str]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_settings(**named)
    assert caught.value.field == variable
    (line,) = caught.value.message.splitlines()
    assert line.startswith(variable)
    assert all(word in line for word in words), line
    assert "short" not in line
    assert "pw" not in line


def test_every_fault_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_POOL_SIZE", "0")
    monkeypatch.setenv("REALTIME_WORKERS", "0")
    with pytest.raises(InvalidRequest) as caught:
        load_settings()
    assert len(caught.value.message.splitlines()) == 2


def test_production_with_a_pepper() -> None:
    settings = load_settings(profile="production", key_pepper=PEPPER)
    assert PEPPER not in repr(settings)


def test_misspelt_variables_are_found() -> None:
    environ = {"REALTIME_POOL_SIZE": "1", "REALTIME_POLL_SIZE": "1", "PATH": "x"}
    assert unknown_variables(environ) == ["REALTIME_POLL_SIZE"]
    assert unknown_variables() == []


def test_settings_say_what_pools_and_workers_aim_at() -> None:
    settings = load_settings(
        pool_size=600, pool_blocking_percent=0.5, memory_threshold=75, target_latency_ms=50
    )
    assert (settings.pool_rules().floor, settings.pool_rules().ceiling) == (600, 600)
    assert settings.sizer_rules().blocking == 0.005
    assert settings.sizer_rules().memory_percent == settings.targets().memory_percent == 75.0
    assert (settings.targets().latency_ms, settings.targets().cpu_percent) == (50, 70.0)
    assert settings.recycling_rules() == RecyclingRules(limit_mb=600.0, memory_percent=75.0)


def test_a_drain_has_to_fit_into_what_the_pod_is_given():
    with pytest.raises(InvalidRequest, match="must be within REALTIME_TERMINATION_GRACE_S, 60"):
        load_settings(drain_grace_s=60.0, termination_grace_s=60.0)
    assert load_settings(drain_grace_s=60.0, termination_grace_s=90.0).most_grace_s == 60.0
    assert load_settings(drain_grace_s=600.0).most_grace_s == inf


def test_an_unknown_balancing_names_the_known_ones():
    with pytest.raises(InvalidRequest, match="must be one of by_size, utilisation"):
        load_settings(balancing="fastest")
