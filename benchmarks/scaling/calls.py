"""The life of each call: placed, tried elsewhere when refused, ended, taken over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random

from benchmarks.scaling.agenda import Agenda
from benchmarks.scaling.door import Door
from benchmarks.scaling.model import Model, delay_s
from benchmarks.scaling.node import UNREACHABLE, Node
from reception.placement.admission.priority import Priority

TRIES = 3  # nodes that a call asks, before its caller hears of it
LOST_S = 2.0  # a node that does not answer for so long is taken for dead
NOTICED_S = (2.0, 2.5)  # a link is silent for so long before it is given up
BACK_S = (0.5, 2.0)  # a caller whose stream broke comes back after
TAKEOVER_S, PAUSE_S = 10.0, 0.1  # a call whose node died is given up after; asks again after
NO_NODE = "no_node"


@dataclass(slots=True, eq=False)
class Call:
    """attempt: how often it was placed, so that what is told of an earlier place does
    not count; node: None while it has none. lost_s: since when, infinity for a call
    that never had one. tries: since it was new, or lost."""

    number: int
    priority: Priority
    length_s: float
    door: Door
    node: Node | None = None
    attempt: int = 0
    ends_s: float = inf
    answered_s: float = inf
    lost_s: float = inf
    tries: int = 0
    refused_by: set[str] = field(default_factory=set)

    @property
    def key(self) -> str:
        """Its name on the node where it is, or is to be."""
        return f"{self.number}/{self.attempt}"


@dataclass(slots=True)
class Tally:
    """What became of calls. refused: new ones, by reason; turned_away: by a node,
    to be tried elsewhere; moved, resumed: taken over by another node, another
    door; dropped: given up after `TAKEOVER_S`; hung_up: ended meanwhile."""

    arrived: int = 0
    accepted: int = 0
    ended: int = 0
    moved: int = 0
    resumed: int = 0
    dropped: int = 0
    hung_up: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    turned_away: Counter[str] = field(default_factory=Counter)
    gap_s: list[float] = field(default_factory=list)


class Calls:
    """All calls. `any_door`: a living door, for a caller who comes (back)."""

    def __init__(
        self,
        model: Model,
        agenda: Agenda,
        rng: Random,
        nodes: dict[str, Node],
        any_door: Callable[[], Door],
    ) -> None:
        self._model, self._agenda, self._rng = model, agenda, rng
        self._nodes, self._any_door = nodes, any_door
        self._number = 0
        self.known: dict[int, Call] = {}  # all that are not over
        self.tally = Tally()

    @property
    def homeless(self) -> int:
        """Calls that are being placed, for the first time or again."""
        return sum(1 for call in self.known.values() if call.node is None)

    # ------------------------------------------------------------- a new call

    def arrive(self) -> None:
        """One comes now, the next by chance (Poisson)."""
        gap_s = self._rng.expovariate(self._model.arrivals_per_s)
        self._agenda.after(gap_s, self.arrive)
        self.tally.arrived += 1
        self._place(self._new(self._model.length_s(self._rng)))

    def settled(self, node: Node) -> str:
        """A call that has been on a node for a while; its key there."""
        call = self._new(0.0)
        call.node = node
        call.ends_s = self._model.rest_s(self._rng)
        self._agenda.at(call.ends_s, self._end, call, call.key)
        return call.key

    def _new(self, length_s: float) -> Call:
        self._number += 1
        priority = self._model.priority(self._rng)
        call = Call(self._number, priority, length_s, self._any_door())
        self.known[call.number] = call
        return call

    # ------------------------------------------------------------- placing

    def _place(self, call: Call) -> None:
        now_s = self._agenda.now_s
        if now_s >= call.ends_s:
            self.tally.hung_up += 1
            del self.known[call.number]
            return
        if not call.door.alive:
            call.door = self._any_door()
        picked = call.door.balancer.pick(now_s, exclude=call.refused_by)
        call.tries, call.attempt = call.tries + 1, call.attempt + 1
        if picked is None:
            self._not_taken(call, NO_NODE)
            return
        call.door.balancer.placed(picked, now_s)
        node = self._nodes[picked]
        self._agenda.after(delay_s(self._rng), self._reach, call, node, now_s)

    def _reach(self, call: Call, node: Node, placed_s: float) -> None:
        """The node is asked; its answer has its way back."""

        def told(cause: str) -> None:
            if not cause:
                self._taken(call, node)
            late_s = LOST_S if cause == UNREACHABLE else 0.0
            at_s = max(placed_s + late_s, self._agenda.now_s + delay_s(self._rng))
            self._agenda.at(at_s, self._answered, call, node, call.key, placed_s, cause)

        if node.alive:
            node.lease(call.key, call.priority, told, live=call.lost_s != inf)
        else:
            told(UNREACHABLE)

    def _taken(self, call: Call, node: Node) -> None:
        now_s = self._agenda.now_s
        call.node = node
        if call.lost_s == inf:
            self.tally.accepted += 1
            call.ends_s = now_s + call.length_s
        else:
            self.tally.moved += 1
            self.tally.gap_s.append(now_s - call.lost_s)
        self._agenda.at(call.ends_s, self._end, call, call.key)

    def _answered(self, call: Call, node: Node, key: str, placed_s: float, cause: str) -> None:
        now_s, door = self._agenda.now_s, call.door
        if not door.alive:  # its caller goes on at another
            call.door = self._any_door()
        elif not cause:
            door.balancer.answered(node.node_id, now_s - placed_s, now_s)
            if call.key == key:
                call.answered_s = now_s
        elif cause == UNREACHABLE:
            door.balancer.failed(node.node_id, now_s)
        else:
            door.balancer.withdrawn(node.node_id, now_s)
        if cause:
            self.tally.turned_away[cause] += 1
            call.refused_by.add(node.node_id)
            self._not_taken(call, cause)

    def _not_taken(self, call: Call, cause: str) -> None:
        """Elsewhere; a new call a few times, one that is lost for a while."""
        if cause != NO_NODE and call.tries % TRIES:
            self._place(call)
        elif call.lost_s == inf:
            self.tally.refused[cause] += 1
            del self.known[call.number]
        elif self._agenda.now_s - call.lost_s < TAKEOVER_S:
            call.refused_by.clear()
            self._agenda.after(PAUSE_S, self._place, call)
        else:
            self.tally.dropped += 1
            del self.known[call.number]

    # ------------------------------------------------------------- its end

    def _end(self, call: Call, key: str) -> None:
        node = call.node
        if node is None or call.key != key:
            return  # it has moved since
        node.end(key)
        self.tally.ended += 1
        del self.known[call.number]
        over = partial(call.door.balancer.ended, node.node_id, call.answered_s)
        self._agenda.after(delay_s(self._rng), over)

    def broken(self) -> None:
        """Nodes and their doors have just died: their calls go on elsewhere."""
        for call in self.known.values():
            if call.node is None:
                continue  # its answer, or none, says how it goes on
            dead = None if call.node.alive else call.node
            if dead is not None:
                call.node, call.lost_s, call.tries = None, self._agenda.now_s, 0
                call.attempt += 1
                call.refused_by.clear()
            elif call.door.alive:
                continue
            after_s = self._rng.uniform(*NOTICED_S)
            if not call.door.alive:  # the next door finds the node dead, if it is
                after_s = self._rng.uniform(*BACK_S) + (LOST_S if dead is not None else 0.0)
            self._agenda.after(after_s, self._go_on, call, dead)

    def _go_on(self, call: Call, dead: Node | None) -> None:
        """At another door, if its own is dead; on another node, if that is."""
        if call.number not in self.known:
            return
        if not call.door.alive:
            call.door = self._any_door()
            call.answered_s = inf
            self.tally.resumed += 1
        if dead is not None:
            call.door.broke(dead.node_id, self._agenda.now_s)
            self._place(call)
