"""Which audio worker of a node a call gets: the one with the least to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reception.media.hearing import Hearing

# A leg shows in what is measured once it was there for a whole second of the worker's,
# which was told up to a second later.
SETTLED_S = 2.0
# Differences in CPU of a few calls come and go: within them the number of calls decides.
ALIKE_PERCENT = 5.0
# How late a worker's loop wakes on a busy machine whatever it does; and when it has no
# time left at all, since the next frame is due.
LATE_MS, TOO_LATE_MS = 10.0, 20.0
# Of a core for a plain leg, where no settled leg shows it; and what is believed of one.
USUAL_PERCENT, LEAST_PERCENT, MOST_PERCENT = 1.0, 0.3, 3.0
# CPU beside a plain leg's (G.711, nothing listened for), measured in frames of 20 ms:
# 210 µs to encode Opus and 42 to decode it, 24 to 37 to resample both ways, 26 for
# keys, 23 for voice, 75 to 90 for suppression or gain.
OPUS, RESAMPLED, KEYS, VOICE, ENHANCED = 1.2, 0.15, 0.15, 0.1, 0.45


@dataclass(frozen=True, slots=True)
class Measured:
    """What a worker told of its last second. cpu_percent: of one core; at_s: when."""

    cpu_percent: float
    lag_p95_ms: float
    at_s: float


@dataclass(frozen=True, slots=True)
class Leg:
    """Of a live call: at which worker, what it weighs beside a plain one, since when."""

    worker: str
    weight: float
    since_s: float


def leg_weight(codec: str, rate_hz: int, hearing: Hearing, recording: str) -> float:
    """The CPU that a leg takes, as a multiple of a plain G.711 leg's."""
    return (
        1.0
        + OPUS * (codec == "opus")
        + RESAMPLED * (codec == "l16" and rate_hz != 24_000)
        + KEYS * hearing.dtmf_inband
        + VOICE * hearing.decides
        + ENHANCED * hearing.enhances
        + OPUS * (recording == "opus")
    )


def choose(
    workers: Iterable[str], measured: Mapping[str, Measured], legs: Iterable[Leg]
) -> str | None:
    """The worker for the next call; None: there is no worker.

    What counts is the CPU that a worker measured last, or how late its loop ran if that
    is worse, and what those legs will add that the measure does not have yet. Of workers
    that are about alike the one with the fewest calls, then the first by name.

    Args:
        measured: by worker; of one that has just started there is none.
        legs: of all live calls; of workers that are gone too.
    """
    calls = dict.fromkeys(workers, 0)
    if not calls:
        return None
    settled, coming = dict.fromkeys(calls, 0.0), dict.fromkeys(calls, 0.0)
    for leg in legs:
        if leg.worker not in calls:
            continue
        calls[leg.worker] += 1
        seen = measured.get(leg.worker)
        shows = seen is not None and leg.since_s <= seen.at_s - SETTLED_S
        (settled if shows else coming)[leg.worker] += leg.weight
    each_percent = _plain_percent(settled, measured)
    load = {name: _percent(measured.get(name)) + each_percent * coming[name] for name in calls}
    bound = min(load.values()) + ALIKE_PERCENT
    return min(
        (name for name in calls if load[name] <= bound), key=lambda name: (calls[name], name)
    )


def _percent(seen: Measured | None) -> float:
    if seen is None:
        return 0.0
    late = (seen.lag_p95_ms - LATE_MS) / (TOO_LATE_MS - LATE_MS)
    return max(seen.cpu_percent, 100 * late)


def _plain_percent(settled: Mapping[str, float], measured: Mapping[str, Measured]) -> float:
    """What a plain leg takes of a core here."""
    weight = sum(settled.values())
    if not weight:
        return USUAL_PERCENT
    percent = sum(measured[name].cpu_percent for name, has in settled.items() if has)
    return min(max(percent / weight, LEAST_PERCENT), MOST_PERCENT)
