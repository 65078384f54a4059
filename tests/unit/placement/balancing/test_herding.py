"""Ten front doors, ten nodes, reports a second old: nobody runs with the herd.

When all doors take the node that was the best in the last reports, all calls of a
second go there. Then the number of calls that a node gets between two of its
reports varies far more than that of calls that are sent at random, whose variance
is their mean (Poisson). The index of dispersion, variance / mean, tells: 1 is by
chance, below is better spread than by chance, above is a herd.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random
from statistics import fmean, pstdev, pvariance

import pytest

from reception.placement.balancing.balancer import Balancer
from reception.placement.balancing.pickers import PICKERS
from tests.unit.placement.balancing.nodes import balancer, report

pytestmark = pytest.mark.simulation

DOORS, HOLDING_S, LATE_S = 10, 60.0, 0.1
EQUAL = (100,) * 10
MIXED = (25, 50, 100, 200, 25, 50, 100, 200, 25, 50)


@dataclass
class Cluster:
    """Calls come at random to any door, and last for a minute on average. A node
    measures each second, at a moment of its own; the doors hear `LATE_S` later."""

    name: str
    capacities: tuple[int, ...]
    load: float
    settle_s: float = 150.0
    refused: int = 0
    placed: int = 0
    _got: Counter[tuple[int, int]] = field(default_factory=Counter)
    _used: list[list[float]] = field(default_factory=list)
    _events: list[tuple[float, int, str, int]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)

    def run(self, until_s: float = 300.0) -> Cluster:
        dice, nodes = Random(1), range(len(self.capacities))
        doors = [balancer(name=self.name, seed=seed) for seed in range(DOORS)]
        rate_per_s = self.load * sum(self.capacities) / HOLDING_S
        live, told, reports = [0 for _ in nodes], [0 for _ in nodes], [0 for _ in nodes]
        self._used = [[] for _ in nodes]
        for node in nodes:
            self._at(node / len(nodes), "measure", node)
        self._at(1.5, "call", 0)
        while self._events[0][0] < until_s:
            now_s, _, what, node = heapq.heappop(self._events)
            if what == "measure":
                told[node] = live[node]
                self._at(now_s + LATE_S, "hear", node)
                self._at(now_s + 1.0, "measure", node)
            elif what == "hear":
                reports[node] += 1
                if now_s > self.settle_s:
                    self._used[node].append(told[node] / self.capacities[node])
                news = report(str(node), now_s - LATE_S, capacity=self.capacities[node],
                              live=told[node])  # fmt: skip
                for door in doors:
                    door.heard(news, now_s)
            elif what == "end":
                live[node] -= 1
            else:
                self._at(now_s + dice.expovariate(rate_per_s), "call", 0)
                picked = self._place(doors[dice.randrange(DOORS)], now_s, live)
                if picked is not None:
                    self._at(now_s + dice.expovariate(1 / HOLDING_S), "end", picked)
                    if now_s > self.settle_s:
                        self._got[picked, reports[picked]] += 1
        return self

    def _place(self, door: Balancer, now_s: float, live: list[int]) -> int | None:
        picked = door.pick(now_s)
        if picked is None:
            return None
        door.placed(picked, now_s)
        node = int(picked)
        if live[node] >= self.capacities[node]:  # other doors were quicker
            door.withdrawn(picked, now_s)
            self.refused += 1
            return None
        door.answered(picked, 0.01, now_s)
        live[node] += 1
        self.placed += 1
        return node

    def _at(self, at_s: float, what: str, node: int) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), what, node))

    @property
    def dispersion(self) -> float:
        """Of the calls between two reports, the mean of the nodes."""
        seconds = range(int(self.settle_s) + 2, int(self.settle_s) + 140)
        got = [[self._got[node, each] for each in seconds] for node in range(len(self.capacities))]
        return fmean(pvariance(each) / fmean(each) for each in got)

    @property
    def spread(self) -> float:
        """Standard deviation of the nodes' utilisation, the mean of all seconds."""
        return fmean(pstdev(each) for each in zip(*self._used, strict=False))


@pytest.mark.parametrize("load", [0.7, 0.95])
@pytest.mark.parametrize("capacities", [EQUAL, MIXED])
def test_utilisation_spreads_calls_as_well_as_chance_and_fills_nodes_alike(
    capacities: tuple[int, ...], load: float
) -> None:
    """Over 138 s the index of ten nodes has a standard deviation of about
    sqrt(2 / 138 / 10) = 0.04."""
    cluster = Cluster("utilisation", capacities, load).run()
    assert cluster.dispersion < 1.15
    assert cluster.spread < 0.07
    assert cluster.refused <= cluster.placed / 500


@pytest.mark.parametrize("name", ["power_of_two", "headroom_of_two"])
def test_two_choices_don_t_run_with_the_herd_either(name: str) -> None:
    cluster = Cluster(name, MIXED, 0.7).run()
    assert cluster.dispersion < 1.6
    assert cluster.spread < 0.07


def test_the_best_of_all_does_and_so_the_measure_can_tell() -> None:
    assert Cluster("least_request", EQUAL, 0.7).run().dispersion > 3.0


@pytest.mark.parametrize("name", PICKERS)
def test_at_seven_tenths_of_its_capacity_a_cluster_refuses_few(name: str) -> None:
    cluster = Cluster(name, EQUAL, 0.7, settle_s=100.0).run(200.0)
    assert cluster.placed > 2_000
    assert cluster.refused <= cluster.placed / 1_000
