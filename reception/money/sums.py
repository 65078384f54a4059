"""What is posted and held for each scope, and how that stands to its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reception.money.case import Case
from reception.money.leases import is_lease
from reception.money.limits import Limit, LimitTable
from reception.money.scopes import Scope
from reception.money.windows import LONGEST_S, OfCall, slot_of, span_at

UNLIMITED = 1 << 62
_MAX_SLOTS = 4_000


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit of a scope at a moment (micro-dollars). `until_s`: when the
    window ends, or for a rolling one next lets go of something."""

    scope: Scope
    limit: Limit
    posted_micros: int
    held_micros: int
    until_s: float

    @property
    def left_micros(self) -> int:
        return self.limit.micros - self.posted_micros - self.held_micros

    @property
    def left_permille(self) -> int:
        if not self.limit.micros:
            return 0
        return max(0, self.left_micros * 1_000 // self.limit.micros)


@dataclass(slots=True)
class _Row:
    """A limit and, where it is over a time, what is posted in its window."""

    limit: Limit
    of_call: str
    until_s: float = 0.0
    posted_micros: int = 0


@dataclass(slots=True)
class _Spending:
    """One scope's spending by slot, and how its limits stand."""

    slots: dict[int, int]
    limits: tuple[Limit, ...] = ()
    rows: list[_Row] = field(default_factory=list)


class Sums:
    """The sums of all scopes. Times are the book's and never go back."""

    def __init__(self, limits: LimitTable) -> None:
        self.limits = limits
        self._held: dict[Scope, int] = {}
        self._leased: dict[Scope, int] = {}  # of that
        self._spent: dict[Scope, _Spending] = {}

    def strange(self, scopes: tuple[Scope, ...]) -> list[Scope]:
        """Those that are limited and whose spending is not known here yet."""
        return [s for s in scopes if s not in self._spent and self.limits.of(s)]

    def learn(self, scope: Scope, slots: Mapping[int, int]) -> None:
        """Takes a scope's spending by slot of the last LONGEST_S."""
        self._spent[scope] = _Spending(dict(slots))

    def hold(self, case: Case, more_micros: int) -> None:
        """Counts a change of what is held for a call or a lease."""
        if more_micros:
            _add(self._held, case.scopes, more_micros)
            if is_lease(case.owner.session_id):
                _add(self._leased, case.scopes, more_micros)

    def leased(self, scope: Scope) -> int:
        """What all leases hold."""
        return self._leased.get(scope, 0)

    def holding(self) -> tuple[Scope, ...]:
        """The scopes in which something is held."""
        return tuple(self._held)

    def post(self, scopes: tuple[Scope, ...], slot: int, micros: int) -> None:
        """Counts spending in the slot of now, and so in every window of now."""
        for scope in scopes:
            spent = self._spent.get(scope)
            if spent is not None:
                spent.slots[slot] = spent.slots.get(slot, 0) + micros
                for row in spent.rows:
                    row.posted_micros += micros

    def tightest(self, case: Case, now_s: float) -> tuple[int, int]:
        """What the limits over a call leave: the least of them in micro-dollars
        (negative where more is posted and held), and the least in permille of
        its limit (0 or more)."""
        least, permille = UNLIMITED, 1_000
        account = case.account
        for scope in case.scopes:
            held = self._held.get(scope, 0)
            for row in self._rows(scope, now_s):
                if row.of_call:
                    limit = _of_call(row, case, now_s)
                    left = limit - account.total_micros - account.held_micros
                else:
                    limit = row.limit.micros
                    left = limit - row.posted_micros - held
                least = min(least, left)
                if left * 1_000 <= permille * limit:
                    permille = left * 1_000 // limit if left > 0 else 0
        return least, permille

    def standings(self, case: Case, now_s: float) -> list[Standing]:
        """Every limit that is over a call. Against its own limits stands what
        it has held and spent itself."""
        found, account = [], case.account
        for scope in case.scopes:
            for row in self._rows(scope, now_s):
                limit, posted, held = row.limit, row.posted_micros, self._held.get(scope, 0)
                if row.of_call:
                    limit = replace(limit, micros=_of_call(row, case, now_s))
                    posted, held = account.total_micros, account.held_micros
                found.append(Standing(scope, limit, posted, held, max(now_s, row.until_s)))
        return found

    def of_scope(self, scope: Scope, now_s: float) -> list[Standing]:
        """A scope's limits over a time; those of single calls are not among them."""
        held = self._held.get(scope, 0)
        return [
            Standing(scope, row.limit, row.posted_micros, held, row.until_s)
            for row in self._rows(scope, now_s)
            if not row.of_call
        ]

    def of_call(self, case: Case, now_s: float) -> dict[str, int]:
        """The least of each kind of limit over single calls, by its window's name: what the
        call may have cost by now (micro-dollars)."""
        least: dict[str, int] = {}
        for scope in case.scopes:
            for row in self._rows(scope, now_s):
                if row.of_call:
                    limit = _of_call(row, case, now_s)
                    least[row.of_call] = min(limit, least.get(row.of_call, limit))
        return least

    def of_one_call(self, case: Case, now_s: float) -> int:
        """What a call that begins now may cost in its first minute (micro-dollars)."""
        return min(self.of_call(case, now_s).values(), default=UNLIMITED)

    def _rows(self, scope: Scope, now_s: float) -> list[_Row]:
        """A scope's limits with what is posted in their windows of now."""
        limits = self.limits.of(scope)
        if not limits:
            return []
        spent = self._spent[scope]
        if spent.limits is not limits:
            spent.limits, spent.rows = limits, [_row(limit) for limit in limits]
        for row in spent.rows:
            if now_s >= row.until_s and not row.of_call:
                self._renew(row, spent, now_s)
        return spent.rows

    def _renew(self, row: _Row, spent: _Spending, now_s: float) -> None:
        """The window is over: what counts in the next."""
        assert not isinstance(row.limit.window, OfCall)
        span = span_at(row.limit.window, now_s)
        if len(spent.slots) > _MAX_SLOTS:
            oldest_s = slot_of(now_s - LONGEST_S)
            spent.slots = {s: micros for s, micros in spent.slots.items() if s >= oldest_s}
        row.until_s = span.until_s
        row.posted_micros = sum(m for slot, m in spent.slots.items() if slot >= span.start_s)


def _add(sums: dict[Scope, int], scopes: tuple[Scope, ...], more_micros: int) -> None:
    """To each of them; what comes to nothing is not kept."""
    for scope in scopes:
        left = sums.get(scope, 0) + more_micros
        if left:
            sums[scope] = left
        else:
            del sums[scope]


def _row(limit: Limit) -> _Row:
    return _Row(limit, limit.window.name if isinstance(limit.window, OfCall) else "")


def _of_call(row: _Row, case: Case, now_s: float) -> int:
    """What a call may have cost by now."""
    return row.limit.micros * (case.minutes(now_s) if row.of_call == "call-minute" else 1)
