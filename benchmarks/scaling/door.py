"""A front door: what it hears of nodes, and where it sends calls."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from benchmarks.scaling.model import Model
from reception.health.liveness import rules_for
from reception.placement.balancing.balancer import Balancer, BalancerRules
from reception.placement.balancing.pickers import picker
from reception.placement.balancing.report import NodeReport
from reception.placement.balancing.weights import WeightRules


class Door:
    """One door, on the node whose id it has. `knows`: its subset; `dealt`: the
    number of the deal that it is of."""

    def __init__(self, door_id: str, model: Model, rng: Random) -> None:
        self.door_id = door_id
        self.alive = True
        self.knows: list[str] = []
        self.dealt = 0
        dice = Random(rng.random())
        live = rules_for(model.report_s)
        ages = WeightRules(stale_after_s=live.stale_s, expires_after_s=live.down_s)
        rules = BalancerRules(weights=ages)
        self.balancer = Balancer(rules, picker(model.policy, dice), dice)
        self._broken: set[str] = set()

    def deal(self, node_ids: list[str], number: int) -> None:
        """The nodes that it knows from now on."""
        for gone in set(self.knows) - set(node_ids):
            self.balancer.left(gone)
            self._broken.discard(gone)
        self.knows, self.dealt = node_ids, number

    def heard(self, reports: Iterable[NodeReport], now_s: float) -> None:
        """Reports of its nodes, old ones among them."""
        if self.alive:
            for each in reports:
                self.balancer.heard(each, now_s)

    def broke(self, node_id: str, now_s: float) -> None:
        """A call's link to a node is silent: told once."""
        if node_id not in self._broken:
            self._broken.add(node_id)
            self.balancer.broke(node_id, now_s)
