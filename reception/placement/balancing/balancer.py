"""Which node the next call is placed on: what is known of all nodes, and the rules.

Each front door has a balancer of its own. Between two reports of a node it never
gives that node more calls than it has room for:

    Every call that a report measured at M does not have reached the node after M,
    so its answer came after M too, or is still to come. Of those calls each has a
    slot: from `placed` until a report measured after the answer. The report's
    calls and the slots together are therefore never fewer than the node's calls
    and those on their way to it, and it is picked only while they are fewer than
    its capacity.

What other doors place in that second it can't know: a node has to refuse what is
too much (`withdrawn`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from random import Random

from reception.placement.balancing.bounds import above, within
from reception.placement.balancing.outliers import OutlierRules, Outliers
from reception.placement.balancing.pickers import Candidate, Picker
from reception.placement.balancing.report import NodeReport
from reception.placement.balancing.weights import (
    WeightRules,
    freshness,
    headroom,
    slow_start,
    utilisation,
)


class State(StrEnum):
    """Why a node gets its share. not ready: it starts or drains; unknown: its
    report has expired, or its link broke and it has not reported since."""

    READY = "ready"
    SLOW_START = "slow start"
    STALE = "stale"
    FULL = "full"
    EJECTED = "ejected"
    NOT_READY = "not ready"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class BalancerRules:
    """panic_share: when fewer of the nodes that call themselves ready can be used,
        because they are ejected or unknown, something is wrong with our judgement
        rather than with them, and all of them are used (Envoy's panic threshold).
    zone_free_share: while so much of the caller's own zone is free, it gets all
        calls; below, so much less of them as is missing, and the others go where
        room is.
    placing_s: a placement that had no outcome by then is forgotten.
    clock_error_s: how much later than it was measured a report may be stamped.

    Raises:
        InvalidRequest: a value is out of its bounds.
    """

    weights: WeightRules = field(default_factory=WeightRules)
    outliers: OutlierRules = field(default_factory=OutlierRules)
    panic_share: float = 0.5
    zone_free_share: float = 0.25
    placing_s: float = 30.0
    clock_error_s: float = 0.05

    def __post_init__(self) -> None:
        within("panic_share", self.panic_share, 0, 1)
        within("zone_free_share", self.zone_free_share, 0, 1)
        above("placing_s", self.placing_s)
        within("clock_error_s", self.clock_error_s, 0)


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as the balancer sees it. active: calls that it has or is about to
    get; share: of the weights of all nodes, 0 to 1."""

    node_id: str
    zone: str
    version: str
    state: State
    weight: float
    share: float
    active: int
    capacity: int
    utilisation: float
    age_s: float


@dataclass(slots=True)
class _Node:
    """at_s: when the last report was measured; broken: or the link broke, after it.
    since_s: since when the node is ready; infinity: not yet.
    placing: when calls were placed that it has not answered.
    settled: when it answered those that no report has yet.
    """

    report: NodeReport
    at_s: float = -inf
    since_s: float = inf
    broken: bool = False
    placing: deque[float] = field(default_factory=deque)
    settled: deque[float] = field(default_factory=deque)

    @property
    def active(self) -> int:
        """Calls that it has, or is about to get."""
        told = self.report.live + self.report.reserved
        return told + len(self.placing) + len(self.settled)


class Balancer:
    """Nodes in, by their reports; a node for each call out. `now_s` is any
    monotonic clock, the same as the reports' `at_s`.

    A call goes `pick`, `placed`, then one of `answered`, `failed`, `withdrawn`;
    and `ended` after `answered`. Between `pick` and `placed` nothing may happen.
    """

    def __init__(self, rules: BalancerRules, picker: Picker, rng: Random) -> None:
        self._rules, self._picker, self._rng = rules, picker, rng
        self._outliers = Outliers(rules.outliers)
        self._nodes: dict[str, _Node] = {}

    # ------------------------------------------------------------- nodes

    def heard(self, report: NodeReport, now_s: float) -> None:
        """A node reported. One that is not newer than the last says nothing."""
        node = self._nodes.get(report.node_id)
        if node is None:
            node = self._nodes[report.node_id] = _Node(report)
        at_s = min(report.at_s, now_s)
        if at_s <= node.at_s:
            return
        if freshness(self._rules.weights, at_s - node.at_s) == 0:
            node.since_s = inf
        if report.ready and node.since_s == inf:
            node.since_s = now_s
        node.report, node.at_s, node.broken = report, at_s, False
        known_s = at_s - self._rules.clock_error_s
        if node.settled:
            node.settled = deque(each for each in node.settled if each > known_s)
        while node.placing and node.placing[0] + self._rules.placing_s <= known_s:
            node.placing.popleft()
        others = (each.report for each in self._nodes.values() if each is not node)
        self._outliers.compare(report, others, len(self._nodes), now_s)

    def left(self, node_id: str) -> None:
        """A node is gone; no other may come under its id while calls are still on
        their way to it. Idempotent."""
        self._nodes.pop(node_id, None)
        self._outliers.forget(node_id)
        self._picker.forget(node_id)

    def broke(self, node_id: str, now_s: float) -> None:
        """The link to a node broke: it is ejected at once, and nothing is known of
        it until it reports. Calls on their way to it have each an outcome too."""
        if node_id in self._nodes:
            node = self._nodes[node_id]
            node.broken, node.at_s, node.since_s = True, now_s, inf
            self._outliers.broken(node_id, now_s)

    # ------------------------------------------------------------- calls

    def pick(
        self, now_s: float, zone: str = "", exclude: Collection[str] = frozenset()
    ) -> str | None:
        """The node for a call; None when none has room.

        Args:
            zone: where the caller comes in; its nodes are preferred.
            exclude: nodes that the call was refused by.
        """
        candidates = [each for each in self._candidates(now_s) if each.node_id not in exclude]
        if not candidates:
            return None
        return self._picker.pick(self._near(candidates, zone) or candidates, now_s)

    def placed(self, node_id: str, now_s: float) -> None:
        """The call is on its way to the node."""
        if node_id in self._nodes:
            self._nodes[node_id].placing.append(now_s)

    def answered(self, node_id: str, took_s: float, now_s: float) -> None:
        """The node has the call, after so long."""
        if self._settle(node_id, now_s):
            self._outliers.answered(node_id)
            self._picker.answered(node_id, took_s, now_s)

    def failed(self, node_id: str, now_s: float) -> None:
        """The node failed to take the call, and won't take it any more."""
        if self._settle(node_id, now_s):
            self._outliers.failed(node_id, len(self._nodes), now_s)
            self._picker.failed(node_id, now_s)

    def withdrawn(self, node_id: str, now_s: float) -> None:
        """The call is not on the node, which says nothing about its health: the
        caller hung up, or the node had no room."""
        self._settle(node_id, now_s)

    def ended(self, node_id: str, answered_s: float) -> None:
        """A call that the node had is over. Its slot is free at once if no report
        had the call yet; else the next report says so.

        Args:
            answered_s: the `now_s` that `answered` was told.
        """
        if node_id in self._nodes:
            with suppress(ValueError):
                self._nodes[node_id].settled.remove(answered_s)

    def _settle(self, node_id: str, now_s: float) -> bool:
        """A placement is over. Whatever came of it, the node may have had the call
        when it measured its last report, or since. False: the node is gone."""
        node = self._nodes.get(node_id)
        if node is None:
            return False
        if node.placing:
            node.placing.popleft()
        node.settled.append(now_s)
        return True

    # ------------------------------------------------------------- judgement

    def view(self, now_s: float) -> list[NodeView]:
        """Every node, in the order in which they came."""
        weights = {each.node_id: each.weight * each.headroom for each in self._candidates(now_s)}
        total = sum(weights.values()) or 1.0
        return [
            NodeView(
                node_id,
                node.report.zone,
                node.report.version,
                self._state(node, now_s),
                weights.get(node_id, 0.0),
                weights.get(node_id, 0.0) / total,
                node.active,
                node.report.capacity,
                utilisation(self._rules.weights, node.report, node.active),
                now_s - node.at_s,
            )
            for node_id, node in self._nodes.items()
        ]

    def _state(self, node: _Node, now_s: float) -> State:
        fresh = self._freshness(node, now_s)
        if self._outliers.is_out(node.report.node_id, now_s):
            return State.EJECTED
        if fresh == 0:
            return State.UNKNOWN
        if not node.report.ready:
            return State.NOT_READY
        if headroom(self._rules.weights, node.report, node.active) == 0:
            return State.FULL
        if fresh < 1:
            return State.STALE
        return State.READY if self._slow_start(node, now_s) == 1 else State.SLOW_START

    def _candidates(self, now_s: float) -> list[Candidate]:
        """Those that may get a call: ready, with room, and usable unless too few are."""
        ready = self._ready()
        parts = [(each, self._part(each, now_s)) for each in ready]
        usable = [(each, part) for each, part in parts if part > 0]
        if len(usable) < self._rules.panic_share * len(ready):
            usable = [(each, 1.0) for each in ready]
        candidates = [self._candidate(each, part) for each, part in usable]
        return [each for each in candidates if each.headroom > 0]

    def _candidate(self, node: _Node, part: float) -> Candidate:
        """part: of its capacity, that counts."""
        report, active = node.report, node.active
        return Candidate(
            report.node_id,
            report.zone,
            report.capacity,
            report.capacity * part,
            headroom(self._rules.weights, report, active),
            active,
            len(node.placing),
        )

    def _near(self, candidates: list[Candidate], zone: str) -> list[Candidate]:
        """Those of the zone when this call is to stay in it, else none."""
        own = [each for each in candidates if each.zone == zone]
        if not zone or not own:
            return []
        free = sum(each.capacity * each.headroom for each in own)
        capacity = sum(each.report.capacity for each in self._ready() if each.report.zone == zone)
        stays = self._rng.random() * self._rules.zone_free_share * capacity < free
        return own if stays else []

    def _ready(self) -> list[_Node]:
        """Those that say that they take calls, as far as they can be reached."""
        return [each for each in self._nodes.values() if each.report.ready and not each.broken]

    def _part(self, node: _Node, now_s: float) -> float:
        """What counts of its capacity; 0 when it is ejected or unknown."""
        fresh = self._freshness(node, now_s)
        if fresh == 0 or self._outliers.is_out(node.report.node_id, now_s):
            return 0.0
        return fresh * self._slow_start(node, now_s)

    def _freshness(self, node: _Node, now_s: float) -> float:
        return 0.0 if node.broken else freshness(self._rules.weights, now_s - node.at_s)

    def _slow_start(self, node: _Node, now_s: float) -> float:
        """A node that was out starts slowly too when it comes back."""
        back_s = self._outliers.back_s(node.report.node_id)
        return slow_start(self._rules.weights, now_s - max(node.since_s, back_s))
