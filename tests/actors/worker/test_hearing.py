"""What an audio worker makes of what the caller's leg sends."""

import asyncio
import wave
from pathlib import Path

import numpy as np
import opuslib_next
import pytest

from actors.audio import from_linear
from actors.signal.levels import from_signal
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.media.hearing import Hearing
from tests.actors.signal.sounds import press, silence
from tests.actors.worker.call import FRAME, loudest_hz, tone_frames, words
from tests.fakes.provider import send, speak
from tests.waiting import patience


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
