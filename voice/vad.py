"""Voice activity: where the caller's speech begins and ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import webrtcvad
from numpy.typing import NDArray

from voice.audio import LISTEN_RATE_HZ

FRAME_MS = 20
_FRAME = LISTEN_RATE_HZ * FRAME_MS // 1000
_WINDOW = 5  # frames looked at to call it speech …
_ENOUGH = 3  # … and how many of them must be voiced


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechOver:
    at_ms: int


class VoiceActivity:
    """Frames of 20 ms judged by WebRTC's detector and by loudness.

    Args:
        threshold: 0 to 1; the higher, the louder speech must be.
        silence_ms: so much without voice ends the speech.
    """

    def __init__(self, threshold: float, silence_ms: int) -> None:
        self._detector = webrtcvad.Vad(2)
        self._floor = 32768 * 10 ** ((-52 + (threshold - 0.5) * 40) / 20)
        self._silence_frames = max(1, silence_ms // FRAME_MS)
        self._rest = np.empty(0, dtype=np.int16)
        self._recent: list[bool] = []
        self._frames = 0
        self._quiet = 0
        self.speaking = False

    def feed(self, samples: NDArray[np.int16]) -> list[SpeechBegan | SpeechOver]:
        """What begins or ends in these 8 kHz samples, shape (samples,); times
        count from the first sample ever fed."""
        self._rest = np.concatenate([self._rest, samples])
        found: list[SpeechBegan | SpeechOver] = []
        used = 0
        while len(self._rest) - used >= _FRAME:
            voiced = self._is_voiced(self._rest[used : used + _FRAME])
            used += _FRAME
            self._frames += 1
            event = self._step(voiced)
            if event is not None:
                found.append(event)
        self._rest = self._rest[used:]
        return found

    def _is_voiced(self, frame: NDArray[np.int16]) -> bool:
        level = float(np.sqrt(np.mean(np.square(frame, dtype=np.float64))))
        return level > self._floor and self._detector.is_speech(frame.tobytes(), LISTEN_RATE_HZ)

    def _step(self, voiced: bool) -> SpeechBegan | SpeechOver | None:
        now_ms = self._frames * FRAME_MS
        if self.speaking:
            self._quiet = 0 if voiced else self._quiet + 1
            if self._quiet >= self._silence_frames:
                self.speaking = False
                self._recent.clear()
                return SpeechOver(now_ms)
            return None
        self._recent = [*self._recent[-(_WINDOW - 1) :], voiced]
        if sum(self._recent) < _ENOUGH:
            return None
        self.speaking, self._quiet = True, 0
        return SpeechBegan(max(0, now_ms - len(self._recent) * FRAME_MS))
