"""The simulated cluster: nodes, each with a door, the health singleton, the calls."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

from benchmarks.scaling.agenda import Agenda
from benchmarks.scaling.calls import Calls, Tally
from benchmarks.scaling.door import Door
from benchmarks.scaling.failures import AWAY_S, JOINING_S, SLOW_PACE, Timeline, timeline
from benchmarks.scaling.health import Health
from benchmarks.scaling.measures import Sample, sample
from benchmarks.scaling.model import Model
from benchmarks.scaling.node import RESIZE_EVERY_S, Node


@dataclass(slots=True)
class Outcome:
    """What a run showed. tallies: of calls, by the time they were copied at."""

    model: Model
    when: Timeline
    samples: list[Sample] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)
    events: int = 0


class Cluster:
    """Begins in the middle of its day: as many calls as there are on average, each
    with what is left of its length, on nodes that chance chose in proportion to
    their capacity. That is worse than the balancer leaves them, and what it makes
    of it until `warm_s` is not measured."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._rng = Random(model.seed)
        self.agenda = Agenda()
        self.nodes: dict[str, Node] = {}
        self._doors: list[Door] = []
        self._open: list[Door] = []
        self.health = Health(model, self.agenda, self._rng)
        self.calls = Calls(model, self.agenda, self._rng, self.nodes, self._any_door)
        self._capacities = model.capacities(self._rng)
        self._populate()

    def _populate(self) -> None:
        for capacity in self._capacities:
            self._open.append(self._add(capacity)[1])
        nodes = list(self.nodes.values())
        whose: dict[str, list[str]] = {node.node_id: [] for node in nodes}
        for node in self._rng.choices(nodes, self._capacities, k=self.model.calls):
            if len(whose[node.node_id]) < node.capacity:
                whose[node.node_id].append(self.calls.settled(node))
        rate = self.model.arrivals_per_s / sum(self._capacities)
        for node in nodes:
            node.carried(whose[node.node_id], rate * node.capacity)
        self.health.begin(nodes, self._doors)
        for node, door in zip(nodes, self._doors, strict=True):
            self._open_up(node, door)
        self.agenda.after(0.1, self.calls.arrive)  # doors have heard of nodes by then

    def _add(self, capacity: int) -> tuple[Node, Door]:
        node_id = f"node-{len(self.nodes):05}"
        node = self.nodes[node_id] = Node(
            node_id, capacity, self.model, self.agenda, Random(self._rng.random())
        )
        door = Door(node_id, self.model, self._rng)
        self._doors.append(door)
        return node, door

    def _open_up(self, node: Node, door: Door) -> None:
        now_s = self.agenda.now_s
        self.health.attend(node, door, self._rng.uniform(0, self.model.report_s))
        first_s = now_s + self._rng.uniform(0, RESIZE_EVERY_S)
        self.agenda.every(RESIZE_EVERY_S, first_s, node.resize)

    def _opens(self, door: Door) -> None:
        """A new door takes calls once it has heard of nodes."""
        if door.knows:
            self._open.append(door)
        else:
            self.agenda.after(self.model.report_s, self._opens, door)

    def _any_door(self) -> Door:
        return self._rng.choice(self._open)

    # ------------------------------------------------------------- what happens to it

    def away(self) -> None:
        """The health singleton does not answer for a while."""
        self.health.away = True
        self.agenda.after(AWAY_S, self._back)

    def _back(self) -> None:
        self.health.away = False

    def slow(self) -> None:
        """Some nodes take longer for everything."""
        for node in self._some(self.model.slow):
            node.pace = SLOW_PACE

    def well(self) -> None:
        """They are as quick as others again."""
        for node in self.nodes.values():
            node.pace = 1.0

    def kill(self) -> None:
        """Some nodes die at once, with their doors."""
        dead = {node.node_id for node in self._some(self.model.kill)}
        for door in self._doors:
            door.alive = door.door_id not in dead
        self._open = [door for door in self._open if door.alive]
        for node_id in dead:
            self.nodes[node_id].die()
        self.calls.broken()

    def join(self) -> None:
        """New nodes come within a few seconds, with a few sessions each."""
        for _ in range(round(self.model.join * self.model.nodes)):
            self.agenda.after(self._rng.uniform(0, JOINING_S), self._join)

    def _join(self) -> None:
        node, door = self._add(self._rng.choice(self._capacities))
        node.joined_s = self.agenda.now_s
        self._open_up(node, door)
        self.agenda.after(2 * self.model.report_s, self._opens, door)

    def _some(self, share: float) -> list[Node]:
        alive = [node for node in self.nodes.values() if node.alive]
        return self._rng.sample(alive, round(share * len(alive)))

    # ------------------------------------------------------------- the run

    def run(self, progress: Callable[[Sample], None] = lambda _: None) -> Outcome:
        """All of the timeline."""
        when = timeline(self.model)
        outcome = Outcome(self.model, when)
        failures = ("away", "slow", "well", "kill", "join") if self.model.failures else ()
        for name in failures:
            self.agenda.at(getattr(when, f"{name}_s"), getattr(self, name))

        def look() -> bool:
            now = sample(self.agenda.now_s, self.nodes.values(), self.calls, self.health)
            outcome.samples.append(now)
            progress(now)
            return True

        self.agenda.every(1.0, 0.5, look)
        for name in ("warm", *failures, "end"):
            self.agenda.run(getattr(when, f"{name}_s"))
            outcome.tallies[name] = deepcopy(self.calls.tally)
        outcome.events = self.agenda.done
        return outcome
