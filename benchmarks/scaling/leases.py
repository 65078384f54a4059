"""Budget leases of all doors while the cost singleton is away, with the real core.

Each door has its `Purses`, the singleton its `Lender`; around them are simulated time,
callers by chance, and what `cluster/front_door/budget.py` and sessions do. Bills are left
out: a call is held for, and at its end given back.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from random import Random

from benchmarks.scaling.agenda import Agenda
from benchmarks.scaling.model import Model, delay_s
from reception.money.account import Hold
from reception.money.case import Terms
from reception.money.leases import Claim, is_lease
from reception.money.lender import Lender
from reception.money.limits import LimitTable, make_limit
from reception.money.prices import parse_prices
from reception.money.purses import Purses
from reception.money.scopes import Owner

MODEL = "m"
PRICE = {"valid_from": "2026-01-01", "text": {"input": 1}, "hold_usd_per_minute": "0.08"}
HELD = 60_000  # for a call, at that price
NOON_S = 1_795_608_000.0
TICK_S, PATIENCE_S, IMPATIENCE_S = 5.0, 3.0, 0.5  # as in doors
AGAIN_S = (0.5, 3.0)  # as in sessions
WARM_S, AWAY_S, AFTER_S = 240.0, 5.0, 75.0


@dataclass(slots=True)
class Told:
    """What a run showed. messages: to the singleton, by second; away: new calls by what
    became of them; leased, entries: of leases, at most at once, and in the ledger."""

    calls: int = 0
    lease_messages: Counter[int] = field(default_factory=Counter)
    claims: Counter[int] = field(default_factory=Counter)
    away: Counter[str] = field(default_factory=Counter)
    leased_micros: int = 0
    held_micros: int = 0
    entries: int = 0
    left_micros: float = inf  # of the limit, at the least


class Lending:
    """One run.

    Args:
        kinds: of calls: tenants, each with its number; all are called as often.
        limit: per hour, as a multiple of what is held for all calls that are live.
    """

    def __init__(self, model: Model, kinds: int, limit: float) -> None:
        self._model, self._rng, self.agenda = model, Random(model.seed), Agenda()
        self._kinds = [f"t{number}" for number in range(kinds)]
        self._limit = int(limit * HELD * model.calls)
        prices = parse_prices({"version": "1", "models": {MODEL: [PRICE]}})
        table = LimitTable([make_limit("global", "hour", self._limit)])
        self.book = Lender(table, {}, Terms(prices, 30, 15, 4_000.0), NOON_S)
        self.book.sums.learn(Owner("").scopes()[0], {})
        self.doors = [Purses(f"{number}") for number in range(model.nodes)]
        self.told, self._number = Told(), 0

    @property
    def _here(self) -> bool:
        """Whether the singleton answers."""
        return not WARM_S <= self.agenda.now_s < WARM_S + AWAY_S

    def run(self) -> Told:
        for door in self.doors:
            self.agenda.at(self._rng.uniform(0, TICK_S), self._tick, door)
        self.agenda.at(0.0, self._arrive)
        self.agenda.every(1.0, 1.0, self._look)
        self.agenda.run(WARM_S + AWAY_S + AFTER_S)
        return self.told

    def _look(self) -> bool:
        """Once a second: what is held, and what was written."""
        scope = Owner("").scopes()[0]
        [hour] = self.book.sums.of_scope(scope, self.book.now_s)
        told, leased = self.told, self.book.sums.leased(scope)
        told.leased_micros = max(told.leased_micros, leased)
        told.held_micros = max(told.held_micros, hour.held_micros - leased)
        told.left_micros = min(told.left_micros, hour.left_micros)
        postings = self.book.forget().postings
        told.entries += sum(is_lease(each.case.owner.session_id) for each in postings)
        return True

    # ------------------------------------------------------------- a door

    def _tick(self, door: Purses) -> None:
        """One request after the other; while nobody answers it fails at once."""
        now_s = self.agenda.now_s
        request = door.ask(now_s)
        if request is not None:
            self.told.lease_messages[int(now_s)] += 1
            if self._here:
                for lease_id in request.back:
                    self.book.give_back(lease_id, NOON_S + now_s)
                leases = [self.book.lease(*each, NOON_S + now_s, now_s) for each in request.wanted]
                door.answered(request, leases)
            else:
                door.failed(request)
        self.agenda.after(TICK_S, self._tick, door)

    def _arrive(self) -> None:
        self.agenda.after(self._rng.expovariate(self._model.arrivals_per_s), self._arrive)
        self._number += 1
        self.told.calls += 1
        tenant = self._rng.choice(self._kinds)
        owner = Owner(f"s{self._number}", "c", tenant, "k", MODEL, tenant, "p", "e")
        self._open(self._rng.choice(self.doors), owner, self.agenda.now_s, not self._here)

    def _open(self, door: Purses, owner: Owner, came_s: float, met: bool) -> None:
        """Asked again and again, until the door's patience is at its end."""
        now_s = self.agenda.now_s
        if self._here:
            hold = self.book.open(owner, NOON_S + now_s)
            if hold.admitted:
                door.came(owner, now_s)
            self._answered(owner, hold, "waited" if met else "")
            return
        patience_s = IMPATIENCE_S if door.has(owner, now_s) else PATIENCE_S
        if now_s - came_s < patience_s:
            self.agenda.after(0.1, self._open, door, owner, came_s, met)
            return
        claim = door.hold(owner, now_s)
        if claim is None:
            self.told.away["refused"] += 1
            return
        self.told.away["on a lease"] += 1
        self.agenda.after(delay_s(self._rng), self._claim, claim)

    def _answered(self, owner: Owner, hold: Hold, how: str) -> None:
        if how:
            self.told.away[how if hold.admitted else "refused"] += 1
        if hold.admitted:
            length_s = self._model.length_s(self._rng)
            self.agenda.after(length_s, self._end, owner.session_id)

    # ------------------------------------------------------------- a session

    def _claim(self, claim: Claim) -> None:
        self.told.claims[int(self.agenda.now_s)] += 1
        if not self._here:
            self.agenda.after(self._rng.uniform(*AGAIN_S), self._claim, claim)
            return
        hold = self.book.take(claim, NOON_S + self.agenda.now_s)
        assert hold.admitted
        self._answered(claim.owner, hold, "")

    def _end(self, session_id: str) -> None:
        if self._here:
            self.book.close(session_id, NOON_S + self.agenda.now_s)
        else:
            self.agenda.after(self._rng.uniform(*AGAIN_S), self._end, session_id)


def table(model: Model) -> str:
    """Runs with few and many kinds of calls, and with much and little money left."""
    head = (
        "| kinds of calls | limit / held for calls | lease messages a second, mean / most | "
        "new calls while away | waited | on a lease | refused | claims in the worst second | "
        "leased / held for calls | entries of leases / calls |"
    )
    rows = [head, "|---" * 10 + "|"]
    for kinds, limit in ((1, 20.0), (10, 20.0), (100, 20.0), (10, 1.4)):
        told = Lending(model, kinds, limit).run()
        assert told.left_micros >= 0
        calm = [told.lease_messages[second] for second in range(int(WARM_S) - 120, int(WARM_S))]
        away = told.away
        rows.append(
            f"| {kinds} | {limit:g} | {sum(calm) / len(calm):.1f} / "
            f"{max(told.lease_messages.values())} | {away.total():,} | {away['waited']:,} | "
            f"{away['on a lease']:,} | {away['refused']:,} "
            f"({100 * away['refused'] / away.total():.1f} %) | {max(told.claims.values()):,} | "
            f"{100 * told.leased_micros / told.held_micros:.0f} % | "
            f"{told.entries / told.calls:.2f} |"
        )
    return "\n".join(rows)
