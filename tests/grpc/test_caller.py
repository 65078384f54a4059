"""The caller against a server whose every message the test decides."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest

from cluster.caller import Caller, HangUp, Interrupt, Listen, Outcome, Press, Say, StayOn, Step
from cluster.playback import FRAME_BYTES, FRAME_S, SILENCE
from protos.reception.v1 import reception_pb2 as rv
from tests.fakes.door import FakeDoor
from tests.waiting import Awake

WORDS = bytes([0x12]) * FRAME_BYTES * 10
Kind = rv.TurnEvent


@pytest.fixture
async def door():
    fake = FakeDoor()
    await fake.start()
    yield fake
    await fake.stop()


def _kinds(messages):
    return [message.WhichOneof("message") for message in messages]


async def test_a_call_from_greeting_to_summary(door):
    seen: list[Any] = []
    changes: list[Outcome] = []

    async def conversation(line):
        seen.append(await line.accept("call-7"))
        await line.speak(5, mark="greeting", code=0x11)
        await line.next("mark")
        await line.hear_words()
        await line.turn(Kind.KIND_SPEECH_STOPPED)
        await asyncio.sleep(0.2)
        text = rv.Transcript(speaker=rv.SPEAKER_CALLER, text="hello", final=True)
        await line.send(transcript=text)
        await line.send(transcript=rv.Transcript(speaker=rv.SPEAKER_RECEPTION, text="go"))
        await line.speak(10, code=0x13)
        text = rv.Transcript(speaker=rv.SPEAKER_RECEPTION, text="good day", final=True)
        await line.send(transcript=text)
        await line.turn(Kind.KIND_DONE)
        seen.append((await line.next("end")).end.reason)
        seen.extend(line.received)
        assert await line.rest() == []
        await line.send(summary=rv.CallSummary(call=rv.Call(end_reason="caller_hangup")))

    door.conversation = conversation
    steps: list[Step] = [Listen(), Say(WORDS, "hello"), Listen(), HangUp()]
    caller = Caller(door.address, steps, key="secret", on_change=changes.append)
    began_s = time.monotonic()
    outcome = await caller.call()
    took_ms = (time.monotonic() - began_s) * 1000

    assert (outcome.status, outcome.error) == ("OK", "")
    assert door.keys == ["secret"]
    assert outcome.call_id == "call-7"
    assert 0 < outcome.setup_ms < took_ms
    start, reason, *received = seen
    assert start.sends_marks
    assert start.format.codec == rv.CODEC_PCMU
    assert reason == "normal_clearing"
    assert outcome.transcript == [("caller", "hello"), ("reception", "good day")]
    assert [turn.kind for turn in outcome.turns] == [Kind.KIND_SPEECH_STOPPED, Kind.KIND_DONE]
    assert outcome.summary is not None
    assert outcome.summary.end_reason == "caller_hangup"
    # 5 frames of pause and the server's 200 ms lie between words and answer.
    (answer_ms,) = outcome.answer_ms
    assert 200 < answer_ms < took_ms
    frames = [message.audio for message in received if message.HasField("audio")]
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    assert [frame.timestamp_ms for frame in frames[:3]] == [0, 20, 40]
    assert b"".join(frame.payload for frame in frames) == bytes(outcome.caller_audio)
    assert outcome.caller_audio.count(b"\x12") == len(WORDS)
    assert outcome.reception_audio.count(b"\x11") == 5 * FRAME_BYTES
    assert outcome.reception_audio.count(b"\x13") == 10 * FRAME_BYTES
    assert changes[-1] is outcome


async def test_frames_come_in_real_time(door):
    early_s = []
    awake = Awake()

    async def conversation(line):
        began_s = time.monotonic()
        await line.accept()
        before_s = awake.seconds
        for number in range(50):
            await line.next("audio")
            early_s.append(began_s + number * FRAME_S - time.monotonic())
        assert awake.seconds - before_s < 3.0
        awake.stop()
        await line.send(hangup=rv.Hangup(reason="completed"))
        await line.next("end")

    door.conversation = conversation
    outcome = await Caller(door.address, [StayOn()]).call()
    assert outcome.hangup == "completed"
    assert outcome.status == "OK"
    assert max(early_s) <= 0.0


async def test_the_receptionist_hangs_up_once_all_was_heard(door):
    ends = []

    async def conversation(line):
        await line.accept()
        for _ in range(20):
            await line.send(audio=rv.Audio(payload=b"\x11" * FRAME_BYTES))
        await line.send(hangup=rv.Hangup(reason="completed"))
        ends.append((await line.next("end")).end.reason)

    door.conversation = conversation
    outcome = await Caller(door.address, [StayOn()]).call()
    assert ends == ["released"]
    assert outcome.reception_audio.count(b"\x11") == 20 * FRAME_BYTES


async def test_a_transfer_succeeds(door):
    events = []

    async def conversation(line):
        await line.accept()
        await line.send(transfer=rv.Transfer(destination="+15550110", name="Sales"))
        events.append((await line.next("event")).event.kind)

    door.conversation = conversation
    outcome = await Caller(door.address, [StayOn()]).call()
    assert events == [rv.CallEvent.KIND_TRANSFER_SUCCEEDED]
    assert outcome.transfer is not None
    assert outcome.transfer.destination == "+15550110"


async def test_an_interruption_is_timed_and_empties_the_playout(door):
    later = []

    async def conversation(line):
        await line.accept()
        for _ in range(1_000):  # 20 s at once: most of it waits in the caller's playout
            await line.send(audio=rv.Audio(payload=b"\x11" * FRAME_BYTES, item_id="i1"))
        await line.send(mark=rv.Mark(name="never"))
        while (await line.next("audio")).audio.payload == SILENCE:
            pass
        await line.send(clear_audio=rv.ClearAudio(item_id="i1", heard_ms=300))
        await line.send(turn=rv.TurnEvent(kind=Kind.KIND_DONE, interrupted=True))
        await line.send(hangup=rv.Hangup(reason="completed"))
        await line.next("end")
        later.extend(line.received)

    door.conversation = conversation
    outcome = await Caller(door.address, [Interrupt(WORDS, 0.3), StayOn()]).call()
    (stopped_ms,) = outcome.barge_in_ms
    heard = outcome.reception_audio.count(b"\x11") // FRAME_BYTES
    assert 15 <= heard < 1_000
    assert 0 < stopped_ms < 1_000 * FRAME_S * 1000
    assert "mark" not in _kinds(later)
    assert outcome.turns[-1].interrupted


async def test_keys_are_sent(door):
    pressed = []

    async def conversation(line):
        await line.accept()
        pressed.append((await line.next("dtmf")).dtmf.digits)
        await line.next("end")

    door.conversation = conversation
    outcome = await Caller(door.address, [Press("12#"), HangUp()]).call()
    assert pressed == ["12#"]
    assert outcome.status == "OK"


async def test_a_refusal_is_told_with_its_sentence(door):
    door.conversation = None
    outcome = await Caller(door.address, [HangUp()], key="wrong").call()
    assert (outcome.status, outcome.error) == ("UNAUTHENTICATED", "the API key is not known")
    assert outcome.call_id == ""


async def test_a_stream_that_breaks_keeps_what_was_heard(door):
    async def conversation(line):
        await line.accept()
        await line.speak(5)
        await line.next("audio")
        await line.context.abort(grpc.StatusCode.INTERNAL, "the worker is gone")

    door.conversation = conversation
    outcome = await Caller(door.address, [StayOn()]).call()
    assert outcome.status == "INTERNAL"
    # grpcio's own words where a frame was being written just then (grpc issue 36066).
    assert outcome.error in ("the worker is gone", "Internal error from Core")
    assert outcome.call_id == "call-1"


async def test_nobody_there(unused_tcp_port):
    outcome = await Caller(f"127.0.0.1:{unused_tcp_port}", [HangUp()]).call()
    assert outcome.status == "UNAVAILABLE"
    assert f"nothing answers at 127.0.0.1:{unused_tcp_port}" in outcome.error
    assert "reception serve" in outcome.error


async def test_a_silent_receptionist_is_given_up(door, monkeypatch):
    monkeypatch.setattr("cluster.script.ANSWER_PATIENCE_S", 0.1)
    ends = []

    async def conversation(line):
        await line.accept()
        ends.append((await line.next("end")).end.reason)

    door.conversation = conversation
    outcome = await Caller(door.address, [Listen(), Say(WORDS)]).call()
    assert ends == ["normal_clearing"]
    assert outcome.status == "OK"
    assert "no answer came" in outcome.error
