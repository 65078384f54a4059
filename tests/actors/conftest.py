"""Real databases for the tests of storage and singletons: SQLite and PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.settings import Settings
from actors.storage.engine import Store
from tests import postgres

_names = (f"test_{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[str]:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    with postgres.server(programs) as folder:
        yield folder


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/reception.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    with postgres.database(request.getfixturevalue("postgres_folder"), next(_names)) as url:
        yield url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def settings_for(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings by name; the environment has no say."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"REALTIME_{name.upper()}", raising=False)

    def make(database_url: str, **named: Any) -> Settings:
        return Settings(database_url=database_url, **named)

    return make
