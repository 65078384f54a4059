"""What one 20 ms frame costs in the pure and thin parts of the media path, and on its whole
way through an audio worker: time, and memory that is taken anew (`benchmarks.allocations`).
"""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from actors.audio import Converter, leg_encoder
from actors.caller_leg import CallerLeg
from actors.signal.levels import from_signal
from benchmarks.allocations import taken
from benchmarks.figures import row
from protos.reception.v1 import reception_pb2 as rv
from reception import framing
from reception.media.adaptation import PLANS
from reception.media.codecs import AudioFormat
from reception.media.leg import LegConfig
from reception.media.playout import FrameOut, Playout
from reception.provider import codec_for
from reception.provider.base import AppendAudio, AudioDelta

PCMU = AudioFormat("pcmu", 8_000)
L16_48K = AudioFormat("l16", 48_000)
PROVIDER = AudioFormat("l16", 24_000)
ROUNDS, INNER = 200, 200
FRAME = bytes(range(160))
FRAME_VIEW = memoryview(FRAME)


def _measure(work: Callable[[], object]) -> list[float]:
    """Microseconds of one call, one value for each round."""
    values = []
    for _ in range(ROUNDS):
        began_ns = time.perf_counter_ns()
        for _ in range(INNER):
            work()
        values.append((time.perf_counter_ns() - began_ns) / 1000 / INNER)
    return values


def run() -> None:
    message = rv.CallerMessage(audio=rv.Audio(payload=FRAME, sequence=7, timestamp_ms=140))
    raw = message.SerializeToString()
    copy = _measure(lambda: bytes(bytearray(FRAME)))
    row("baseline: two copies of the frame", copy, "us")
    base = sorted(copy)[len(copy) // 2]
    codec = codec_for("openai")
    reader = framing.FrameReader()
    framed = framing.encode_audio(1, raw)
    wide, up = bytes(48_000 * 2 // 50), Converter(L16_48K, PROVIDER)
    wide_view = memoryview(wide)
    through = Converter(PCMU, PCMU)
    to_linear = Converter(PCMU, PROVIDER)
    for name, work in (
        ("link: frame a message", lambda: framing.encode_audio(1, raw)),
        ("link: take a frame apart", lambda: reader.feed(framed)),
        ("protobuf: parse an audio message", lambda: rv.CallerMessage.FromString(raw)),
        ("provider: encode appended audio", lambda: codec.encode(AppendAudio(FRAME))),
        ("convert: PCMU to PCMU (passed through)", lambda: through.convert(FRAME)),
        ("convert: PCMU 8 kHz to L16 24 kHz", lambda: to_linear.convert(FRAME)),
        ("convert: L16 48 kHz to L16 24 kHz", lambda: up.convert(wide)),
        ("playout: add and pace a frame", _playout()),
        ("caller: a frame, all at defaults", _caller(speaks=False)),
        ("caller: the same while she speaks, with her frame", _caller(speaks=True)),
        ("buffer: 160 bytes, new", lambda: bytes(FRAME_VIEW)),
        ("buffer: 160 bytes, from a pool", _pooled(FRAME_VIEW)),
        ("buffer: 1,920 bytes, new", lambda: bytes(wide_view)),
        ("buffer: 1,920 bytes, from a pool", _pooled(wide_view)),
        *_ways(),
    ):
        row(name, _measure(work), "us", base)
        memory = taken(work)
        print(
            f"{'':44} takes {memory.blocks:.1f} blocks, {memory.size:.0f} bytes; "
            f"keeps {memory.kept:.2f} blocks"
        )


def _ways() -> Iterator[tuple[str, Callable[[], object]]]:
    """All that a worker does with a frame between two sockets, for two kinds of legs."""
    for name, config, provider in (
        ("PCMU, provider PCMU", LegConfig("pcmu", 8_000, 20, False), PCMU),
        ("L16 48 kHz, provider L16", LegConfig("l16", 48_000, 20, False), PROVIDER),
    ):
        yield f"whole way up: {name}", _up(config, provider)
        yield f"whole way down: {name}", _down(config, provider)


def _up(config: LegConfig, provider: AudioFormat) -> Callable[[], object]:
    """From the front door's link to the message for the provider."""
    leg = AudioFormat(config.codec, config.rate_hz)
    caller, converter = CallerLeg(config, PLANS[0]), Converter(leg, provider)
    reader, codec = framing.FrameReader(), codec_for("openai")
    payload, sequence = leg.silence * (leg.bytes_per_ms * 20 // leg.sample_bytes), 0

    def work() -> None:
        nonlocal sequence
        sequence += 1
        for _, body in reader.feed(framed()):
            _, raw = framing.split_audio(body)
            audio = rv.CallerMessage.FromString(raw).audio
            heard = caller.receive(audio.payload, audio.sequence, sequence / 50, speaking=False)
            for each in heard.sent:
                codec.encode(AppendAudio(converter.convert(each)))

    def framed() -> bytes:
        """As it comes from the socket: taken in one read."""
        audio = rv.Audio(payload=payload, sequence=sequence, timestamp_ms=20 * sequence)
        return framing.encode_audio(1, rv.CallerMessage(audio=audio).SerializeToString())

    return work


def _down(config: LegConfig, provider: AudioFormat) -> Callable[[], object]:
    """From the provider's message to the front door's link."""
    leg = AudioFormat(config.codec, config.rate_hz)
    converter, encoder = Converter(provider, leg), leg_encoder(leg)
    playout = Playout(leg, 20, lead_ms=100, sends_marks=False)
    codec, now_s = codec_for("openai"), 0.0
    audio = provider.silence * (provider.bytes_per_ms * 20 // provider.sample_bytes)
    delta = {"type": "response.output_audio.delta", "event_id": "e", "response_id": "r",
             "item_id": "i", "output_index": 0, "content_index": 0,
             "delta": base64.b64encode(audio).decode()}  # fmt: skip
    message = json.dumps(delta).encode()

    def work() -> None:
        nonlocal now_s
        now_s += 0.02
        event = codec.decode(message)
        assert isinstance(event, AudioDelta)
        playout.add(event.item_id, 0, converter.convert(event.audio))
        for frame in playout.due(now_s):
            assert isinstance(frame, FrameOut)
            sent = rv.Audio(
                payload=encoder.encode(frame.audio),
                sequence=frame.sequence,
                timestamp_ms=frame.timestamp_ms,
                item_id=frame.item_id,
            )
            framing.encode_audio(0, rv.ReceptionMessage(audio=sent).SerializeToString())

    return work


def _pooled(data: memoryview) -> Callable[[], object]:
    """Takes a buffer, copies into it, hands on what is filled, gives it back."""
    free = deque(bytearray(len(data)) for _ in range(100))

    def work() -> None:
        buffer = free.pop()
        view = memoryview(buffer)
        view[: len(data)] = data
        view.release()
        free.append(buffer)

    return work


def _caller(*, speaks: bool) -> Callable[[], object]:
    """A G.711 leg's frame before it goes on; with one that the leg is to play."""
    leg = CallerLeg(LegConfig("pcmu", 8_000, 20, sends_marks=False), PLANS[0])
    rng = np.random.default_rng(1)
    frames = [
        from_signal(rng.normal(0, level, 160).astype(np.float32), "pcmu")
        for level in rng.uniform(0.001, 0.3, 100)
    ]
    now_s, number = 0.0, 0

    def work() -> object:
        nonlocal now_s, number
        now_s += 0.02
        number += 1
        if speaks:
            leg.played(FrameOut(frames[number % 97], "i", number, 0, False, now_s + 0.1))
        return leg.receive(frames[number % 100], number, now_s, speaking=speaks)

    return work


def _playout() -> Callable[[], object]:
    playout = Playout(PCMU, 20, lead_ms=100, sends_marks=False)
    now_s = 0.0

    def work() -> object:
        nonlocal now_s
        now_s += 0.02
        playout.add("item", 0, FRAME)
        return playout.due(now_s)

    return work
