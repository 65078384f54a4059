"""The health singleton over real databases: nodes, provider, restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.health import FORGET_AFTER_S, MAX_LOAD_CHARS, HealthMonitor
from actors.settings import Settings
from reception.errors import Fenced, InvalidRequest

START_S = 1_700_000_000.0


class Clock:
    """UNIX seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = START_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(
    database_url: str, settings_for: Callable[..., Settings], clock: Clock
) -> Iterator[Callable[[], HealthMonitor]]:
    made: list[HealthMonitor] = []

    def build() -> HealthMonitor:
        made.append(HealthMonitor(settings_for(database_url), clock))
        return made[-1]

    yield build
    for monitor in made:
        monitor.close()


@pytest.fixture
def health(make: Callable[[], HealthMonitor]) -> HealthMonitor:
    return make()


async def states(health: HealthMonitor) -> dict[str, Any]:
    nodes = (await health.status())["nodes"]
    return {node_id: node["state"] for node_id, node in nodes.items()}


async def provider(health: HealthMonitor) -> str:
    return str((await health.status())["provider"]["state"])


async def test_nodes_age(health: HealthMonitor, clock: Clock) -> None:
    assert not (await health.status())["healthy"]
    await health.report_node("n1", {"calls": 3})
    clock.now_s += 4.0
    await health.report_node("n2", {})
    assert await states(health) == {"n1": "healthy", "n2": "healthy"}
    clock.now_s += 2.0
    assert await states(health) == {"n1": "stale", "n2": "healthy"}
    clock.now_s += 6.0
    status = await health.status()
    assert status["nodes"]["n1"] == {"state": "down", "age_s": 12.0, "load": {"calls": 3}}
    assert (status["nodes"]["n2"]["state"], status["healthy"]) == ("stale", False)
    await health.report_node("n1", {"calls": 0})
    assert await states(health) == {"n1": "healthy", "n2": "stale"}


async def test_nodes_are_forgotten(health: HealthMonitor, clock: Clock) -> None:
    for node_id in ("n1", "n2"):
        await health.report_node(node_id, {})
    await health.forget_node("n2")
    await health.forget_node("n2")
    assert list(await states(health)) == ["n1"]
    clock.now_s += FORGET_AFTER_S + 1
    await health.report_node("n3", {})
    assert list(await states(health)) == ["n3"]


@pytest.mark.parametrize(
    ("node_id", "load"), [("", {}), ("n" * 129, {}), ("n", {"x": "y" * MAX_LOAD_CHARS})]
)
async def test_reports_have_bounds(
    health: HealthMonitor, node_id: str, load: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest):
        await health.report_node(node_id, load)


async def test_the_provider_s_breaker(health: HealthMonitor, clock: Clock) -> None:
    await health.report_node("n1", {})
    await health.report_provider(True, 120.0, "")
    for _ in range(3):
        assert await provider(health) == "closed"
        await health.report_provider(False, 0.0, "timeout " * 100)
    status = await health.status()
    assert not status["healthy"]
    told = status["provider"]
    assert (told["name"], told["state"], told["failures_in_a_row"]) == ("embedded", "open", 3)
    assert (told["ok"], told["failed"], told["latency_ms"]) == (1, 3, 120.0)
    assert len(told["last_error"]) == 300
    clock.now_s += 30.0
    assert await provider(health) == "half_open"
    await health.report_provider(True, 90.0)
    assert await provider(health) == "closed"


async def test_probes_need_a_permit(health: HealthMonitor, clock: Clock) -> None:
    for _ in range(3):
        await health.report_provider(False, 0.0, "x", await health.acquire_provider())
    assert await health.acquire_provider() is None
    clock.now_s += 30.0
    probe = await health.acquire_provider()
    assert probe is not None
    assert await health.acquire_provider() is None
    await health.report_provider(True, 80.0, "", probe)
    assert await provider(health) == "closed"


async def test_a_restart_remembers_nodes_and_breaker(
    make: Callable[[], HealthMonitor], clock: Clock
) -> None:
    old = make()
    assert await old.ping() == {"epoch": 1}
    await old.report_node("n1", {"calls": 1})
    for _ in range(3):
        await old.report_provider(False, 0.0, "down")
    clock.now_s += 5.0
    new = make()
    assert await new.ping() == {"epoch": 2}
    assert (await states(new), await provider(new)) == ({"n1": "healthy"}, "open")
    clock.now_s += 25.0
    assert await provider(new) == "half_open"
    with pytest.raises(Fenced):
        await old.report_node("n1", {})
