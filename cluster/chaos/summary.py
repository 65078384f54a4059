"""The figures of a run, by kind of fault."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.chaos.history import Driver, History, OnLease, Used, read
from cluster.chaos.invariants import (
    Tale,
    Violation,
    own_count,
    silences_ms,
    unbilled,
    violations,
)
from reception.errors import InvalidRequest
from reception.money.case import RESPONSE

COLUMNS = (
    "tries", "refused", "no_money", "calls", "on_lease", "went_on", "ended_in_order", "cut_off",
    "lost", "billed", "billed_twice", "unbilled", "own_count", "leases_leaked", "hit",
    "silence_p50_ms", "silence_p99_ms", "silence_max_ms", "others_max_ms", "driver_late_ms",
)  # fmt: skip
_STAYED = ("cut off", "mute", "lost")


@dataclass(slots=True)
class Figures:
    """Of one kind of fault. calls: live when it came, or come meanwhile. silence_ms: added
    for those that listened and were hit; others_ms: for the others; late_ms: of the driver,
    by try."""

    tries: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    silence_ms: list[float] = field(default_factory=list)
    others_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    violations: list[tuple[int, Violation]] = field(default_factory=list)

    def add(self, events: History) -> list[Violation]:
        """One more try; what it violated."""
        tale, broken = Tale(events), violations(events)
        number = tale.began.number if tale.began is not None else 0
        self.tries += 1
        self.violations += [(number, each) for each in broken]
        rules = Counter(each.rule for each in broken)
        stayed = {each.call_id for each in broken if each.rule in _STAYED}
        for story in tale.live:
            self.counts["calls"] += 1
            if story.call_id in stayed:
                continue
            on = story.gone is not None and story.gone.how == "hung up"
            self.counts["went_on" if on else "ended_in_order"] += 1
        self.counts["refused"] += tale.refused
        self.counts["no_money"] += tale.refused_with("RESOURCE_EXHAUSTED")
        self.counts["on_lease"] += sum(each.calls for each in tale.all(OnLease))
        self.counts["cut_off"] += rules["cut off"] + rules["mute"]
        self.counts["lost"] += rules["lost"]
        self.counts["billed"] += sum(each.kind == RESPONSE for each in tale.all(Used))
        self.counts["billed_twice"] += rules["billed twice"]
        self.counts["unbilled"] += unbilled(tale) + rules["not billed"]
        self.counts["own_count"] += own_count(tale)
        self.counts["leases_leaked"] += rules["lease leaked"]
        self.late_ms += [each.late_p99_ms for each in tale.all(Driver)]
        silences = silences_ms(tale)
        hit = set(tale.injected.hit) if tale.injected is not None else set()
        self.counts["hit"] += len(hit)
        self.silence_ms += [ms for call_id, ms in silences.items() if call_id in hit]
        self.others_ms += [ms for call_id, ms in silences.items() if call_id not in hit]
        return broken

    def row(self) -> dict[str, Any]:
        """As in the report, by `COLUMNS`."""
        row: dict[str, Any] = {name: self.counts[name] for name in COLUMNS}
        row["tries"] = self.tries
        for name, percent in (("p50", 50), ("p99", 99), ("max", 100)):
            row[f"silence_{name}_ms"] = percentile(self.silence_ms, percent)
        row["others_max_ms"] = percentile(self.others_ms, 100)
        row["driver_late_ms"] = percentile(self.late_ms, 100)
        return row


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that `percent` of all do not exceed; None of none."""
    if not values:
        return None
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return round(sorted(values)[rank - 1], 1)


class Report:
    """Of a run: figures by fault, in the order in which they were first tried. kept: where
    history and logs of a try are, by fault and number."""

    def __init__(self) -> None:
        self.figures: dict[str, Figures] = {}
        self.kept: dict[tuple[str, int], str] = {}

    def add(self, fault: str, events: History) -> list[Violation]:
        """One more try."""
        return self.figures.setdefault(fault, Figures()).add(events)

    @classmethod
    def of(cls, kept: Path) -> Report:
        """Of all tries of which histories were kept in this folder, by number.

        Raises:
            InvalidRequest: there is none, or a line of one is none.
        """
        report, found = cls(), []
        for path in kept.glob("*/history.jsonl"):
            events = tuple(read(path.read_text("utf-8").splitlines()))
            began = Tale(events).began
            if began is not None:
                found.append((began.number, began.fault, events, path.parent))
        if not found:
            raise InvalidRequest(f"no history of a try is in {kept}", field="keep")
        for number, fault, events, folder in sorted(found, key=lambda each: each[:2]):
            if report.add(fault, events):
                report.kept[fault, number] = str(folder)
        return report

    @property
    def sound(self) -> bool:
        """Nothing was violated."""
        return not any(each.violations for each in self.figures.values())

    def as_json(self, about: dict[str, Any]) -> dict[str, Any]:
        """The whole report; `about` is laid before it."""
        return about | {
            "faults": {name: each.row() for name, each in self.figures.items()},
            "violations": [
                {"fault": name, "try": number, "rule": found.rule, "call_id": found.call_id,
                 "text": found.text, "kept": self.kept.get((name, number), "")}
                for name, each in self.figures.items()
                for number, found in each.violations
            ],
        }  # fmt: skip
