"""What calls, audio workers and pool do not agree on is ended, each way; all are fakes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.exceptions import RayActorError

from actors.live_calls import LiveCalls
from actors.stray_reaper import REASON, StrayReaper
from actors.warm_pool import WarmPool
from actors.worker_pool import WorkerPool
from reception.placement.strays import STRAY_S
from tests.waiting import patience


class FakeCall:
    def __init__(self, lease_id: str, session_id: str) -> None:
        self.spec = SimpleNamespace(lease_id=lease_id, call_id=f"c-{lease_id}")
        self.session_id, self.ending = session_id, False
        self.ended: list[str] = []
        self.lost: list[str] = []

    def session_lost(self, session_id: str) -> None:
        self.lost.append(session_id)

    async def end(self, reason: str) -> None:
        self.ended.append(reason)


class Node:
    """Two calls, all of whose parts are there; the test takes some away."""

    def __init__(self) -> None:
        self.calls = LiveCalls()
        self.one, self.two = FakeCall("l1", "s1"), FakeCall("l2", "s2")
        for each in (self.one, self.two):
            self.calls.began(cast(Any, each))
        self.leased_sessions = {"s1", "s2"}
        self.has = {"l1": "w0", "l2": "w1"}
        self.dead = False
        self.replaced: list[tuple[str, bool]] = []
        self.let_go_of: list[tuple[str, str]] = []
        me = cast(Any, self)
        self.reaper = StrayReaper(self.calls, cast(WarmPool, me), cast(WorkerPool, me))

    async def legs(self) -> dict[str, str]:
        if self.dead:
            raise RayActorError
        return dict(self.has)

    def leased(self) -> frozenset[str]:
        return frozenset(self.leased_sessions)

    def give_back(self, session: str, *, dead: bool = False) -> None:
        self.replaced.append((session, dead))

    async def let_go(self, worker_id: str, lease_id: str) -> None:
        self.let_go_of.append((worker_id, lease_id))

    async def late(self) -> None:
        """It stays so for longer than it may."""
        await self.reaper.look(0.0)
        await self.reaper.look(STRAY_S)
        assert self.done() == ([], [], [], [])
        await self.reaper.look(STRAY_S + 1.0)
        await asyncio.gather(*self.reaper._ending)

    def done(self) -> tuple[list[str], list[str], list[Any], list[Any]]:
        return self.one.ended, self.two.ended, self.let_go_of, self.replaced


async def test_what_agrees_is_left_alone() -> None:
    node = Node()
    await node.late()
    assert node.done() == ([], [], [], [])


async def test_a_call_without_a_leg_is_ended() -> None:
    node = Node()
    del node.has["l1"]
    await node.late()
    assert node.done() == ([REASON], [], [], [])
    assert node.one.lost == []


async def test_a_call_without_a_session_is_ended_or_given_another() -> None:
    node = Node()
    node.leased_sessions.remove("s2")
    await node.late()
    assert node.done() == ([], [REASON], [], [])
    assert node.two.lost == ["s2"]


async def test_a_call_whose_record_is_being_written_needs_neither() -> None:
    node = Node()
    node.one.ending = True
    del node.has["l1"]
    node.leased_sessions.remove("s1")
    await node.late()
    assert node.done() == ([], [], [], [])


async def test_a_leg_without_a_call_is_let_go() -> None:
    node = Node()
    node.has["l3"] = "w1"
    await node.late()
    assert node.done() == ([], [], [("w1", "l3")], [])


async def test_a_session_that_is_leased_for_no_call_is_replaced() -> None:
    node = Node()
    node.leased_sessions.add("s3")
    await node.late()
    assert node.done() == ([], [], [], [("s3", True)])


async def test_it_looks_again_though_a_worker_did_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.stray_reaper.LOOK_S", 0.01)
    monkeypatch.setattr("reception.placement.strays.STRAY_S", 0.05)
    node = Node()
    node.dead = True
    node.has["l3"] = "w1"
    running = asyncio.create_task(node.reaper.run())
    await asyncio.sleep(0.1)
    assert not running.done()
    assert node.let_go_of == []
    node.dead = False
    async with patience():
        while not node.let_go_of:
            await asyncio.sleep(0.01)
    running.cancel()
