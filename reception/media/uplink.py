"""Which audio format a call sends its provider: by the link that there is.

A session's format can't change once audio was sent, so the choice is made when
a call dials, or dials again. G.711 is 64 kbit/s (88 as base64 in JSON), 24 kHz
PCM 384 (520). One `UplinkChooser` watches one provider's endpoint from one
worker; `observe` about once a second takes about 2 us.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from reception.hysteresis import Patience, Sustained
from reception.media.codecs import PROVIDER_FORMATS, AudioFormat

WIDE, NARROW = "pcm24k", "pcmu"
NARROWBAND = AudioFormat("l16", 8_000)


@dataclass(frozen=True, slots=True)
class LinkSample:
    """All sockets to one endpoint, since the last sample.

    backlog_ms: the most caller audio that waited to be sent on any of them.
    round_trip_ms: median of what was measured; None when nothing was.
    """

    backlog_ms: float
    round_trip_ms: float | None = None


@dataclass(frozen=True, slots=True)
class UplinkRules:
    """When the link is tight: for `rise_s`, audio of `backlog_ms` waits, or the
    round trip is `excess_ms` longer than on the empty link (a queue on the way).
    It has room again after calm, below `CALM` of both, of `calm_s`, and up to
    `longest_calm_s` when calls that were given more made it tight again."""

    backlog_ms: float = 100.0
    excess_ms: float = 150.0
    rise_s: float = 2.0
    calm_s: float = 120.0
    longest_calm_s: float = 3_600.0
    gap_s: float = 10.0


CALM = 0.3  # little: PCM sends six times as much as what is measured then


@dataclass(frozen=True, slots=True)
class UplinkChanged:
    """Calls that dial from now on are given another format."""

    at_s: float
    tight: bool
    reason: str


def worst(links: Sequence[LinkSample]) -> LinkSample:
    """What several sockets to one endpoint say of the way there."""
    times_ms = [each.round_trip_ms for each in links if each.round_trip_ms is not None]
    return LinkSample(
        max((each.backlog_ms for each in links), default=0.0),
        median(times_ms) if times_ms else None,
    )


def choose(leg: AudioFormat, *, tight: bool = False, light: bool = False) -> str:
    """The provider format (a key of PROVIDER_FORMATS) for a call that dials.

    A G.711 leg always passes through as it is: a third of the bandwidth, no
    resampling, no lag. A linear leg goes as PCM, or as G.711 when the link is
    tight, or when the worker is to work lightly and the leg has no more than
    8 kHz to lose.
    """
    if leg.name in PROVIDER_FORMATS:
        return leg.name
    return NARROW if tight or (light and leg == NARROWBAND) else WIDE


class UplinkChooser:
    """What the link to one endpoint can carry. `now_s` is any monotonic clock."""

    # The empty link's round trip is the least that was seen; it forgets slowly
    # (one part in 600 of the difference a sample), as routes change.
    _FORGETS = 1 / 600

    def __init__(self, rules: UplinkRules) -> None:
        self._rules = rules
        self._tight = False
        self._empty_ms: float | None = None
        self._round_trip_ms = 0.0
        self._over = Sustained(rules.gap_s)
        self._calm = Sustained(rules.gap_s)
        self._patience = Patience(rules.calm_s, rules.longest_calm_s)

    @property
    def tight(self) -> bool:
        return self._tight

    def observe(self, sample: LinkSample, now_s: float) -> UplinkChanged | None:
        """What the sample changes for calls that dial from now on."""
        rules = self._rules
        backlog_ms, excess_ms = sample.backlog_ms, self._excess_ms(sample.round_trip_ms)
        over = backlog_ms >= rules.backlog_ms or excess_ms >= rules.excess_ms
        calm = backlog_ms < CALM * rules.backlog_ms and excess_ms < CALM * rules.excess_ms
        numbers = f"backlog {backlog_ms:.0f} ms, round trip +{excess_ms:.0f} ms"
        if not self._tight:
            if self._over.observe(over, now_s) < rules.rise_s:
                return None
            self._patience.relapsed(now_s)
            return self._change(True, now_s, f"{numbers} for {rules.rise_s:g} s")
        wait_s = self._patience.wait_s
        if self._calm.observe(calm, now_s) < wait_s:
            return None
        self._patience.returned(now_s)
        return self._change(False, now_s, f"{numbers} for {wait_s:g} s")

    def _excess_ms(self, round_trip_ms: float | None) -> float:
        """How much longer the (smoothed) round trip is than on the empty link."""
        if round_trip_ms is None:
            return 0.0
        if self._empty_ms is None:
            self._empty_ms = self._round_trip_ms = round_trip_ms
        self._round_trip_ms += (round_trip_ms - self._round_trip_ms) / 4
        self._empty_ms += (self._round_trip_ms - self._empty_ms) * self._FORGETS
        self._empty_ms = min(self._empty_ms, round_trip_ms)
        return self._round_trip_ms - self._empty_ms

    def _change(self, tight: bool, now_s: float, reason: str) -> UplinkChanged:
        self._tight = tight
        self._over.restart()
        self._calm.restart()
        return UplinkChanged(now_s, tight, reason)
