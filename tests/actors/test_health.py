"""The health singleton over real databases: nodes, provider, restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.health import FORGET_AFTER_S, MAX_REPORT_BYTES, HealthMonitor
from actors.settings import Settings
from reception.errors import Fenced, InvalidRequest
from reception.placement.admission.answer import Admitted, Cause, Refused
from reception.placement.admission.priority import Priority
from reception.placement.admission.provider_limits import CallUse, NodeUse
from reception.placement.balancing.report import NodeReport, decode, encode
from reception.provider.refusal import Outcome
from tests.fakes.clock import Clock

START_S = 1_700_000_000.0


@pytest.fixture
def clock() -> Clock:
    return Clock(START_S)


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


def said(node_id: str, **fields: Any) -> bytes:
    values: dict[str, Any] = {
        "node_id": node_id, "zone": "", "at_s": 0.0, "capacity": 10, "live": 0, "reserved": 0,
        "cpu": 0.0, "memory": 0.0, "lag_ms": 0.0, "misses_per_s": 0.0, "calls_per_s": 0.0,
        "errors_per_s": 0.0, "ready": True, "version": "1",
    }  # fmt: skip
    return encode(NodeReport(**(values | fields)))


async def test_nodes_hear_of_each_other_until_they_are_down(
    health: HealthMonitor, clock: Clock
) -> None:
    assert not (await health.status())["healthy"]
    assert await health.exchange(said("n1", live=3)) == [(0.0, said("n1", live=3))]
    clock.now_s += 2.0
    assert await health.exchange(said("n2")) == [(2.0, said("n1", live=3)), (0.0, said("n2"))]
    assert await states(health) == {"n1": "healthy", "n2": "healthy"}
    clock.now_s += 1.0
    assert await states(health) == {"n1": "stale", "n2": "healthy"}
    clock.now_s += 3.0
    status = await health.status()
    told = status["nodes"]["n1"]
    assert (told["state"], told["age_s"], told["load"]["live"]) == ("down", 6.0, 3)
    assert await health.alive() == ["n2"]
    assert (status["nodes"]["n2"]["state"], status["healthy"]) == ("stale", False)
    clock.now_s += 25.0
    assert await health.exchange(said("n3")) == [(29.0, said("n2")), (0.0, said("n3"))]
    await health.exchange(said("n1"))
    assert (await states(health))["n1"] == "healthy"


async def test_nodes_are_forgotten(health: HealthMonitor, clock: Clock) -> None:
    for node_id in ("n1", "n2"):
        await health.exchange(said(node_id))
    await health.forget_node("n2")
    await health.forget_node("n2")
    assert list(await states(health)) == ["n1"]
    clock.now_s += FORGET_AFTER_S + 1
    await health.exchange(said("n3"))
    assert list(await states(health)) == ["n3"]


@pytest.mark.parametrize("report", [b"", b"{}", said("n") + b" " * MAX_REPORT_BYTES])
async def test_what_is_no_report_is_refused(health: HealthMonitor, report: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await health.exchange(report)
    assert await states(health) == {}


async def test_in_a_large_cluster_each_hears_of_some(health: HealthMonitor) -> None:
    names = [f"n{number}" for number in range(200)]
    for name in names:
        await health.exchange(said(name))
    heard = [
        {decode(report).node_id for _, report in await health.exchange(said(name))}
        for name in names
    ]
    assert all(
        32 <= len(each) <= 66 and name in each for name, each in zip(names, heard, strict=True)
    )
    assert set().union(*heard) == set(names)


async def test_there_are_so_many_nodes_at_most(
    health: HealthMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.health.MAX_NODES", 2)
    for node_id in ("n1", "n2", "n1"):
        await health.exchange(said(node_id))
    with pytest.raises(InvalidRequest, match="2 nodes already"):
        await health.exchange(said("n3"))


def dialled(error: str = "", **outcomes: int) -> NodeUse:
    return NodeUse("n1", {}, (), {Outcome(name): n for name, n in outcomes.items()}, error)


async def test_the_provider_s_breaker(health: HealthMonitor, clock: Clock) -> None:
    await health.exchange(said("n1"))
    await health.provider_use(dialled(up=1))
    for _ in range(3):
        assert await provider(health) == "closed"
        assert isinstance(await health.provider_room("s", Priority.NORMAL), Admitted)
        await health.provider_use(dialled("timeout " * 100, failed=1))
    status = await health.status()
    assert not status["healthy"]
    told = status["provider"]
    assert (told["name"], told["state"], told["failures_in_a_row"]) == ("embedded", "open", 3)
    assert told["dials"] == {"up": 1, "failed": 3, "refused": 0}
    assert len(told["last_error"]) == 300
    clock.now_s += 30.0
    assert await provider(health) == "half_open"
    await health.provider_use(dialled(up=1))
    assert await provider(health) == "closed"


async def test_while_the_provider_refuses_new_calls_are_refused_but_one_that_tries(
    health: HealthMonitor, clock: Clock
) -> None:
    await health.provider_use(dialled("insufficient_quota", refused=3))
    refused = await health.provider_room("s1", Priority.NORMAL)
    assert isinstance(refused, Refused)
    assert refused.cause is Cause.PROVIDER_AWAY
    assert 30.0 < refused.retry_after_s <= 45.0
    assert isinstance(await health.provider_room("s2", Priority.EMERGENCY), Admitted)
    clock.now_s += 30.0
    assert isinstance(await health.provider_room("s3", Priority.NORMAL), Admitted)
    assert isinstance(await health.provider_room("s4", Priority.NORMAL), Refused)
    await health.gave_up("s3")
    assert isinstance(await health.provider_room("s4", Priority.NORMAL), Admitted)
    assert isinstance(await health.provider_room("s5", Priority.NORMAL), Refused)
    await health.provider_use(dialled(up=1))
    assert isinstance(await health.provider_room("s5", Priority.NORMAL), Admitted)
    told = await health.provider()
    assert (told["state"], told["last_error"]) == ("closed", "insufficient_quota")
    assert told["refused"] == [{"cause": "provider_away", "priority": "normal", "count": 3}]


async def test_a_try_that_the_limits_refuse_leaves_its_place(
    database_url: str, settings_for: Callable[..., Settings], clock: Clock
) -> None:
    health = HealthMonitor(settings_for(database_url, provider_sessions=1), clock)
    try:
        await health.provider_use(NodeUse("n1", {"s1": CallUse(0, 0)}, (), {Outcome.REFUSED: 3}))
        clock.now_s += 30.0
        for session_id in ("s2", "s3"):
            refused = await health.provider_room(session_id, Priority.NORMAL)
            assert isinstance(refused, Refused)
            assert refused.cause is Cause.PROVIDER_SESSIONS
    finally:
        health.close()


async def test_a_restart_remembers_the_breaker_and_nodes_tell_it_again(
    make: Callable[[], HealthMonitor], clock: Clock
) -> None:
    old = make()
    assert await old.ping() == {"epoch": 1}
    await old.exchange(said("n1"))
    for _ in range(3):
        await old.provider_use(dialled("down", failed=1))
    clock.now_s += 5.0
    new = make()
    assert await new.ping() == {"epoch": 2}
    assert (await states(new), await provider(new)) == ({}, "open")
    await new.exchange(said("n1"))
    assert await states(new) == {"n1": "healthy"}
    clock.now_s += 25.0
    assert await provider(new) == "half_open"
    with pytest.raises(Fenced):
        await old.provider_room("s1", Priority.NORMAL)


async def test_a_call_that_the_providers_account_has_no_room_for_is_refused(
    database_url: str, settings_for: Callable[..., Settings], clock: Clock
) -> None:
    settings = settings_for(database_url, provider_sessions=2)
    health = HealthMonitor(settings, clock)
    try:
        use = NodeUse("n1", {"s1": CallUse(0, 0)})
        await health.provider_use(use)
        assert isinstance(await health.provider_room("s2", Priority.EMERGENCY), Admitted)
        refused = await health.provider_room("s3", Priority.EMERGENCY)
        assert isinstance(refused, Refused)
        assert refused.cause is Cause.PROVIDER_SESSIONS
        await health.gave_up("s2")
        assert isinstance(await health.provider_room("s3", Priority.EMERGENCY), Admitted)
        told = (await health.status())["provider"]
        assert told["expected_per_minute"]["requests"] == 10.0
        assert told["refused"] == [
            {"cause": "provider_sessions", "priority": "emergency", "count": 1}
        ]
    finally:
        health.close()
