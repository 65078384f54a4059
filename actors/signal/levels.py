"""Levels of audio: power and peak in dBov, clipping, silence.

0 dBov is the overload point: the power of a square wave at the largest sample
(RFC 6464); a full-scale sine has -3 dBov. Signals are float32, 1.0 being
overload, and come out of G.711 by a table of 256 entries.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.audio import Samples, from_linear, to_linear
from reception.media.echo import SILENT_DBOV

Signal = NDArray[np.float32]

OVERLOAD = 32_768.0
SILENT_POWER = 1e-5  # -50 dBov: what is quieter is no speech on a telephone line

_TABLE: dict[str, Signal] = {
    law: to_linear(bytes(range(256)), law).astype(np.float32) / np.float32(OVERLOAD)
    for law in ("pcmu", "pcma")
}
_LARGEST = {law: float(table.max()) for law, table in _TABLE.items()} | {"l16": 32_767 / OVERLOAD}


def to_signal(audio: bytes, coding: str) -> Signal:
    """Signal, shape (samples,), of "pcmu", "pcma" or "l16" audio."""
    if coding == "l16":
        return np.frombuffer(audio, dtype="<i2") * np.float32(1 / OVERLOAD)
    return _TABLE[coding].take(np.frombuffer(audio, dtype=np.uint8))


def from_signal(signal: Signal, coding: str) -> bytes:
    """Audio of a signal, shape (samples,); what is over overload is clipped."""
    linear: Samples = np.clip(np.rint(signal * OVERLOAD), -32_768, 32_767).astype(np.int16)
    return from_linear(linear, coding)


class Level(NamedTuple):
    """power: mean square; peak: largest magnitude (1.0 overload); clipped:
    samples at the coding's largest value. A tuple: one is made of every frame."""

    power: float
    peak: float
    clipped: int

    @property
    def silent(self) -> bool:
        return self.power < SILENT_POWER

    @property
    def dbov(self) -> float:
        """Of the power; at least -127, the bottom of RFC 6465's scale."""
        return max(SILENT_DBOV, 10 * math.log10(self.power)) if self.power else SILENT_DBOV


def level(signal: Signal, coding: str) -> Level:
    """Level of one frame, shape (samples,), at least one."""
    peak = max(signal.item(signal.argmax()), -signal.item(signal.argmin()))
    clipped = 0
    if peak >= _LARGEST[coding]:
        clipped = int(np.count_nonzero(np.abs(signal) >= _LARGEST[coding]))
    return Level(float(signal.dot(signal)) / len(signal), peak, clipped)
