"""Several nodes: calls are spread, found and ended anywhere, and outlive their node.

Real raylets and real processes on one machine; faults are signals to all of a node's.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import grpc
import psutil
import pytest
from typer.testing import CliRunner

from cluster.caller import Caller, HangUp, Listen, Outcome, Say, StayOn, Step, Until
from cluster.cli import app
from cluster.local import LocalCluster, Member, local_cluster
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from tests.cluster.patient import SCENE_S, placed, receptionist
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.timeout(500)

SPEECH = bytes(range(0, 256)) * 60  # two seconds of something loud, mu-law
FROZEN_S = 4.0  # twice what its links give it; Ray would give it up after 6
ROOM = 10  # calls of a node; 9 of them make it fuller than two cores that have no rest
DRAINED_S = 8.0  # more than a node without calls takes to leave
PAUSE = b"\xff" * 8_000 * 6  # long enough for any fault


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    settings = {
        "receptionist_path": str(receptionist(tmp_path_factory.mktemp("profiles"))),
        "provider": "embedded", "model": "scripted", "insecure_dev": "true", "workers": "1",
        "pool_size": "6", "rate_limit_per_minute": "100000", "rate_limit_per_hour": "1000000",
        "drain_grace_s": "1", "resume_wait_s": "3", "pool_ceiling": str(ROOM),
    }  # fmt: skip
    with local_cluster(3, **settings) as found:
        wait_until(lambda: _sees_all(found))
        yield found


def _unary(member: Member, method: str, request: Any) -> Any:
    with grpc.insecure_channel(member.grpc_address) as channel:
        return getattr(rpc.ReceptionStub(channel), method)(request, timeout=PATIENCE_S)


def _sees_all(cluster: LocalCluster, door: Member | None = None) -> bool:
    """The (first) door shares calls out to every node that lives."""
    door = door or cluster.nodes[0]
    live = [each for each in cluster.nodes if each.process.poll() is None]
    located = {_unary(door, "Locate", rv.LocateRequest()).node_id for _ in range(20)}
    return located == {each.node_id for each in live}


class _Callers:
    """Callers at one door, who talk with whoever answers.

    Args:
        here: their calls stay on the door's node.
        pause: what they do between the greeting and their words; None: they wait for
            `good`.
    """

    def __init__(
        self,
        door: Member,
        name: str,
        count: int,
        *,
        here: bool = False,
        pause: Step | None = Say(PAUSE),  # noqa: B008 - it is frozen
    ) -> None:
        self.ids = [f"{name}-{number}" for number in range(count)]
        self._door, self._here = door, here
        self._may_speak = asyncio.Event()
        self._pause = pause or Until(self._may_speak.is_set)
        self._greeted = {call_id: asyncio.Event() for call_id in self.ids}
        self._calls = [
            asyncio.ensure_future(placed(partial(self._caller, call_id))) for call_id in self.ids
        ]

    def _caller(self, call_id: str) -> Caller:
        return Caller(
            self._door.grpc_address,
            [Listen(), self._pause, Say(SPEECH), Listen(), HangUp()],
            start=rv.CallStart(
                call_id=call_id, here=self._here, format=rv.LegFormat(codec=rv.CODEC_PCMU)
            ),
            on_change=self._noticer(call_id),
        )

    def _noticer(self, call_id: str) -> Callable[[Outcome], None]:
        def notice(outcome: Outcome) -> None:
            if any(who == "reception" for who, _ in outcome.transcript):
                self._greeted[call_id].set()

        return notice

    async def greeted(self) -> None:
        """Until each has heard the greeting."""
        for event, call in zip(self._greeted.values(), self._calls, strict=True):
            waiting = asyncio.ensure_future(event.wait())
            await asyncio.wait((waiting, call), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            assert event.is_set(), call.result()

    async def gone(self) -> None:
        """Each has lost its stream, and does not come back."""
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def good(self) -> None:
        """Each got an answer, and ended as it should."""
        self._may_speak.set()
        for outcome in await asyncio.gather(*self._calls):
            assert outcome.status == "OK", (outcome.call_id, outcome.error)
            said = [text for who, text in outcome.transcript if who == "reception"]
            assert len(said) >= 2, (outcome.call_id, said)
            assert outcome.summary is not None
            assert outcome.summary.turns >= 1, outcome.call_id


def _rows(cluster: LocalCluster, query: str) -> list[tuple[Any, ...]]:
    path = cluster.folder / "reception.db"
    with closing(sqlite3.connect(path, timeout=PATIENCE_S)) as connection:
        return connection.execute(query).fetchall()


def _all_in_order(cluster: LocalCluster, ids: list[str], reason: str = "caller_hangup") -> None:
    """Each call ended once, with a record, and neither money nor place is held."""
    wait_until(lambda: _rows(cluster, "SELECT * FROM live_calls"), lambda rows: not rows)
    ended = [
        row for row in _rows(cluster, "SELECT call_id, end_reason FROM calls") if row[0] in ids
    ]
    assert sorted(ended) == [(call_id, reason) for call_id in ids]
    # A bill that the ledger did not take at once comes after the call.
    held = (
        "SELECT session_id, held_micros FROM accounts "
        "WHERE held_micros > 0 AND session_id NOT LIKE 'lease:%'"
    )
    wait_until(lambda: _rows(cluster, held), lambda rows: not rows)


def _where(cluster: LocalCluster, ids: list[str]) -> dict[str, str]:
    """The nodes of live calls, once they are all written down."""
    found: dict[str, str] = wait_until(
        lambda: dict(_rows(cluster, "SELECT call_id, node_id FROM live_calls")),
        lambda found: set(ids) <= set(found),
    )
    return {call_id: found[call_id] for call_id in ids}


def _active(member: Member, call_id: str) -> rv.Call:
    """The call, once its node knows what its caller knows already."""
    found: rv.Call = wait_until(
        lambda: _unary(member, "GetCall", rv.GetCallRequest(call_id=call_id)),
        lambda found: found.state == rv.CALL_STATE_ACTIVE,
    )
    return found


def test_calls_are_spread_and_found_from_every_door(cluster: LocalCluster) -> None:
    first, second, _ = cluster.nodes
    wait_until(lambda: _sees_all(cluster))

    async def scene() -> None:
        callers = _Callers(first, "spread", 6, pause=None)
        await callers.greeted()
        nodes = await asyncio.to_thread(_where, cluster, callers.ids)
        assert set(nodes.values()) == {node.node_id for node in cluster.nodes}
        for call_id in callers.ids:
            found = await asyncio.to_thread(_active, second, call_id)
            assert found.node_id == nodes[call_id]
        listed = await asyncio.to_thread(_unary, second, "ListCalls", rv.ListCallsRequest())
        assert {call.call_id for call in listed.calls} >= set(callers.ids)
        await callers.good()

    asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    _all_in_order(cluster, [f"spread-{number}" for number in range(6)])


def test_a_call_id_is_one_live_calls_through_every_door(cluster: LocalCluster) -> None:
    doors, rounds = cluster.nodes, 3

    def place(door: Member, call_id: str, *steps: Step, here: bool = True) -> Caller:
        start = rv.CallStart(call_id=call_id, here=here, format=rv.LegFormat(codec=rv.CODEC_PCMU))
        return Caller(door.grpc_address, steps, start=start)

    def refused(outcome: Outcome, call_id: str) -> None:
        assert outcome.summary is None
        if outcome.setup_ms and outcome.error == "Internal error from Core":
            return  # a frame was being written just then (grpc issue 36066)
        assert outcome.status == "ALREADY_EXISTS", outcome.error
        assert outcome.error == f"call_id {call_id!r} is a live call's"

    async def one_round(call_id: str) -> None:
        seen = asyncio.Event()
        steps = (Listen(), Until(seen.is_set), HangUp())
        calls = [
            asyncio.ensure_future(placed(partial(place, door, call_id, *steps))) for door in doors
        ]
        losers: list[asyncio.Future[Outcome]] = []
        while len(losers) < len(calls) - 1:  # at the same instant, one of them lives
            done, _ = await asyncio.wait(
                set(calls) - set(losers), return_when=asyncio.FIRST_COMPLETED
            )
            losers += done
        for loser in losers:
            refused(loser.result(), call_id)
        [winner] = set(calls) - set(losers)
        found = await asyncio.to_thread(_active, doors[0], call_id)
        for door in doors * 2:
            refused(await placed(partial(place, door, call_id, here=False)), call_id)
        assert (await asyncio.to_thread(_active, doors[1], call_id)).session_id == found.session_id
        seen.set()
        outcome = await winner
        assert outcome.status == "OK", outcome.error
        assert outcome.summary is not None
        assert outcome.summary.session_id == found.session_id
        for door in doors:  # its id is free again
            again = await placed(partial(place, door, f"{call_id}-again", Listen(), HangUp()))
            assert again.status == "OK", again.error

    async def scene() -> None:
        await asyncio.gather(*(one_round(f"same-{number}") for number in range(rounds)))

    asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    _all_in_order(cluster, [f"same-{number}" for number in range(rounds)])


def test_a_call_is_watched_and_ended_from_another_door(cluster: LocalCluster) -> None:
    first, second, _ = cluster.nodes

    async def scene() -> Outcome:
        async with grpc.aio.insecure_channel(second.grpc_address) as channel:
            stub = rpc.ReceptionStub(channel)
            updates = stub.WatchCalls(rv.WatchCallsRequest(include_current=True, call_id="seen"))
            started = asyncio.Event()
            start = rv.CallStart(
                call_id="seen", here=True, format=rv.LegFormat(codec=rv.CODEC_PCMU)
            )
            caller = Caller(
                first.grpc_address, [StayOn()], start=start, on_change=lambda _: started.set()
            )
            call = asyncio.ensure_future(caller.call())
            await started.wait()
            assert (await updates.read()).call.call_id == "seen"  # so its end will be told
            await asyncio.to_thread(_where, cluster, ["seen"])  # so every door knows of it
            await stub.EndCall(rv.EndCallRequest(call_id="seen"))
            while (update := await updates.read()).kind != rv.CallUpdate.KIND_ENDED:
                assert update.call.call_id == "seen"
            return await call

    outcome = asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    assert outcome.hangup == "ended_by_operator"
    _all_in_order(cluster, ["seen"], "ended_by_operator")


def test_a_client_that_has_balanced_keeps_its_calls_on_the_doors_node(
    cluster: LocalCluster,
) -> None:
    wait_until(lambda: _sees_all(cluster, cluster.nodes[1]))
    addresses = {node.node_id: node.grpc_address for node in cluster.nodes}
    answers = [_unary(cluster.nodes[1], "Locate", rv.LocateRequest()) for _ in range(12)]
    assert {(each.node_id, each.address) for each in answers} == set(addresses.items())

    async def scene() -> None:
        callers = _Callers(cluster.nodes[2], "here", ROOM - 1, here=True, pause=None)
        await callers.greeted()
        nodes = await asyncio.to_thread(_where, cluster, callers.ids)
        assert set(nodes.values()) == {cluster.nodes[2].node_id}
        await asyncio.to_thread(
            wait_until,
            lambda: Counter(
                _unary(cluster.nodes[1], "Locate", rv.LocateRequest()).node_id for _ in range(30)
            ),
            lambda shares: 0 < shares[cluster.nodes[2].node_id] < min(
                shares[each.node_id] for each in cluster.nodes[:2]
            ),
        )  # fmt: skip  # the busier node gets less
        await callers.good()

    asyncio.run(asyncio.wait_for(scene(), SCENE_S))


def test_calls_outlive_the_death_of_rays_gcs(cluster: LocalCluster) -> None:
    first, second, _ = cluster.nodes

    def gcs() -> list[psutil.Process]:
        return [each for each in cluster.head.processes() if each.name() == "gcs_server"]

    async def scene() -> None:
        before = _Callers(first, "gcs", 4)
        await before.greeted()
        [lost] = gcs()
        lost.kill()
        after = _Callers(second, "after", 2)
        await after.greeted()
        await before.good()
        await after.good()
        await asyncio.to_thread(wait_until, lambda: bool(gcs()) and lost not in gcs())

    asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    _all_in_order(cluster, [f"after-{n}" for n in range(2)] + [f"gcs-{n}" for n in range(4)])
    wait_until(lambda: _sees_all(cluster))


def test_calls_outlive_a_node_that_stands_still_and_it_finds_itself_fenced(
    cluster: LocalCluster,
) -> None:
    door, frozen, _ = cluster.nodes

    async def scene() -> None:
        callers = _Callers(door, "still", 6)
        await callers.greeted()
        frozen.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(FROZEN_S)
        finally:
            frozen.send(signal.SIGCONT)
        await callers.good()

    asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    _all_in_order(cluster, [f"still-{number}" for number in range(6)])
    wait_until(lambda: _sees_all(cluster))  # it is back


def test_calls_outlive_the_loss_of_a_node(cluster: LocalCluster) -> None:
    door, _, lost = cluster.nodes

    async def scene() -> None:
        callers = _Callers(door, "lost", 6)
        await callers.greeted()
        await asyncio.to_thread(lost.lose)
        await callers.good()

    asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    _all_in_order(cluster, [f"lost-{number}" for number in range(6)])


def test_a_call_of_a_lost_node_whose_caller_stays_away_ends(cluster: LocalCluster) -> None:
    [lost] = cluster.add()

    async def scene() -> None:
        callers = _Callers(lost, "away", 2, here=True)
        await callers.greeted()
        await asyncio.to_thread(lost.lose)
        await callers.gone()

    asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    _all_in_order(cluster, ["away-0", "away-1"], "node_lost")


def test_callers_at_the_door_of_a_node_that_leaves_keep_their_calls(
    cluster: LocalCluster,
) -> None:
    """By `reception drain`. None of them comes back elsewhere, whatever it is told."""
    [leaving] = cluster.add()
    wait_until(lambda: _sees_all(cluster, leaving))

    async def scene() -> None:
        callers = [_Callers(leaving, f"there{number}", 1, pause=None) for number in range(5)]
        for caller in callers:
            await caller.greeted()
        ids = [call_id for caller in callers for call_id in caller.ids]
        nodes = await asyncio.to_thread(_where, cluster, ids)
        there = [caller for caller in callers if nodes[caller.ids[0]] == leaving.node_id]
        elsewhere = [caller for caller in callers if caller not in there]
        assert elsewhere
        command = ["drain", "--http", leaving.said["http"], "--grace", str(SCENE_S)]
        draining = asyncio.ensure_future(asyncio.to_thread(CliRunner().invoke, app, command))
        await asyncio.to_thread(wait_until, lambda: "draining" in leaving.errors.read_text())
        for caller in there:
            await caller.good()
        await asyncio.sleep(DRAINED_S)
        for caller in elsewhere:
            await caller.good()
        done = await draining
        assert done.exit_code == 0, done.output
        assert await asyncio.to_thread(leaving.process.wait, PATIENCE_S) == 0

    asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    _all_in_order(cluster, [f"there{number}-0" for number in range(5)])
    assert "cut off" not in leaving.errors.read_text()


def test_a_node_that_leaves_hands_its_calls_over(cluster: LocalCluster) -> None:
    door, leaving, *_ = cluster.nodes
    wait_until(lambda: _sees_all(cluster))

    async def scene() -> None:
        callers = _Callers(door, "left", 4)
        await callers.greeted()
        assert leaving.node_id in (await asyncio.to_thread(_where, cluster, callers.ids)).values()
        await asyncio.to_thread(leaving.leave)
        assert leaving.process.returncode == 0
        await callers.good()

    asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    _all_in_order(cluster, [f"left-{number}" for number in range(4)])
    assert "cut off" not in leaving.errors.read_text()
    assert _unary(door, "Locate", rv.LocateRequest()).node_id == door.node_id
