"""What one 20 ms frame costs in the pure and thin parts of the media path."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from actors.audio import Converter
from benchmarks.figures import row
from protos.reception.v1 import reception_pb2 as rv
from reception import framing
from reception.media.codecs import AudioFormat
from reception.media.playout import Playout
from reception.provider import codec_for
from reception.provider.base import AppendAudio

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
        ("buffer: 160 bytes, new", lambda: bytes(FRAME_VIEW)),
        ("buffer: 160 bytes, from a pool", _pooled(FRAME_VIEW)),
        ("buffer: 1,920 bytes, new", lambda: bytes(wide_view)),
        ("buffer: 1,920 bytes, from a pool", _pooled(wide_view)),
    ):
        row(name, _measure(work), "us", base)


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


def _playout() -> Callable[[], object]:
    playout = Playout(PCMU, 20, lead_ms=100, sends_marks=False)
    now_s = 0.0

    def work() -> object:
        nonlocal now_s
        now_s += 0.02
        playout.add("item", 0, FRAME)
        return playout.due(now_s)

    return work
