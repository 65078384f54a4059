"""Whether the caller cuts an answer, where the audio worker decides on it."""

import asyncio
import json
import time

import numpy as np
import pytest

from actors.signal.levels import Signal, from_signal, to_signal
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.media.hearing import Hearing
from tests.actors.worker.call import FRAME, LONG, words
from tests.fakes.provider import send, speak
from tests.fakes.voice import speech
from tests.waiting import patience


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


def turns(audio):
    """So many a provider's own turn detection takes of this audio: 100 ms of sound above
    -45 dBov, then 200 ms without."""
    taken, sound_ms, quiet_ms = 0, 0, 0
    signal = to_signal(bytes(audio), "pcmu")
    for frame in signal[: len(signal) // 160 * 160].reshape(-1, 160):
        if np.mean(frame**2) > 10**-4.5:
            sound_ms, quiet_ms = sound_ms + 20, 0
        else:
            quiet_ms += 20
        if quiet_ms == 200:
            taken, sound_ms = taken + (sound_ms >= 100), 0
    return taken + (sound_ms >= 100)


@pytest.mark.parametrize("hearing", [Hearing(), Hearing(min_speech_ms=2_000)])
async def test_of_an_echo_that_is_known_the_provider_takes_no_turn_and_of_the_caller_it_does(
    connect, provider, worker, monkeypatch, hearing
):
    call = await connect(hearing=hearing)
    await call.from_worker("provider_state")
    line = Line(call, provider, worker, monkeypatch)
    await speak(call.connection, "i1", from_signal(syllables(9_000, 0.9), "pcmu"))
    await line.goes_on(75)
    await line.hears("speech_started")  # which by default shows that the line has echo
    await line.goes_on(75)
    if not hearing.decides:
        assert turns(provider.audio) > 0
    await line.hears("speech_stopped")
    before = len(provider.audio)
    await line.goes_on(150)
    assert "INTERRUPTED" not in line.kinds
    echo = provider.audio[before:]
    assert len(echo) == 150 * 160
    assert turns(echo) == 0
    assert len(set(echo)) > 2  # noise, not a dead line

    before = len(provider.audio)
    words = syllables(600, 0.5)[400:4_400].reshape(-1, 160)
    for frame in words:
        await line.goes_on(1, caller=[frame])
    said = to_signal(bytes(provider.audio[before:]), "pcmu").reshape(-1, 160)
    assert turns(provider.audio[before:]) == 1
    his = np.mean(words**2, axis=1) > 1e-4
    assert (np.mean(said[his] ** 2, axis=1) > np.mean(words[his] ** 2, axis=1) / 4).all()
