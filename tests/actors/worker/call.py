"""A call at an audio worker, for its tests: both ends of it, and what is heard in it."""

import json
from dataclasses import asdict

import numpy as np

from actors.audio import from_linear
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.framing import Kind, split_audio
from reception.media.leg import LegConfig
from reception.provider.base import DialPlan
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


async def next_connection(provider):
    async with patience():
        return await provider.connections.get()


def words(ms=400):
    """A voice, as 20 ms frames of mu-law."""
    samples = np.frombuffer(speech(ms, 8_000), dtype="<i2")
    audio = from_linear(samples, "pcmu")
    return [audio[at : at + 160] for at in range(0, len(audio), 160)]


def tone_frames(hz, rate, count):
    at = np.arange(rate // 50 * count) / rate
    sound = np.round(8_000 * np.sin(2 * np.pi * hz * at)).astype("<i2").tobytes()
    size = rate // 50 * 2
    return [sound[start : start + size] for start in range(0, len(sound), size)]


def loudest_hz(audio, rate):
    samples = np.frombuffer(bytes(audio), np.int16)
    windowed = samples * np.hanning(len(samples))
    return np.argmax(np.abs(np.fft.rfft(windowed, 1 << 16))) * rate / (1 << 16)
