"""A run's report: what is printed, kept as JSON, drawn and compared. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.load.histogram import Histogram
from cluster.load.measures import DURATIONS, MACHINE, SERIES, Measures
from cluster.load.processes import Account
from reception.errors import InvalidRequest

FORMAT = 1
Report = dict[str, Any]


def report_of(
    about: Mapping[str, Any], measures: Measures, account: Account | None, took_s: float
) -> Report:
    """The report.

    Args:
        about: machine, time and plan, as words.
        measures: of all drivers.
        account: of the server's processes; None where they could not be seen.
        took_s: from the first call's time to the end of the last.
    """
    metrics = measures.metrics() | dict.fromkeys(MACHINE)
    if account is not None:
        metrics |= account.metrics()
    metrics["driver_cpu_pct"] = 100 * measures.driver_cpu_s / took_s if took_s else None
    return {
        "format": FORMAT,
        **about,
        "took_s": round(took_s, 3),
        "metrics": {name: _rounded(value) for name, value in metrics.items()},
        "statuses": dict(measures.statuses.most_common()),
        "by_caller": {name: dict(each) for name, each in measures.by_caller.items()},
        "faults": dict(measures.faults.most_common()),
        "processes": account.kinds() if account is not None else [],
        "series": {
            "calls": [
                {"point": number} | {name: measures.series[number].get(name) for name in SERIES}
                for number in sorted(measures.series)
            ],
            "machine": account.series if account is not None else [],
        },
        "durations": {name: measures.durations[name].plain() for name in DURATIONS},
    }


def histogram(report: Report, name: str) -> Histogram:
    """One duration's histogram back from a report."""
    return Histogram.of(report["durations"][name])


@dataclass(frozen=True, slots=True)
class Change:
    """One metric in two runs; ratio None where the old one is 0."""

    metric: str
    old: float
    new: float
    ratio: float | None


def compare(old: Mapping[str, Any], new: Report) -> list[Change]:
    """What was measured in both runs and is not 0 in both.

    Raises:
        InvalidRequest: the old one is no report, or of another format.
    """
    if old.get("format") != FORMAT or not isinstance(old.get("metrics"), dict):
        raise InvalidRequest(
            f"compare: that is no report of `reception load` in format {FORMAT}", field="compare"
        )
    found = []
    for name, value in new["metrics"].items():
        before = old["metrics"].get(name)
        if value is None or before is None or (not value and not before):
            continue
        found.append(Change(name, before, value, value / before if before else None))
    return found


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else round(value, 4)
