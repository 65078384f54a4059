"""A node: the shell around the real admission, pool and sizer.

It does what `actors/agent.py` and `actors/warm_pool.py` do, in simulated time: a
session takes seconds to start, one starts at a time, and not in the middle of a
burst. What it measures of itself follows from its calls.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from benchmarks.scaling.agenda import Agenda
from benchmarks.scaling.model import Model
from reception.placement.admission.admission import Admission, AdmissionRules
from reception.placement.admission.answer import Refused
from reception.placement.admission.concurrency import LimitRules, NodeLoad
from reception.placement.admission.priority import Priority
from reception.placement.balancing.report import NodeReport
from reception.placement.line import Refusal
from reception.placement.pool import PoolRules, SessionPool
from reception.placement.sizer import NodeMemory, PoolSizer, Rate, SizerRules

START_S = (1.5, 2.5)  # a session's start takes from, to
QUIET_S, REFILL_AFTER_S = 0.5, 2.0  # as in actors/warm_pool.py
RESIZE_EVERY_S = 5.0
FIRST_SESSIONS = 4
SESSION_MB, BASE_MB = 60.0, 2_000.0

NO_SESSION, UNREACHABLE = "no_session", "unreachable"
Answer = Callable[[str], None]
"""Why a call is not taken; "" when it is."""


class Node:
    """One node. `pace`: how much longer than others it takes for everything."""

    def __init__(
        self, node_id: str, capacity: int, model: Model, agenda: Agenda, rng: Random
    ) -> None:
        self.node_id, self.capacity = node_id, capacity
        self.alive, self.pace, self.joined_s = True, 1.0, 0.0
        self.live: dict[str, tuple[str, float]] = {}  # a call's session, and since when
        self._agenda, self._rng = agenda, rng
        rules = PoolRules(floor=min(8, capacity), ceiling=capacity)
        self._pool = SessionPool(rules)
        self._sizer = PoolSizer(rules, SizerRules(holding_s=model.hold_s))
        self._admission = Admission(
            AdmissionRules(
                capacity, limit=LimitRules(misses_per_s=5.0, lag_p95_ms=40.0, cpu_percent=95.0)
            )
        )
        self._rate = Rate(30.0)
        self._turns: dict[str, Answer] = {}
        self._started, self._last_lease_s = 0, -10.0
        self._growing = self._hurry = False
        for _ in range(min(FIRST_SESSIONS, capacity)):
            self._pool.starting()
            self._add_session()

    def carried(self, keys: list[str], rate_per_s: float) -> None:
        """It has carried so much for a while: calls are live, traffic is known."""
        now_s = self._agenda.now_s
        past = int(600 * rate_per_s)
        for number in range(past):
            self._sizer.arrived(now_s + (number - past) / rate_per_s)
            self._rate.add(now_s + (number - past) / rate_per_s)
        for key in keys:
            self._pool.starting()
            self._add_session()
            self._admission.ask(key, Priority.EMERGENCY, now_s)
            self._admission.began(key, now_s)
            session = self._pool.lease(key)
            assert session is not None
            self.live[key] = (session, now_s)
        self._resize()
        while self._pool.wanted():
            self._pool.starting()
            self._add_session()

    # ------------------------------------------------------------- calls

    def lease(self, key: str, priority: Priority, answer: Answer, *, live: bool = False) -> None:
        """A session for a call; answers at once, or when it is its turn. live: it is taken
        over from a node that is lost."""
        now_s = self._agenda.now_s
        asked = self._admission.ask(key, priority, now_s, moves=live)
        if isinstance(asked, Refused):
            answer(str(asked.cause))
            return
        self._sizer.arrived(now_s)
        session = self._pool.lease(key, live=live)
        if session is not None:
            self._begin(key, session, answer)
            return
        self._resize()
        turn = self._pool.wait(key, self._supply_per_s(), now_s, live=live)
        if isinstance(turn, Refusal):
            self._admission.ended(key)
            answer(NO_SESSION)
            return
        self._turns[key], self._hurry = answer, True
        self._agenda.at(turn.until_s, self._waited, key)
        self._grow()

    def _waited(self, key: str) -> None:
        """A caller waited for as long as callers may."""
        answer = self._turns.pop(key, None)
        if answer is not None:
            self._pool.cancel(key)
            self._admission.ended(key)
            answer(NO_SESSION)

    def _begin(self, key: str, session: str, answer: Answer) -> None:
        now_s = self._last_lease_s = self._agenda.now_s
        if not self._admission.began(key, now_s):
            raise AssertionError(f"{key}: its reservation is gone")
        self.live[key] = (session, now_s)
        self._rate.add(now_s)
        self._resize()
        answer("")

    def end(self, key: str) -> None:
        """A call is over."""
        session, since_s = self.live.pop(key)
        self._sizer.ended(self._agenda.now_s - since_s)
        if not self._pool.give_back(session):
            self._pool.remove(session)
        self._admission.ended(key)
        self._serve_line()
        self._resize()

    def die(self) -> None:
        """At once, with everything that it had; nobody is told."""
        self.alive = False
        self.live = {}
        waiting, self._turns = self._turns, {}
        for answer in waiting.values():
            answer(UNREACHABLE)

    # ------------------------------------------------------------- sessions

    def resize(self) -> bool:
        """Every few seconds; False once it is dead."""
        if self.alive:
            self._sizer.remembered(self._memory())
            self._resize()
        return self.alive

    def _resize(self) -> None:
        decision = self._sizer.decide(self._pool.counts(), self._agenda.now_s)
        self._pool.resize(decision.ready, decision.ceiling)
        self._pool.shrink(decision.stop)
        self._grow()

    def _grow(self) -> None:
        """Begins to start what is missing, one at a time."""
        if not self._growing and self._pool.wanted():
            self._growing, self._hurry = True, bool(self._turns)
            self._quiet(self._agenda.now_s + REFILL_AFTER_S)

    def _quiet(self, latest_s: float) -> None:
        """Starts when it is quiet or high time, or somebody has to wait."""
        now_s = self._agenda.now_s
        quiet_s = min(self._last_lease_s + QUIET_S, latest_s)
        if self._hurry or quiet_s <= now_s:
            self._start()
        else:
            self._agenda.at(min(quiet_s, now_s + 0.1), self._quiet, latest_s)

    def _start(self) -> None:
        if not (self.alive and self._pool.wanted()):
            self._growing = False
            return
        self._pool.starting()
        took_s = self.pace * self._rng.uniform(*START_S)
        self._agenda.after(took_s, self._has_started, took_s)

    def _has_started(self, took_s: float) -> None:
        if self.alive:
            self._sizer.started(took_s)
            self._add_session()
            self._serve_line()
            self._start()

    def _add_session(self) -> None:
        self._started += 1
        self._pool.add(f"s{self._started}")

    def _serve_line(self) -> None:
        for key, session in self._pool.serve():
            self._begin(key, session, self._turns.pop(key))

    def _supply_per_s(self) -> float:
        return self._sizer.supply_per_s(self._pool.counts().leased, self._pool.can_start)

    # ------------------------------------------------------------- measures

    def measure(self) -> NodeReport:
        """Once a second, for admission and for the doors."""
        now_s, load = self._agenda.now_s, self._load()
        memory = self._memory()
        self._admission.observe(load, memory, now_s)
        has = self._admission.occupancy(now_s)
        return NodeReport(
            self.node_id, "", now_s, self.capacity, has.live, has.reserved,
            load.cpu_percent / 100, memory.used_mb / memory.total_mb,
            load.lag_p95_ms, load.misses_per_s, self._rate.per_s(now_s), 0.0, True, "1",
        )  # fmt: skip

    def _load(self) -> NodeLoad:
        """As measured at 50 calls on two cores: CPU in proportion to calls, lateness
        and misses once it is all used. `busy` is the CPU that would be used."""
        busy = self.pace * (0.05 + 0.6 * len(self.live) / self.capacity)
        over = max(0.0, busy - 0.9)
        return NodeLoad(
            misses_per_s=0.5 * over * len(self.live),
            lag_p95_ms=2.0 + 100 * over,
            cpu_percent=100 * min(1.0, busy),
        )

    def _memory(self) -> NodeMemory:
        size = self._pool.counts()
        used_mb = BASE_MB + SESSION_MB * (size.ready + size.leased + size.starting)
        return NodeMemory(used_mb, (BASE_MB + 1.2 * SESSION_MB * self.capacity) / 0.8)
