"""What an audio worker leaves out at a lower level."""

import asyncio
import os

import pytest

from actors.memory import resident_mb
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.errors import InvalidRequest
from reception.media.hearing import Hearing
from tests.actors.worker.call import FRAME, LONG
from tests.fakes.provider import send, speak
from tests.waiting import patience


async def test_at_a_lower_level_the_provider_gets_longer_pieces(connect, provider, worker):
    call = await connect()
    await call.from_worker("provider_state")
    await worker.set_level("economy", "k")
    for number in range(1, 8):
        call.say(audio=rv.Audio(payload=FRAME, sequence=number))
    async with patience():
        while len(provider.audio) < 2 * 480:
            await asyncio.sleep(0.01)
    await worker.set_level("quality", "k")
    call.say(audio=rv.Audio(payload=FRAME, sequence=8))
    async with patience():
        while len(provider.pieces) < 3:
            await asyncio.sleep(0.01)
    assert provider.pieces == [480, 480, 320]


async def test_a_worker_that_has_no_time_to_listen_believes_the_provider(connect, provider, worker):
    call = await connect(hearing=Hearing(min_speech_ms=500))
    await worker.set_level("survival", "k")
    await speak(call.connection, "i1", LONG)
    await call.playout(lk.Playout.STARTED)
    await send(call.connection, "input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    assert (await call.playout(lk.Playout.INTERRUPTED)).item_id == "i1"


async def test_at_a_lower_level_a_recording_is_what_costs_least(connect, worker):
    await worker.set_level("economy", "k")
    call = await connect(recording="opus")
    await call.from_worker("provider_state")
    call.session.send(lk.SessionToWorker(finish=lk.Finish()))
    assert (await call.from_worker("stats")).recording.endswith(".wav")


async def test_what_a_worker_does_and_measures(worker):
    await worker.set_level("balanced", "key k")
    news = await worker.news(-1, 0.0)
    assert (news.level, news.pinned) == ("balanced", True)
    stats = await worker.stats()
    assert stats["live"] == 0
    assert stats["resident_mb"] == pytest.approx(resident_mb(os.getpid()), abs=50)
    with pytest.raises(InvalidRequest, match="level is 'fast'"):
        await worker.set_level("fast", "key k")
