"""A report on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table

from cluster.load.measures import COUNTS, DURATIONS, MACHINE, SHARES
from cluster.load.report import Change, Report

_COLUMNS = ("p50", "p90", "p99", "p999", "max")
_FEW = ("p50", "p99")


def tables(report: Report) -> Iterator[RenderableType]:
    """What was measured, and nothing of what was not."""
    metrics = report["metrics"]
    durations = Table("ms", *_COLUMNS, "count", title="durations", title_justify="left")
    for name in DURATIONS:
        count = report["durations"][name]["count"]
        if count:
            values = [figure(metrics[f"{name}_{each}_ms"]) for each in _COLUMNS]
            durations.add_row(name, *values, str(count))
    yield durations
    counts = Table("what", "how many", title="counts", title_justify="left")
    for name in (*COUNTS, *SHARES, *MACHINE):
        if metrics[name]:
            counts.add_row(name, figure(metrics[name]))
    yield counts
    ends = Table("caller", "ended with", "calls", title="ends", title_justify="left")
    for caller, statuses in sorted(report["by_caller"].items()):
        for status, number in sorted(statuses.items()):
            ends.add_row(caller, status, str(number))
    for status, number in report["statuses"].items():
        if status.startswith("unary "):
            ends.add_row("(unary)", status.removeprefix("unary "), str(number))
    yield ends
    if report["processes"]:
        yield _processes(report)
    if report["faults"]:
        faults = Table("times", "fault", title="faults", title_justify="left")
        for fault, number in list(report["faults"].items())[:10]:
            faults.add_row(str(number), fault)
        yield faults


def changes_table(changes: Sequence[Change]) -> Table:
    """The metrics people look at first, in two runs."""
    found = Table("metric", "old", "new", "ratio", title="compared", title_justify="left")
    for change in changes:
        if is_headline(change.metric):
            found.add_row(
                change.metric, figure(change.old), figure(change.new), ratio(change.ratio)
            )
    return found


def is_headline(metric: str) -> bool:
    """Whether it belongs in a short table: p50, p99, shares and the machine's."""
    return (
        metric in SHARES
        or metric in MACHINE
        or metric in ("calls", "failed", "hung", "refused")
        or any(metric.endswith(f"_{each}_ms") for each in _FEW)
    )


def figure(value: float | None) -> str:
    """A number as people read it."""
    if value is None:
        return ""
    if isinstance(value, int) or value == round(value):
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def ratio(value: float | None) -> str:
    """New to old."""
    return "" if value is None else f"{value:.2f}"


def _processes(report: Report) -> Table:
    found = Table(
        "process", "how many", "CPU %", "CPU % per call", "PSS MB",
        title="server", title_justify="left",
    )  # fmt: skip
    for each in report["processes"]:
        found.add_row(
            each["kind"],
            figure(each["processes"]),
            figure(each["cpu_pct"]),
            figure(each["cpu_pct_per_call"]),
            figure(each["pss_mb"]),
        )
    return found
