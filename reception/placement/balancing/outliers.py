"""Nodes that fail where others don't get no calls for a while (Envoy's outlier
detection).

Ejecting is a guess, so it may take only a share of the nodes at once; but that a
link broke is known, and ejects in any case. A node comes back by itself; each
time that it is ejected again soon after, it stays out for longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from reception.placement.balancing.bounds import above, within
from reception.placement.balancing.report import NodeReport


@dataclass(frozen=True, slots=True)
class OutlierRules:
    """failures: placements in a row that eject.
    apart: so much larger an error share than that of all others ejects; counted
        from `least_calls_per_s` on, on both sides.
    base_s: how long a node is out, times the number of times; at most longest_s.
        After longest_s without an ejection the number begins anew.
    most_share: of the nodes, that may be out at once by a guess; one always may.

    Raises:
        InvalidRequest: a value is out of its bounds.
    """

    failures: int = 5
    apart: float = 0.3
    least_calls_per_s: float = 0.1
    base_s: float = 30.0
    longest_s: float = 300.0
    most_share: float = 0.3

    def __post_init__(self) -> None:
        within("failures", self.failures, 1)
        above("least_calls_per_s", self.least_calls_per_s)
        above("base_s", self.base_s)
        within("longest_s", self.longest_s, self.base_s)
        within("apart", self.apart, 0.01, 1)
        within("most_share", self.most_share, 0, 1)


@dataclass(slots=True)
class _Past:
    """What a node has done: failures in a row, ejections, and until when it is out."""

    failures: int = 0
    times: int = 0
    until_s: float = -inf


class Outliers:
    """Which nodes are out. `now_s` is any monotonic clock; `known` is how many
    nodes there are."""

    def __init__(self, rules: OutlierRules) -> None:
        self._rules = rules
        self._past: dict[str, _Past] = {}

    def is_out(self, node_id: str, now_s: float) -> bool:
        """Whether it is ejected now."""
        return now_s < self.back_s(node_id)

    def back_s(self, node_id: str) -> float:
        """When it comes, or last came, back; minus infinity if it never was out."""
        past = self._past.get(node_id)
        return -inf if past is None else past.until_s

    def answered(self, node_id: str) -> None:
        """A placement on it succeeded."""
        self._of(node_id).failures = 0

    def failed(self, node_id: str, known: int, now_s: float) -> None:
        """A placement on it failed. After an ejection the first failure is enough,
        until one succeeds."""
        past = self._of(node_id)
        past.failures += 1
        if past.failures >= self._rules.failures:
            self._suspect(past, known, now_s)

    def compare(
        self, report: NodeReport, others: Iterable[NodeReport], known: int, now_s: float
    ) -> None:
        """Its error share beside that of all others' calls together. (A distance in
        standard deviations, as Envoy has, can't be large among few nodes: one
        among n is never more than the root of n - 1 away.) Others are only looked at
        when it could be far apart, so that a healthy report costs the same among
        however many nodes."""
        if report.calls_per_s < self._rules.least_calls_per_s:
            return
        own = report.errors_per_s / report.calls_per_s
        if own < self._rules.apart:
            return
        calls = errors = 0.0
        for other in others:
            calls += other.calls_per_s
            errors += other.errors_per_s
        if calls < self._rules.least_calls_per_s:
            return
        if own - errors / calls >= self._rules.apart:
            self._suspect(self._of(report.node_id), known, now_s)

    def broken(self, node_id: str, now_s: float) -> None:
        """The link to it broke."""
        self._eject(self._of(node_id), now_s)

    def forget(self, node_id: str) -> None:
        """The node is gone."""
        self._past.pop(node_id, None)

    def _suspect(self, past: _Past, known: int, now_s: float) -> None:
        out = sum(1 for each in self._past.values() if now_s < each.until_s)
        if out < max(1, int(known * self._rules.most_share)):
            self._eject(past, now_s)

    def _eject(self, past: _Past, now_s: float) -> None:
        """Nothing more for one that is out already: what fails now was under way."""
        if now_s < past.until_s:
            return
        rules = self._rules
        past.times = past.times + 1 if now_s - past.until_s < rules.longest_s else 1
        past.until_s = now_s + min(rules.longest_s, rules.base_s * past.times)

    def _of(self, node_id: str) -> _Past:
        return self._past.setdefault(node_id, _Past())
