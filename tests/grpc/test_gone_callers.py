"""Callers who send too slowly or do not read, and sound ones, over real gRPC."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from cluster.door_config import DoorConfig
from cluster.front_door import CLIENTS_PING_MS, FrontDoor
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from tests.fakes.backends import FakeBackends, worker_at
from tests.fakes.provider import FakeProvider
from tests.waiting import PATIENCE_S, patience

FRAME_S = 0.02
PCMU = rv.LegFormat(codec=rv.CODEC_PCMU)
MARK = rv.CallerMessage(mark=rv.Mark(name="m"))


class House:
    def __init__(self, door: FrontDoor, backends: FakeBackends, provider: FakeProvider) -> None:
        self.door, self.backends, self.provider = door, backends, provider
        self.stub: Any
        self.address = ""

    async def accepted(self) -> Any:
        stream = self.stub.Converse()
        await stream.write(rv.CallerMessage(start=rv.CallStart(format=PCMU)))
        assert (await stream.read()).HasField("accepted")
        return stream

    async def ended(self, stream: Any) -> tuple[grpc.StatusCode, str]:
        """How a stream ended, once nothing is left of its call."""
        async with patience():
            code, text = await stream.code(), await stream.details()
            while (await self.door.stats())["live"]:
                await asyncio.sleep(0.01)
        await self.backends.until_quiet()
        return code, text


@pytest.fixture
async def house(tmp_path: Any, idle_timeout_s: float) -> AsyncIterator[House]:
    provider = FakeProvider()
    path = str(tmp_path / "w.sock")
    backends = FakeBackends(path, await provider.start())
    worker = await worker_at(path)
    config = DoorConfig("127.0.0.1", 0, "n", idle_timeout_s, attach_timeout_s=PATIENCE_S)
    house = House(FrontDoor(config, backends), backends, provider)
    house.address = await house.door.start()
    async with grpc.aio.insecure_channel(house.address) as channel:
        house.stub = rpc.ReceptionStub(channel)
        yield house
    await house.door.stop()
    await worker.stop()
    await provider.stop()


def frame() -> rv.CallerMessage:
    return rv.CallerMessage(audio=rv.Audio(payload=b"\x01" * 160))


async def send(stream: Any, frames: Iterator[tuple[float, rv.CallerMessage]]) -> None:
    """Each message when it is due, in s from now, or as soon after as can be."""
    began_s = time.monotonic()
    for at_s, message in frames:
        wait_s = began_s + at_s - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        await stream.write(message)


@pytest.mark.parametrize("idle_timeout_s", [1.5])
async def test_who_sends_slower_than_real_time_is_gone(house: House) -> None:
    stream = await house.accepted()
    slow = ((0.1 * number, frame()) for number in range(10_000))
    sending = asyncio.create_task(send(stream, slow))
    assert await house.ended(stream) == (
        grpc.StatusCode.DEADLINE_EXCEEDED, "audio slower than real time for 1.5 s"
    )  # fmt: skip
    assert house.backends.gone == ["caller_vanished"]
    await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("idle_timeout_s", [2.0])
async def test_who_does_not_read_is_gone_though_it_speaks(house: House) -> None:
    """More is told than gRPC keeps for a client that does not read."""
    stream = await house.accepted()
    talks = ((FRAME_S * number, frame()) for number in range(100_000))
    sending = asyncio.create_task(send(stream, talks))
    (live,) = house.door._streams
    assert live._relay is not None
    said = rv.ReceptionMessage(transcript=rv.Transcript(text="word " * 200_000))
    for _ in range(20):
        live._relay.tell(said.SerializeToString())
    await house.backends.until_quiet()
    assert house.backends.gone == ["caller_vanished"]
    assert live._relay.caller_gone == "nothing read for 2 s"
    async with patience():  # the stream too, though nobody takes its status
        while (await house.door.stats())["live"] or house.provider.open:
            await asyncio.sleep(0.01)
    stream.cancel()
    await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("idle_timeout_s", [2.0])
async def test_who_sends_no_mark_back_any_more_is_gone_though_it_speaks(house: House) -> None:
    """Long before what it does not read fills the connection."""
    stream = await house.accepted()
    talks = ((FRAME_S * number, frame()) for number in range(100_000))
    sending = asyncio.create_task(send(stream, talks))
    (live,) = house.door._streams
    assert live._relay is not None
    for name in ("p1", "p2"):
        live._relay.tell(rv.ReceptionMessage(mark=rv.Mark(name=name)).SerializeToString())
    while not (said := await stream.read()).HasField("mark"):
        pass
    await stream.write(rv.CallerMessage(mark=said.mark))
    async with patience():  # what grpcio says of a write that met the end says nothing
        while (await house.door.stats())["live"]:
            await asyncio.sleep(0.01)
    await house.backends.until_quiet()
    assert house.backends.gone == ["caller_vanished"]
    assert live._relay.caller_gone == "no mark sent back for 2 s"
    await asyncio.gather(sending, return_exceptions=True)


def sound(stall_s: float = 0.0, jitter_s: float = 0.0) -> Iterator[tuple[float, rv.CallerMessage]]:
    """Frames for ten seconds; what was held up for `stall_s` comes in a heap."""
    chance = random.Random(1)
    for number in range(500):
        at_s = FRAME_S * number + chance.random() * jitter_s
        yield max(at_s, 2.0 + stall_s) if at_s > 2.0 else at_s, frame()


@pytest.mark.parametrize("idle_timeout_s", [6.0])
async def test_sound_callers_stay(house: House) -> None:
    """One whose frames jitter, one whose network stalls for 5 s, one that is muted."""
    muted = ((at_s / 2, MARK) for at_s in range(20))
    said = [sound(jitter_s=0.3), sound(stall_s=5.0), muted]
    streams = [await house.accepted() for _ in said]
    await asyncio.gather(*(send(*each) for each in zip(streams, said, strict=True)))
    assert len(house.backends.live) == len(said)
    for stream in streams:
        await stream.write(rv.CallerMessage(end=rv.CallEnd()))
        await stream.done_writing()
        assert (await asyncio.wait_for(stream.read(), PATIENCE_S)).HasField("summary")
    assert house.backends.gone == []


@pytest.mark.parametrize("idle_timeout_s", [60.0])
async def test_a_client_may_ping_a_door_that_has_nothing_to_tell(house: House) -> None:
    """As often as it must, to notice one that stands still."""
    pings = [("grpc.keepalive_time_ms", CLIENTS_PING_MS + 100),
             ("grpc.http2.max_pings_without_data", 0),
             ("grpc.use_local_subchannel_pool", 1)]  # fmt: skip
    async with grpc.aio.insecure_channel(house.address, options=pings) as channel:
        house.stub = rpc.ReceptionStub(channel)
        stream = await house.accepted()
        with pytest.raises(TimeoutError):  # and not that it is told to be calm
            await asyncio.wait_for(stream.read(), 6.0)
        stream.cancel()
