"""What is measured, and the metrics made of it. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cluster.load.histogram import Histogram

DURATIONS = {
    "setup": "from a call's intended time to CallAccepted",
    "refused": "from a call's intended time to its refusal",
    "first_audio": "from a call's intended time to the first audio of the greeting",
    "answer": "from the end of the caller's words to the first audio of the answer",
    "added": "the gateway's own share of a turn, both ways (TurnEvent.gateway_us)",
    "added_up": "the part of it from the caller to the provider (TurnEvent.gateway_up_us)",
    "added_down": "the rest of it, and all of a greeting's: from the provider to the caller",
    "barge_in": "from the first sound of an interruption to ClearAudio",
    "ending": "from the caller's hanging up to the end of the stream",
    "jitter": "interarrival jitter of received audio at an answer's end (RFC 3550, 6.4.1)",
    "unary": "ListCalls and GetCall, from their intended time",
    "late": "the driver's own lateness in placing a call: its fault, not the server's",
    "tick_late": "the driver's own lateness in sending frames",
}
COUNTS = {
    "calls": "calls placed",
    "accepted": "calls answered by CallAccepted",
    "queued": "calls that were told to wait for a line",
    "expected": "calls that ended as their caller expects",
    "failed": "calls that ended otherwise",
    "refused": "calls refused with RESOURCE_EXHAUSTED or UNAVAILABLE before they were accepted",
    "refused_with_retry": "those of them that were told when to try again (RetryInfo)",
    "hung": "calls that were neither answered, refused nor ended in time",
    "no_answer": "callers who waited in vain for the receptionist to speak",
    "turns": "answers of the receptionist, greetings too",
    "interruptions": "answers cut off",
    "frames_sent": "audio frames sent",
    "frames_unsent": "audio frames that were not sent because the server took none for 10 s",
    "frames_received": "audio frames received",
    "frames_lost": "gaps in the sequence of received frames",
    "frames_disordered": "frames received behind a later one",
    "frames_late": "frames that came after the moment to play them",
    "frames_stale": "frames of an answer received after its ClearAudio",
    "unary": "requests sent",
    "unary_ok": "requests answered OK",
    "not_placed": "calls and requests not begun: more at once than the driver's bound",
}
STATISTICS = ("p50", "p90", "p95", "p99", "p999", "mean", "max")
SHARES = {
    "served_pct": "calls that ended as expected, of those placed",
    "unary_ok_pct": "requests answered OK, of those sent",
    "loss_pct": "frames lost, of those lost and received",
    "late_frames_pct": "frames late, of those received",
}
MACHINE = {
    "cpu_pct_per_call": "CPU of the server's processes, % of a core for one live call",
    "cpu_pct": "CPU of the server's processes, % of a core",
    "pss_mb_per_call": "PSS of all the server's processes, at its greatest, for one live call",
    "pss_growth_mb_per_call": "the same, less what they took before the first call",
    "pss_mb": "PSS of all the server's processes, at its greatest",
    "driver_cpu_pct": "CPU of the driver's processes, % of a core",
}
_MAXIMA = ("setup_max_ms", "added_max_ms", "added_up_max_ms", "added_down_max_ms")
SERIES = ("began", "accepted", "failed", "live", "received", "lost", *_MAXIMA)


def metric_names() -> list[str]:
    """Every name that `metrics` and the watch of the machine can give."""
    return [
        *COUNTS,
        *SHARES,
        *(f"{name}_{each}_ms" for name in DURATIONS for each in STATISTICS),
        *MACHINE,
    ]


@dataclass(slots=True)
class Measures:
    """Of one process or of many, merged.

    series: by the number of the point, values by the names in `SERIES`; live is
    the number of calls at the point's end, received and lost are frames of answers
    that ended within it, and maxima are those within it.
    """

    durations: dict[str, Histogram] = field(
        default_factory=lambda: {name: Histogram() for name in DURATIONS}
    )
    counts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    by_caller: dict[str, Counter[str]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    series: dict[int, dict[str, float]] = field(default_factory=dict)
    driver_cpu_s: float = 0.0

    def took(self, name: str, value_ms: float) -> None:
        """A duration."""
        self.durations[name].add(value_ms)

    def point(self, number: int, name: str, value: float) -> None:
        """A sum, or a maximum, of one point in time."""
        values = self.series.setdefault(number, {})
        before = values.get(name, 0.0)
        values[name] = max(before, value) if name in _MAXIMA else before + value

    def ended(self, caller: str, status: str, fault: str, *, expected: bool) -> None:
        """A call is over. At most 50 different faults are kept."""
        self.statuses[status] += 1
        self.counts["expected" if expected else "failed"] += 1
        self.by_caller.setdefault(caller, Counter())[status] += 1
        if fault and not expected and (fault in self.faults or len(self.faults) < 50):
            self.faults[fault] += 1

    def merge(self, other: Measures) -> None:
        """Takes in what another process measured."""
        for name, histogram in other.durations.items():
            self.durations[name].merge(histogram)
        self.counts.update(other.counts)
        self.statuses.update(other.statuses)
        self.faults.update(other.faults)
        self.driver_cpu_s += other.driver_cpu_s
        for caller, statuses in other.by_caller.items():
            self.by_caller.setdefault(caller, Counter()).update(statuses)
        for number, values in other.series.items():
            for name, value in values.items():
                self.point(number, name, value)

    def metrics(self) -> dict[str, float | None]:
        """Every metric of the calls; None where nothing was measured."""
        found: dict[str, float | None] = {name: self.counts[name] for name in COUNTS}
        counts = self.counts
        found["served_pct"] = _share(counts["expected"], counts["calls"])
        found["unary_ok_pct"] = _share(counts["unary_ok"], counts["unary"])
        received = counts["frames_received"]
        found["loss_pct"] = _share(counts["frames_lost"], counts["frames_lost"] + received)
        found["late_frames_pct"] = _share(counts["frames_late"], received)
        for name, histogram in self.durations.items():
            for each in STATISTICS:
                found[f"{name}_{each}_ms"] = _statistic(histogram, each)
        return found

    def plain(self) -> dict[str, Any]:
        """What JSON can hold; `of` reads it back without loss."""
        return {
            "durations": {name: each.plain() for name, each in self.durations.items()},
            "counts": dict(self.counts),
            "statuses": dict(self.statuses),
            "by_caller": {name: dict(each) for name, each in self.by_caller.items()},
            "faults": dict(self.faults),
            "series": {str(number): self.series[number] for number in sorted(self.series)},
            "driver_cpu_s": self.driver_cpu_s,
        }

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Measures:
        made = cls(
            counts=Counter(plain["counts"]),
            statuses=Counter(plain["statuses"]),
            by_caller={name: Counter(each) for name, each in plain["by_caller"].items()},
            faults=Counter(plain["faults"]),
            series={int(number): dict(each) for number, each in plain["series"].items()},
            driver_cpu_s=plain["driver_cpu_s"],
        )
        for name, each in plain["durations"].items():
            made.durations[name] = Histogram.of(each)
        return made


def _statistic(histogram: Histogram, name: str) -> float | None:
    if name == "mean":
        return histogram.mean_ms()
    if name == "max":
        return histogram.max_ms if histogram.count else None
    return histogram.percentile_ms(99.9 if name == "p999" else float(name[1:]))


def _share(part: float, whole: float) -> float | None:
    return 100 * part / whole if whole else None
