"""An audio worker and the door of a call: its messages, its stream that breaks and comes back."""

import asyncio
import time

import pytest

from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.framing import Kind, split_audio
from tests.actors.worker.call import FRAME, LONG_S
from tests.fakes.provider import send, speak
from tests.waiting import patience


async def test_other_caller_messages_go_to_the_session(connect):
    call = await connect()
    call.say(dtmf=rv.Dtmf(digits="12"))
    raw = await call.from_worker("from_caller")
    assert rv.CallerMessage.FromString(raw).dtmf.digits == "12"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"audio": rv.Audio(payload=b"x" * 9000)}, "audio.payload"),
        ({"start": rv.CallStart()}, "start"),
        ({"dtmf": rv.Dtmf(digits="9x")}, "dtmf.digits"),
        ({}, "message"),
    ],
)
async def test_what_breaks_the_protocol_ends_the_stream_with_the_fields_name(
    connect, fields, field
):
    call = await connect()
    call.say(**fields)
    abort = await call.door_control("abort")
    assert (abort.code, abort.field) == (3, field)
    assert (await call.from_worker("leg_refused")).field == field


async def test_a_call_whose_id_is_anothers_ends_with_an_error_and_in_order(connect, worker):
    call = await connect()
    assert not await worker.refuse("another lease", "in use", "call_id")
    assert await worker.refuse("lease", "in use", "call_id")
    abort = await call.door_control("abort")
    assert (abort.code, abort.field, abort.message) == (6, "call_id", "in use")
    assert (await call.from_worker("leg_refused")).field == "call_id"
    call.session.send(lk.SessionToWorker(finish=lk.Finish(drain_ms=0)))
    assert await call.from_worker("stats")


async def test_bytes_that_are_no_message_end_the_stream(connect):
    call = await connect()
    call.door.send_audio(1, b"\xff\xff\xff")
    assert (await call.door_control("abort")).field == "message"


async def test_a_door_that_dies_is_told_to_the_session(connect):
    call = await connect()
    call.door.abort()
    assert (await call.from_worker("leg_gone")).reason == "caller_vanished"


async def test_a_stream_that_is_over_is_told_to_the_session(connect):
    call = await connect()
    call.door.send(lk.DoorToWorker(leg_gone=lk.LegGone(reason="caller_hangup")))
    assert (await call.from_worker("leg_gone")).reason == "caller_hangup"


@pytest.fixture
def patient(worker):
    """A worker that waits for callers whose streams broke."""
    worker._resume_wait_s = LONG_S
    return worker


async def test_a_caller_whose_stream_broke_is_back_in_the_middle_of_the_answer(
    connect, link_to, provider, patient
):
    call = await connect()
    call.say(audio=rv.Audio(payload=FRAME, sequence=900))
    await speak(call.connection, "i1", FRAME * 40)
    heard = [(await call.to_caller("audio"))[1].sequence for _ in range(5)]
    call.door.abort()
    while (frame := await call.door.receive()) is not None:  # what was there already
        if frame[0] is Kind.AUDIO:
            message = rv.ReceptionMessage.FromString(split_audio(frame[1])[1])
            heard.append(message.audio.sequence)
    await asyncio.sleep(0.1)
    said = rv.ReceptionMessage(transcript=rv.Transcript(text="while you were away"))
    call.session.send(lk.SessionToWorker(to_caller=said.SerializeToString()))
    await asyncio.sleep(1.0)  # longer than what was left of the answer
    call.door = await link_to()
    call.door.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id="c1", lease_id="lease")))
    await call.door_control("attached")
    assert (await call.to_caller("transcript"))[1].text == "while you were away"
    later = [(await call.to_caller("audio"))[1].sequence for _ in range(10)]
    assert later == list(range(later[0], later[0] + 10))
    assert later[0] - heard[-1] < 12  # at most what was on its way is lost
    await send(call.connection, "response.output_audio.done", response_id="r1", item_id="i1")
    before = len(provider.audio)
    call.say(audio=rv.Audio(payload=FRAME, sequence=1))  # numbered anew
    async with patience():
        while len(provider.audio) == before:
            await asyncio.sleep(0.01)
    await call.playout(lk.Playout.DRAINED)
    assert (await patient.stats())["live"] == 1


async def test_a_caller_who_does_not_come_back_is_told_to_the_session(connect, worker):
    worker._resume_wait_s = 0.3
    call = await connect()
    call.door.send(lk.DoorToWorker(leg_gone=lk.LegGone(reason="caller_vanished", may_return=True)))
    await call.door.close()
    began_s = time.monotonic()
    assert (await call.from_worker("leg_gone")).reason == "caller_vanished"
    assert time.monotonic() - began_s > 0.2


async def test_who_was_sent_away_is_not_waited_for(connect, patient):
    call = await connect()
    call.door.send(lk.DoorToWorker(leg_gone=lk.LegGone(reason="caller_vanished")))
    assert (await call.from_worker("leg_gone")).reason == "caller_vanished"


async def test_a_stream_that_is_not_yet_known_to_be_broken_ends(
    connect, link_to, provider, patient
):
    call = await connect()
    old, call.door = call.door, await link_to()
    call.door.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id="c1", lease_id="lease")))
    await call.door_control("attached")
    call.door, new = old, call.door
    assert (await call.door_control("abort")).code == 10
    # What a door says that ends its stream: no longer of this call's caller.
    old.send(lk.DoorToWorker(leg_gone=lk.LegGone(reason="caller_vanished")))
    call.door = new
    await speak(call.connection, "i1", FRAME * 5)
    await call.to_caller("audio")
    call.say(audio=rv.Audio(payload=FRAME, sequence=1))
    async with patience():
        while not provider.audio:
            await asyncio.sleep(0.01)


async def test_a_call_that_ends_while_its_caller_is_away_is_over(connect, patient):
    call = await connect()
    call.door.abort()
    await call.from_worker("provider_state")
    call.session.send(lk.SessionToWorker(finish=lk.Finish()))
    await call.from_worker("stats")
    call.session.send(lk.SessionToWorker(over=lk.Over()))
    await call.session.close()
    async with patience():
        while (await patient.stats())["live"]:
            await asyncio.sleep(0.01)


async def test_what_waits_for_a_caller_who_is_away_is_bounded(connect, patient, monkeypatch):
    monkeypatch.setattr("actors.door_side.MAX_UNTOLD", 10)
    call = await connect()
    call.door.abort()
    await asyncio.sleep(0.1)
    said = rv.ReceptionMessage(transcript=rv.Transcript(text="x")).SerializeToString()
    async with patience():
        while (await patient.stats())["live"]:
            call.session.send(lk.SessionToWorker(to_caller=said))
            await asyncio.sleep(0.001)
