"""The relay with a real link and a caller whose reading the test controls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from actors.link import Link
from actors.link_server import serve
from cluster.front_door import relay as relay_module
from cluster.front_door.relay import MAX_WAITING_AUDIO, MAX_WAITING_OTHER, Relay
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call.presence import LOOKS
from reception.framing import Kind, split_audio
from tests.waiting import PATIENCE_S, patience

FINISHED = lk.WorkerToDoor(finished=lk.Finished())
RATE = 8_000.0
END = rv.CallerMessage(end=rv.CallEnd())


class Caller:
    """A stream as the relay sees it: `reads` says whether what is written gets
    through; `says` is what the caller sends, None its end."""

    def __init__(self) -> None:
        self.got: list[rv.ReceptionMessage] = []
        self.begun = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self.says: asyncio.Queue[rv.CallerMessage | None] = asyncio.Queue()

    async def write(self, raw: bytes) -> None:
        self.begun += 1
        await self.reads.wait()
        self.got.append(rv.ReceptionMessage.FromString(raw))

    async def requests(self) -> AsyncIterator[bytes]:
        while (message := await self.says.get()) is not None:
            yield message.SerializeToString()


class Line:
    """A relay between a caller and a worker that the test plays."""

    def __init__(self, door: Link, worker: Link, idle_timeout_s: float) -> None:
        self.caller, self.worker, self.door = Caller(), worker, door
        context: Any = self.caller
        self.next: asyncio.Future[Link | None] = asyncio.get_running_loop().create_future()
        self.relay = Relay(
            self.caller.requests(), context, door, idle_timeout_s, RATE, self._relink
        )
        self.up = asyncio.create_task(self.relay.up())
        self.down = asyncio.create_task(self.relay.down())

    async def _relink(self) -> Link | None:
        return await self.next

    def play(self, number: int, stamp_ns: int = 0) -> None:
        audio = rv.ReceptionMessage(audio=rv.Audio(payload=b"x", sequence=number))
        self.worker.send_audio(stamp_ns, audio.SerializeToString())

    def mark(self, number: int) -> None:
        mark = rv.ReceptionMessage(mark=rv.Mark(name=str(number)))
        self.worker.send_audio(0, mark.SerializeToString())

    async def until(self, condition: Any) -> None:
        async with patience():
            while not condition():
                await asyncio.sleep(0.001)

    async def outcome(self) -> grpc.Status | None:
        async with patience():
            return await self.down

    async def to_worker(self) -> lk.DoorToWorker | rv.CallerMessage:
        async with patience():
            frame = await self.worker.receive()
        assert frame is not None
        if frame[0] is Kind.CONTROL:
            return lk.DoorToWorker.FromString(frame[1])
        stamp_ns, raw = split_audio(frame[1])
        assert stamp_ns > 0
        return rv.CallerMessage.FromString(raw)


@pytest.fixture
async def lines(tmp_path: Path) -> AsyncIterator[Any]:
    made: asyncio.Queue[Link] = asyncio.Queue()
    server = await serve(str(tmp_path / "w.sock"), made.put)
    all_: list[Line] = []

    async def links() -> tuple[Link, Link]:
        """Another worker: the door's end of its link and its own."""
        return await Link.connect(server.address, PATIENCE_S), await made.get()

    async def make(idle_timeout_s: float = 10 * PATIENCE_S) -> Line:
        door = await Link.connect(server.address, PATIENCE_S)
        line = Line(door, await made.get(), idle_timeout_s)
        all_.append(line)
        await line.until(lambda: line.relay._wakeup is not None)
        return line

    make.links = links  # type: ignore[attr-defined]  # set by the test
    yield make
    for line in all_:
        line.up.cancel()
        line.down.cancel()
        await asyncio.gather(line.up, line.down, return_exceptions=True)
        await line.door.close()
        await line.worker.close()
    server.close()


async def test_what_the_worker_sends_is_written_in_order_to_the_last(lines: Any) -> None:
    line = await lines()
    line.play(1)
    line.mark(2)
    line.relay.tell(rv.ReceptionMessage(draining=rv.Draining()).SerializeToString())
    line.play(3)
    line.worker.send(FINISHED)
    assert await line.outcome() is None
    kinds = [message.WhichOneof("message") for message in line.caller.got]
    assert sorted(kinds) == ["audio", "audio", "draining", "mark"]
    assert [kind for kind in kinds if kind != "draining"] == ["audio", "mark", "audio"]


async def test_a_caller_that_does_not_read_loses_the_oldest_audio_and_nothing_else(
    lines: Any,
) -> None:
    line = await lines()
    line.caller.reads.clear()
    line.play(0)  # the one that is being written
    await line.until(lambda: line.caller.begun)
    sent = MAX_WAITING_AUDIO + 50
    for number in range(1, sent + 1):
        line.play(number)
        if number % 10 == 0:
            line.mark(number)
    line.worker.send(FINISHED)
    await line.until(lambda: line.relay._over)
    line.caller.reads.set()
    assert await line.outcome() is None
    audio = [each.audio.sequence for each in line.caller.got if each.HasField("audio")]
    marks = [int(each.mark.name) for each in line.caller.got if each.HasField("mark")]
    assert line.relay.dropped_audio == 50
    assert audio == [0, *range(51, sent + 1)]
    assert marks == list(range(10, sent + 1, 10))


async def test_a_caller_that_lets_other_messages_pile_up_is_cut_off(lines: Any) -> None:
    line = await lines()
    line.caller.reads.clear()
    for number in range(MAX_WAITING_OTHER + 3):
        line.mark(number)
    status = await line.outcome()
    assert status is not None
    assert status.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "does not read" in status.details


async def test_a_silent_caller_that_does_not_read_either_is_timed_out(lines: Any) -> None:
    line = await lines(idle_timeout_s=0.1)
    line.caller.reads.clear()
    line.play(1)
    status = await line.outcome()
    assert status is not None
    assert status.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "0.1 s" in status.details


async def test_a_caller_that_speaks_and_does_not_read_is_gone(lines: Any) -> None:
    line = await lines(idle_timeout_s=0.5)
    line.caller.reads.clear()
    line.play(1)
    async with patience():
        while not line.down.done():
            await line.caller.says.put(rv.CallerMessage(audio=rv.Audio(payload=b"x" * 160)))
            await asyncio.sleep(0.01)
    status = await line.outcome()
    assert status is not None
    assert status.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert status.details == line.relay.caller_gone == "nothing read for 0.5 s"


async def test_who_is_on_hold_or_has_ended_may_be_silent(lines: Any) -> None:
    held, ended = [await lines(idle_timeout_s=0.1) for _ in range(2)]
    hold = rv.CallerMessage(event=rv.CallEvent(kind=rv.CallEvent.KIND_HOLD))
    await held.caller.says.put(hold)
    await ended.caller.says.put(END)
    for _ in range(3 * LOOKS):  # the bound passes three times
        handle = held.relay._patience
        await held.until(lambda handle=handle: held.relay._patience is not handle)
    assert not held.down.done()
    assert not ended.down.done()
    unhold = rv.CallerMessage(event=rv.CallEvent(kind=rv.CallEvent.KIND_UNHOLD))
    await held.caller.says.put(unhold)
    status = await held.outcome()
    assert status is not None
    assert status.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_caller_who_speaks_is_not_timed_out(lines: Any) -> None:
    line = await lines(idle_timeout_s=1.0)
    for _ in range(2 * LOOKS):
        handle = line.relay._patience
        async with patience():
            while line.relay._patience is handle:
                await line.caller.says.put(rv.CallerMessage(audio=rv.Audio(payload=b"x" * 160)))
                await asyncio.sleep(0.01)
    assert not line.down.done()


async def test_last_words_to_a_caller_that_does_not_read_are_given_up(
    lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "LAST_WORDS_S", 0.05)
    line = await lines()
    line.caller.reads.clear()
    line.mark(1)
    line.worker.send(FINISHED)
    status = await line.outcome()
    assert status is not None
    assert status.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "not read within" in status.details
    assert line.caller.got == []


async def test_a_lost_worker_is_unavailable_after_what_it_said(lines: Any) -> None:
    line = await lines()
    line.next.set_result(None)
    line.play(1)
    await line.worker.close()
    status = await line.outcome()
    assert status is not None
    assert status.code is grpc.StatusCode.UNAVAILABLE
    assert [each.audio.sequence for each in line.caller.got] == [1]


async def test_a_stamped_frame_is_measured_once_it_is_written(lines: Any) -> None:
    line = await lines()
    line.caller.reads.clear()
    line.play(1, stamp_ns=1)  # received when the machine started
    await line.until(lambda: line.caller.begun)
    line.caller.reads.set()
    told = await line.to_worker()
    assert told.first_audio_sent.down_us > 0


@pytest.mark.parametrize("says_end", [True, False])
async def test_the_callers_side_goes_up_and_its_end_is_told_once(
    lines: Any, says_end: bool
) -> None:
    line = await lines()
    await line.caller.says.put(rv.CallerMessage(audio=rv.Audio(payload=b"x", sequence=1)))
    assert (await line.to_worker()).audio.sequence == 1
    if says_end:
        await line.caller.says.put(END)
        assert (await line.to_worker()).HasField("end")
        await line.caller.says.put(None)
        await line.up
        line.door.send(lk.DoorToWorker(first_audio_sent=lk.FirstAudioSent(down_us=9)))
        assert (await line.to_worker()).HasField("first_audio_sent")  # and nothing before it
    else:
        await line.caller.says.put(None)
        assert (await line.to_worker()).leg_gone.reason == "caller_hangup"


async def test_a_caller_that_vanishes_is_told_as_that(lines: Any) -> None:
    line = await lines()
    line.up.cancel()
    assert (await line.to_worker()).leg_gone.reason == "caller_vanished"


# ------------------------------------------------------------------ another worker


async def test_another_worker_gets_what_the_caller_sent_meanwhile(lines: Any) -> None:
    line = await lines()
    line.worker.abort()
    await line.until(lambda: line.relay._moving is not None)
    for number in (1, 2):
        await line.caller.says.put(rv.CallerMessage(audio=rv.Audio(payload=b"x", sequence=number)))
    await line.caller.says.put(rv.CallerMessage(dtmf=rv.Dtmf(digits="5")))
    await line.until(line.caller.says.empty)
    door, line.worker = await lines.links()
    line.next.set_result(door)
    assert [(await line.to_worker()).audio.sequence for _ in range(2)] == [1, 2]
    assert (await line.to_worker()).dtmf.digits == "5"
    line.play(7)
    await line.until(lambda: [each.audio.sequence for each in line.caller.got] == [7])
    line.worker.send(lk.WorkerToDoor(finished=lk.Finished()))
    assert await line.outcome() is None


async def test_without_another_worker_the_caller_is_told(lines: Any) -> None:
    line = await lines()
    line.worker.abort()
    line.next.set_result(None)
    status = await line.outcome()
    assert status is not None
    assert status.code is grpc.StatusCode.UNAVAILABLE


async def test_a_caller_who_left_meanwhile_is_gone_for_the_next_worker_too(lines: Any) -> None:
    line = await lines()
    line.worker.abort()
    await line.until(lambda: line.relay._moving is not None)
    await line.caller.says.put(None)
    await line.up
    door, line.worker = await lines.links()
    line.next.set_result(door)
    gone = await line.to_worker()
    assert isinstance(gone, lk.DoorToWorker)
    assert gone.leg_gone.reason == "caller_hangup"
