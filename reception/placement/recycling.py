"""Which audio worker of a node is replaced because its process has grown, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from reception.placement.sizer import NodeMemory

GROWN = 1.5  # times what a worker weighed at first, its calls not counted
LEG_MB = 2.0  # that a live call may take of it


@dataclass(frozen=True, slots=True)
class RecyclingRules:
    """A worker that has grown is replaced when its process (resident set) is past limit_mb,
    or the node uses more than memory_percent of its memory."""

    limit_mb: float = 600.0
    memory_percent: float = 80.0


@dataclass(frozen=True, slots=True)
class Weight:
    """Of a worker: its process's resident set in MB of 2**20 bytes, and its live calls."""

    resident_mb: float
    calls: int


class Step(Enum):
    """What is to be done now. RETIRE: it takes no new calls any more, nothing else;
    START: another worker in its place; STOP: it, which has no call."""

    RETIRE = auto()
    START = auto()
    STOP = auto()


@dataclass(frozen=True, slots=True)
class Order:
    """A step for a worker; `reason` has the numbers."""

    step: Step
    worker: str
    reason: str


class Recycling:
    """One worker at a time: it takes no new calls while there is another one, none of its
    calls is moved for it, and after the last one it is replaced. Where it is the only worker
    the one in its place is started first, and takes the new calls.
    """

    def __init__(self, rules: RecyclingRules) -> None:
        self._rules = rules
        self._first_mb: dict[str, float] = {}
        self._retiring = self._reason = ""
        self._done: Step | None = None  # of the one that retires; None: it is replaced

    def takes(self, workers: Iterable[str]) -> list[str]:
        """Those of the workers that take new calls."""
        workers = list(workers)
        return [each for each in workers if each != self._retiring] or workers

    def observe(self, weights: Mapping[str, Weight], memory: NodeMemory) -> Order | None:
        """What follows from what the live workers and the node weigh, once for each step.
        After START nothing does until `started`."""
        for worker, weight in weights.items():
            self._first_mb.setdefault(worker, _beside_calls(weight))
        if not self._retiring:
            return self._retire(weights, memory)
        if self._retiring not in weights:
            return None  # it did not answer
        empty = weights[self._retiring].calls == 0
        if self._done is Step.RETIRE and (empty or len(weights) == 1):
            return self._order(Step.START)
        if self._done is None and empty:
            return self._order(Step.STOP)
        return None

    def started(self, worker: str) -> None:
        """There is another one in place of this worker, and takes calls."""
        if worker == self._retiring:
            self._done = None

    def gone(self, worker: str) -> bool:
        """A worker was stopped, or died. True: there is another one in its place, or soon."""
        self._first_mb.pop(worker, None)
        if worker != self._retiring:
            return False
        replaced = self._done is not Step.RETIRE
        self._retiring = ""
        return replaced

    def _retire(self, weights: Mapping[str, Weight], memory: NodeMemory) -> Order | None:
        grown = [each for each in weights if self._has_grown(each, weights[each])]
        if not grown:
            return None
        largest = max(grown, key=lambda each: weights[each].resident_mb)
        weighs_mb, used = weights[largest].resident_mb, 100 * memory.used_mb / memory.total_mb
        if weighs_mb > self._rules.limit_mb:
            why = f"{weighs_mb:.0f} MB > {self._rules.limit_mb:.0f}"
        elif used > self._rules.memory_percent:
            why = f"memory {used:.0f} % > {self._rules.memory_percent:.0f}, {weighs_mb:.0f} MB"
        else:
            return None
        self._retiring = largest
        self._reason = f"{why}, {self._first_mb[largest]:.0f} at first"
        return self._order(Step.RETIRE)

    def _has_grown(self, worker: str, weight: Weight) -> bool:
        return 0 < GROWN * self._first_mb[worker] <= _beside_calls(weight)

    def _order(self, step: Step) -> Order:
        self._done = step
        return Order(step, self._retiring, self._reason)


def _beside_calls(weight: Weight) -> float:
    return weight.resident_mb - LEG_MB * weight.calls
