"""A report as one HTML page that needs nothing else: no scripts, no other files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from cluster.load.measures import COUNTS, DURATIONS, MACHINE, SHARES, STATISTICS
from cluster.load.report import Change, Report, histogram
from cluster.load.table import figure, is_headline, ratio
from cluster.plots.figures import bars, curves, lines
from cluster.plots.page import document, table

_CALL = ("setup", "refused", "first_audio", "answer", "barge_in", "ending")
_ADDED = ("added_up", "added_down", "added")
_MEDIA = ("jitter", "unary", "late", "tick_late")


def page(report: Report, changes: Sequence[Change] = (), breaches: Sequence[str] = ()) -> str:
    """The page.

    Args:
        report: of the run.
        changes: against an older one.
        breaches: thresholds that were passed.
    """
    plan, machine = report["plan"], report["machine"]
    about = [*plan.items(), *machine.items(), ("began", report["began_at"])]
    body = [
        "<h1>reception load</h1>",
        f"<p>{escape(', '.join(f'{name} {value}' for name, value in about))}</p>",
        _verdict(report, breaches),
        f'<div class="plots">{"".join(_plots(report))}</div>',
        "<h2>Durations, ms</h2>",
        _durations(report),
        "<h2>Counts</h2>",
        _counts(report),
        "<h2>How calls ended</h2>",
        table(
            ("caller", "status", "calls"),
            (
                (caller, status, number)
                for caller, statuses in sorted(report["by_caller"].items())
                for status, number in sorted(statuses.items())
            ),
            words=(0, 1),
        ),
    ]
    if report["faults"]:
        body += ["<h2>Faults</h2>", table(("fault", "times"), report["faults"].items())]
    if report["processes"]:
        body += ["<h2>The server's processes</h2>", _processes(report)]
    if changes:
        body += ["<h2>Against the older run</h2>", _changes(changes)]
    return document("reception load", body)


def _verdict(report: Report, breaches: Sequence[str]) -> str:
    metrics = report["metrics"]
    served = metrics["served_pct"]
    words = (
        [] if served is None else [f"{figure(served)} % of {metrics['calls']} calls as expected"]
    )
    if metrics["unary"]:
        words.append(f"{figure(metrics['unary_ok_pct'])} % of {metrics['unary']} requests OK")
    good = not breaches and (served is None or served == 100)
    lines_ = [f'<p class="{"good" if good else "bad"}">{escape("; ".join(words))}</p>']
    lines_ += [f'<p class="bad">{escape(breach)}</p>' for breach in breaches]
    return "".join(lines_)


def _plots(report: Report) -> Iterable[str]:
    step_s = report["plan"]["step_s"]
    calls, machine = report["series"]["calls"], report["series"]["machine"]

    def over_time(name: str) -> list[tuple[float, float]]:
        return [(each["point"] * step_s, each.get(name) or 0.0) for each in calls]

    def worst(name: str) -> list[tuple[float, float]]:
        """Of those moments that had any."""
        return [(x, y) for x, y in over_time(f"{name}_max_ms") if y]

    def of_machine(name: str) -> list[tuple[float, float]]:
        return [(each["at_s"], each[name]) for each in machine if name in each]

    yield lines("Live calls", [("live", over_time("live"))], "s", "calls")
    yield lines(
        "Calls begun and failed", [(name, over_time(name)) for name in ("began", "failed")],
        "s", f"in {step_s:g} s",
    )  # fmt: skip
    yield curves("The call", [(name, histogram(report, name).curve()) for name in _CALL])
    yield curves(
        "Added delay, each way and both",
        [(name, histogram(report, name).curve()) for name in _ADDED],
    )
    yield curves(
        "Jitter, requests, the driver",
        [(name, histogram(report, name).curve()) for name in _MEDIA],
    )
    yield lines("Worst setup of each moment", [("setup", worst("setup"))], "s", "ms")
    yield lines(
        "Worst added delay of each moment", [(name, worst(name)) for name in _ADDED[:2]], "s", "ms"
    )
    yield lines("Frames lost", [("lost", _loss(calls, step_s))], "s", "% of those sent")
    yield lines("CPU of the server", [("all processes", of_machine("cpu_pct"))], "s", "% of a core")
    yield lines("Memory of the server", [("PSS", of_machine("pss_mb"))], "s", "MB")
    yield lines("CPU per call", [("CPU", _per_call(machine, "cpu_pct"))], "s", "% of a core")
    yield lines("Memory per call", [("PSS", _per_call(machine, "pss_mb"))], "s", "MB")
    processes = report["processes"]
    yield bars("CPU by process", [(p["kind"], p["cpu_pct"]) for p in processes][:12], "%")
    yield bars("PSS by process", [(p["kind"], p["pss_mb"]) for p in processes][:12], "MB")
    yield bars("How calls ended", list(report["statuses"].items()), "")


def _loss(calls: Sequence[Mapping[str, Any]], step_s: float) -> list[tuple[float, float]]:
    """Of the answers that ended in each moment."""
    found = []
    for each in calls:
        lost, received = each.get("lost") or 0.0, each.get("received") or 0.0
        if received:
            found.append((each["point"] * step_s, 100 * lost / (lost + received)))
    return found


def _per_call(machine: Sequence[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    """What the server took at each look, for one of the calls that were live then; while
    few were, next to all of it is the server's own."""
    most = max((each["live"] for each in machine), default=0.0)
    kept = (each for each in machine if name in each and each["live"] >= max(1.0, most / 4))
    return [(each["at_s"], each[name] / each["live"]) for each in kept]


def _durations(report: Report) -> str:
    metrics = report["metrics"]
    return table(
        ("", *STATISTICS, "count", ""),
        (
            (
                name,
                *(figure(metrics[f"{name}_{each}_ms"]) for each in STATISTICS),
                report["durations"][name]["count"],
                meaning,
            )
            for name, meaning in DURATIONS.items()
            if report["durations"][name]["count"]
        ),
        words=(0, len(STATISTICS) + 2),
    )


def _counts(report: Report) -> str:
    named = {**COUNTS, **SHARES, **MACHINE}
    values = ((name, report["metrics"][name], meaning) for name, meaning in named.items())
    return table(
        ("", "", ""),
        ((name, figure(value), meaning) for name, value, meaning in values if value),
        words=(0, 2),
    )


def _processes(report: Report) -> str:
    return table(
        ("process", "how many", "CPU %", "CPU % per call", "PSS MB"),
        (
            (
                each["kind"],
                each["processes"],
                figure(each["cpu_pct"]),
                figure(each["cpu_pct_per_call"]),
                figure(each["pss_mb"]),
            )
            for each in report["processes"]
        ),
    )


def _changes(changes: Sequence[Change]) -> str:
    return table(
        ("metric", "old", "new", "ratio"),
        (
            (each.metric, figure(each.old), figure(each.new), ratio(each.ratio))
            for each in changes
            if is_headline(each.metric)
        ),
    )
