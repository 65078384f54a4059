"""Audio that says who sent it: tone bursts that survive transcoding.

Every fifth 20 ms frame carries a tone; its frequency is one of 17 symbols. Six of
them are a word: the begin, two digits (base 16) for the speaker and three for the
number of the word. The other frames are silent. Frequencies lie in the telephone band,
150 Hz apart; a single tone is never mistaken for a DTMF digit, which has two.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

FRAME_MS = 20
FRAMES_PER_MARK = 5
MARKS_PER_WORD = 6
FRAMES_PER_WORD = FRAMES_PER_MARK * MARKS_PER_WORD
SPEAKERS, WORDS = 16**2, 16**3

PCMU, PCM24K = "audio/pcmu", "audio/pcm"
RATE_HZ = {PCMU: 8_000, PCM24K: 24_000}

_BEGIN = 16
_FREQUENCIES_HZ = 500 + 150 * np.arange(_BEGIN + 1)
_AMPLITUDE, _LOUD = 9_000, 3_000
_LISTEN_MS = 12  # of a burst, to tell its frequency
_DEAF_MS = 60  # from a burst's begin: its rest and what filters make of it

Samples = NDArray[np.float32]


def _expand_mu_law() -> Samples:
    """Linear values of all codes (ITU-T G.711)."""
    code = ~np.arange(256, dtype=np.uint8)
    magnitude = (((code & 0x0F).astype(np.int32) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.float32)


_LINEAR = _expand_mu_law()


def _encode(wave: Samples, coding: str) -> bytes:
    if coding == PCM24K:
        return bytes(wave.astype("<i2"))
    nearest = np.abs(wave[:, None] - _LINEAR[None, :]).argmin(axis=1)
    return bytes(nearest.astype(np.uint8))


@cache
def frames(coding: str) -> tuple[bytes, ...]:
    """One 20 ms frame for each symbol, and last the silent one."""
    at_s = np.arange(RATE_HZ[coding] * FRAME_MS // 1000) / RATE_HZ[coding]
    waves = [_AMPLITUDE * np.cos(2 * np.pi * each * at_s) for each in _FREQUENCIES_HZ]
    waves.append(np.zeros(len(at_s)))
    return tuple(_encode(wave.astype(np.float32), coding) for wave in waves)


def mark_number(speaker: int, word: int, position: int) -> int:
    """One number for one burst of one speaker."""
    return (speaker * WORDS + word) * MARKS_PER_WORD + position


def _symbols(speaker: int, word: int) -> list[int]:
    return [_BEGIN, speaker >> 4, speaker & 15, word >> 8, word >> 4 & 15, word & 15]


class Voice:
    """What one speaker says, word after word.

    Args:
        coding: PCMU or PCM24K.
        speaker: 0 to 255.
    """

    def __init__(self, coding: str, speaker: int) -> None:
        if not 0 <= speaker < SPEAKERS:
            raise ValueError(f"speaker is {speaker}: must be 0 to {SPEAKERS - 1}")
        self._frames = frames(coding)
        self._speaker = speaker
        self._word = 0

    def word(self) -> Iterator[tuple[bytes, int | None]]:
        """The frames of the next word; each with its mark's number, or None."""
        number = self._word % WORDS
        self._word += 1
        for position, symbol in enumerate(_symbols(self._speaker, number)):
            yield self._frames[symbol], mark_number(self._speaker, number, position)
            for _ in range(FRAMES_PER_MARK - 1):
                yield self._frames[-1], None

    def silence(self) -> bytes:
        """A frame without a mark."""
        return self._frames[-1]


@cache
def _detector(rate_hz: int) -> NDArray[np.complex64]:
    at_s = np.arange(rate_hz * _LISTEN_MS // 1000) / rate_hz
    turns = _FREQUENCIES_HZ[:, None] * at_s[None, :]
    return np.asarray(np.exp(-2j * np.pi * turns), np.complex64)


class Ear:
    """Finds words in a stream of audio, in pieces of any length.

    `damaged` counts words that were begun and not understood.
    """

    def __init__(self, coding: str) -> None:
        self.damaged = 0
        self._pcm = coding == PCM24K
        self._detector = _detector(RATE_HZ[coding])
        self._window = self._detector.shape[1]
        self._deaf = RATE_HZ[coding] * _DEAF_MS // 1000 - self._window
        self._skip = 0
        self._burst: Samples | None = None  # what is there of one that was begun
        self._onset_ns = 0
        self._word: list[tuple[int, int]] = []

    def hear(self, audio: bytes, at_ns: int) -> list[tuple[int, int]]:
        """Takes a piece of audio that arrived at `at_ns`.

        Returns:
            For each mark of the words that this completes: its number, and when
            the piece arrived that contained its first sample.
        """
        if self._pcm:
            fresh = np.frombuffer(audio, "<i2").astype(np.float32)
        else:
            fresh = _LINEAR[np.frombuffer(audio, np.uint8)]
        found: list[tuple[int, int]] = []
        while len(fresh):
            if self._skip:
                skipped = min(self._skip, len(fresh))
                self._skip -= skipped
                fresh = fresh[skipped:]
            elif self._burst is None:
                loud = np.abs(fresh) > _LOUD
                onset = int(loud.argmax())
                if not loud[onset]:
                    break
                self._burst, self._onset_ns = fresh[:0], at_ns
                fresh = fresh[onset:]
            else:
                missing = self._window - len(self._burst)
                self._burst = np.concatenate((self._burst, fresh[:missing]))
                fresh = fresh[missing:]
                if len(self._burst) == self._window:
                    symbol = int(np.abs(self._detector @ self._burst).argmax())
                    self._burst, self._skip = None, self._deaf
                    found += self._understand(symbol)
        return found

    def _understand(self, symbol: int) -> list[tuple[int, int]]:
        word = self._word
        if symbol == _BEGIN:
            self.damaged += bool(word)
            self._word = [(symbol, self._onset_ns)]
            return []
        if not word:
            return []  # came in the middle of a word
        word.append((symbol, self._onset_ns))
        if len(word) < MARKS_PER_WORD:
            return []
        self._word = []
        digits = [each for each, _ in word]
        speaker = digits[1] << 4 | digits[2]
        number = digits[3] << 8 | digits[4] << 4 | digits[5]
        return [
            (mark_number(speaker, number, position), at_ns)
            for position, (_, at_ns) in enumerate(word)
        ]
