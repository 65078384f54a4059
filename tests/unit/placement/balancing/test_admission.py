"""No node is ever given more calls than it has room for, whatever happens in
whatever order: THE property of the balancer.

The world below has the nodes' true calls. Calls travel, arrive, are answered,
fail, are given up and end; reports are measured, stamped by a clock that errs,
get lost, come late and overtake each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from reception.placement.balancing.balancer import Balancer, BalancerRules
from reception.placement.balancing.outliers import OutlierRules
from reception.placement.balancing.pickers import PICKERS, picker
from reception.placement.balancing.report import NodeReport
from tests.unit.placement.balancing.nodes import place, report

CAPACITIES = {"a": 1, "b": 2, "c": 3}
ERROR_S = 0.05


@dataclass(slots=True)
class Call:
    """arrived: its node has it; answered_s: and the door knows; over: nobody has
    it any more, but the door may not know."""

    node_id: str
    arrived: bool = False
    answered_s: float | None = None
    over: bool = False


class World:
    def __init__(self, name: str, seed: int) -> None:
        rules = BalancerRules(
            outliers=OutlierRules(failures=2, base_s=0.5, longest_s=1.0),
            placing_s=1e6,
            clock_error_s=ERROR_S,
        )
        self.balancer = Balancer(rules, picker(name, Random(seed)), Random(seed))
        self.now_s = 10.0
        self.calls: list[Call] = []
        self.reports: list[NodeReport] = []
        for node_id in CAPACITIES:
            self.measure(node_id, 0.5)
            self.balancer.heard(self.reports.pop(), self.now_s)

    def step(self, what: str, which: int, part: float) -> None:
        self.now_s += part * ERROR_S
        if what == "call":
            self.call(which)
        elif what == "measure":
            self.measure(list(CAPACITIES)[which % 3], part)
        elif what == "deliver" and self.reports:
            self.balancer.heard(self.reports.pop(which % len(self.reports)), self.now_s)
        elif what == "lose" and self.reports:
            self.reports.pop(which % len(self.reports))
        elif what == "end":
            live = [each for each in self.calls if each.answered_s is not None and not each.over]
            if live:
                live[which % len(live)].over = True
        elif what == "hear of the end":
            over = [each for each in self.calls if each.answered_s is not None and each.over]
            if over:
                call = over[which % len(over)]
                assert call.answered_s is not None
                self.balancer.ended(call.node_id, call.answered_s)
                self.calls.remove(call)
        else:
            self.travel(what, which)

    def call(self, which: int) -> None:
        exclude = {"abc"[which % 3]} if which % 4 == 0 else set()
        node_id = self.balancer.pick(self.now_s, exclude=exclude)
        if node_id is not None:
            assert node_id not in exclude
            self.balancer.placed(node_id, self.now_s)
            self.calls.append(Call(node_id))

    def travel(self, what: str, which: int) -> None:
        under_way = [each for each in self.calls if each.answered_s is None]
        if not under_way:
            return
        call = under_way[which % len(under_way)]
        if what == "arrive":
            call.arrived = True
        elif what == "answer" and call.arrived:
            call.answered_s = self.now_s
            self.balancer.answered(call.node_id, 0.1, self.now_s)
        elif what == "break":
            self.balancer.broke(call.node_id, self.now_s)
        elif what == "fail":
            self.calls.remove(call)
            self.balancer.failed(call.node_id, self.now_s)
        elif what == "give up":
            self.calls.remove(call)
            self.balancer.withdrawn(call.node_id, self.now_s)

    def measure(self, node_id: str, part: float) -> None:
        here = [each for each in self.calls if each.node_id == node_id and not each.over]
        live = sum(1 for each in here if each.answered_s is not None)
        reserved = sum(1 for each in here if each.arrived and each.answered_s is None)
        stamp_s = self.now_s + (2 * part - 1) * ERROR_S
        self.reports.append(
            report(node_id, stamp_s, capacity=CAPACITIES[node_id], live=live, reserved=reserved)
        )

    def check(self) -> None:
        for node_id, capacity in CAPACITIES.items():
            here = [each for each in self.calls if each.node_id == node_id and not each.over]
            assert len(here) <= capacity


OFTEN = ["call", "call", "arrive", "answer", "measure", "deliver"]
SELDOM = ["fail", "break", "give up", "lose", "end", "hear of the end"]


@settings(max_examples=100)
@given(st.sampled_from(PICKERS), st.integers(0, 2**32))
def test_no_node_ever_has_more_calls_than_its_capacity(name: str, seed: int) -> None:
    """A story is long (a shorter one is not much easier to read), so it is drawn by
    a seed and not step by step."""
    world, dice = World(name, seed), Random(seed)
    for _ in range(400):
        what = dice.choice(3 * OFTEN + SELDOM)
        world.step(what, dice.randrange(12), dice.random())
        world.check()


def test_and_yet_all_that_there_is_is_used() -> None:
    """By every algorithm, to the last slot of the last node."""
    for name in PICKERS:
        world = World(name, 1)
        picked = [place(world.balancer, world.now_s) for _ in range(7)]
        assert {node_id: picked.count(node_id) for node_id in CAPACITIES} == CAPACITIES
        assert picked[6] is None
