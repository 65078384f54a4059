"""Whom the front door asks, when one of them does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from actors.shown_calls import ShownPage
from cluster.door_config import DoorConfig
from cluster.front_door import backends, budget, nodes
from cluster.front_door.backends import RayBackends
from protos.reception.v1 import reception_pb2 as rv
from reception.call.record import CallRecord, CallSpec
from reception.errors import LimitReached, Unavailable
from reception.money.account import Hold
from reception.money.leases import Claim, Lease
from reception.money.purses import Wanted
from reception.money.scopes import Owner
from reception.placement.admission.answer import Admitted, Cause, Refused
from reception.placement.admission.priority import Priority
from reception.placement.lease import Placement
from reception.security.admission import Admission
from tests.unit.call.example import SPEC
from tests.waiting import PATIENCE_S, patience

PLACE = Placement("lost", "/w.sock", "l1", "w0", "day", "model", "t")
ADMITTED, OWNER = Admission(True, "acme", "k"), Owner("s1", tenant="acme")
REFUSED = Refused(Cause.PROVIDER_TOKENS, "no tokens left", 5.0)


class Singleton:
    """Answers, hangs, or is gone."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.gone = 0  # so many times
        self.state = "ready"

    async def provider_room(self, *args: Any) -> Refused:
        await self._asked("provider_room", *args)
        return REFUSED

    async def admit(self, *args: Any) -> Admission:
        await self._asked("admit", *args)
        return ADMITTED

    async def open_call(self, owner: Owner) -> Hold:
        await self._asked("open_call", owner)
        return Hold(True, held_micros=5)

    async def lease(
        self, wanted: tuple[Wanted, ...], back: tuple[str, ...]
    ) -> tuple[Lease | None, ...]:
        await self._asked("lease", wanted, back)
        return tuple(Lease(owner, 2 * 5, 5, 1, 100.0, 30.0) for owner, _ in wanted)

    async def warm_up(self) -> None:
        return None

    async def profiles(self) -> tuple[Any, ...]:
        return ()

    async def readiness(self) -> str:
        await self._asked("readiness")
        return self.state

    async def gave_up(self, *args: Any) -> None:
        await self._asked("gave_up", *args)

    async def close_call(self, *args: Any) -> None:
        await self._asked("close_call", *args)

    async def _asked(self, *args: Any) -> None:
        if self.gone > 0:
            self.gone -= 1
            raise RayActorError
        await self.answers.wait()
        self.asked.append(args)


@pytest.fixture
def singletons(monkeypatch: pytest.MonkeyPatch) -> dict[str, Singleton]:
    found = {name: Singleton() for name in ("security", "cost", "health", "agent:n")}
    monkeypatch.setattr(backends, "find", found.__getitem__)
    monkeypatch.setattr(nodes, "find", found.__getitem__)
    monkeypatch.setattr(backends, "ROOM_TIMEOUT_S", 0.05)
    monkeypatch.setattr(backends, "PATIENCE_S", 0.3)
    monkeypatch.setattr(backends, "AGAIN_S", 0.01)
    return found


def opened(
    security: str = "closed", cost: str = "closed", timeout_s: float = PATIENCE_S
) -> RayBackends:
    config = DoorConfig("127.0.0.1", 0, "n", security_failure=security, cost_failure=cost)
    return RayBackends(config, timeout_s=timeout_s)


@pytest.fixture
def door(singletons: dict[str, Singleton]) -> RayBackends:
    del singletons  # are there
    return opened()


@pytest.mark.parametrize("ready", [True, False])
async def test_a_live_call_goes_on_where_a_session_is_ready_or_else_waits_for_one(
    door: RayBackends, monkeypatch: pytest.MonkeyPatch, ready: bool
) -> None:
    asked = []

    async def place(spec: Any, method: str, *args: Any, lost: str) -> Placement:
        asked.append((spec.node_id, method, *args, lost))
        if not (ready or args[-1]):
            raise LimitReached("no session", retry_after_s=1.0)
        return PLACE

    monkeypatch.setattr(door._nodes, "place", place)
    assert await door.take_over(SPEC, b"state", PLACE) is PLACE
    first = ("n", "take_over", b"state", "t", False, "lost")
    assert asked == [first] if ready else [first, (*first[:4], True, "lost")]


async def test_a_caller_who_comes_back_to_a_lost_call_keeps_its_token_until_it_is_told_another(
    door: RayBackends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gets no answer asks again with the same token, and finds the call where it is."""
    asked: list[tuple[Any, ...]] = []

    async def own(method: str, *args: Any) -> CallSpec:
        asked.append((method, *args))
        return replace(SPEC, node_id="lost")

    async def place(spec: Any, method: str, *args: Any, lost: str) -> Placement:
        asked.append((spec.node_id, method, *args, lost))
        return replace(PLACE, node_id="m")

    async def agent(node_id: str, method: str, *args: Any) -> Any:
        asked.append((node_id, method, *args))
        return SPEC, replace(PLACE, node_id="m", resume_token="next")

    monkeypatch.setattr(door, "_own", own)
    monkeypatch.setattr(door._nodes, "place", place)
    monkeypatch.setattr(door._nodes, "agent", agent)
    _, placement = await door.resume("lost.t", "k")
    await door.has_token("s1", placement)
    assert asked == [
        ("node_of", "lost.t", "k"),
        ("n", "take_over", b"", "lost.t", False, "lost"),
        ("m", "resume", "lost.t", "k", "n"),
        ("m", "has_token", "s1", "next"),
    ]


async def test_a_door_is_ready_as_its_node_is(
    door: RayBackends, singletons: dict[str, Singleton]
) -> None:
    agent = singletons["agent:n"]
    for agent.state, ready in (("ready", True), ("full", False), ("draining", False)):
        assert await door.ready() is ready
    agent.state, agent.gone = "ready", 1
    assert not await door.ready()
    assert await door.ready()


async def test_room_at_the_provider_is_asked_for_and_given_back(
    door: RayBackends, singletons: dict[str, Singleton]
) -> None:
    assert await door.provider_room("s1", Priority.NORMAL) == REFUSED
    await door.close_call("s1")
    assert singletons["health"].asked == [
        ("provider_room", "s1", Priority.NORMAL), ("gave_up", "s1"),
    ]  # fmt: skip
    assert singletons["cost"].asked == [("close_call", "s1")]


async def test_while_nobody_knows_of_the_provider_calls_are_taken(
    door: RayBackends, singletons: dict[str, Singleton]
) -> None:
    health = singletons["health"]
    health.answers.clear()
    assert isinstance(await door.provider_room("s1", Priority.NORMAL), Admitted)
    health.gone = 9
    assert isinstance(await door.provider_room("s1", Priority.NORMAL), Admitted)
    await door.close_call("s1")
    assert singletons["cost"].asked == [("close_call", "s1")]


async def test_a_singleton_that_is_back_soon_is_waited_for(
    door: RayBackends, singletons: dict[str, Singleton], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "PATIENCE_S", PATIENCE_S)
    for singleton in singletons.values():
        singleton.gone = 3
    assert await door.admit("ann", "peer", "call") == ADMITTED
    assert (await door.open_call(OWNER)).held_micros == 5


async def test_closed_takes_no_call_while_a_singleton_is_gone(
    door: RayBackends, singletons: dict[str, Singleton]
) -> None:
    assert await door.admit("ann", "peer", "call") == ADMITTED
    for singleton in singletons.values():
        singleton.gone = 1_000
    with pytest.raises(Unavailable, match="security"):
        await door.admit("ann", "peer", "call")
    with pytest.raises(Unavailable, match="cost"):
        await door.open_call(OWNER)


@pytest.mark.parametrize("failure", ["closed", "lease", "open"])
async def test_an_emergency_begins_without_the_cost_singleton(
    singletons: dict[str, Singleton], failure: str
) -> None:
    door = opened("known", failure)
    singletons["cost"].gone = 1_000
    help_ = replace(OWNER, exempt=True)
    assert await door.open_call(help_) == Hold(True, claim=Claim(help_))
    assert door.calls_without_ledger == 1


async def test_open_takes_calls_whose_accounts_are_opened_later(
    singletons: dict[str, Singleton],
) -> None:
    door = opened("known", "open")
    assert await door.admit("ann", "peer", "call") == ADMITTED
    singletons["security"].gone = singletons["cost"].gone = 1_000
    assert await door.admit("ann", "peer", "call") == ADMITTED
    with pytest.raises(Unavailable):
        await door.admit("bob", "peer", "call")
    assert await door.open_call(OWNER) == Hold(True, claim=Claim(OWNER))
    assert door.calls_without_ledger == 1


@pytest.fixture
async def leasing(
    singletons: dict[str, Singleton], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RayBackends]:
    monkeypatch.setattr(budget, "TICK_S", 0.01)
    monkeypatch.setattr(nodes.Nodes, "follow", lambda _: asyncio.sleep(60))
    door = opened("known", "lease")
    await door.start()
    yield door
    door.close()


async def asked_for_leases(cost: Singleton) -> tuple[Any, ...]:
    """The first request for leases that was answered: wanted and given back."""
    async with patience():
        while not [each for each in cost.asked if each[0] == "lease"]:
            await asyncio.sleep(0.01)
    return next(each[1:] for each in cost.asked if each[0] == "lease")


async def test_lease_takes_as_many_calls_as_the_door_has_budget_for(
    leasing: RayBackends, singletons: dict[str, Singleton]
) -> None:
    cost = singletons["cost"]
    assert (await leasing.open_call(OWNER)).held_micros == 5
    [(kind, calls)], back = await asked_for_leases(cost)
    assert (kind.tenant, calls, back) == ("acme", 1, ())
    cost.gone = 1_000_000
    for number in (2, 3):
        owner = replace(OWNER, session_id=f"s{number}")
        claim = Claim(owner, kind.session_id, 5, 1, 30.0)
        assert await leasing.open_call(owner) == Hold(True, held_micros=5, claim=claim)
    for none_left in (replace(OWNER, session_id="s4"), Owner("s5", tenant="other")):
        with pytest.raises(Unavailable, match="cost"):
            await leasing.open_call(none_left)
    assert (await leasing.open_call(Owner("s6", exempt=True))).admitted
    assert leasing.calls_without_ledger == 3
    cost.gone = 0
    assert (await leasing.open_call(Owner("s7", tenant="acme"))).claim is None


async def test_a_lease_that_was_not_answered_is_asked_for_again(
    leasing: RayBackends, singletons: dict[str, Singleton]
) -> None:
    cost = singletons["cost"]
    assert (await leasing.open_call(OWNER)).admitted
    cost.gone = 3
    [(owner, calls)], _ = await asked_for_leases(cost)
    assert cost.gone == 0
    assert (owner.tenant, owner.session_id[-2:], calls) == ("acme", ":1", 1)


async def test_a_singleton_that_stands_still_is_given_up_as_one_that_is_gone(
    singletons: dict[str, Singleton],
) -> None:
    door = opened("open", "open", timeout_s=1.0)
    singletons["security"].answers.clear()
    singletons["cost"].answers.clear()
    assert await door.admit("ann", "peer", "call") == Admission(True)
    assert (await door.open_call(OWNER)).admitted


# ------------------------------------------------------------------ looking at calls


class Agent(Singleton):
    """Of a node with one live call; where others have such, it knows of none."""

    here = CallRecord(SPEC, "active", "listening", "m")

    def __init__(self) -> None:
        super().__init__()
        self.has = True

    async def live_call(self, call_id: str) -> CallRecord | None:
        await self._asked("live_call", call_id)
        return self.here if self.has else None

    async def live_calls(self) -> tuple[CallRecord, ...]:
        await self._asked("live_calls")
        return (self.here,) if self.has else ()

    async def show_call(self, call_id: str) -> bytes | None:
        await self._asked("show_call", call_id)
        return rv.Call(call_id=call_id, state=rv.CALL_STATE_ENDED).SerializeToString()

    async def show_calls(self, *args: Any) -> ShownPage:
        await self._asked("show_calls", *args)
        page = rv.ListCallsResponse(calls=[rv.Call(call_id="old")], next_page_token="more")
        return ShownPage([], page.SerializeToString())


@pytest.fixture
def two(door: RayBackends, singletons: dict[str, Singleton]) -> tuple[RayBackends, Agent, Agent]:
    """A door, its node's agent, and that of another node that can be reached."""
    own, other = Agent(), Agent()
    reached: Any = nodes._Node(other)  # type: ignore[arg-type]  # a fake
    del singletons  # are there
    door._nodes._agent, door._nodes._others = own, {"other": reached}  # type: ignore[assignment]
    return door, own, other


async def test_a_call_is_looked_for_on_other_nodes_before_among_the_ended(
    two: tuple[RayBackends, Agent, Agent],
) -> None:
    door, own, other = two
    found = await door.get_call("c1")
    assert found is not None
    assert rv.Call.FromString(found).state == rv.CALL_STATE_ACTIVE
    assert own.asked == []
    other.has = False
    found = await door.get_call("c1")
    assert found is not None
    assert rv.Call.FromString(found).state == rv.CALL_STATE_ENDED
    assert own.asked == [("show_call", "c1")]


@pytest.mark.parametrize(
    ("state", "token", "elsewhere"),
    [("", "", 1), ("active", "", 1), ("ending", "", 0), ("ended", "", 0), ("", "more", 0)],
)
async def test_a_page_is_asked_of_the_own_agent_in_one_call(
    two: tuple[RayBackends, Agent, Agent], state: str, token: str, elsewhere: int
) -> None:
    door, own, other = two
    page = rv.ListCallsResponse.FromString(await door.list_calls(state, 5, token))
    assert [each.call_id for each in page.calls] == [SPEC.call_id] * elsewhere + ["old"]
    assert page.next_page_token == "more"
    assert own.asked == [("show_calls", state, 5, token, elsewhere)]
    assert len(other.asked) == (not token and state != "ended")


async def test_a_node_that_does_not_answer_is_left_out(
    two: tuple[RayBackends, Agent, Agent],
) -> None:
    door, _, other = two
    other.gone = 2
    page = rv.ListCallsResponse.FromString(await door.list_calls("", 5, ""))
    assert [each.call_id for each in page.calls] == ["old"]
    assert await door.get_call("c1") is not None
