"""One caller's audio made whole and judged: gaps, levels, keys, quality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

import numpy as np

from actors.audio import LegDecoder
from actors.opus import MAX_CONCEALED
from actors.signal.conceal import Concealer
from actors.signal.dtmf import DtmfDetector, KeyEvent
from actors.signal.levels import Level, level, to_signal
from reception.media.codecs import AudioFormat
from reception.media.jitter import Lost
from reception.media.quality import (
    G711_WITH_CONCEALMENT,
    OPUS,
    Codec,
    Quality,
    QualityCounter,
)

MAX_FILL_MS = 400  # of one gap; the rest of a longer one is left out
_MAX_KEY_EVENTS = 128


class Caller(ABC):
    """What the caller's side of one leg sends, on its way to the provider, judged.

    Frames come in order, with what is lost between them. The audio of a quiet 20 ms frame
    of G.711 costs about 5 µs, of one of speech about 15 µs.

    Args:
        format: of the audio.
        ptime_ms: length of a frame, for gaps before the first one.
        keys: listen for keys in the audio.
        codec: what losses do to it.
    """

    def __init__(self, format: AudioFormat, ptime_ms: int, *, keys: bool, codec: Codec) -> None:
        self.level = Level(0.0, 0.0, 0)  # of the audio that was given back last
        self.listens = True  # for keys, where it was told to
        self._format, self._codec = format, codec
        self._frame_samples = format.rate_hz * ptime_ms // 1000
        self._detector = DtmfDetector(format.rate_hz) if keys else None
        self._keys: deque[KeyEvent] = deque(maxlen=_MAX_KEY_EVENTS)  # oldest go first
        self._counter = QualityCounter()

    @abstractmethod
    def hear(self, frame: bytes | Lost) -> bytes:
        """The audio of the next frame, or of the gap before it.

        Raises:
            InvalidRequest: the frame can't be decoded.
        """

    def take_keys(self) -> list[KeyEvent]:
        """Keys heard since the last time, oldest first."""
        keys = list(self._keys)
        self._keys.clear()
        return keys

    def quality(self, *, one_way_ms: float = 0.0) -> Quality:
        """Of the whole leg so far."""
        return self._counter.estimate(one_way_ms=one_way_ms, codec=self._codec)

    def _judge(self, audio: bytes) -> None:
        signal = to_signal(audio, self._format.name)
        self.level = heard = level(signal, self._format.name)
        self._counter.frame(
            len(signal), power=heard.power, clipped=heard.clipped, silent=heard.silent
        )
        if self._detector is not None and self.listens:
            self._keys.extend(self._detector.feed(signal, heard.power))

    def _miss(self, frames: int) -> None:
        """So many frames have no audio."""
        if self._detector is not None:
            self._detector.lost(frames * self._frame_samples)


class CallerAudio(Caller):
    """Frames of audio come back untouched; a gap is filled, and the frame after it joined
    to that.

    Args:
        rng: for comfort noise; a seeded one in tests.
    """

    def __init__(
        self,
        format: AudioFormat,
        ptime_ms: int = 20,
        *,
        keys: bool = True,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__(format, ptime_ms, keys=keys, codec=G711_WITH_CONCEALMENT)
        self._concealer = Concealer(format, rng)

    def hear(self, frame: bytes | Lost) -> bytes:
        if isinstance(frame, Lost):
            return self._fill(frame.frames)
        self._judge(frame)
        self._frame_samples = len(frame) // self._format.sample_bytes
        return self._concealer.received(frame, self.level.power)

    def _fill(self, frames: int) -> bytes:
        self._counter.loss(frames)
        self._miss(frames)
        most = self._format.rate_hz * MAX_FILL_MS // 1000
        audio = self._concealer.lost(min(frames * self._frame_samples, most))
        self.level = level(to_signal(audio, self._format.name), self._format.name)
        return audio


class CallerPackets(Caller):
    """Packets of Opus are decoded; what stands in for a gap comes with the packet after it."""

    def __init__(
        self, decoder: LegDecoder, format: AudioFormat, ptime_ms: int = 20, *, keys: bool = True
    ) -> None:
        super().__init__(format, ptime_ms, keys=keys, codec=OPUS)
        self._decoder = decoder
        self._lost = 0  # since the last packet

    def hear(self, frame: bytes | Lost) -> bytes:
        if isinstance(frame, Lost):
            self._counter.loss(frame.frames)
            self._lost += frame.frames
            return b""
        lost, self._lost = self._lost, 0
        audio = self._decoder.decode(frame, lost)
        if lost > MAX_CONCEALED:
            self._miss(lost - MAX_CONCEALED)
        self._judge(audio)
        return audio
