"""One caller's audio made whole and judged: gaps, levels, keys, quality."""

from __future__ import annotations

from collections import deque

import numpy as np

from actors.signal.conceal import Concealer
from actors.signal.dtmf import DtmfDetector, KeyEvent
from actors.signal.levels import Level, level, to_signal
from reception.media.codecs import AudioFormat
from reception.media.jitter import Lost
from reception.media.quality import (
    G711_WITH_CONCEALMENT,
    Codec,
    Quality,
    QualityCounter,
)

MAX_FILL_MS = 400  # of one gap; the rest of a longer one is left out
_MAX_KEY_EVENTS = 128


class CallerAudio:
    """What the caller's side of one leg sends, on its way to the provider.

    Frames come in order, with what is lost between them, and come back untouched; a gap
    is filled, and the frame after it joined to that. A quiet 20 ms frame of G.711 costs
    about 5 µs, one of speech about 15 µs.

    Args:
        format: the leg's coding.
        ptime_ms: length of a frame, for gaps before the first one.
        keys: listen for keys in the audio.
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
        self.level = Level(0.0, 0.0, 0)
        self.listens = True  # for keys, where it was told to
        self._format = format
        self._frame_samples = format.rate_hz * ptime_ms // 1000
        self._concealer = Concealer(format, rng)
        self._detector = DtmfDetector(format.rate_hz) if keys else None
        self._keys: deque[KeyEvent] = deque(maxlen=_MAX_KEY_EVENTS)  # oldest go first
        self._counter = QualityCounter()

    def hear(self, frame: bytes | Lost) -> bytes:
        """The next frame, or the gap before it: its audio."""
        if isinstance(frame, Lost):
            return self._fill(frame.frames)
        signal = to_signal(frame, self._format.name)
        self.level = heard = level(signal, self._format.name)
        self._frame_samples = len(signal)
        self._counter.frame(
            len(signal), power=heard.power, clipped=heard.clipped, silent=heard.silent
        )
        if self._detector is not None and self.listens:
            self._keys.extend(self._detector.feed(signal, heard.power))
        return self._concealer.received(frame, heard.power)

    def take_keys(self) -> list[KeyEvent]:
        """Keys heard since the last time, oldest first."""
        keys = list(self._keys)
        self._keys.clear()
        return keys

    def quality(self, *, one_way_ms: float = 0.0, codec: Codec = G711_WITH_CONCEALMENT) -> Quality:
        """Of the whole leg so far."""
        return self._counter.estimate(one_way_ms=one_way_ms, codec=codec)

    def _fill(self, frames: int) -> bytes:
        self._counter.loss(frames)
        most = self._format.rate_hz * MAX_FILL_MS // 1000
        if self._detector is not None:
            self._detector.lost(frames * self._frame_samples)
        return self._concealer.lost(min(frames * self._frame_samples, most))
