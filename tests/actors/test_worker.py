"""The audio worker with real links and a real provider socket."""

import asyncio
import json
import time
import wave
from dataclasses import asdict
from pathlib import Path

import numpy as np
import opuslib_next
import pytest

from actors.audio import from_linear, to_linear
from actors.gossip import Listener
from actors.link import SESSION_SUFFIX, Link
from actors.phrase_files import write
from actors.provider import ProviderSocket, warm_up
from actors.signal.levels import Signal, from_signal, to_signal
from actors.worker import AudioWorker
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call.journal import lost_session
from reception.errors import InvalidRequest
from reception.framing import Kind, split_audio
from reception.media.hearing import Hearing
from reception.media.leg import LegConfig
from reception.placement.admission.provider_limits import CallUse
from reception.provider.base import DialPlan
from reception.provider.refusal import Outcome
from tests.actors.signal.sounds import press, silence
from tests.fakes.provider import FakeProvider, send, speak
from tests.fakes.voice import speech
from tests.waiting import PATIENCE_S, patience

FRAME = b"\x01" * 160
LONG_S = 10 * PATIENCE_S  # what lasts so long is not waited for
LONG = FRAME * 50 * 20  # an answer that is not over before it is cut


class Call:
    """Both ends of one call at a worker: the door's and the session's."""

    def __init__(self, door, session, connection):
        self.door, self.session, self.connection = door, session, connection

    async def from_worker(self, field):
        """The next message of this kind for the session; others are passed over."""
        async with patience():
            while True:
                frame = await self.session.receive()
                assert frame is not None, f"link ended before {field}"
                message = lk.WorkerToSession.FromString(frame[1])
                if message.WhichOneof("message") == field:
                    return getattr(message, field)

    async def playout(self, kind):
        while (playout := await self.from_worker("playout")).kind != kind:
            pass
        return playout

    async def to_caller(self, field):
        """The next message of this kind for the caller, with its stamp."""
        async with patience():
            while True:
                frame = await self.door.receive()
                assert frame is not None, f"link ended before {field}"
                if frame[0] is Kind.AUDIO:
                    stamp_ns, raw = split_audio(frame[1])
                    message = rv.ReceptionMessage.FromString(raw)
                    if message.WhichOneof("message") == field:
                        return stamp_ns, getattr(message, field)

    async def door_control(self, field):
        async with patience():
            while True:
                frame = await self.door.receive()
                assert frame is not None, f"link ended before {field}"
                if frame[0] is Kind.CONTROL:
                    message = lk.WorkerToDoor.FromString(frame[1])
                    if message.WhichOneof("message") == field:
                        return getattr(message, field)

    def say(self, **fields):
        self.door.send_audio(1, rv.CallerMessage(**fields).SerializeToString())


@pytest.fixture(scope="module", autouse=True)
def _sdk_is_there():
    """Its import is a second of CPU, which no test's clock should meet."""
    warm_up("embedded", "http://127.0.0.1:1/v1")


@pytest.fixture
async def provider():
    fake = FakeProvider()
    fake.url = await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def worker(tmp_path):
    worker = AudioWorker("w0", str(tmp_path / "w.sock"), str(tmp_path / "recordings"))
    await worker.start()
    yield worker
    await worker.stop()


def attach(url, *, codec="pcmu", rate=8_000, marks=False, lease="lease", **leg_fields):
    plan = DialPlan(
        "embedded", url, "m", "pcmu" if codec == "pcmu" else "pcm24k", ('{"type":"x"}',)
    )
    leg = LegConfig(codec, rate, 20, marks, **leg_fields)
    return lk.SessionToWorker(
        attach=lk.SessionAttach(
            call_id="c1",
            lease_id=lease,
            session="one",
            session_id="s1",
            dial_plan=json.dumps(asdict(plan)).encode(),
            leg_config=json.dumps(asdict(leg)).encode(),
        )
    )


@pytest.fixture
async def link_to(worker):
    """Makes links to the worker's sockets; they are closed at the end."""
    links = []

    async def make(suffix=""):
        links.append(await Link.connect(worker._path + suffix, PATIENCE_S))
        return links[-1]

    yield make
    for link in links:
        await link.close()


@pytest.fixture
async def connect(link_to, provider):
    async def make(**options):
        door = await link_to()
        session = await link_to(SESSION_SUFFIX)
        door.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id="c1", lease_id="lease")))
        session.send(attach(provider.url, **options))
        async with patience():
            connection = await provider.connections.get()
        return Call(door, session, connection)

    return make


async def test_both_sides_hear_that_they_are_attached_and_the_provider_is_up(connect, provider):
    call = await connect()
    await call.from_worker("attached")
    await call.door_control("attached")
    state = await call.from_worker("provider_state")
    assert state.up
    assert (await provider.received.get())["type"] == "x"


async def test_caller_audio_reaches_the_provider_untouched(connect, provider):
    call = await connect()
    for number in range(1, 11):
        call.say(audio=rv.Audio(payload=FRAME, sequence=number))
    async with patience():
        while len(provider.audio) < 1600:
            await asyncio.sleep(0.001)
    assert bytes(provider.audio) == FRAME * 10


async def test_silence_is_not_sent_but_while_the_provider_hears_speech(connect, provider):
    call = await connect(silence_ms=(60, 100))
    said = 0

    async def hear(frames, sent_in_all):
        nonlocal said
        for frame in frames:
            said += 1
            call.say(audio=rv.Audio(payload=frame, sequence=said))
        call.say(event=rv.CallEvent(kind=rv.CallEvent.KIND_HOLD))  # all before it is done with
        await call.from_worker("from_caller")
        async with patience():
            while len(provider.audio) < 160 * sent_in_all:
                await asyncio.sleep(0.001)
        assert len(provider.audio) == 160 * sent_in_all

    quiet = b"\xff" * 160
    await hear([quiet] * 100, 5)
    where = {"item_id": "u1"}
    await send(call.connection, "input_audio_buffer.speech_started", audio_start_ms=0, **where)
    await call.from_worker("provider_event")
    await hear([quiet] * 20, 5 + 3 + 20)
    await send(call.connection, "input_audio_buffer.speech_stopped", audio_end_ms=9, **where)
    await call.from_worker("provider_event")
    await hear([quiet] * 20, 28 + 5)
    call.session.send(lk.SessionToWorker(listen=lk.Listen(on=False)))
    call.session.send(lk.SessionToWorker(finish=lk.Finish(drain_ms=0)))
    stats = await call.from_worker("stats")
    assert (stats.caller_audio_ms, stats.silence_ms) == (20 * 140, 20 * (140 - 33))


async def test_linear_audio_is_resampled_for_the_provider(connect, provider):
    call = await connect(codec="l16", rate=16_000)
    for _ in range(50):
        call.say(audio=rv.Audio(payload=bytes(640)))
    async with patience():
        while len(provider.audio) < 47_000:
            await asyncio.sleep(0.001)
    assert len(provider.audio) <= 48_000


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
async def test_an_opus_leg_speaks_and_hears_opus(connect, provider, rate):
    """A tone of 300 Hz goes up, one of 500 Hz comes down; packet 31 is lost."""
    call = await connect(codec="opus", rate=rate)
    client = opuslib_next.Encoder(rate, 1, "voip")
    for number, frame in enumerate(tone_frames(300, rate, 50), start=1):
        packet = client.encode(frame, rate // 50)
        if number != 31:
            call.say(audio=rv.Audio(payload=packet, sequence=number))
    async with patience():
        while len(provider.audio) < 48_000:
            await asyncio.sleep(0.001)
    assert len(provider.audio) == 48_000
    assert abs(loudest_hz(provider.audio, 24_000) - 300) < 2

    await speak(call.connection, "i1", b"".join(tone_frames(500, 24_000, 20)))
    ear, heard = opuslib_next.Decoder(rate, 1), b""
    for number in range(1, 21):
        _, audio = await call.to_caller("audio")
        assert (audio.sequence, audio.item_id) == (number, "i1")
        heard += ear.decode(audio.payload, rate // 50)
    assert len(heard) == rate * 2 * 400 // 1000
    assert abs(loudest_hz(heard, rate) - 500) < 4

    call.session.send(lk.SessionToWorker(finish=lk.Finish(drain_ms=0)))
    stats = await call.from_worker("stats")
    assert (stats.frames_in, stats.frames_lost, stats.caller_audio_ms) == (49, 1, 1_000)
    assert (stats.frames_out, stats.reception_audio_ms) == (20, 400)
    assert 3_500 < stats.caller_mos_milli < 4_200  # 2 % were lost
    assert (stats.caller_clipped_ppm, stats.caller_silent_milli) == (0, 0)
    assert -17 <= stats.caller_level_dbov <= -14  # a sine whose peak is at -12


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
async def test_an_opus_leg_has_keys_in_its_audio_and_is_judged_like_any_other(connect, rate):
    """Keys of 60 ms, too loud a tone and silence; packet 8, in the first one, is lost."""
    call = await connect(codec="opus", rate=rate, hearing=Hearing(dtmf_inband=True))
    pressed = [silence(100, rate)]
    for key in "159D":
        pressed += [press(key, 100 if key == "1" else 60, rate_hz=rate), silence(80, rate)]
    at = np.arange(rate // 5) / rate
    too_loud = np.where(np.sin(2 * np.pi * 200 * at) > 0, 1.0, -1.0).astype(np.float32)
    sound = np.concatenate([*pressed, too_loud, silence(200, rate)])
    client, size = opuslib_next.Encoder(rate, 1, "voip"), rate // 50
    frames = [from_signal(sound[at : at + size], "l16") for at in range(0, len(sound), size)]
    for number, frame in enumerate(frames, start=1):
        packet = client.encode(frame, size)
        if number != 8:
            call.say(audio=rv.Audio(payload=packet, sequence=number))
    heard = ""
    while len(heard) < 4:
        told = rv.CallerMessage.FromString(await call.from_worker("from_caller"))
        heard += told.dtmf.digits
    assert heard == "159D"
    call.session.send(lk.SessionToWorker(finish=lk.Finish(drain_ms=0)))
    stats = await call.from_worker("stats")
    assert (stats.frames_in, stats.frames_lost) == (len(frames) - 1, 1)
    assert stats.caller_clipped_ppm > 500  # what is left of it by the decoder
    assert 350 < stats.caller_silent_milli < 700
    assert -15 < stats.caller_level_dbov < -2
    assert 3_000 < stats.caller_mos_milli < 4_200


async def test_what_is_no_opus_packet_ends_the_stream(connect):
    call = await connect(codec="opus", rate=48_000)
    call.say(audio=rv.Audio(payload=b"\xff" * 3))
    abort = await call.door_control("abort")
    assert (abort.code, abort.field) == (3, "audio.payload")
    assert "no Opus packet" in abort.message


def tone_frames(hz, rate, count):
    at = np.arange(rate // 50 * count) / rate
    sound = np.round(8_000 * np.sin(2 * np.pi * hz * at)).astype("<i2").tobytes()
    size = rate // 50 * 2
    return [sound[start : start + size] for start in range(0, len(sound), size)]


def loudest_hz(audio, rate):
    samples = np.frombuffer(bytes(audio), np.int16)
    windowed = samples * np.hanning(len(samples))
    return np.argmax(np.abs(np.fft.rfft(windowed, 1 << 16))) * rate / (1 << 16)


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


async def next_connection(provider):
    async with patience():
        return await provider.connections.get()


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


async def test_a_door_alone_is_sent_away(link_to, monkeypatch):
    monkeypatch.setattr("actors.worker.ATTACH_TIMEOUT_S", 0.05)
    door = await link_to()
    door.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id="c1", lease_id="lonely")))
    abort = await Call(door, None, None).door_control("abort")
    assert abort.code == 4
    assert await door.receive() is None


async def test_a_session_that_takes_a_call_over_which_is_not_there_is_cut_off(link_to, monkeypatch):
    monkeypatch.setattr("actors.worker.ATTACH_TIMEOUT_S", LONG_S)
    session = await link_to(SESSION_SUFFIX)
    message = attach("http://127.0.0.1:9/v1")
    message.attach.takes_over = True
    session.send(message)
    async with patience():  # at once: no door is waited for
        assert await session.receive() is None


async def test_a_session_alone_is_sent_away(link_to, monkeypatch):
    monkeypatch.setattr("actors.worker.ATTACH_TIMEOUT_S", 0.05)
    session = await link_to(SESSION_SUFFIX)
    session.send(attach("http://127.0.0.1:9/v1"))
    async with patience():
        assert await session.receive() is None


async def test_a_second_door_with_the_same_lease_is_cut(link_to):
    first = await link_to()
    first.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id="c1", lease_id="lease")))
    second = await link_to()
    second.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id="c1", lease_id="lease")))
    async with patience():
        ended = await second.receive() if not first.ended else await first.receive()
    assert ended is None


@pytest.mark.parametrize("suffix", ["", SESSION_SUFFIX])
async def test_who_does_not_attach_is_cut(link_to, suffix, monkeypatch):
    monkeypatch.setattr("actors.worker.ATTACH_TIMEOUT_S", 0.05)
    silent = await link_to(suffix)
    talkative = await link_to(suffix)
    talkative.send_audio(1, b"?")
    async with patience():
        assert await silent.receive() is None
        assert await talkative.receive() is None


# ------------------------------------------------------------------ hearing and recording


def words(ms=400):
    """A voice, as 20 ms frames of mu-law."""
    samples = np.frombuffer(speech(ms, 8_000), dtype="<i2")
    audio = from_linear(samples, "pcmu")
    return [audio[at : at + 160] for at in range(0, len(audio), 160)]


async def test_local_detection_stops_the_answer_without_the_provider(connect, provider):
    call = await connect(hearing=Hearing(barge_in="local"))
    began_s = time.monotonic()
    await speak(call.connection, "i1", b"\x60" * len(LONG))  # not louder than the caller
    await call.playout(lk.Playout.STARTED)
    frames = words()
    for number, frame in enumerate(frames, start=1):
        call.say(audio=rv.Audio(payload=frame, sequence=number))
        await asyncio.sleep(0.02)
    words_ms = (time.monotonic() - began_s) * 1000
    _, clear = await call.to_caller("clear_audio")
    assert clear.item_id == "i1"
    assert (await call.playout(lk.Playout.INTERRUPTED)).heard_ms < words_ms


async def test_a_cough_that_the_provider_takes_for_speech_does_not_stop_the_answer(
    connect, provider
):
    call = await connect(hearing=Hearing(min_speech_ms=500))
    await speak(call.connection, "i1", FRAME * 30)
    await call.from_worker("playout")
    await send(call.connection, "input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    await send(call.connection, "input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=90)
    await send(call.connection, "response.output_audio.done", response_id="r1", item_id="i1")
    told: list[int] = []
    async with patience():
        while not told or told[-1] != lk.Playout.DRAINED:
            frame = await call.session.receive()
            message = lk.WorkerToSession.FromString(frame[1])
            assert b"speech_started" not in message.provider_event
            if message.HasField("playout"):
                told.append(message.playout.kind)
    assert lk.Playout.INTERRUPTED not in told


class Line:
    """A call on a clock of the test's: the receptionist speaks, and each frame that the
    leg plays comes back 60 ms later at -20 dB, with what the caller says on top."""

    LAG_FRAMES, LEAD_FRAMES = 3, 5

    def __init__(self, call, provider, worker, monkeypatch):
        self.call, self.provider, self.worker = call, provider, worker
        self.now_s = time.monotonic()
        self.kinds: list[str] = []  # what the session was told
        self._played: list[Signal] = []
        self._said = 0
        for clock in worker._clocks:
            clock.cancel()
        for module in ("media_call", "speaker"):
            monkeypatch.setattr(f"actors.{module}.time", self)

    def monotonic(self):
        return self.now_s

    def monotonic_ns(self):
        return int(self.now_s * 1e9)

    async def goes_on(self, frames, caller=()):
        """So many frames each way, or until the answer is cut; the first ones are the
        leg's lead. How many it took."""
        for number in range(frames):
            for _ in range(1 if self._played else 1 + self.LEAD_FRAMES):
                _, audio = await self.call.to_caller("audio")
                self._played.append(to_signal(audio.payload, "pcmu"))
            back = len(self._played) - 1 - self.LEAD_FRAMES - self.LAG_FRAMES
            heard: Signal = np.zeros(160, np.float32)
            if back >= 0:
                heard = self._played[back] * np.float32(0.1)
            if number < len(caller):
                heard = heard + caller[number]
            self.now_s += 0.02
            self._said += 1
            payload = from_signal(heard, "pcmu")
            self.call.say(audio=rv.Audio(payload=payload, sequence=self._said))
            async with patience():
                while len(self.provider.audio) < 160 * self._said:
                    await asyncio.sleep(0.001)
            if "INTERRUPTED" in await self.told():
                return number + 1
            self.worker._calls["lease"].pace(self.now_s)
        return frames

    async def hears(self, kind):
        """The provider does, it says."""
        where = {"item_id": "u", "audio_start_ms": 0, "audio_end_ms": 0}
        await send(self.call.connection, f"input_audio_buffer.{kind}", **where)

    async def told(self):
        """What the session was, by now."""
        await send(self.call.connection, "fence")
        async with patience():
            while frame := await self.call.session.receive():
                message = lk.WorkerToSession.FromString(frame[1])
                if message.HasField("playout"):
                    self.kinds.append(lk.Playout.Kind.Name(message.playout.kind))
                elif message.provider_event:
                    kind = json.loads(message.provider_event)["type"]
                    if kind == "fence":
                        break
                    self.kinds.append(kind.removeprefix("input_audio_buffer."))
        return self.kinds


def syllables(ms, level):
    """A voice that rises and falls, at 8 kHz, by a seed's chance."""
    rng = np.random.default_rng(3)
    sound: list[Signal] = []
    while sum(map(len, sound)) < 8 * ms:
        length = int(rng.integers(80, 300)) * 8
        voice = np.frombuffer(speech(length // 8, 8_000), "<i2") / 9_000
        shape = np.sin(np.pi * np.arange(length) / length) ** 2
        pause = np.zeros(int(rng.integers(0, 60)) * 8, np.float32)
        sound += [voice[:length] * shape * rng.uniform(0.4, 1.0), pause]
    return (level * np.concatenate(sound)[: 8 * ms]).astype(np.float32)


async def test_by_default_echo_of_the_answer_does_not_cut_it_and_the_caller_over_it_does(
    connect, provider, worker, monkeypatch
):
    call = await connect()
    await call.from_worker("provider_state")
    line = Line(call, provider, worker, monkeypatch)
    await speak(call.connection, "i1", from_signal(syllables(6_000, 0.5), "pcmu"))
    await line.goes_on(50)
    await line.hears("speech_started")
    await line.goes_on(20)
    assert line.kinds == ["STARTED"]
    await line.hears("speech_stopped")  # the provider will answer: the session is to know
    await line.goes_on(40)
    await line.hears("speech_started")
    assert await line.told() == ["STARTED", "speech_started", "speech_stopped"]

    words = syllables(400, 0.5)[400:2_000].reshape(-1, 160)
    assert await line.goes_on(10, caller=words) <= 4  # 80 ms
    assert line.kinds[3:] == ["INTERRUPTED", "speech_started"]
    _, clear = await call.to_caller("clear_audio")
    assert (clear.item_id, clear.heard_ms // 100) == ("i1", 22)


async def test_by_default_who_speaks_over_the_echo_cuts_the_answer_with_the_providers_event(
    connect, provider, worker, monkeypatch
):
    call = await connect()
    await call.from_worker("provider_state")
    line = Line(call, provider, worker, monkeypatch)
    await speak(call.connection, "i1", from_signal(syllables(6_000, 0.5), "pcmu"))
    await line.goes_on(50)
    await line.goes_on(10, caller=syllables(400, 0.5)[400:2_000].reshape(-1, 160))
    assert line.kinds == ["STARTED"]
    await line.hears("speech_started")
    assert await line.told() == ["STARTED", "INTERRUPTED", "speech_started"]


async def test_lost_frames_are_filled_and_late_ones_put_in_order(connect, provider):
    call = await connect()
    await call.from_worker("provider_state")
    frames = words(200)
    for number in (1, 2, 4, 3, 5, 8, 9, 10):
        call.say(audio=rv.Audio(payload=frames[number - 1], sequence=number))
    async with patience():
        while len(provider.audio) < 160 * 10:
            await asyncio.sleep(0.01)
    assert bytes(provider.audio[: 160 * 5]) == b"".join(frames[:5])
    call.session.send(lk.SessionToWorker(finish=lk.Finish()))
    stats = await call.from_worker("stats")
    assert (stats.frames_in, stats.frames_lost, stats.frames_reordered) == (8, 2, 1)
    assert 1_000 < stats.caller_mos_milli < 4_500


async def test_how_loud_how_quiet_and_how_clipped_the_caller_was(connect, provider):
    """A fifth of the leg is clipped, four fifths are quiet."""
    call = await connect(codec="l16", rate=16_000)
    await call.from_worker("provider_state")
    loud = np.where(np.arange(320) % 4 < 2, 32_767, 8_192).astype("<i2")  # half of it is
    for number in range(1, 51):
        payload = loud.tobytes() if number % 5 == 0 else bytes(640)
        call.say(audio=rv.Audio(payload=payload, sequence=number))
    async with patience():
        while len(provider.audio) < 47_000:
            await asyncio.sleep(0.001)
    call.session.send(lk.SessionToWorker(finish=lk.Finish()))
    stats = await call.from_worker("stats")
    assert (stats.caller_clipped_ppm, stats.caller_silent_milli) == (100_000, 800)
    assert stats.caller_level_dbov == -3  # of the loud fifth
    assert stats.caller_mos_milli == 4_409  # nothing was lost


async def test_what_a_leg_came_to_is_told_as_it_goes_on(connect, provider, monkeypatch):
    monkeypatch.setattr("actors.media_call.STATS_EVERY_S", 0.1)
    monkeypatch.setattr("actors.worker.LOOK_S", 0.05)
    call = await connect()
    await call.from_worker("provider_state")
    for number in (1, 2, 3, 7, 8):
        call.say(audio=rv.Audio(payload=FRAME, sequence=number))
    while (so_far := await call.from_worker("so_far")).frames_in < 5:
        pass
    assert (so_far.frames_in, so_far.frames_lost) == (5, 3)
    call.say(audio=rv.Audio(payload=FRAME, sequence=9))
    while (so_far := await call.from_worker("so_far")).frames_in < 6:
        pass
    assert (so_far.frames_lost, so_far.caller_audio_ms) == (3, 180)
    call.session.send(lk.SessionToWorker(finish=lk.Finish()))
    assert (await call.from_worker("stats")).frames_in == 6


async def test_keys_in_the_audio_reach_the_session(connect):
    call = await connect(hearing=Hearing(dtmf_inband=True))
    t = np.arange(8_000 // 10) / 8_000
    tone = 8_000 * (np.sin(2 * np.pi * 770 * t) + np.sin(2 * np.pi * 1_336 * t))
    audio = from_linear(tone.astype("<i2"), "pcmu") + b"\xff" * 800
    for number, at in enumerate(range(0, len(audio), 160), start=1):
        call.say(audio=rv.Audio(payload=audio[at : at + 160], sequence=number))
    pressed = rv.CallerMessage.FromString(await call.from_worker("from_caller"))
    assert pressed.dtmf.digits == "5"


async def test_a_recording_has_the_caller_left_and_the_receptionist_right(connect, tmp_path):
    call = await connect(recording="wav")
    await call.from_worker("provider_state")
    await speak(call.connection, "i1", FRAME * 20)
    for number, frame in enumerate(words(400), start=1):
        call.say(audio=rv.Audio(payload=frame, sequence=number))
        await asyncio.sleep(0.02)
    await send(call.connection, "response.output_audio.done", response_id="r1", item_id="i1")
    await call.playout(lk.Playout.DRAINED)
    call.session.send(lk.SessionToWorker(finish=lk.Finish()))
    path = Path((await call.from_worker("stats")).recording)
    assert path.is_relative_to(tmp_path / "recordings")
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8_000)
        both = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    assert np.abs(both[:, 0]).max() > 5_000
    assert (both[:, 1] != 0).sum() > 8 * 300


# ------------------------------------------------------------------ doing less


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
    assert (await worker.stats())["live"] == 0
    with pytest.raises(InvalidRequest, match="level is 'fast'"):
        await worker.set_level("fast", "key k")


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
