"""Whom a node agent takes: its own decisions, with a pool and workers that do as told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError

from actors.agent import NodeAgent
from actors.assignment import NodeConfig, ProviderConfig
from actors.checkpoint import dumps
from actors.outbox import Outbox
from actors.storage.live import Claim
from reception.call import messages as m
from reception.call.journal import FENCED, session_lost
from reception.call.profile import ProfileBook
from reception.call.record import CallRecord, CallSpec, TakenMessage
from reception.errors import CallIdInUse, InvalidRequest, LimitReached, NotFound, Unavailable
from reception.money.account import CallCost
from reception.placement.admission.concurrency import NodeLoad
from reception.placement.balancing.report import NodeReport
from reception.placement.pool import PoolRules
from reception.placement.sizer import NodeMemory
from reception.placement.workers import Leg
from reception.provider import base as p
from tests.actors.test_checkpoint import BILL, checkpoint
from tests.unit.call.example import PROFILE, SPEC
from tests.waiting import PATIENCE_S, patience


class Session:
    """Answers when the test says so, or dies."""

    def __init__(self) -> None:
        self.taken_over: list[CallRecord | None] = []
        self.states: list[bytes] = []
        self.last: list[bytes] = []
        self.ended_for: list[str] = []
        self.end: asyncio.Future[CallRecord] = asyncio.Future()

    async def run_call(self, assignment: Any) -> CallRecord:
        return await self.take_over(assignment, None, b"")

    async def take_over(self, assignment: Any, told: CallRecord | None, state: bytes) -> CallRecord:
        del assignment
        self.last.append(state)
        self.taken_over.append(told)
        return await self.end

    async def carry_on(self, assignment: Any, state: bytes) -> CallRecord:
        self.states.append(state)
        return await self.take_over(assignment, None, b"")

    async def end_call(self, lease_id: str, reason: str, polite: bool) -> None:
        del lease_id, polite
        self.ended_for.append(reason)


class Pool:
    """Every session is ready; the last leased is the last of `sessions`."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.asked: list[tuple[bool, bool]] = []  # live, patient
        self.given_back: list[tuple[str, bool]] = []
        self.refusal: Exception | None = None
        self.closed = False

    async def lease(self, caller: str, *, live: bool = False, patient: bool = True) -> str:
        del caller
        self.asked.append((live, patient))
        if self.refusal is not None:
            raise self.refusal
        self.sessions.append(Session())
        return str(len(self.sessions) - 1)

    def close(self) -> None:
        self.closed = True

    def kill(self) -> None:
        pass

    def give_up(self, caller: str) -> bool:
        del caller
        return False  # nobody waits

    def handle(self, session: str) -> Session:
        return self.sessions[int(session)]

    def unused(self, session: str) -> None:
        self.given_back.append((session, False))

    def give_back(self, session: str, *, dead: bool = False) -> None:
        self.given_back.append((session, dead))


class Workers:
    def __init__(self) -> None:
        self.given_up: list[tuple[str, str]] = []
        self.handed_over: list[tuple[str, str]] = []
        self.refused: list[tuple[str, str, str]] = []
        self.has_call = True
        self.let_gone: list[tuple[str, str]] = []
        self.open_to_others = True
        self.living = ["w0"]
        self.legs: list[Leg] = []  # that a worker was last chosen by

    async def give_up(self, worker_id: str, lease_id: str) -> None:
        self.given_up.append((worker_id, lease_id))

    def names(self) -> list[str]:
        return self.living

    def choose(self, legs: Iterable[Leg], without: str = "") -> str | None:
        self.legs = list(legs)
        return next((each for each in self.living if each != without), None)

    def socket(self, worker_id: str) -> str:
        return f"/{worker_id}"

    def address(self, worker_id: str) -> str:
        if not self.open_to_others:
            raise Unavailable("not yet")
        return f"tls:h:{worker_id[1:]}"

    async def let_go(self, worker_id: str, lease_id: str) -> None:
        self.let_gone.append((worker_id, lease_id))

    async def refuse(self, worker_id: str, lease_id: str, error: CallIdInUse) -> bool:
        self.refused.append((worker_id, lease_id, error.field))
        return self.has_call

    async def stop(self) -> None:
        pass

    async def hand_over(self, worker_id: str, lease_id: str) -> None:
        self.handed_over.append((worker_id, lease_id))

    def provider_format(self, worker_id: str, leg: Any) -> str:
        del worker_id, leg
        return "pcmu"


class Membership:
    """Nobody else is there, unless a test says so."""

    address = ""

    def __init__(self) -> None:
        self.told: list[NodeReport] = []
        self.others = False

    def has_others(self) -> bool:
        return self.others

    async def leave(self) -> None:
        pass

    def close(self) -> None:
        pass

    async def tell(self, report: NodeReport) -> None:
        self.told.append(report)


class House:
    """An agent, and what it keeps of its calls."""

    def __init__(self, folder: Path, capacity: int, node_id: str = "n") -> None:
        rules = PoolRules(floor=1, ceiling=capacity)
        config = NodeConfig(node_id, str(folder), "sqlite:///none", "", rules)
        self.agent, self.pool = NodeAgent(config), Pool()
        self.saved: list[CallRecord] = []
        self.begun: list[tuple[str, str]] = []  # sessions with their tokens
        self.forgotten: list[str] = []
        self.claim: Claim | None = None
        self.is_ours, self.database_is_gone = True, False
        self.messages: list[TakenMessage] = []
        self.tokens: list[str] = []
        agent: Any = self.agent
        self.workers, self.lease_id = Workers(), ""
        agent._pool, agent._workers = self.pool, self.workers
        agent._assigner._workers = agent._intake._workers = self.workers
        self.membership = agent._membership = agent._intake._membership = Membership()
        agent._assigner.profiles = ProfileBook({PROFILE.name: PROFILE}, {}, PROFILE.name)
        agent._assigner.provider = ProviderConfig("embedded", "", "m")
        agent._intake._admission.observe(NodeLoad(), NodeMemory(1_000, 100_000), 0.0)
        self.keep_later(None)

    def keep_later(self, outbox: Outbox | None) -> None:
        keeper: Any = self
        self.agent._provide(keeper, outbox)

    async def begin(self, spec: CallSpec, token: str) -> None:
        self.begun.append((spec.session_id, token))

    async def new_token(self, session_id: str, token: str) -> None:
        assert session_id == "s-one"
        self.tokens.append(token)

    async def take(self, spec: CallSpec, token: str) -> Claim:
        self.begun.append((spec.session_id, token))
        if self.claim is None:
            raise NotFound("another node has it")
        return self.claim

    async def owns(self, session_id: str) -> bool:
        del session_id
        return self.is_ours

    def forget(self, session_id: str) -> None:
        self.forgotten.append(session_id)

    def state(self, session_id: str) -> bytes:
        return f"last of {session_id}".encode()

    def generation(self, session_id: str) -> int:
        del session_id
        return 7

    async def save_call(self, record: CallRecord, generation: int) -> bool:
        assert generation == 7
        if self.database_is_gone:
            raise Unavailable("the database is gone")
        if self.is_ours:
            self.saved.append(record)
        return self.is_ours

    async def save_message(self, message: TakenMessage) -> None:
        if self.database_is_gone:
            raise Unavailable("the database is gone")
        self.messages.append(message)

    def close(self) -> None:
        pass

    async def call(self, name: str, priority: str = "") -> CallSpec:
        metadata = {"priority": priority} if priority else {}
        spec = replace(SPEC, call_id=name, session_id=f"s-{name}", metadata=metadata, profile="")
        spec = replace(spec, accepted_at_s=time.time())
        self.lease_id = (await self.agent.lease(spec)).lease_id
        return spec

    async def ended(self) -> CallRecord:
        async with patience():
            while not self.saved:
                await asyncio.sleep(0)
        return self.saved.pop()

    @property
    def occupancy(self) -> tuple[int, int]:
        found = self.agent._intake.stats()
        return found["live"], found["reserved"]


class Cost:
    """Answers, or is gone."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.there = True

    async def usage(self, *args: Any) -> None:
        self._bill("usage", *args)

    async def transcription(self, *args: Any) -> None:
        self._bill("transcription", *args)

    def _bill(self, name: str, *args: Any) -> None:
        *rest, at_s = args
        assert 0 <= time.time() - at_s <= PATIENCE_S
        self._tell(name, *rest)

    async def close_call(self, *args: Any) -> None:
        self._tell("close_call", *args)

    async def call_cost(self, session_id: str) -> CallCost:
        self._tell("call_cost", session_id)
        return CallCost(total_micros=900, responses=1)

    def _tell(self, *args: Any) -> None:
        if not self.there:
            raise RayActorError
        self.told.append(args)


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> Cost:
    found = Cost()
    monkeypatch.setattr("actors.deliveries.find", lambda role: {"cost": found}[role])
    return found


@pytest.fixture
async def house(tmp_path: Path) -> House:
    return House(tmp_path, capacity=10)


async def test_batch_calls_leave_room_for_normal_and_those_for_emergencies(house: House) -> None:
    for number in range(7):
        await house.call(f"b{number}", "batch")
    with pytest.raises(LimitReached) as caught:
        await house.call("b7", "batch")
    assert caught.value.retry_after_s >= 1
    await house.call("n0")
    await house.call("n1")
    with pytest.raises(LimitReached):
        await house.call("n2", "normal")
    await house.call("e0", "emergency")
    with pytest.raises(LimitReached):
        await house.call("e1", "emergency")
    assert house.occupancy == (10, 0)
    refused = house.agent._intake.stats()["refused"]
    assert {(each["priority"], each["count"]) for each in refused} == {
        ("batch", 1), ("normal", 1), ("emergency", 1),
    }  # fmt: skip


async def test_an_unknown_priority_names_the_known_ones(house: House) -> None:
    with pytest.raises(InvalidRequest, match="emergency") as caught:
        await house.call("x", "urgent")
    assert caught.value.field == "start.metadata"
    assert house.occupancy == (0, 0)


async def test_no_place_is_kept_for_a_call_that_got_no_session(house: House) -> None:
    house.pool.refusal = LimitReached("busy", retry_after_s=1.0)
    for number in range(20):
        with pytest.raises(LimitReached, match="busy"):
            await house.call(f"c{number}")
    assert house.occupancy == (0, 0)


async def test_a_call_id_in_use_costs_the_live_call_nothing(house: House) -> None:
    await house.call("same")
    with pytest.raises(CallIdInUse):
        await house.call("same")
    assert house.occupancy == (1, 0)


async def test_the_worker_is_chosen_by_the_legs_of_all_calls(house: House) -> None:
    first = await house.call("first")
    lease_id, since_s = house.lease_id, time.monotonic()
    assert house.workers.legs == []
    house.workers.living = ["w1"]
    await house.call("second")
    assert [(each.worker, each.weight) for each in house.workers.legs] == [("w0", 1.0)]
    assert house.workers.legs[0].since_s <= since_s
    assert await house.agent.another_worker(lease_id, "/w0") == "/w1"
    assert await house.agent.another_worker(lease_id, "/w0") == "/w1"  # moved already
    legs = house.agent._calls.legs()
    assert [each.worker for each in legs] == ["w1", "w1"]
    assert legs[0].since_s > since_s
    with pytest.raises(Unavailable, match="no other audio worker"):
        await house.agent.another_worker(lease_id, "/w1")
    house.workers.living = []
    with pytest.raises(Unavailable, match="no audio worker"):
        await house.call("third")
    assert first.codec == "pcmu"


async def test_a_call_whose_door_could_not_reach_its_worker_does_not_begin(house: House) -> None:
    house.workers.open_to_others = False
    spec = replace(SPEC, profile="", node_id="elsewhere", accepted_at_s=time.time())
    with pytest.raises(Unavailable, match="not yet"):
        await house.agent.lease(spec)
    await asyncio.sleep(0)
    assert (house.begun, house.pool.sessions[0].taken_over) == ([], [])
    assert (house.pool.given_back, house.occupancy) == ([("0", False)], (0, 0))


async def test_an_ended_call_gives_its_place_back(house: House) -> None:
    await house.call("one")
    house.pool.sessions[0].end.set_result(
        CallRecord(replace(SPEC, call_id="one", session_id="s-one"), "ended", "ended", "m")
    )
    await house.ended()
    assert house.occupancy == (0, 0)
    assert house.pool.given_back == [("0", False)]


async def test_a_call_goes_on_with_another_session_and_then_with_none(
    house: House, cost: Cost
) -> None:
    await house.call("one")
    for number in range(3):
        async with patience():
            while len(house.pool.sessions) <= number or not house.pool.sessions[number].taken_over:
                await asyncio.sleep(0)
        house.pool.sessions[number].end.set_exception(RayActorError())
    record = await house.ended()
    assert (record.state, record.end_reason) == ("ended", "internal")
    told = [session.taken_over for session in house.pool.sessions[:3]]
    assert told[0] == [None]
    assert all(each and each[0] and each[0].spec.call_id == "one" for each in told[1:])
    assert house.pool.given_back == [("0", True), ("1", True), ("2", True)]
    assert len(house.pool.sessions) == 3  # none is leased that nobody uses
    await asyncio.sleep(0)
    assert house.workers.given_up == [("w0", house.lease_id)]
    assert house.occupancy == (0, 0)
    assert [name for name, *_ in cost.told] == ["close_call", "call_cost"]  # no state is known


async def test_where_there_is_no_other_session_the_call_ends_with_all_that_is_known_of_it(
    house: House, cost: Cost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "state", lambda _: dumps(checkpoint()))
    await house.call("one")
    await asyncio.sleep(0)
    house.pool.refusal = Unavailable("none")
    house.pool.sessions[0].end.set_exception(RayActorError())
    record = await house.ended()
    assert (record.end_reason, record.cost_micros) == ("internal", 900)
    assert cost.told == [
        ("usage", "s-one", BILL.response_id, BILL.model, BILL.usage, None),
        ("close_call", "s-one"),
        ("call_cost", "s-one"),
    ]


async def test_a_call_without_a_session_that_another_node_has_leaves_nothing_here(
    house: House, cost: Cost
) -> None:
    await house.call("one")
    await asyncio.sleep(0)
    house.pool.refusal, house.is_ours = Unavailable("none"), False
    house.pool.sessions[0].end.set_exception(RayActorError())
    async with patience():
        while house.occupancy != (0, 0):
            await asyncio.sleep(0)
    assert (house.saved, cost.told) == ([], [])


async def test_a_caller_comes_back_once_and_with_its_own_key(house: House) -> None:
    spec = replace(SPEC, call_id="one", session_id="s-one", profile="", key_id="mine")
    spec = replace(spec, accepted_at_s=time.time())
    placement = await house.agent.lease(spec)
    for token, key in (("n.x", "mine"), (placement.resume_token, "theirs")):
        with pytest.raises(NotFound, match="not that of a live call") as caught:
            await house.agent.resume(token, key, "n")
        assert caught.value.field == "start.resume_token"
    house.workers.open_to_others = False
    with pytest.raises(Unavailable, match="not yet"):
        await house.agent.resume(placement.resume_token, "mine", "another")
    found, again = await house.agent.resume(placement.resume_token, "mine", "n")
    assert (found.call_id, again.lease_id) == ("one", placement.lease_id)
    # That answer was lost on its way: the same token once more.
    _, second = await house.agent.resume(placement.resume_token, "mine", "n")
    await house.agent.has_token("s-unknown", second.resume_token)
    await house.agent.has_token("s-one", again.resume_token)  # of the lost one
    assert house.tokens == []
    await house.agent.has_token("s-one", second.resume_token)
    for used in (placement.resume_token, again.resume_token, ""):
        with pytest.raises(NotFound, match="not that of a live call"):
            await house.agent.resume(used, "mine", "n")
    _, third = await house.agent.resume(second.resume_token, "mine", "n")
    # Who comes with its newest token has it, whatever its door had time to say.
    assert (await house.agent.resume(third.resume_token, "mine", "n"))[0].call_id == "one"
    with pytest.raises(NotFound, match="not that of a live call"):
        await house.agent.resume(second.resume_token, "mine", "n")
    await asyncio.sleep(0)
    assert house.tokens == [second.resume_token, third.resume_token]


async def test_a_session_that_stands_still_is_replaced_too(house: House) -> None:
    await house.call("one")
    async with patience():
        while not house.pool.sessions[0].taken_over:
            await asyncio.sleep(0)
    live = house.agent._calls.get("one")
    assert live
    house.agent._calls.hear(session_lost("somebody else's", "0"))
    house.agent._calls.hear(session_lost(live.spec.lease_id, "the one before"))
    await asyncio.sleep(0)
    assert len(house.pool.sessions) == 1
    house.agent._calls.hear(session_lost(live.spec.lease_id, live.session_id))
    async with patience():
        while len(house.pool.sessions) < 2 or not house.pool.sessions[1].taken_over:
            await asyncio.sleep(0)
    assert house.pool.given_back == [("0", True)]
    ended = CallRecord(replace(SPEC, call_id="one", session_id="s-one"), "ended", "ended", "m")
    house.pool.sessions[1].end.set_result(ended)
    assert await house.ended() is ended


async def test_a_call_of_a_lost_node_goes_on_from_its_last_state(house: House) -> None:
    spec = replace(SPEC, call_id="one", session_id="s-one", profile="", node_id="n")
    house.claim = Claim(spec, 2, b"kept")
    placement = await house.agent.take_over(spec, b"", "their token")
    assert placement.resume_token == "their token"
    assert house.begun == [("s-one", "their token")]
    async with patience():
        while not house.pool.sessions[0].states:
            await asyncio.sleep(0)
    assert house.pool.sessions[0].states == [b"kept"]
    again = replace(spec, call_id="two", session_id="s-two", node_id="elsewhere")
    placement = await house.agent.take_over(again, b"newer, of the front door", "", False)
    assert house.pool.asked == [(True, True), (True, False)]
    assert placement.resume_token.startswith("n.")
    assert placement.worker_address.startswith("tls:")
    async with patience():
        while not house.pool.sessions[1].states:
            await asyncio.sleep(0)
    assert house.pool.sessions[1].states == [b"newer, of the front door"]


async def test_a_call_that_is_somebody_elses_is_not_taken(house: House) -> None:
    spec = replace(SPEC, call_id="one", session_id="s-one", profile="")
    with pytest.raises(NotFound):
        await house.agent.take_over(spec, b"", "t")
    assert (house.pool.given_back, house.occupancy) == ([("0", False)], (0, 0))


async def test_a_lost_call_is_taken_where_a_new_one_is_not(tmp_path: Path) -> None:
    """Room is kept for more important calls; a live one is never shed."""
    house = House(tmp_path, capacity=10)
    for number in range(9):
        await house.call(f"c{number}")
    with pytest.raises(LimitReached):
        await house.call("c9")
    house.claim = Claim(SPEC, 2, b"")
    await house.agent.take_over(replace(SPEC, call_id="x", session_id="s-x", profile=""), b"", "t")


async def test_a_node_hands_over_what_its_grace_time_did_not_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.live_call.HAND_OVER_TIMEOUT_S", 10 * PATIENCE_S)
    spec = await house.call("one")
    house.is_ours = False  # the front door has it at another node at once
    await house.agent.close()
    draining = asyncio.create_task(house.agent.drain(0.05))
    async with patience():
        while FENCED not in house.pool.sessions[0].ended_for:
            await asyncio.sleep(0.01)
    assert house.workers.handed_over == house.workers.let_gone == [("w0", house.lease_id)]
    session = house.pool.sessions[0]
    session.end.set_result(CallRecord(spec, "ended", "ended", "m", end_reason=FENCED))
    assert await asyncio.wait_for(draining, PATIENCE_S) == 0
    assert (house.saved, house.forgotten, house.pool.closed) == ([], ["s-one"], True)
    assert [report.ready for report in house.membership.told] == [False]  # before the wait


@pytest.mark.parametrize(("others", "reason"), [(True, FENCED), (False, "shutdown")])
async def test_a_call_that_nobody_took_in_time_is_left_for_the_other_nodes(
    house: House, others: bool, reason: str
) -> None:
    spec = await house.call("one")
    house.membership.others = others
    stopping = asyncio.create_task(house.agent.stop())
    session = house.pool.sessions[0]
    async with patience():
        while not session.ended_for:
            await asyncio.sleep(0.01)
    assert session.ended_for == [reason]
    assert house.workers.let_gone == ([("w0", house.lease_id)] if others else [])
    session.end.set_result(CallRecord(spec, "ended", "ended", "m", end_reason=reason))
    await asyncio.wait_for(stopping, PATIENCE_S)
    assert [record.end_reason for record in house.saved] == ([] if others else ["shutdown"])


async def test_a_lease_that_comes_too_late_is_refused(house: House) -> None:
    """The node stood still; the front door has placed the call elsewhere by now."""
    spec = replace(SPEC, call_id="one", accepted_at_s=time.time() - 60.0)
    with pytest.raises(Unavailable, match="waited for too long"):
        await house.agent.lease(spec)


async def test_a_node_is_full_or_draining_or_ready(tmp_path: Path) -> None:
    house = House(tmp_path, capacity=10)
    assert await house.agent.readiness() == "ready"
    for number in range(9):
        await house.call(f"c{number}")
    assert await house.agent.readiness() == "full"  # the last place is for emergencies
    for _ in range(2):
        await house.agent.close()
        assert (await house.agent.readiness(), house.pool.closed) == ("draining", True)
    with pytest.raises(Unavailable, match="takes no more calls"):
        await house.call("another", "emergency")


async def test_a_grace_time_longer_than_the_nodes_life_is_refused(house: House) -> None:
    house.agent._config = replace(house.agent._config, most_grace_s=60.0)
    told = asyncio.create_task(house.agent.until_told_to_leave())
    with pytest.raises(InvalidRequest, match="grace_s is 61: at most 60 s fit into"):
        await house.agent.leave(61.0, "operator")
    await asyncio.sleep(0)
    assert not told.done()
    await house.agent.leave(60.0, "operator")
    assert await asyncio.wait_for(told, PATIENCE_S) == 60.0


async def test_a_node_is_asked_to_leave_once(house: House) -> None:
    told = asyncio.create_task(house.agent.until_told_to_leave())
    await house.agent.leave(5.0, "operator")
    await house.agent.leave(9.0, "another")
    assert await asyncio.wait_for(told, PATIENCE_S) == 5.0


async def test_what_the_database_cannot_take_is_delivered_once_it_can(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.outbox.AGAIN_S", 0.01)
    house.keep_later(Outbox(tmp_path / "outbox"))
    deliveries = house.agent._has.deliveries
    delivering = asyncio.create_task(deliveries.run())
    spec = await house.call("one")
    house.database_is_gone = True
    message = TakenMessage("one", "Ann", "Bob", "1", "Call back.", 5.0)
    await house.agent.save_message(message)
    house.pool.sessions[0].end.set_result(CallRecord(spec, "ended", "ended", "m"))
    async with patience():
        while len(deliveries) < 2:
            await asyncio.sleep(0.01)
    assert (house.saved, house.messages) == ([], [])
    house.database_is_gone = False
    assert (await house.ended()).spec == spec
    assert house.messages == [message]
    delivering.cancel()
    deliveries.close()
    assert list((tmp_path / "outbox").iterdir()) == []


async def test_a_call_that_goes_on_nowhere_is_billed_and_its_account_closed(
    house: House, cost: Cost, tmp_path: Path
) -> None:
    agent = house.agent
    house.keep_later(Outbox(tmp_path / "outbox"))
    usage = p.Usage(output_audio=20)
    pending: list[m.Work] = [
        m.ReportUsage("r1", usage, "m"), m.ReportTranscription("i1", 1.5, 0, 0),
        m.Redial(0.0, (), "m"), m.RunTool("t1", "name", "{}", 5),
    ]  # fmt: skip
    assert await agent._settle(SPEC, pending) == 900
    expected = [
        ("usage", "s1", "r1", "m", usage, None),
        ("transcription", "s1", "i1", PROFILE.transcription_model, 1.5, 0, 0, None),
        ("close_call", "s1"),
    ]
    assert cost.told == [*expected, ("call_cost", "s1")]
    cost.there = False
    assert await agent._settle(SPEC, pending) is None
    assert len(agent._has.deliveries) == 3
    assert agent._is_here("whatever")  # its record may be among what waits
    agent._has.deliveries.close()


async def test_which_calls_are_here(house: House) -> None:
    await house.call("one")
    assert [house.agent._is_here(each) for each in ("s-one", "s-two")] == [True, False]
