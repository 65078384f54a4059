"""Real databases for the tests of storage and singletons: SQLite and PostgreSQL; and cost
controllers over them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.cost import CostController
from actors.settings import Settings
from actors.storage.engine import Store
from cluster.local_postgres import LocalPostgres
from tests import postgres
from tests.fakes.clock import early_in_the_hour

_names = (f"test_{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def postgresql() -> Iterator[LocalPostgres]:
    with postgres.server() as running:
        yield running


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/reception.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    with postgres.database(request.getfixturevalue("postgresql"), next(_names)) as url:
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


@pytest.fixture
def clock() -> Callable[[], float]:
    """Of the cost controllers; a module may have its own."""
    return early_in_the_hour()


@pytest.fixture
def make(
    database_url: str, settings_for: Callable[..., Settings], clock: Callable[[], float]
) -> Iterator[Callable[..., CostController]]:
    """Cost controllers over one database, by their settings; the ledger is proved at the
    end."""
    made: list[CostController] = []

    def build(**named: Any) -> CostController:
        made.append(CostController(settings_for(database_url, **named), clock))
        return made[-1]

    yield build
    if made:
        assert asyncio.run(made[-1].check()) == []
    for controller in made:
        controller.close()


@pytest.fixture
def cost(make: Callable[..., CostController]) -> CostController:
    return make()
