"""The health singleton, as far as placing calls goes: it passes reports on."""

from __future__ import annotations

from random import Random

from benchmarks.scaling.agenda import Agenda
from benchmarks.scaling.door import Door
from benchmarks.scaling.model import Model, delay_s
from benchmarks.scaling.node import Node
from reception.placement.balancing.report import NodeReport
from reception.placement.balancing.subset import Seats, parts, subset

FORGET_S = 30.0  # a node that was silent for so long is gone from the subsets
DEAL_EVERY_S = 1.0


class Health:
    """A node's report is answered with the last ones of the nodes that its door
    knows: one message a node and second, whatever the number of doors.

    `away`: it does not answer. messages: that it got.
    """

    def __init__(self, model: Model, agenda: Agenda, rng: Random) -> None:
        self._model, self._agenda, self._rng = model, agenda, rng
        self._latest: dict[str, NodeReport] = {}
        self._seats = Seats()
        self._known: list[str] = []
        self._dealt = 0
        self._of = 1
        self.away = False
        self.messages = 0

    def attend(self, node: Node, door: Door, phase_s: float) -> None:
        """Lets a node report from now on, and its door hear of others."""

        def tick() -> bool:
            if node.alive:
                self._agenda.after(delay_s(self._rng), self._report, node.measure(), door)
            return node.alive

        self._agenda.every(self._model.report_s, self._agenda.now_s + phase_s, tick)

    def begin(self, nodes: list[Node], doors: list[Door]) -> None:
        """As if all had been there for a while."""
        for node in nodes:
            self._latest[node.node_id] = node.measure()
        self.deal()
        for door in doors:
            self._tell(door)
        self._agenda.every(DEAL_EVERY_S, self._agenda.now_s + DEAL_EVERY_S, self.deal)

    def deal(self) -> bool:
        """New subsets when a node has come or is gone."""
        if self.away:
            return True
        now_s = self._agenda.now_s
        for node_id, report in list(self._latest.items()):
            if now_s - report.at_s > FORGET_S:
                del self._latest[node_id]
                self._seats.leave(node_id)
        known = list(self._latest)
        if known != self._known:
            self._known = known
            self._of = parts(len(known), self._model.subset, self._of)
            self._dealt += 1
        return True

    def _report(self, report: NodeReport, door: Door) -> None:
        if self.away:
            return
        self.messages += 1
        self._latest[report.node_id] = report
        self._tell(door)

    def _tell(self, door: Door) -> None:
        """What its door wants to know."""
        if door.dealt != self._dealt:
            seat = self._seats.take(door.door_id)
            door.deal(subset(self._known, seat, self._of), self._dealt)
        news = [self._latest[each] for each in door.knows if each in self._latest]
        self._agenda.after(delay_s(self._rng), self._hear, door, news)

    def _hear(self, door: Door, news: list[NodeReport]) -> None:
        door.heard(news, self._agenda.now_s)
