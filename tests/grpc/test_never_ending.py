"""Calls that would never end by themselves: hundreds of each leave nothing behind.

A real gRPC server, real links and a real audio worker; the provider never says a word.
`NEVER_ENDING=1000` in the environment makes a thousand of each.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import psutil
import pytest

from actors.media_call import MediaCall
from actors.provider import warm_up
from cluster.door_config import DoorConfig
from cluster.front_door import FrontDoor
from cluster.front_door.converse import Stream
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from reception.errors import LimitReached
from reception.money.account import Hold
from reception.placement.admission.answer import Cause, Refused
from tests.fakes.backends import FakeBackends, worker_at
from tests.fakes.provider import FakeProvider
from tests.waiting import PATIENCE_S, patience

MANY, AT_ONCE = int(os.environ.get("NEVER_ENDING", "200")), 10
TOGETHER_S = max(300.0, 1.5 * MANY)
GRPC_KEEPS = 10  # calls that its threads have not let go of yet
# What a process may grow by: 32 MB once (pools of threads, of arenas, of connections), then
# 16 KB a call.
GROWTH_MB, GROWTH_KB_A_CALL = 32.0, 16.0
START = rv.CallerMessage(start=rv.CallStart(format=rv.LegFormat(codec=rv.CODEC_PCMU)))
FRAME = rv.CallerMessage(audio=rv.Audio(payload=b"\x01" * 160))

pytestmark = pytest.mark.timeout(TOGETHER_S + 100)


class House:
    """A front door, and callers who are of no use."""

    def __init__(
        self, door: FrontDoor, backends: FakeBackends, worker: Any, provider: Any, stub: Any
    ) -> None:
        self.door, self.backends, self.worker, self.stub = door, backends, worker, stub
        self.provider = provider
        self._warm_mb = 0.0

    async def many(self, one: Callable[[], Awaitable[None]]) -> None:
        """Many calls like this one; what they left of memory is measured after the first
        tenth of them."""
        room = asyncio.Semaphore(AT_ONCE)

        async def in_turn() -> None:
            async with room:
                await one()

        async with asyncio.timeout(TOGETHER_S):
            await asyncio.gather(*(in_turn() for _ in range(MANY // 10)))
            _objects()  # looking takes memory too
            self._warm_mb = self._warm_mb or _rss_mb()
            await asyncio.gather(*(in_turn() for _ in range(MANY - MANY // 10)))

    async def left(self) -> dict[str, int]:
        """What there still is, once nothing more changes for the better."""
        found = {"something": 1}
        with suppress(TimeoutError):
            async with patience():  # a session waits 5 s for a door
                while any(found.values()):
                    await asyncio.sleep(0.1)
                    found = {
                        "streams": (await self.door.stats())["live"],
                        "media": (await self.worker.stats())["live"],
                        "calls": len(self.backends.live),
                        "provider": self.provider.open,
                        "close_wait": _close_wait(),
                    }
        for _ in range(100):
            count = _objects()
            found["objects"] = count if count > GRPC_KEEPS else 0
            if not found["objects"]:
                break
            await asyncio.sleep(0.1)
        grown_mb = _rss_mb() - self._warm_mb
        print(f"{MANY} calls: grown by {grown_mb:.1f} MB since the first tenth, left {found}")
        if grown_mb > GROWTH_MB + MANY * GROWTH_KB_A_CALL / 1024:
            found["mb"] = round(grown_mb)
        return {name: count for name, count in found.items() if count}

    async def refused(self) -> None:
        stream = self.stub.Converse()
        await stream.write(START)
        assert await stream.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    async def accepted(self) -> Any:
        """A call; another where a busy machine found no line for it in time, or was late
        with its first message."""
        async with patience():
            while True:
                stream = self.stub.Converse()
                try:
                    await stream.write(START)
                    assert (await stream.read()).HasField("accepted")
                except grpc.aio.AioRpcError as error:
                    if not re.search("no line within|no CallStart", error.details() or ""):
                        raise
                else:
                    return stream


def _objects() -> int:
    gc.collect()
    return sum(isinstance(each, Stream | MediaCall) for each in gc.get_objects())


def _rss_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def _close_wait() -> int:
    """Sockets of this process whose peer has closed, and which it keeps open."""
    found = psutil.Process().net_connections("tcp")
    return sum(each.status == psutil.CONN_CLOSE_WAIT for each in found)


@pytest.fixture(scope="module", autouse=True)
def _sdk_is_there() -> None:
    """Its import is a second of CPU, which no call's clock should meet."""
    warm_up("embedded", "http://127.0.0.1:1/v1")


@pytest.fixture
def idle_timeout_s() -> float:
    return 10 * PATIENCE_S


@pytest.fixture
def attach_timeout_s() -> float:
    return PATIENCE_S


@pytest.fixture
async def house(
    tmp_path: Any, idle_timeout_s: float, attach_timeout_s: float
) -> AsyncIterator[House]:
    provider = FakeProvider()
    path = str(tmp_path / "w.sock")
    backends = FakeBackends(path, await provider.start())
    worker = await worker_at(path)
    config = DoorConfig("127.0.0.1", 0, "n", idle_timeout_s, attach_timeout_s)
    door = FrontDoor(config, backends)
    async with grpc.aio.insecure_channel(await door.start()) as channel:
        yield House(door, backends, worker, provider, rpc.ReceptionStub(channel))
    await door.stop()
    await worker.stop()
    await provider.stop()


async def test_calls_that_money_refuses(house: House) -> None:
    house.backends.hold = Hold(False, "spent", retry_after_s=1.0)
    await house.many(house.refused)
    assert await house.left() == {}


async def test_calls_that_the_provider_or_the_node_has_no_room_for(house: House) -> None:
    house.backends.room = Refused(Cause.PROVIDER_TOKENS, "no tokens", 1.0)
    await house.many(house.refused)
    house.backends.room = FakeBackends("", "").room
    house.backends.lease_error = LimitReached("full", retry_after_s=1.0)
    await house.many(house.refused)
    assert await house.left() == {}
    assert sorted(house.backends.closed) == sorted(house.backends.opened)


@pytest.mark.parametrize("idle_timeout_s", [0.2])
async def test_streams_on_which_nothing_is_said(house: House) -> None:
    async def half_open() -> None:
        stream = house.stub.Converse()
        assert await stream.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    await house.many(half_open)
    assert await house.left() == {}


async def test_callers_who_hang_up_before_anybody_speaks(house: House) -> None:
    async def brief() -> None:
        stream = await house.accepted()
        await stream.done_writing()
        while await stream.read() is not grpc.aio.EOF:  # its status comes last
            pass
        assert await stream.code() is grpc.StatusCode.OK

    await house.many(brief)
    assert await house.left() == {}


async def test_callers_who_are_cut_off_in_the_middle_of_a_word(house: House) -> None:
    async def cut() -> None:
        stream = await house.accepted()
        await stream.write(FRAME)
        stream.cancel()

    await house.many(cut)
    assert await house.left() == {}


async def test_callers_who_give_up_while_they_are_being_placed(house: House) -> None:
    house.backends.line_moves.clear()

    async def impatient() -> None:
        stream = house.stub.Converse()
        await stream.write(START)
        await asyncio.sleep(0.01)
        stream.cancel()

    await house.many(impatient)
    house.backends.line_moves.set()
    assert await house.left() == {}


@pytest.mark.parametrize("idle_timeout_s", [0.5])
async def test_callers_who_are_accepted_and_then_fall_silent(house: House) -> None:
    async def silent() -> None:
        stream = await house.accepted()
        assert await stream.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    await house.many(silent)
    assert await house.left() == {}
    assert len(house.backends.gone) >= MANY
    assert set(house.backends.gone) == {"caller_vanished"}


@pytest.mark.parametrize("idle_timeout_s", [0.5])
async def test_legs_that_stay_when_the_provider_has_closed(house: House) -> None:
    """Neither side says anything more: the caller's silence ends them."""

    async def left_alone() -> None:
        stream = await house.accepted()
        connection = await house.provider.connections.get()  # of some call
        await connection.close()
        assert await stream.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    await house.many(left_alone)
    assert await house.left() == {}


async def test_calls_whose_session_never_comes(house: House) -> None:
    house.backends.with_session = False

    async def alone() -> None:
        stream = house.stub.Converse()
        await stream.write(START)
        await asyncio.sleep(0.01)
        stream.cancel()

    await house.many(alone)
    await house.backends.nobody_came()
    assert await house.left() == {}


@pytest.mark.parametrize("attach_timeout_s", [0.2])
async def test_calls_that_nobody_answers_and_whose_callers_wait(house: House) -> None:
    house.backends.with_session = False

    async def waits() -> None:
        stream = house.stub.Converse()
        await stream.write(START)
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE

    await house.many(waits)
    await house.backends.nobody_came()
    assert await house.left() == {}
