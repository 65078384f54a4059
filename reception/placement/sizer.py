"""How many sessions a node should have ready: from its traffic and its memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, floor

from reception.hysteresis import Sustained
from reception.placement.erlang import sessions_needed
from reception.placement.pool import PoolRules, PoolSize

_FEW, _MANY = 5, 50  # observations that a first guess is worth, and a mean remembers
_GAP_S = 60.0


@dataclass(frozen=True, slots=True)
class SizerRules:
    """blocking: part of the calls that may find no session ready;
    memory_percent: of the node, past which the pool does not grow;
    session_mb, start_s, holding_s: first guesses, until they are measured;
    shrink_s: a quarter of what is too much is stopped each time that it has
    been too much for so long."""

    blocking: float = 0.01
    memory_percent: float = 80.0
    session_mb: float = 60.0
    start_s: float = 2.0
    holding_s: float = 120.0
    shrink_s: float = 60.0


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """In MB of 2**20 bytes."""

    used_mb: float
    total_mb: float


@dataclass(frozen=True, slots=True)
class Decision:
    """ready: sessions to be kept ready; ceiling: sessions at most, leased ones
    included; stop: ready ones to be stopped now; reason has the numbers."""

    ready: int
    ceiling: int
    stop: int
    reason: str


class Rate:
    """Events a second, of the last `window_s` or so (exponentially forgotten)."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._count = 0.0
        self._at_s = 0.0

    def add(self, now_s: float) -> None:
        self._count = self._count * self._kept(now_s) + 1.0
        self._at_s = now_s

    def per_s(self, now_s: float) -> float:
        return self._count * self._kept(now_s) / self._window_s

    def _kept(self, now_s: float) -> float:
        return exp(min(0.0, self._at_s - now_s) / self._window_s)


class Mean:
    """A mean that begins with a guess and follows change."""

    def __init__(self, guess: float) -> None:
        self.value = guess
        self._seen = _FEW

    def add(self, value: float) -> None:
        self._seen = min(self._seen + 1, _MANY)
        self.value += (value - self.value) / self._seen


class PoolSizer:
    """Wants so many sessions ready that only `blocking` of the calls find none.

    Two views, of which the larger counts. Over minutes, calls share the node's
    sessions as they would lines: Erlang B of arrival rate times holding time
    says how many there should be, leased ones included. Over seconds, a session
    that was leased is replaced by one that takes `start_s` to start: a stock
    ordered one for one loses what Erlang B of rate times `start_s` says. Each
    view has a rate over a window of its own, so that a burst is met at once
    with what is needed at once, and not taken for the traffic of the day.

    `now_s` is any monotonic clock. A decision takes about 12 us at 50 Erlang.
    """

    def __init__(self, pool: PoolRules, rules: SizerRules) -> None:
        self._pool, self._rules = pool, rules
        self._now, self._lately = Rate(30.0), Rate(300.0)
        self._holding_s = Mean(rules.holding_s)
        self._start_s = Mean(rules.start_s)
        self._session_mb = Mean(rules.session_mb)
        self._surplus = Sustained(_GAP_S)
        self._memory: NodeMemory | None = None

    def arrived(self, now_s: float) -> None:
        """A call asked for a session, whether it got one or not."""
        self._now.add(now_s)
        self._lately.add(now_s)

    def ended(self, holding_s: float) -> None:
        """A call gave its session back after so long."""
        self._holding_s.add(holding_s)

    def started(self, took_s: float) -> None:
        """A session was wanted, and was ready so much later."""
        self._start_s.add(took_s)

    def weighed(self, session_mb: float) -> None:
        """What a session weighs: its proportional set size."""
        self._session_mb.add(session_mb)

    def remembered(self, memory: NodeMemory) -> None:
        """The node's memory now."""
        self._memory = memory

    @property
    def past_memory(self) -> bool:
        """The node uses more than `memory_percent`."""
        return self._memory is not None and self._memory.used_mb > self._limit_mb(self._memory)

    def supply_per_s(self, leased: int, can_start: bool) -> float:
        """How often a session becomes ready: calls that end, and starts (one at
        a time)."""
        return leased / self._holding_s.value + (1 / self._start_s.value if can_start else 0.0)

    def decide(self, size: PoolSize, now_s: float) -> Decision:
        """What the pool should be. It may be asked at any time, and should be
        asked every few seconds."""
        rules, minimum = self._rules, self._pool.floor
        load = self._lately.per_s(now_s) * self._holding_s.value
        burst = self._now.per_s(now_s) * self._start_s.value
        total = sessions_needed(load, rules.blocking)
        stock = sessions_needed(burst, rules.blocking)
        ceiling = min(self._pool.ceiling, self._allowed(size))
        ready = max(0, min(max(minimum, stock, total - size.leased), ceiling - size.leased))
        return Decision(
            ready,
            ceiling,
            self._stop(size, ready, ceiling, now_s),
            f"{load:.1f} Erlang need {total}, {burst:.2f} while one starts need {stock}, "
            f"floor {minimum}, ceiling {ceiling}",
        )

    def _allowed(self, size: PoolSize) -> int:
        """Sessions at most, by memory. Those that are starting are not in what
        is used yet, so they come out of the room that is left."""
        if self._memory is None:
            return self._pool.ceiling
        free_mb = self._limit_mb(self._memory) - self._memory.used_mb
        return max(0, size.ready + size.leased + floor(free_mb / self._session_mb.value))

    def _limit_mb(self, memory: NodeMemory) -> float:
        return memory.total_mb * self._rules.memory_percent / 100

    def _stop(self, size: PoolSize, ready: int, ceiling: int, now_s: float) -> int:
        """Past the node's memory at once, down to the floor; else slowly, and
        only what is clearly too much: what is stopped is soon started again."""
        spare = max(0, size.ready - self._pool.floor)
        past = min(spare, size.ready + size.leased - ceiling)
        if past > 0:
            return past
        surplus = min(spare, size.ready - max(ready + 1, ceil(ready * 1.25)))
        if self._surplus.observe(surplus > 0, now_s) < self._rules.shrink_s:
            return 0
        self._surplus.restart()
        return ceil(surplus / 4)
