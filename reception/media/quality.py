"""How good a leg's audio was: losses, clipping, silence, and the E-model's MOS.

The E-model (ITU-T G.107) turns what is known of a connection into a rating R
of 0 to 100 and that into the mean opinion score of listeners, 1 to 4.5. Loss,
its burstiness and the delay are measured; all else has the recommendation's
default values, as for a leg of G.711 and an echo canceller at its far end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from reception.media.echo import SILENT_DBOV

# ITU-T G.107, table 2: default values
_SLR_DB, _RLR_DB, _STMR_DB = 8.0, 2.0, 15.0
_D_SENDER, _D_RECEIVER = 3.0, 3.0
_TELR_DB, _WEPL_DB = 65.0, 110.0
_QDU = 1.0
_CIRCUIT_NOISE_DBM0P, _NOISE_FLOOR_DBMP = -70.0, -64.0
_ROOM_NOISE_DBA = 35.0
_DELAY_SENSITIVITY, _LEAST_DELAY_MS = 1.0, 100.0

MAX_BURST_RATIO = 8.0  # G.107, table 2: the formula's range


@dataclass(frozen=True, slots=True)
class Codec:
    """How a codec sounds. Equipment impairment Ie without loss and robustness
    Bpl to loss, from ITU-T G.113, appendix I."""

    impairment: float
    robustness: float


G711_WITH_CONCEALMENT = Codec(0.0, 25.1)
G711_WITHOUT_CONCEALMENT = Codec(0.0, 4.3)
# G.113 has no Opus. On its scale, which ends at the telephone's bandwidth, speech from 16
# kbit/s on is not impaired; robustness to random losses at 19 to 34 kbit/s is 10 to 12
# (Alahmadi, Pocta and Melvin, ACM TOMM 17 (4), 2021).
OPUS = Codec(0.0, 10.5)


def rating(
    *,
    loss_percent: float = 0.0,
    burst_ratio: float = 1.0,
    one_way_ms: float = 0.0,
    codec: Codec = G711_WITH_CONCEALMENT,
) -> float:
    """The E-model's R, not bounded: 93.2 for a connection without a flaw.

    Args:
        loss_percent: frames lost, 0 to 100.
        burst_ratio: mean length of losses over that of random ones; 1 when
            random. Held within 1 and `MAX_BURST_RATIO`.
        one_way_ms: mouth to ear; also the echo path's mean one-way delay.
    """
    delay = _talker_echo(one_way_ms) + _listener_echo(one_way_ms) + _absolute_delay(one_way_ms)
    loss = effective_impairment(codec, loss_percent, burst_ratio)
    return _signal_to_noise() - _simultaneous(one_way_ms) - delay - loss


def effective_impairment(codec: Codec, loss_percent: float, burst_ratio: float = 1.0) -> float:
    """Ie-eff: the codec's impairment under loss (G.107, equation 7-29)."""
    burst_ratio = min(max(burst_ratio, 1.0), MAX_BURST_RATIO)
    share = loss_percent / (loss_percent / burst_ratio + codec.robustness)
    return codec.impairment + (95.0 - codec.impairment) * share


def mean_opinion(rating: float) -> float:
    """MOS, 1 to 4.5, of a rating R (G.107, annex B; its dip below 1 cut off)."""
    if rating <= 0:
        return 1.0
    if rating >= 100:
        return 4.5
    score = 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6
    return max(1.0, score)


@dataclass(frozen=True, slots=True)
class Quality:
    """What a leg's audio was like. Shares are 0 to 1; level_dbov is the mean of all that
    was no silence (RFC 6465; -127 when there was nothing else); R and MOS are as the
    E-model estimates them from loss and delay alone."""

    frames: int
    lost: int
    loss_percent: float
    burst_ratio: float
    clipped_share: float
    silent_share: float
    level_dbov: float
    rating: float
    mos: float


@dataclass(slots=True)
class QualityCounter:
    """Counts a leg's frames, losses, clipped and silent samples as they come."""

    frames: int = 0
    lost: int = 0
    bursts: int = 0
    samples: int = 0
    clipped: int = 0
    silent: int = 0
    energy: float = 0.0  # of what is not silent

    def frame(self, samples: int, *, power: float, clipped: int, silent: bool) -> None:
        """A frame of so many samples came, of this mean square (1.0 is overload);
        `clipped` of them at the codec's end."""
        self.frames += 1
        self.samples += samples
        self.clipped += clipped
        if silent:
            self.silent += samples
        else:
            self.energy += power * samples

    def loss(self, frames: int) -> None:
        """So many frames in a row did not come in time."""
        self.lost += frames
        self.bursts += 1

    def estimate(self, *, one_way_ms: float = 0.0, codec: Codec = G711_WITH_CONCEALMENT) -> Quality:
        """All that was counted, and how it must have sounded."""
        loss = self.lost / max(1, self.frames + self.lost)
        loss_percent, burst_ratio = 100 * loss, self._burst_ratio(loss)
        r = rating(
            loss_percent=loss_percent,
            burst_ratio=burst_ratio,
            one_way_ms=one_way_ms,
            codec=codec,
        )
        return Quality(
            self.frames,
            self.lost,
            loss_percent,
            burst_ratio,
            self.clipped / max(1, self.samples),
            self.silent / max(1, self.samples),
            self._level_dbov(),
            r,
            mean_opinion(r),
        )

    def _level_dbov(self) -> float:
        if not self.energy:
            return SILENT_DBOV
        return max(SILENT_DBOV, 10 * math.log10(self.energy / (self.samples - self.silent)))

    def _burst_ratio(self, loss: float) -> float:
        """Mean length of the losses over 1 / (1 - loss), that of random ones."""
        if not self.bursts:
            return 1.0
        return self.lost / self.bursts * (1 - loss)


# ------------------------------------------------- terms of G.107, clause 7


def _noise_dbm0p() -> float:
    """No: powers of circuit noise, both rooms' noise and the noise floor."""
    olr_db = _SLR_DB + _RLR_DB
    sender = (
        _ROOM_NOISE_DBA
        - _SLR_DB
        - _D_SENDER
        - 100
        + 0.004 * (_ROOM_NOISE_DBA - olr_db - _D_SENDER - 14) ** 2
    )
    side_tone = _ROOM_NOISE_DBA + 10 * math.log10(
        1 + 10.0 ** ((10 - (_STMR_DB + _D_RECEIVER)) / 10)
    )
    receiver = _RLR_DB - 121 + side_tone + 0.008 * (side_tone - 35) ** 2
    floor = _NOISE_FLOOR_DBMP + _RLR_DB
    powers = (_CIRCUIT_NOISE_DBM0P, sender, receiver, floor)
    return 10 * math.log10(sum(10.0 ** (each / 10) for each in powers))


def _signal_to_noise() -> float:
    """Ro."""
    return 15 - 1.5 * (_SLR_DB + _noise_dbm0p())


def _simultaneous(one_way_ms: float) -> float:
    """Is: too loud a voice, side tone, quantising."""
    no_db = _noise_dbm0p()
    x_olr = _SLR_DB + _RLR_DB + 0.2 * (64 + no_db - _RLR_DB)
    loud = 20 * ((1 + (x_olr / 8) ** 8) ** 0.125 - x_olr / 8)
    echo = math.exp(-one_way_ms / 4) * 10.0 ** (-_TELR_DB / 10)
    masked = -10 * math.log10(10.0 ** (-_STMR_DB / 10) + echo)
    side_tone = (
        12 * (1 + ((masked - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((masked + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((masked - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )
    q = 37 - 15 * math.log10(_QDU)
    g = 1.07 + 0.258 * q + 0.0602 * q**2
    z = 46 / 30 - g / 40
    y = (_signal_to_noise() - 100) / 15 + 46 / 8.4 - g / 9
    quantising = 15 * math.log10(1 + 10**y + 10**z)
    return float(loud + side_tone + quantising)


def _talker_echo(one_way_ms: float) -> float:
    """Idte: talkers hear their own voice again; under 1 ms that is side tone."""
    if one_way_ms < 1:
        return 0.0
    terv = (
        _TELR_DB
        - 40 * math.log10((1 + one_way_ms / 10) / (1 + one_way_ms / 150))
        + 6 * math.exp(-0.3 * one_way_ms**2)
    )
    roe = -1.5 * (_noise_dbm0p() - _RLR_DB)
    re = 80 + 2.5 * (terv - 14)
    half = (roe - re) / 2
    return (half + math.sqrt(half**2 + 100) - 1) * (1 - math.exp(-one_way_ms))


def _listener_echo(one_way_ms: float) -> float:
    """Idle: the listener hears the talker twice."""
    round_trip_ms = 2 * one_way_ms
    rle = 10.5 * (_WEPL_DB + 7) * (round_trip_ms + 1) ** -0.25
    half = (_signal_to_noise() - rle) / 2
    return float(half + math.sqrt(half**2 + 169))


def _absolute_delay(one_way_ms: float) -> float:
    """Idd: too long to talk with ease, echo or not."""
    if one_way_ms <= _LEAST_DELAY_MS:
        return 0.0
    x = math.log2(one_way_ms / _LEAST_DELAY_MS)
    s = 6 * _DELAY_SENSITIVITY
    return float(25 * ((1 + x**s) ** (1 / s) - 3 * (1 + (x / 3) ** s) ** (1 / s) + 2))
