"""How a line returns what is played on it, sample by sample: what else is in a frame?

A filter of 6 ms at the echo's delay is fitted (least squares) to the last 320 ms and
foretells the echo of what is played after that. What it foretells is taken out of a frame
in order to see how much is left; it is not for hearing. Works at 8 kHz whatever the leg's
rate is. About 25 µs per frame of 20 ms, both sides' together, and 1 ms for a fit, which is rare.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from actors.signal.levels import Signal, to_signal
from reception.media.codecs import AudioFormat
from reception.media.echo_mask import LEFT_DB

_RATE_HZ = 8_000
_KEPT = 1 << 14  # samples of both sides: 2 s
_FITTED = 2_560
_TAPS, _BEFORE = 48, 12  # of the filter, and how many before its likeliest delay
_AROUND = 320  # samples that the delay may differ from the one in levels
_FFT = 4_096  # for both of these
_RIDGE = 1e-4  # of the mean power: a voice has not all frequencies
_FIRST_WAIT, _LONGEST_WAIT = 1_280, 40_000  # samples between fits that were none
_LEAST_POWER = 1e-12


class EchoModel:
    """One leg's. Times are in seconds of one clock.

    Args:
        format: of both sides' audio; its rate is 8,000 Hz or a multiple.
    """

    def __init__(self, format: AudioFormat) -> None:
        self._format, self._step = format, format.rate_hz // _RATE_HZ
        self._played, self._heard = _Track(), _Track()
        self._filter: Signal | None = None  # for samples in order: the longest delay first
        self._longest = 0  # delay of it
        self._fit_at, self._wait = 0, _FIRST_WAIT

    def played(self, starts_s: float, audio: bytes) -> None:
        """A frame was handed to the leg, which plays it from `starts_s` on."""
        self._played.write(_at(starts_s), self._signal(audio))

    def stopped(self, now_s: float) -> None:
        """What was to be played from now on never is."""
        self._played.forget_from(_at(now_s))

    def heard(self, starts_s: float, audio: bytes) -> None:
        """A frame came from the leg; every frame is to be told."""
        self._heard.write(_at(starts_s), self._signal(audio))

    def left_db(self, lag_ms: int) -> float:
        """How far what is left of the last frame that was heard is below it once its echo is
        taken out: 0 or less where it is not known how the line returns what is played.

        Args:
            lag_ms: of the echo, within 40 ms (`EchoPath`).
        """
        begin, frame = self._heard.last
        found_db, lag = self._left_db(begin, frame), lag_ms * _RATE_HZ // 1000
        if found_db < LEFT_DB and begin >= max(self._fit_at, self._knows_from(lag)):
            self._fit(begin + len(frame), lag)
        return found_db

    def _knows_from(self, lag: int) -> int:
        """When there is, or was, enough of both sides for a fit."""
        return max(self._heard.began, self._played.began + lag) + _FITTED

    def _left_db(self, begin: int, heard: Signal) -> float:
        if self._filter is None:
            return 0.0
        played = self._played.read(begin - self._longest, len(heard) + _TAPS - 1)
        return _ratio_db(heard, heard - np.correlate(played, self._filter, "valid"))

    def _fit(self, end: int, lag: int) -> None:
        """To the samples before `end`, for the frames after this one."""
        self._fit_at, self._wait = end + self._wait, min(2 * self._wait, _LONGEST_WAIT)
        heard = self._heard.read(end - _FITTED, _FITTED)
        most = lag + _AROUND
        played = self._played.read(end - _FITTED - most, _FITTED + 2 * _AROUND)
        spectrum = np.fft.rfft(played, _FFT) * np.conj(np.fft.rfft(heard, _FFT))
        alike = np.abs(np.fft.irfft(spectrum, _FFT)[: 2 * _AROUND])
        longest = most - int(alike.argmax()) - _BEFORE + _TAPS - 1
        played = self._played.read(end - _FITTED - longest, _FITTED + _TAPS - 1)
        rows = np.ascontiguousarray(sliding_window_view(played, _TAPS))
        squares = (rows.T @ rows).astype(np.float64)
        ridge = _RIDGE * np.trace(squares) / _TAPS + _LEAST_POWER
        fitted = np.linalg.solve(squares + ridge * np.eye(_TAPS), rows.T @ heard)
        taps: Signal = fitted.astype(np.float32)
        if _ratio_db(heard, heard - rows @ taps) >= LEFT_DB:
            self._filter, self._longest = taps, longest
            self._wait = _FIRST_WAIT

    def _signal(self, audio: bytes) -> Signal:
        signal = to_signal(audio, self._format.name)
        if self._step == 1:
            return signal
        whole = len(signal) // self._step * self._step
        mean: Signal = signal[:whole].reshape(-1, self._step).mean(axis=1)
        return mean


class _Track:
    """The last 2 s of one side, by the clock; silence where nothing was."""

    def __init__(self) -> None:
        self._samples = np.zeros(_KEPT, np.float32)
        self.began = self._end = 0  # the first sample, and the one after the last
        self.last: tuple[int, Signal] = 0, np.zeros(0, np.float32)

    def write(self, begin: int, signal: Signal) -> None:
        gap = min(max(0, begin - self._end), _KEPT)
        if gap == _KEPT:
            self.began = begin
        if gap:
            self._put(begin - gap, np.zeros(gap, np.float32))
        self._put(begin, signal)
        self._end = begin + len(signal)
        self.last = begin, signal

    def read(self, begin: int, count: int) -> Signal:
        at = begin % _KEPT
        samples = self._samples[at : at + count]
        if at + count > _KEPT:
            samples = np.concatenate([samples, self._samples[: at + count - _KEPT]])
        if begin + count > self._end:
            samples = samples.copy()
            samples[max(0, self._end - begin) :] = 0
        return samples

    def forget_from(self, at: int) -> None:
        self._end = min(self._end, at)

    def _put(self, begin: int, signal: Signal) -> None:
        at = begin % _KEPT
        first = signal[: _KEPT - at]
        self._samples[at : at + len(first)] = first
        self._samples[: len(signal) - len(first)] = signal[len(first) :]


def _at(time_s: float) -> int:
    return round(time_s * _RATE_HZ)


def _ratio_db(whole: Signal, left: Signal) -> float:
    power, rest = float(whole @ whole), float(left @ left)
    return 10 * math.log10((power + _LEAST_POWER) / (rest + _LEAST_POWER))
