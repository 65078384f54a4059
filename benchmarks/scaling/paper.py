"""What a run showed, as tables (Markdown) and plots (SVG files)."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from pathlib import Path

from benchmarks.figures import quantile
from benchmarks.scaling.calls import Tally
from benchmarks.scaling.cluster import Outcome
from benchmarks.scaling.measures import (
    BOUND,
    Sample,
    balanced_after_s,
    between,
    joined_after_s,
)
from benchmarks.scaling.singletons import Capacity, EachCall, messages
from cluster.plots.figures import lines
from cluster.plots.page import alone

_SIZE = (560, 240)

PHASES = (
    ("nothing goes wrong", "warm", "away"),
    ("health singleton away for 10 s", "away", "slow"),
    ("slow nodes", "slow", "well"),
    ("nodes die", "kill", "join"),
    ("nodes join", "join", "end"),
)
MARKS = (
    ("away", "health away"),
    ("slow", "some slow"),
    ("kill", "some die"),
    ("join", "some join"),
)

# ---------------------------------------------------------------- tables


def tables(outcome: Outcome, capacities: dict[str, Capacity]) -> str:
    """All of it, as Markdown."""
    parts = [_balance(outcome), _calls(outcome)]
    if outcome.model.failures:
        parts.append(_afterwards(outcome))
    return "\n\n".join([*parts, _singletons(outcome, capacities)])


def _phases(outcome: Outcome) -> list[tuple[str, str, str]]:
    return list(PHASES) if outcome.model.failures else [(PHASES[0][0], "warm", "end")]


def _seen(outcome: Outcome, from_: str, to: str) -> list[Sample]:
    when = outcome.when
    return between(outcome.samples, getattr(when, f"{from_}_s"), getattr(when, f"{to}_s"))


def _balance(outcome: Outcome) -> str:
    rows = []
    for name, from_, to in _phases(outcome):
        seen = _seen(outcome, from_, to)
        worst = [each.worst for each in seen]
        spread = [each.spread for each in seen]
        rows.append(
            f"| {name} | {quantile(worst, 0.5):.3f} | {max(worst):.3f} | "
            f"{sum(each >= BOUND for each in worst)} of {len(worst)} | "
            f"{100 * quantile(spread, 0.5):.1f} % |"
        )
    head = f"| | worst node, median | worst second | seconds at {BOUND} or more | spread |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def _calls(outcome: Outcome) -> str:
    head = (
        "| | new calls | refused | by reason | asked another node, by reason | "
        "taken over | dropped |"
    )
    rows = []
    for name, from_, to in _phases(outcome):
        was, now = outcome.tallies[from_], outcome.tallies[to]
        arrived = now.arrived - was.arrived
        refused = now.refused.total() - was.refused.total()
        rows.append(
            f"| {name} | {arrived:,} | {refused:,} ({100 * refused / max(1, arrived):.2f} %) | "
            f"{_reasons(was, now, 'refused')} | {_reasons(was, now, 'turned_away')} | "
            f"{now.moved - was.moved:,} | {now.dropped - was.dropped:,} |"
        )
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def _reasons(was: Tally, now: Tally, what: str) -> str:
    more = getattr(now, what) - getattr(was, what)
    return ", ".join(f"{name} {count:,}" for name, count in more.most_common()) or "none"


def _afterwards(outcome: Outcome) -> str:
    """What is worth one line each."""
    when, samples = outcome.when, outcome.samples
    died, end = outcome.tallies["kill"], outcome.tallies["join"]
    gaps = end.gap_s[len(died.gap_s) :]
    slow = _seen(outcome, "slow", "well")[-10:]
    calm_s = balanced_after_s(between(samples, 0.0, when.join_s), when.kill_s)
    rows = [
        ("no node above the bound after nodes died", _seconds(calm_s)),
        ("calls taken over by another node", f"{end.moved - died.moved:,}"),
        ("calls whose caller came back to another door", f"{end.resumed - died.resumed:,}"),
        ("calls that ended while they had no node", f"{end.hung_up - died.hung_up:,}"),
        ("calls dropped", f"{end.dropped - died.dropped:,}"),
    ]
    if gaps:
        told = " / ".join(f"{quantile(gaps, share):.1f}" for share in (0.5, 0.99, 1.0))
        rows.insert(2, ("without a node for, p50 / p99 / longest", f"{told} s"))
    if any(each.slow for each in slow):
        share = sum(each.slow for each in slow) / len(slow)
        rows.append(("slow nodes' load after a minute, over the mean", f"{share:.2f}"))
    if any(each.joined for each in samples):
        for share in (0.5, 0.9):
            after_s = joined_after_s(samples, when.join_s, share)
            rows.append((f"new nodes carry {share} of the mean after", _seconds(after_s)))
        rows.append(("no node above the bound after they joined",
                     _seconds(balanced_after_s(samples, when.join_s))))  # fmt: skip
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _seconds(value_s: float) -> str:
    return "not in this run" if value_s == inf else f"{value_s:.0f} s"


def _singletons(outcome: Outcome, capacities: dict[str, Capacity]) -> str:
    head = (
        "| singleton | mean a second | most in a second | it can take | over Ray | "
        "longest queue | formula |"
    )
    rows = []
    for each in messages(outcome, EachCall()):
        can = capacities.get(each.singleton)
        told = "to be measured | |"
        if can:
            told = (
                f"{can.per_s:,.0f} ({can.cpu_ms:.2f} ms CPU each) | {can.by_ray_per_s:,.0f} | "
                f"{each.queue_s(can.by_ray_per_s):.1f} s"
            )
        rows.append(
            f"| {each.singleton} | {each.mean(outcome):,.0f} | {each.peak:,.0f} | {told} | "
            f"{each.formula} |"
        )
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


# ---------------------------------------------------------------- plots


def draw(outcome: Outcome, folder: Path) -> None:
    """Files that need nothing else."""
    samples, when = outcome.samples, outcome.when
    folder.mkdir(parents=True, exist_ok=True)

    def over(name: str, scale: float = 1.0, less: float = 0.0) -> list[tuple[float, float]]:
        return [(each.at_s / 60, scale * (getattr(each, name) - less)) for each in samples]

    def rate(name: str) -> list[tuple[float, float]]:
        return [
            (now.at_s / 60, float(getattr(now, name) - getattr(was, name)))
            for was, now in pairwise(samples)
        ]

    marks = [
        (getattr(when, f"{name}_s") / 60, label)
        for name, label in (MARKS if outcome.model.failures else ())
    ]
    plots = {
        "balance": (
            f"Load above the mean, {outcome.model.nodes:,} nodes",
            [("fullest node", over("worst", 100, 1)), ("99 of 100 below", over("p99", 100, 1)),
             ("spread", over("spread", 100))],
            "per cent",
        ),
        "few": (
            "Slow and new nodes: load over the mean",
            [("slow", [(each.at_s / 60, each.slow) for each in samples if each.slow]),
             ("new", [(each.at_s / 60, each.joined) for each in samples if each.joined])],
            "of the mean load",
        ),
        "calls": (
            "Calls in each second",
            [("refused", rate("refused")), ("to another node", rate("turned_away"))],
            "calls a second",
        ),
        "messages": (
            "Messages to health and security",
            [(each.singleton, each.per_s) for each in messages(outcome, EachCall())
             if each.singleton != "cost"],  # always as many, and 20 times as many
            "a second",
        ),
    }  # fmt: skip
    for name, (title, series, y_name) in plots.items():
        svg = lines(title, series, "minutes", y_name, size=_SIZE, marks=marks)
        if svg:
            (folder / f"{name}.svg").write_text(alone(svg))
