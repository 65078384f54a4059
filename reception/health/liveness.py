"""Whether a node lives, told by the age of its last report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NodeState(StrEnum):
    HEALTHY = "healthy"
    STALE = "stale"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class LivenessRules:
    """A node is stale when its last report is older than `stale_s`, and down
    when it is older than `down_s`."""

    stale_s: float
    down_s: float


def rules_for(report_every_s: float) -> LivenessRules:
    """Two reports missed: stale. Five: down."""
    return LivenessRules(stale_s=2.5 * report_every_s, down_s=5.5 * report_every_s)


def node_state(rules: LivenessRules, reported_at_s: float, now_s: float) -> NodeState:
    """The state by age. A report from the future (the clock was set back)
    counts as new."""
    age_s = now_s - reported_at_s
    if age_s > rules.down_s:
        return NodeState.DOWN
    return NodeState.STALE if age_s > rules.stale_s else NodeState.HEALTHY
