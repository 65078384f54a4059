"""An audio worker and the provider of a call: lost, dialled again, renewed, counted."""

import asyncio
import json

import numpy as np

from actors.audio import to_linear
from actors.link import SESSION_SUFFIX
from actors.provider import ProviderSocket
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.placement.admission.provider_limits import CallUse
from reception.provider.refusal import Outcome
from tests.actors.worker.call import FRAME, Call, attach, loudest_hz, next_connection, tone_frames
from tests.fakes.provider import send, speak
from tests.waiting import patience


async def test_not_listening_sends_nothing_to_the_provider(connect, provider):
    call = await connect()
    await provider.received.get()
    call.session.send(lk.SessionToWorker(listen=lk.Listen(on=False)))
    call.session.send(lk.SessionToWorker(provider_event=b'{"type":"fence"}'))
    await provider.received.get()
    call.say(audio=rv.Audio(payload=FRAME))
    call.session.send(lk.SessionToWorker(listen=lk.Listen(on=True)))
    call.session.send(lk.SessionToWorker(provider_event=b'{"type":"fence"}'))
    await provider.received.get()
    assert len(provider.audio) in (0, 160)  # the two links race; never more than the frame


async def test_a_lost_provider_is_told_and_can_be_dialled_again(connect, provider):
    call = await connect()
    assert (await call.from_worker("provider_state")).up
    await call.connection.close(1011, "broken")
    state = await call.from_worker("provider_state")
    assert (state.up, state.code, state.reason) == (False, 1011, "broken")
    call.say(audio=rv.Audio(payload=FRAME))  # kept for the next socket
    call.session.send(attach(provider.url))
    assert (await call.from_worker("provider_state")).up
    async with patience():
        while len(provider.audio) < 160:
            await asyncio.sleep(0.001)


async def test_words_that_a_lost_provider_took_along_are_told_the_next(connect, provider):
    call = await connect()
    assert (await call.from_worker("provider_state")).up
    where = {"item_id": "u1", "audio_start_ms": 0}
    await send(call.connection, "input_audio_buffer.speech_started", **where)
    await call.from_worker("provider_event")
    for number in range(1, 4):
        call.say(audio=rv.Audio(payload=bytes([number]) * 160, sequence=number))
    async with patience():
        while len(provider.audio) < 3 * 160:
            await asyncio.sleep(0.001)
    words, provider.audio[:] = bytes(provider.audio), b""
    await call.connection.close(1011, "broken")
    assert not (await call.from_worker("provider_state")).up
    call.session.send(attach(provider.url))
    assert (await call.from_worker("provider_state")).up
    async with patience():
        while len(provider.audio) < 3 * 160:
            await asyncio.sleep(0.001)
    assert provider.audio == words


async def test_the_next_session_is_given_what_the_worker_does_by_then(connect, provider, worker):
    """At economy an 8 kHz leg goes as G.711, also what it said to nobody before."""
    call = await connect(codec="l16", rate=8_000)
    state = await call.from_worker("provider_state")
    assert (state.up, state.audio_format) == (True, "")
    where = {"item_id": "u1", "audio_start_ms": 0}
    await send(call.connection, "input_audio_buffer.speech_started", **where)
    await call.from_worker("provider_event")
    for number, frame in enumerate(tone_frames(440, 8_000, 25), start=1):
        call.say(audio=rv.Audio(payload=frame, sequence=number))
    async with patience():
        while len(provider.audio) < 25 * 960 - 480:
            await asyncio.sleep(0.001)
    await worker.set_level("economy", "k")
    await call.connection.close(1011, "broken")
    state = await call.from_worker("provider_state")
    assert (state.up, state.audio_format) == (False, "pcmu")
    for number, frame in enumerate(tone_frames(440, 8_000, 6), start=26):
        call.say(audio=rv.Audio(payload=frame, sequence=number))  # to nobody
    call.say(event=rv.CallEvent(kind=rv.CallEvent.KIND_HOLD))
    await call.from_worker("from_caller")
    provider.audio.clear()
    again = attach(provider.url, codec="l16", rate=8_000)
    plan = json.loads(again.attach.dial_plan) | {"audio_format": state.audio_format}
    again.attach.dial_plan = json.dumps(plan).encode()
    call.session.send(again)
    assert (await call.from_worker("provider_state")).up
    async with patience():
        while len(provider.audio) < 31 * 160 - 160:
            await asyncio.sleep(0.001)
    assert len(provider.audio) <= 31 * 160
    heard = to_linear(bytes(provider.audio), "pcmu")
    assert abs(loudest_hz(heard.tobytes(), 8_000) - 440) < 4
    assert abs(np.abs(heard.astype(int)).max() - 8_000) < 800

    await speak(await next_connection(provider), "i1", FRAME * 2)
    _, audio = await call.to_caller("audio")
    assert len(audio.payload) == 320  # G.711 of the provider's, for a linear leg
    await worker.set_level("quality", "k")
    await provider.stop()
    state = await call.from_worker("provider_state")
    assert (state.up, state.audio_format) == (False, "pcm24k")


def renewal(url, events):
    """What a session sends that knows of so many events (or of all there are)."""
    plan = json.loads(attach(url).attach.dial_plan) | {"opening": ['{"type":"again"}']}
    renew = lk.Renew(dial_plan=json.dumps(plan).encode())
    messages = [lk.SessionToWorker(renew=renew)]
    return lk.SessionToWorker(step=lk.Step(messages=messages, checkpoint=b"s", events=events))


async def test_a_session_of_the_provider_is_renewed_without_a_gap(connect, provider):
    call = await connect()
    assert (await call.from_worker("provider_state")).up
    call.session.send(renewal(provider.url, 1))
    again = await next_connection(provider)
    assert (await call.from_worker("provider_state")).up
    async with patience():
        await call.connection.wait_closed()
        told = [(await provider.received.get())["type"] for _ in range(2)]
    assert told == ["x", "again"]
    await speak(again, "i1", FRAME)
    assert (await call.to_caller("audio"))[1].payload == FRAME
    assert provider.open == 1


def dials_wait(monkeypatch):
    """From now on no dial is over before the event that is given back."""
    dial, may_go_on = ProviderSocket.dial, asyncio.Event()

    async def slow(plan):
        socket = await dial(plan)
        await may_go_on.wait()
        return socket

    monkeypatch.setattr(ProviderSocket, "dial", slow)
    return may_go_on


async def test_what_the_caller_says_during_a_renewal_reaches_the_new_session(
    connect, provider, monkeypatch
):
    call = await connect()
    assert (await call.from_worker("provider_state")).up
    may_go_on = dials_wait(monkeypatch)
    call.session.send(renewal(provider.url, 1))
    await next_connection(provider)
    call.say(audio=rv.Audio(payload=FRAME))
    async with patience():
        while len(provider.audio) < 160:
            await asyncio.sleep(0.001)
    may_go_on.set()
    assert (await call.from_worker("provider_state")).up
    async with patience():
        while len(provider.audio) < 320:
            await asyncio.sleep(0.001)


async def test_a_session_in_which_something_happens_is_not_renewed(connect, provider, monkeypatch):
    call = await connect()
    assert (await call.from_worker("provider_state")).up
    may_go_on = dials_wait(monkeypatch)
    call.session.send(renewal(provider.url, 1))
    again = await next_connection(provider)
    await send(call.connection, "input_audio_buffer.speech_started", item_id="u", audio_start_ms=1)
    await call.from_worker("provider_event")
    may_go_on.set()
    async with patience():
        await again.wait_closed()
    await speak(call.connection, "i1", FRAME)
    assert (await call.to_caller("audio"))[1].payload == FRAME


async def test_a_session_that_does_not_know_all_renews_nothing(connect, provider):
    call = await connect()
    assert (await call.from_worker("provider_state")).up
    call.session.send(renewal(provider.url, 0))
    call.say(dtmf=rv.Dtmf(digits="1"))
    await call.from_worker("from_caller")
    assert provider.connections.empty()


async def test_a_provider_that_takes_no_new_session_keeps_the_old_one(connect, provider):
    call = await connect()
    assert (await call.from_worker("provider_state")).up
    call.session.send(renewal("http://127.0.0.1:9/v1", 1))
    await asyncio.sleep(0.1)
    await speak(call.connection, "i1", FRAME)
    assert (await call.to_caller("audio"))[1].payload == FRAME
    async with patience():
        while provider.connections.empty():  # while one is under way there is no other
            call.session.send(renewal(provider.url, 100))  # all of them
            await asyncio.sleep(0.1)
    await next_connection(provider)
    assert (await call.from_worker("provider_state")).up


async def test_a_provider_that_is_not_there_is_told(link_to):
    door = await link_to()
    session = await link_to(SESSION_SUFFIX)
    door.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id="c1", lease_id="lease")))
    session.send(attach("http://127.0.0.1:9/v1"))
    call = Call(door, session, None)
    state = await call.from_worker("provider_state")
    assert not state.up
    assert "can't be reached" in state.reason


async def test_what_calls_use_of_the_providers_account_is_counted(connect, provider, worker):
    call = await connect()
    limits = [{"name": "tokens", "limit": 1_000, "remaining": 900, "reset_seconds": 6.0}]
    await send(call.connection, "rate_limits.updated", rate_limits=limits)
    usage = {
        "input_token_details": {"text_tokens": 100, "audio_tokens": 20},
        "output_token_details": {"text_tokens": 5, "audio_tokens": 30},
    }
    for response in ("r1", "r2"):
        done = {"id": response, "status": "completed", "usage": usage}
        await send(call.connection, "response.done", response=done)
        raw = await call.from_worker("provider_event")
        assert b"rate_limits" not in raw  # that is no session's business
    use = await worker.provider_use()
    assert use.calls == {"s1": CallUse(2, 310)}
    assert use.dials == {Outcome.UP: 1}
    assert (await worker.provider_use()).dials == {}  # told once
    [limit] = use.limits
    assert (limit.name, limit.remaining, limit.reset_s) == ("tokens", 900, 6.0)
    call.session.send(lk.SessionToWorker(finish=lk.Finish()))
    await call.from_worker("stats")
    call.session.send(lk.SessionToWorker(over=lk.Over()))
    await call.session.close()
    async with patience():
        while (await worker.provider_use()).calls:
            await asyncio.sleep(0.01)


async def test_what_became_of_dials_is_told(connect, provider, worker):
    call = await connect()
    error = {"type": "insufficient_quota", "code": "insufficient_quota", "message": "pay"}
    await send(call.connection, "error", error=error)
    await call.from_worker("provider_event")
    use = await worker.provider_use()
    assert (use.dials, use.error) == ({Outcome.REFUSED: 1}, "insufficient_quota")
    await call.connection.close(1011, "overloaded")
    await call.from_worker("provider_state")
    assert (await worker.provider_use()).dials == {}  # it was refused already
    call.session.send(attach(provider.url))
    await call.from_worker("provider_state")
    async with patience():
        again = await provider.connections.get()
    await again.close(1011, "overloaded")
    await call.from_worker("provider_state")
    use = await worker.provider_use()
    assert (use.dials, use.error) == ({Outcome.FAILED: 1}, "overloaded")
    await provider.stop()
    call.session.send(attach(provider.url))
    await call.from_worker("provider_state")
    assert (await worker.provider_use()).dials == {}  # the same call, once more


async def test_the_same_dial_again_leaves_the_session_that_there_is(
    worker, provider, link_to, connect
):
    call = await connect()
    first = call.connection
    again = attach(provider.url)
    call.session.send(again)
    other = attach(provider.url, lease="lease")
    plan = json.loads(other.attach.dial_plan)
    other.attach.dial_plan = json.dumps(plan | {"model": "other"}).encode()
    await asyncio.sleep(0.2)
    assert provider.connections.empty()
    assert first.close_code is None
    call.session.send(other)
    async with patience():
        second = await provider.connections.get()
    assert second.request.path.endswith("model=other")


async def test_nothing_is_dialled_once_the_call_is_over(provider, connect):
    call = await connect()
    call.session.send(lk.SessionToWorker(finish=lk.Finish(drain_ms=100)))
    await call.from_worker("stats")
    call.session.send(attach(provider.url))
    await asyncio.sleep(0.2)
    assert provider.connections.empty()
