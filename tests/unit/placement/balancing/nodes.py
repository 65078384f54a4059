"""Nodes to balance between, with what a test does not care about filled in."""

from __future__ import annotations

from random import Random
from typing import Any

from reception.placement.balancing.balancer import Balancer, BalancerRules
from reception.placement.balancing.pickers import Candidate, picker
from reception.placement.balancing.report import NodeReport
from reception.placement.balancing.weights import WeightRules

AT_ONCE = WeightRules(slow_start_s=0.0)  # new nodes get all of their share


def report(node_id: str = "a", at_s: float = 0.0, **changed: Any) -> NodeReport:
    """An idle node of 100 calls. A misspelt field is a TypeError."""
    told: dict[str, Any] = {
        "zone": "", "capacity": 100, "live": 0, "reserved": 0, "cpu": 0.0, "memory": 0.0,
        "lag_ms": 0.0, "misses_per_s": 0.0, "calls_per_s": 0.0, "errors_per_s": 0.0,
        "ready": True, "version": "1",
    }  # fmt: skip
    return NodeReport(node_id=node_id, at_s=at_s, **{**told, **changed})


def candidate(node_id: str = "a", weight: float = 100.0, **changed: Any) -> Candidate:
    told: dict[str, Any] = {"zone": "", "capacity": 100, "headroom": 1.0, "active": 0, "placing": 0}
    return Candidate(node_id=node_id, weight=weight, **{**told, **changed})


def balancer(
    *reports: NodeReport, name: str = "utilisation", seed: int = 1, **rules: Any
) -> Balancer:
    """One that has heard these reports when they were measured."""
    rules.setdefault("weights", AT_ONCE)
    made = Balancer(BalancerRules(**rules), picker(name, Random(seed)), Random(seed + 1))
    for each in reports:
        made.heard(each, each.at_s)
    return made


def place(at: Balancer, now_s: float, **wanted: Any) -> str | None:
    """A call that is placed and answered at once."""
    node_id = at.pick(now_s, **wanted)
    if node_id is not None:
        at.placed(node_id, now_s)
        at.answered(node_id, 0.01, now_s)
    return node_id
