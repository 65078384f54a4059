"""Concealment of lost frames, after ITU-T G.711 appendix I.

A gap is filled with the last pitch periods of what came before (one at first,
then two, then three, so that it does not buzz), faded from 10 ms on and gone
after 60 ms, while comfort noise takes its place; the first samples that come
again are cross-faded in. Unlike in the appendix nothing is delayed for the
overlap at the gap's beginning: the step there is taken out of the fill.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from actors.signal.levels import Signal, from_signal, to_signal
from actors.signal.noise import ComfortNoise, NoiseFloor
from reception.media.codecs import AudioFormat

_MIN_PITCH_HZ, _MAX_PITCH_HZ = 200 / 3, 200
_HISTORY_MS = 50
_MATCH_MS = 20
_FULL_MS, _GONE_MS = 10, 60
_JOIN_MS = 10  # the longest cross-fade, also at the fill's end
_SEARCH_RATE_HZ = 8_000


class Concealer:
    """Fills the gaps of one leg's audio.

    A frame that follows no gap passes untouched, for about 1.5 µs; only a gap
    is worked on (its first frame takes 0.35 ms at 8 kHz, 0.65 ms at 24 kHz; each
    further one and the return about 0.05 ms).

    Args:
        format: the leg's coding; its rate is 8,000 Hz or a multiple.
        rng: for comfort noise; a seeded one in tests.
    """

    def __init__(self, format: AudioFormat, rng: np.random.Generator | None = None) -> None:
        self.floor = NoiseFloor(format)
        self._format = format
        self._rng = rng
        self._recent: deque[bytes] = deque()
        self._recent_bytes = 0
        self._history_bytes = format.bytes_per_ms * _HISTORY_MS
        self._gap: _Fill | None = None

    def received(self, audio: bytes, power: float) -> bytes:
        """The frame as it is to be played. power: its mean square."""
        if self._gap is not None:
            audio = self._join(audio, self._gap)
            self._gap = None
        self.floor.observe(audio, power)
        self._remember(audio)
        return audio

    def lost(self, samples: int) -> bytes:
        """Audio in place of so many samples that did not come."""
        if self._gap is None:
            self._gap = self._begin()
        audio = from_signal(self._gap.take(samples), self._format.name)
        self._remember(audio)
        return audio

    def _begin(self) -> _Fill:
        if self._rng is None:
            self._rng = np.random.default_rng()
        rate_hz = self._format.rate_hz
        heard = to_signal(b"".join(self._recent), self._format.name)
        history = np.zeros(rate_hz * _HISTORY_MS // 1000, dtype=np.float32)
        heard = heard[-len(history) :]
        history[len(history) - len(heard) :] = heard
        return _Fill(history, rate_hz, ComfortNoise(self.floor.quiet(), rate_hz, self._rng))

    def _join(self, audio: bytes, gap: _Fill) -> bytes:
        """Cross-fades over 4 ms for every 10 ms of gap, at most 10 ms."""
        sample_bytes = self._format.sample_bytes
        samples = min(gap.join_samples, len(audio) // sample_bytes)
        came = to_signal(audio[: samples * sample_bytes], self._format.name)
        ramp = _ramp(samples)
        joined = came * ramp + gap.take(samples) * (1 - ramp)
        return from_signal(joined, self._format.name) + audio[samples * sample_bytes :]

    def _remember(self, audio: bytes) -> None:
        recent = self._recent
        recent.append(audio)
        self._recent_bytes += len(audio)
        while self._recent_bytes - len(recent[0]) >= self._history_bytes:
            self._recent_bytes -= len(recent.popleft())


class _Fill:
    """What is played in one gap, from its first sample on."""

    def __init__(self, history: Signal, rate_hz: int, noise: ComfortNoise) -> None:
        self._ms = rate_hz // 1000
        self._wave = repeat_pitch(history, rate_hz, (_GONE_MS + _JOIN_MS) * self._ms)
        self._gain = np.ones_like(self._wave)
        fading = (_GONE_MS - _FULL_MS) * self._ms
        self._gain[_FULL_MS * self._ms :][:fading] = 1 - _ramp(fading)
        self._gain[_GONE_MS * self._ms :] = 0
        self._noise = noise
        self._at = 0

    @property
    def join_samples(self) -> int:
        tens = math.ceil(self._at / (10 * self._ms))
        return min(4 * tens, _JOIN_MS) * self._ms

    def take(self, samples: int) -> Signal:
        part = slice(self._at, self._at + samples)
        self._at += samples
        wave, gain = self._wave[part], self._gain[part]
        noise_gain = np.ones(samples, dtype=np.float32)
        noise_gain[: len(gain)] = np.sqrt(1 - gain**2)
        filled = self._noise.take(samples) * noise_gain
        filled[: len(wave)] += wave * gain
        return filled


def pitch_period(history: Signal, rate_hz: int) -> int:
    """Samples after which the last 20 ms repeat best: the peak of normalised
    cross-correlation over 5 to 15 ms. history: shape (samples,), 35 ms or more."""
    step = max(1, rate_hz // _SEARCH_RATE_HZ)
    coarse = history[len(history) % step :].reshape(-1, step).mean(axis=1)
    period = _best_lag(coarse, rate_hz // step) * step
    if step == 1:
        return period
    near = range(max(period - step, rate_hz // 200), period + step + 1)
    return max(near, key=lambda lag: _alike(history, lag, rate_hz * _MATCH_MS // 1000))


def _best_lag(history: Signal, rate_hz: int) -> int:
    low, high = round(rate_hz / _MAX_PITCH_HZ), round(rate_hz / _MIN_PITCH_HZ)
    size = rate_hz * _MATCH_MS // 1000
    begins = len(history) - size - high
    past = np.lib.stride_tricks.sliding_window_view(history[begins : len(history) - low], size)
    scores = (past @ history[-size:]) / np.sqrt(np.einsum("ij,ij->i", past, past) + 1e-9)
    return high - int(scores.argmax())


def _alike(history: Signal, lag: int, size: int) -> float:
    past = history[len(history) - size - lag : len(history) - lag]
    return float(past @ history[-size:]) / math.sqrt(float(past @ past) + 1e-9)


def repeat_pitch(history: Signal, rate_hz: int, samples: int) -> Signal:
    """The history carried on, shape (samples,): its last pitch period for 10 ms,
    then its last two for 10 ms, then its last three."""
    period = pitch_period(history, rate_hz)
    overlap = period // 4
    ten_ms = rate_hz // 100
    wave = np.empty(samples, dtype=np.float32)
    before = loop = _loop(history, period, overlap)
    for stage in range(3):
        loop = _loop(history, (stage + 1) * period, overlap)
        begins = stage * ten_ms
        at = np.arange(begins, samples)
        wave[begins:] = loop[at % len(loop)]
        if stage:
            at, ramp = at[:overlap], _ramp(overlap)
            wave[at] = loop[at % len(loop)] * ramp + before[at % len(before)] * (1 - ramp)
        before = loop
    step = history[-1] - _loop(history, period, overlap)[-1]
    wave[:overlap] += step * (1 - _ramp(overlap))
    return wave


def _loop(history: Signal, samples: int, overlap: int) -> Signal:
    """The last so many samples, their end bent so that they can be repeated."""
    loop = history[-samples:].copy()
    ramp = _ramp(overlap)
    earlier = history[len(history) - samples - overlap : len(history) - samples]
    loop[-overlap:] = loop[-overlap:] * (1 - ramp) + earlier * ramp
    return loop


def _ramp(samples: int) -> Signal:
    """Rises from just over 0 to 1, shape (samples,)."""
    return np.arange(1, samples + 1, dtype=np.float32) / np.float32(max(1, samples))
