"""How an audio worker plays answers, and where they are cut."""

import json
import time

from actors.phrase_files import write
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from tests.actors.worker.call import FRAME, LONG
from tests.fakes.provider import send, speak
from tests.fakes.voice import speech
from tests.waiting import PATIENCE_S


async def test_the_delay_of_a_turn_is_told_each_way(connect):
    """Up: of the frame with which the caller's words ended."""
    call = await connect()
    stamp_ns = time.monotonic_ns() - 5_000_000
    audio = rv.CallerMessage(audio=rv.Audio(payload=FRAME, sequence=1))
    call.door.send_audio(stamp_ns, audio.SerializeToString())
    await send(call.connection, "input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    await call.from_worker("provider_event")
    await send(call.connection, "input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=20)
    await speak(call.connection, "i1", FRAME * 2)
    await call.playout(lk.Playout.STARTED)
    call.door.send(lk.DoorToWorker(first_audio_sent=lk.FirstAudioSent(down_us=321)))
    measured = await call.playout(lk.Playout.MEASURED)
    assert 5_000 <= measured.gateway_up_us < PATIENCE_S * 1e6
    assert measured.gateway_us == measured.gateway_up_us + 321


async def test_an_answer_is_paced_measured_and_drained(connect):
    call = await connect()
    await speak(call.connection, "i1", FRAME * 10)
    stamp_ns, first = await call.to_caller("audio")
    assert stamp_ns > 0
    assert (first.payload, first.item_id, first.sequence) == (FRAME, "i1", 1)
    stamp_ns, second = await call.to_caller("audio")
    assert (stamp_ns, second.timestamp_ms) == (0, 20)
    started = await call.playout(lk.Playout.STARTED)
    assert started.item_id == "i1"
    call.door.send(lk.DoorToWorker(first_audio_sent=lk.FirstAudioSent(down_us=321)))
    measured = await call.playout(lk.Playout.MEASURED)
    assert (measured.gateway_us, measured.gateway_up_us) == (321, 0)  # nothing came up before
    await send(
        call.connection,
        "response.output_audio.done",
        response_id="r1",
        item_id="i1",
        output_index=0,
        content_index=0,
    )
    drained = await call.playout(lk.Playout.DRAINED)
    assert drained.at_ns - started.at_ns >= 190_000_000


async def test_a_recording_is_played_and_cut_without_the_providers_help(
    connect, provider, tmp_path
):
    path = tmp_path / "p.wav"
    write(path, speech(1_000) * 20)
    call = await connect()
    await provider.received.get()
    await send(call.connection, "session.created", session={"id": "sess_1"})
    await call.from_worker("provider_event")
    play = lk.Play(item_id="phrase_1", path=str(path))
    call.session.send(lk.SessionToWorker(play=play))
    stamp_ns, first = await call.to_caller("audio")
    assert stamp_ns == 0  # how long ago the provider said something is no delay
    assert (first.item_id, len(first.payload)) == ("phrase_1", 160)
    assert (await call.playout(lk.Playout.STARTED)).item_id == "phrase_1"
    for _ in range(14):
        await call.to_caller("audio")
    await send(call.connection, "input_audio_buffer.speech_started", item_id="u1", audio_start_ms=5)
    cut = await call.playout(lk.Playout.INTERRUPTED)
    assert (cut.item_id, 0 < cut.heard_ms < 20_000) == ("phrase_1", True)
    assert provider.received.empty()  # text can't be truncated

    call.session.send(lk.SessionToWorker(play=lk.Play(item_id="phrase_2", path=str(path) + "x")))
    cut = await call.playout(lk.Playout.INTERRUPTED)
    assert (cut.item_id, cut.heard_ms) == ("phrase_2", 0)


async def test_speech_cuts_the_answer_where_it_was_heard(connect, provider):
    call = await connect()
    await provider.received.get()
    began_s = time.monotonic()
    await speak(call.connection, "i1", LONG)
    for _ in range(10):
        await call.to_caller("audio")
    await send(call.connection, "input_audio_buffer.speech_started", item_id="u1", audio_start_ms=5)
    _, clear = await call.to_caller("clear_audio")
    truncate = await provider.received.get()
    cut = await call.playout(lk.Playout.INTERRUPTED)
    assert truncate["type"] == "conversation.item.truncate"
    assert clear.heard_ms == cut.heard_ms == truncate["audio_end_ms"]
    assert 60 <= cut.heard_ms <= (time.monotonic() - began_s) * 1000
    await speak(call.connection, "i1", FRAME)  # late: ignored
    await speak(call.connection, "i2", FRAME * 2)
    _, audio = await call.to_caller("audio")
    assert audio.item_id == "i2"


async def test_an_answer_that_is_complete_and_still_playing_is_cut_where_it_was_heard(
    connect, provider
):
    """The provider has made all 20 s of it, and thinks that it was said."""
    call = await connect()
    await provider.received.get()
    made = {"id": "r1", "status": "in_progress"}
    await send(call.connection, "response.created", response=made)
    began_s = time.monotonic()
    await speak(call.connection, "i1", LONG)
    where = {"response_id": "r1", "item_id": "i1", "output_index": 0, "content_index": 0}
    await send(call.connection, "response.output_audio.done", **where)
    await send(call.connection, "response.done", response=made | {"status": "completed"})
    while b"response.done" not in await call.from_worker("provider_event"):
        pass
    for number in range(1, 21):
        _, audio = await call.to_caller("audio")
        assert audio.sequence == number
    least_ms = 20 * 20 - 20 - 120  # when the last one was sent: less than the lead ahead
    await send(call.connection, "input_audio_buffer.speech_started", item_id="u1", audio_start_ms=5)
    _, clear = await call.to_caller("clear_audio")
    cut = await call.playout(lk.Playout.INTERRUPTED)
    truncate = await provider.received.get()
    assert truncate == {
        "type": "conversation.item.truncate",
        "item_id": "i1",
        "content_index": 0,
        "audio_end_ms": clear.heard_ms,
    }
    assert (clear.item_id, cut.item_id, cut.heard_ms) == ("i1", "i1", clear.heard_ms)
    assert least_ms <= clear.heard_ms <= (time.monotonic() - began_s) * 1000
    assert b"speech_started" in await call.from_worker("provider_event")
    call.session.send(lk.SessionToWorker(provider_event=b'{"type":"after"}'))
    assert (await provider.received.get())["type"] == "after"  # it is cut once
    call.session.send(lk.SessionToWorker(finish=lk.Finish()))
    stats = await call.from_worker("stats")
    assert stats.frames_out * 20 <= clear.heard_ms + 140  # nothing after the cut


async def test_speech_while_nothing_plays_cuts_nothing(connect, provider):
    call = await connect()
    await provider.received.get()
    await send(call.connection, "input_audio_buffer.speech_started", item_id="u1", audio_start_ms=5)
    event = await call.from_worker("provider_event")
    assert json.loads(event)["type"] == "input_audio_buffer.speech_started"
    call.session.send(lk.SessionToWorker(provider_event=b'{"type":"after"}'))
    assert (await provider.received.get())["type"] == "after"


async def test_an_answer_of_which_nothing_was_heard_is_deleted(connect, provider):
    call = await connect()
    await provider.received.get()
    await speak(call.connection, "i1", LONG)
    await speak(call.connection, "i2", FRAME * 100)
    await send(call.connection, "fence")
    await call.from_worker("provider_event")
    for _ in range(10):
        await call.to_caller("audio")
    call.session.send(lk.SessionToWorker(stop_playout=lk.StopPlayout()))
    cuts = [await provider.received.get() for _ in range(2)]
    assert [(cut["type"], cut["item_id"]) for cut in cuts] == [
        ("conversation.item.truncate", "i1"),
        ("conversation.item.delete", "i2"),
    ]


async def test_marks_of_the_leg_move_what_was_heard(connect, provider):
    call = await connect(marks=True)
    await provider.received.get()
    await speak(call.connection, "i1", FRAME * 100)
    _, mark = await call.to_caller("mark")
    call.say(mark=rv.Mark(name=mark.name))
    call.session.send(lk.SessionToWorker(stop_playout=lk.StopPlayout()))
    # 200 ms is the next mark, which the leg did not reach.
    assert 100 <= (await call.playout(lk.Playout.INTERRUPTED)).heard_ms <= 200
