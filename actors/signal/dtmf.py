"""Keys pressed in the audio itself: DTMF of ITU-T Q.23, judged by Q.24's limits.

Every 4 ms a Hann window of 16 ms is taken through the Goertzel sums of the
eight frequencies, all windows and frequencies in one matrix product. A window
is a hit when two tones, one of each group, hold nearly all of its power, their
twist is within limits, and their phases turn from window to window at the rate
of the nominal frequencies. Seven hits of one key and of steady level are a
key: a tone of 40 ms makes at least eight, one of 23 ms at most five. Frames of
less than -40 dBov are not looked at: no key is that faint.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from actors.signal.levels import Signal

LOW_HZ = (697.0, 770.0, 852.0, 941.0)
HIGH_HZ = (1209.0, 1336.0, 1477.0, 1633.0)
KEYS = ("123A", "456B", "789C", "*0#D")

GATE_POWER = 1e-4  # mean square of a frame: -40 dBov
_LEAST_TONE = 5e-5  # mean square of one tone: -40 dBm0, Q.24 asks for -25 or more
_PURITY = 0.7  # of a window's power, in its two tones
_TWIST = (0.1, 4.0)  # high over low, -10 to 6 dB; Q.24: -8 to 4 are to pass
_STEADY = 0.5  # of the loudest window's power
_WINDOW_MS, _HOP_MS = 16, 4
_HITS = 7
_GAP_HOPS = 1  # a candidate survives so many misses
_END_HOPS = 6  # 24 ms without it end a key; Q.24: breaks of 10 ms do not
_FROZEN_MS = 60  # a longer loss of frames ends a key

_EDGES_MS = 6  # of a tone that make no hit, at both its ends
_OFF, _FAR = 0.025, 0.035  # off the frequency, on the mean and at one window
_ALL_HZ = (*LOW_HZ, *HIGH_HZ)

Complex = NDArray[np.complex64]
_NO_SIGNAL: Signal = np.zeros(0, dtype=np.float32)
_NO_SUMS: Complex = np.zeros((1, 8), dtype=np.complex64)


@dataclass(frozen=True, slots=True)
class KeyDown:
    """A key was recognised, 28 to 40 ms after it was pressed."""

    key: str


@dataclass(frozen=True, slots=True)
class KeyUp:
    """Its tone has ended; duration_ms is right to about 4 ms."""

    key: str
    duration_ms: int


KeyEvent = KeyDown | KeyUp


class _Bank:
    """Windows and Goertzel sums at one rate."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.window = rate_hz * _WINDOW_MS // 1000
        self.hop = rate_hz * _HOP_MS // 1000
        hann = np.hanning(self.window + 1)[:-1]
        turns = np.outer(np.arange(self.window), _ALL_HZ) / rate_hz
        # A tone's sum is its root mean square, with its phase.
        sums = hann[:, None] * np.exp(-2j * math.pi * turns) * (math.sqrt(2) / hann.sum())
        self._sums = np.ascontiguousarray(
            np.stack([sums.real, sums.imag], axis=2).reshape(self.window, 16), dtype=np.float32
        )
        self._weights = (hann**2 / (hann**2).sum()).astype(np.float32)
        # How far each nominal frequency turns in a hop, undone.
        self.unturn = np.exp(-2j * math.pi * np.array(_ALL_HZ) * self.hop / rate_hz).astype(
            np.complex64
        )

    def analyse(self, signals: Signal) -> tuple[Complex, NDArray[np.bool_]]:
        """Sums, shape (calls, hops, 8), and which windows hold two tones and
        little else, shape (calls, hops), of signals of shape (calls, samples)."""
        calls, samples = signals.shape
        item = signals.itemsize
        windows: Signal = np.ndarray(
            (calls, self.hops(samples), self.window),
            np.float32,
            signals,
            strides=(samples * item, self.hop * item, item),
        )
        products = windows @ self._sums
        tones = products * products
        tones = tones[..., 0::2] + tones[..., 1::2]
        best = np.maximum(tones[..., 0::2], tones[..., 1::2])  # low, low, high, high
        best = np.maximum(best[..., 0::2], best[..., 1::2])
        two = best[..., 0] + best[..., 1]
        pure = two > _PURITY * ((windows * windows) @ self._weights)
        return products.view(np.complex64), pure

    def hops(self, samples: int) -> int:
        return max(0, (samples - self.window) // self.hop + 1)


_bank = cache(_Bank)


def _is_off(turn: complex, tone: int, share: float) -> bool:
    """The tone is off its frequency by more than `share` of it, by how its sum
    turned from one window to the next, relative to the nominal frequency."""
    off_hz = cmath.phase(turn) / (2 * math.pi * _HOP_MS / 1000)
    return abs(off_hz) > share * _ALL_HZ[tone] + 1


@dataclass(frozen=True, slots=True)
class _Hit:
    """A window with two tones: their numbers, power, and turns since the last."""

    low: int
    high: int
    power: float
    low_turn: complex
    high_turn: complex

    @property
    def key(self) -> str:
        return KEYS[self.low][self.high - 4]


class _Candidate:
    """A key in the making: its hits so far."""

    def __init__(self, hit: _Hit, hop: int) -> None:
        self.key, self.began, self.power = hit.key, hop, hit.power
        self.hits, self.misses = 1, 0
        self._low, self._high = hit.low, hit.high
        self._low_turn = self._high_turn = 0j

    def add(self, hit: _Hit) -> None:
        self.hits += 1
        self.misses = 0
        self.power = max(self.power, hit.power)
        self._low_turn += hit.low_turn
        self._high_turn += hit.high_turn

    @property
    def is_key(self) -> bool:
        """Enough hits, and both frequencies right on the mean of them."""
        return self.hits >= _HITS and not (
            _is_off(self._low_turn, self._low, _OFF) or _is_off(self._high_turn, self._high, _OFF)
        )


class DtmfDetector:
    """The keys of one leg, from its samples in frames of any length.

    A quiet 20 ms frame costs 0.6 µs, one loud enough to be looked at about
    15 µs, one with a key in it about 50 µs.

    Args:
        rate_hz: 8,000 or a multiple.
    """

    def __init__(self, rate_hz: int = 8_000) -> None:
        self._bank = _bank(rate_hz)
        self._rest: Signal = np.zeros(self._bank.window - self._bank.hop, dtype=np.float32)
        self._short = _NO_SIGNAL  # frames too short to tell their power
        self._last = _NO_SUMS
        self._hop = 0
        self._candidate: _Candidate | None = None
        self._key = ""
        self._key_began = self._key_seen = 0

    def feed(self, signal: Signal, power: float | None = None) -> list[KeyEvent]:
        """What began or ended in these samples, shape (samples,), 1.0 being
        overload. power: their mean square where it is known already."""
        if len(signal) < self._bank.hop or len(self._short):
            signal, power = np.concatenate((self._short, signal)), None
            enough = len(signal) >= self._bank.hop
            self._short = _NO_SIGNAL if enough else signal
            if not enough:
                return []
        if power is None:
            power = float(signal.dot(signal)) / len(signal)
        if power < GATE_POWER and not self.busy:
            self._pass_over(signal)
            return []
        taken = self._take(signal)
        sums, pure = self._bank.analyse(taken[None])
        return self._judge(sums[0], pure[0])

    @property
    def busy(self) -> bool:
        """A key is down or may be."""
        return self._key != "" or self._candidate is not None

    def lost(self, samples: int) -> None:
        """So many samples are missing. A key that is down stays so, for 60 ms."""
        hops = samples // self._bank.hop
        self._hop += hops
        if hops * _HOP_MS <= _FROZEN_MS:
            self._key_seen += hops
        self._candidate = None
        self._last = _NO_SUMS
        self._rest, self._short = np.zeros_like(self._rest), _NO_SIGNAL

    # ------------------------------------------------------------- windows

    def _pass_over(self, signal: Signal) -> None:
        kept, samples = len(self._rest), len(signal)
        hops = self._bank.hops(kept + samples)
        keep = kept + samples - hops * self._bank.hop
        whole = signal if keep <= samples else np.concatenate((self._rest, signal))
        self._rest = whole[len(whole) - keep :]
        self._hop += hops
        self._last = _NO_SUMS

    def _take(self, signal: Signal) -> Signal:
        """All samples not yet done with, the new ones included."""
        taken = np.concatenate((self._rest, signal))
        self._rest = taken[self._bank.hops(len(taken)) * self._bank.hop :]
        return taken

    # ------------------------------------------------------------- deciding

    def _judge(self, sums: Complex, pure: NDArray[np.bool_]) -> list[KeyEvent]:
        """Goes through the windows; sums of shape (hops, 8), pure (hops,)."""
        events: list[KeyEvent] = []
        if not np.count_nonzero(pure):
            self._last = _NO_SUMS
            if not self.busy:
                self._hop += len(pure)
                return events
        chain = np.concatenate((self._last, sums))
        self._last = chain[-1:]
        turns = (sums * chain[:-1].conj() * self._bank.unturn).tolist()
        for good, tones, turned in zip(pure.tolist(), np.abs(sums).tolist(), turns, strict=True):
            self._step(self._hit(tones, turned) if good else None, events)
        return events

    def _hit(self, tones: list[float], turned: list[complex]) -> _Hit | None:
        low = max(range(4), key=tones.__getitem__)
        high = max(range(4, 8), key=tones.__getitem__)
        low_power, high_power = tones[low] ** 2, tones[high] ** 2
        if min(low_power, high_power) < _LEAST_TONE:
            return None
        if not _TWIST[0] <= high_power / low_power <= _TWIST[1]:
            return None
        off = _is_off(turned[low], low, _FAR) or _is_off(turned[high], high, _FAR)
        if off:
            return None
        return _Hit(low, high, low_power + high_power, turned[low], turned[high])

    def _step(self, hit: _Hit | None, events: list[KeyEvent]) -> None:
        self._hop += 1
        if self._key and hit is not None and hit.key == self._key:
            self._key_seen = self._hop
            self._candidate = None
            return
        if self._key and self._hop - self._key_seen >= _END_HOPS:
            self._release(events)
        if hit is None:
            self._miss()
            return
        candidate = self._candidate
        if candidate is None or candidate.key != hit.key or hit.power * _STEADY > candidate.power:
            self._candidate = _Candidate(hit, self._hop)
            return
        if hit.power < candidate.power * _STEADY:
            self._miss()
            return
        candidate.add(hit)
        if candidate.is_key:  # the key before it has ended: _END_HOPS < _HITS
            self._key, self._key_began, self._key_seen = hit.key, candidate.began, self._hop
            self._candidate = None
            events.append(KeyDown(self._key))

    def _miss(self) -> None:
        candidate = self._candidate
        if candidate is not None:
            candidate.misses += 1
            if candidate.misses > _GAP_HOPS:
                self._candidate = None

    def _release(self, events: list[KeyEvent]) -> None:
        hops = self._key_seen - self._key_began + 1
        events.append(KeyUp(self._key, hops * _HOP_MS + _EDGES_MS))
        self._key = ""
