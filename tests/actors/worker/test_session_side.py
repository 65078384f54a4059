"""An audio worker and the session of a call: its end, its death, and the next one."""

import asyncio

import pytest

from actors.gossip import Listener
from actors.link import SESSION_SUFFIX
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call.journal import lost_session
from tests.actors.worker.call import FRAME, LONG_S, attach
from tests.fakes.provider import send, speak
from tests.waiting import patience


async def test_the_session_finishes_in_order(connect, provider, worker):
    call = await connect()
    await speak(call.connection, "i1", FRAME * 10)
    await call.to_caller("audio")
    await call.from_worker("provider_state")
    call.session.send(lk.SessionToWorker(finish=lk.Finish(drain_ms=2000)))
    stats = await call.from_worker("stats")
    assert stats.frames_out == 10
    async with patience():
        await call.connection.wait_closed()
    summary = rv.ReceptionMessage(summary=rv.CallSummary(call=rv.Call(call_id="c1")))
    call.session.send(lk.SessionToWorker(to_caller=summary.SerializeToString()))
    call.session.send(lk.SessionToWorker(over=lk.Over()))
    await call.session.close()
    _, got = await call.to_caller("summary")
    assert got.call.call_id == "c1"
    await call.door_control("finished")
    async with patience():
        assert await call.door.receive() is None
    assert (await worker.stats())["live"] == 0


async def test_where_no_session_goes_on_the_stream_ends_as_our_fault(
    connect, provider, monkeypatch
):
    monkeypatch.setattr("actors.session_side.TAKEOVER_S", 0.2)
    call = await connect()
    call.session.abort()
    abort = await call.door_control("abort")
    assert abort.code == 13
    async with patience():
        await call.connection.wait_closed()


async def test_a_call_that_is_given_up_does_not_wait_for_a_session(connect, worker, monkeypatch):
    monkeypatch.setattr("actors.session_side.TAKEOVER_S", LONG_S)
    call = await connect()
    await worker.give_up("somebody else's")
    call.session.abort()
    await asyncio.sleep(0.1)
    await worker.give_up("lease")
    assert (await call.door_control("abort")).code == 13


async def test_the_agent_hears_of_a_session_that_is_gone(connect, worker, tmp_path):
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    listener = Listener(str(tmp_path / "agent.sock"), heard.put_nowait)
    worker._agent_socket = str(tmp_path / "agent.sock")
    call = await connect()
    call.session.abort()
    async with patience():
        assert lost_session(await heard.get()) == ("lease", "one")
    listener.close()


async def test_another_session_gets_the_last_state_and_what_came_since(
    connect, link_to, provider, worker
):
    call = await connect()
    assert (await call.from_worker("provider_state")).up
    said = rv.ReceptionMessage(transcript=rv.Transcript(text="hello"))
    step = lk.Step(checkpoint=b"state", events=1)
    step.messages.add(to_caller=said.SerializeToString())
    step.messages.add(provider_event=b'{"type":"response.create"}')
    call.session.send(lk.SessionToWorker(step=step))
    assert (await call.to_caller("transcript"))[1].text == "hello"
    await speak(call.connection, "i1", FRAME * 50)
    await call.playout(lk.Playout.STARTED)
    call.session.abort()
    await send(call.connection, "response.output_audio.done", response_id="r1", item_id="i1")
    frames = [(await call.to_caller("audio"))[1].sequence for _ in range(20)]  # audio goes on
    assert frames == list(range(frames[0], frames[0] + 20))
    call.session = await link_to(SESSION_SUFFIX)
    call.session.send(attach(provider.url))
    resume = await call.from_worker("resume")
    assert (resume.checkpoint, resume.events) == (b"state", 1)
    assert (await call.from_worker("playout")).kind == lk.Playout.STARTED
    assert b"audio.done" in await call.from_worker("provider_event")
    assert (await call.playout(lk.Playout.DRAINED)).item_id == ""
    assert provider.open == 1
    assert (await worker.stats())["live"] == len(await worker.legs()) == 1


async def test_an_answer_that_is_being_made_at_the_end_is_stopped_and_its_bill_awaited(
    connect, provider
):
    call = await connect()
    await call.from_worker("provider_state")
    made = {"id": "r1", "status": "in_progress"}
    await send(call.connection, "response.created", response=made)
    await speak(call.connection, "i1", FRAME * 10)
    await call.playout(lk.Playout.STARTED)
    call.session.send(lk.SessionToWorker(finish=lk.Finish(drain_ms=0)))
    async with patience():
        while (await provider.received.get())["type"] != "response.cancel":
            pass
    await speak(call.connection, "i1", FRAME * 100)  # which nobody hears any more
    await send(call.connection, "response.done", response=made | {"status": "cancelled"})
    assert b"response.done" in await call.from_worker("provider_event")
    assert (await call.from_worker("stats")).reception_audio_ms == 200


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("input_audio_buffer.speech_started", {"item_id": "i1", "audio_start_ms": 5}),
        ("input_audio_buffer.speech_stopped", {"item_id": "i1", "audio_end_ms": 5}),
        ("response.created", {"response": {"id": "r1", "status": "in_progress"}}),
        ("", {}),  # the session asked for an answer
    ],
)
async def test_where_an_answer_was_due_the_provider_is_asked_for_its_bill(
    connect, provider, event, fields, monkeypatch
):
    monkeypatch.setattr("actors.provider_leg._CANCEL_S", LONG_S)
    call = await connect()
    await call.from_worker("provider_state")
    if event:
        await send(call.connection, event, **fields)
        await call.from_worker("provider_event")
    else:
        wanted = b'{"type":"response.create","response":{}}'
        call.session.send(lk.SessionToWorker(provider_event=wanted))
    call.session.send(lk.SessionToWorker(finish=lk.Finish(drain_ms=0)))
    async with patience():
        while (await provider.received.get())["type"] != "response.cancel":
            pass
    none = {"type": "invalid_request_error", "code": "response_cancel_not_active", "message": "m"}
    await send(call.connection, "error", error=none)
    await call.from_worker("stats")  # at once: there is no bill to be waited for


async def test_a_provider_that_does_not_answer_does_not_hold_the_end_up(connect, provider):
    call = await connect()
    await call.from_worker("provider_state")
    await send(call.connection, "response.created", response={"id": "r", "status": "in_progress"})
    await call.from_worker("provider_event")
    call.session.send(lk.SessionToWorker(finish=lk.Finish(drain_ms=0)))
    await call.from_worker("stats")
    async with patience():
        await call.connection.wait_closed()


async def test_where_nothing_is_being_made_the_end_is_at_once(connect, provider):
    call = await connect()
    await call.from_worker("provider_state")
    made = {"id": "r1", "status": "in_progress"}
    await send(call.connection, "response.created", response=made)
    await send(call.connection, "response.done", response=made | {"status": "completed"})
    await call.from_worker("provider_event")
    await call.from_worker("provider_event")
    call.session.send(lk.SessionToWorker(finish=lk.Finish(drain_ms=1)))
    await call.from_worker("stats")
    told = [provider.received.get_nowait()["type"] for _ in range(provider.received.qsize())]
    assert "response.cancel" not in told


async def test_a_session_that_was_taken_for_dead_is_cut_off(connect, link_to, provider):
    call = await connect()
    frozen, call.session = call.session, await link_to(SESSION_SUFFIX)
    call.session.send(attach(provider.url))
    await call.from_worker("resume")
    async with patience():
        while await frozen.receive() is not None:
            pass
    late = rv.ReceptionMessage(hangup=rv.Hangup(reason="late"))
    frozen.send(lk.SessionToWorker(to_caller=late.SerializeToString()))
    call.session.send(lk.SessionToWorker(over=lk.Over()))
    await call.session.close()
    await call.door_control("finished")
