"""Every story of the book: leases, crashes, zombies, odd clocks and odd days pass no limit.

The database is a fake that keeps what a commit gave it; the sums that are
checked are computed anew from its bills, with `datetime` and not with slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reception.errors import Fenced, ReceptionError
from reception.money.account import ACCOUNTS, OVERDRAFT, Charge, Hold, Kind
from reception.money.case import ADJUSTMENT, RESPONSE, Bill, Case, Changes, Posting, Terms
from reception.money.leases import PREFIX, Claim, LeaseRules, Purse, is_lease
from reception.money.lender import Lender
from reception.money.limits import Limit, LimitTable, make_limit
from reception.money.prices import parse_prices
from reception.money.scopes import EXEMPT, Owner, Scope
from reception.money.windows import Calendar, OfCall, Rolling
from reception.provider.base import Usage

ZONE = "Europe/Berlin"
BERLIN = ZoneInfo(ZONE)
MODEL = {"text": {"input": 1}, "hold_usd_per_minute": "0.00008"}  # 40 for a slice, 20 for a tail
PRICES = parse_prices(
    {
        "version": "1",
        "models": {
            "cheap": [
                {"valid_from": "2020-01-01"} | MODEL,
                {"valid_from": "2026-10-26"} | MODEL | {"hold_usd_per_minute": "0.00024"},
            ],
            "dear": [{"valid_from": "2020-01-01"} | MODEL | {"hold_usd_per_minute": "0.0004"}],
        },
    }
)
STARTS = [
    datetime(2026, 3, 28, 22, 50, tzinfo=UTC),  # a day of 23 hours begins
    datetime(2026, 10, 24, 21, 50, tzinfo=UTC),  # a day of 25 hours begins
    datetime(2028, 2, 28, 22, 50, tzinfo=UTC),  # the 29th of February begins
    datetime(2026, 12, 31, 22, 50, tzinfo=UTC),  # a year begins
]
LIMITS = (
    ("global", "hour", 600),
    ("global", "day", 2_500),
    ("global", "month", 6_000),
    ("tenant:a", "rolling-day", 1_200),
    ("tenant:*", "day", 1_500),
    ("number:1", "rolling-hour", 450),
    ("key:*", "week", 3_000),
    ("profile:p", "call", 400),
    ("provider:e", "call-minute", 300),
)
LEASES = LeaseRules(calls=3, left_percent=50, percent=40)
TENANTS, SESSIONS, BILLS = st.sampled_from("ab"), st.sampled_from("12345"), st.integers(1, 6)


@dataclass
class Database:
    """What was committed, and under which epoch."""

    epoch: int = 0
    now_s: float = 0.0
    cases: dict[str, Case] = field(default_factory=dict)
    postings: list[Posting] = field(default_factory=list)
    bills: dict[tuple[str, str, str], tuple[Bill, float]] = field(default_factory=dict)
    spending: dict[tuple[Scope, int], int] = field(default_factory=dict)

    def commit(self, changes: Changes, epoch: int) -> None:
        if epoch != self.epoch:
            raise Fenced(f"epoch is {self.epoch}, not {epoch}")
        for session, case in changes.cases.items():
            self.cases[session] = copy(case)
        keys = {(each.case.owner.session_id, each.number) for each in self.postings}
        for posting in changes.postings:
            key = posting.case.owner.session_id, posting.number
            assert key not in keys, "an idempotency key came twice"
            keys.add(key)
            self.postings.append(posting)
            self.now_s = max(self.now_s, posting.at_s)
        for session, bill, at_s in changes.bills:
            assert (session, *bill.key) not in self.bills, "a bill was noted twice"
            self.bills[session, *bill.key] = bill, at_s
            self.now_s = max(self.now_s, at_s)
        for key, micros in changes.spending.items():
            self.spending[key] = self.spending.get(key, 0) + micros


def copy(case: Case) -> Case:
    return Case(
        case.owner, case.opened_at_s, case.active_at_s, case.account, case.entries,
        dict(case.bills),
    )  # fmt: skip


class Stories(RuleBasedStateMachine):
    """One deployment."""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database()
        self.book: Lender
        self.clock_s = 0.0
        self.limits = {(scope, window): micros for scope, window, micros in LIMITS}
        self.answers: dict[tuple[str, ...], object] = {}
        self.zombies: list[tuple[Lender, int]] = []
        self.steady_s = 0.0  # a clock that is never set
        self.leases = 0
        self.purse: Purse | None = None
        self.claims: dict[str, Claim] = {}  # of calls that began without the ledger
        self.began_s: dict[str, float] = {}
        self.changed = False  # whether limits are

    @initialize(start=st.sampled_from(STARTS), changing=st.booleans())
    def begin(self, start: datetime, changing: bool) -> None:
        self.changed = changing
        self.clock_s = start.timestamp()
        self.restart()

    # ------------------------------------------------------------- the singleton

    def table(self) -> LimitTable:
        return LimitTable(make_limit(*key, micros, ZONE) for key, micros in self.limits.items())

    def read(self) -> Lender:
        database = self.database
        terms = Terms(PRICES, 30, 15, 4_000.0)
        book = Lender(self.table(), {}, terms, database.now_s, LEASES)
        for case in database.cases.values():
            if case.account.held_micros:
                book.learn(copy(case))
        return book

    def prepare(self, book: Lender, owner: Owner) -> None:
        """What the shell does before each request."""
        known = self.database.cases.get(owner.session_id)
        if book.scopes(owner.session_id) is None and known is not None:
            book.learn(copy(known))
        scopes = book.scopes(owner.session_id) or owner.scopes()
        for scope in book.sums.strange(scopes):
            slots = {s: m for (of, s), m in self.database.spending.items() if of == scope}
            book.sums.learn(scope, slots)

    @rule()
    def restart(self) -> None:
        """A crash between two commits; the predecessor may still be running."""
        if self.database.epoch:
            self.zombies.append((self.book, self.database.epoch))
        self.database.epoch += 1
        self.book = self.read()

    def ask(self, owner: Owner, request: object, dies: str = "", lease_id: str = "") -> Any:
        """One transaction, in which the singleton may die before or after the commit."""
        assert callable(request)
        for each in (owner, Owner(lease_id)):
            self.prepare(self.book, each)
        before = self.sums()
        try:
            answer = request(self.book)
        except ReceptionError as error:
            answer = error
        changes = self.book.forget()
        if dies == "before":
            self.restart()
            return None
        self.database.commit(changes, self.database.epoch)
        self.check_limits(before, changes)
        if dies == "after":
            self.restart()
            return None
        return answer

    # ------------------------------------------------------------- what happens

    @rule(session=SESSIONS, tenant=TENANTS, dear=st.booleans(), exempt=st.integers(0, 9),
          dies=st.sampled_from(["", "", "", "before", "after"]))  # fmt: skip
    def hold(self, session: str, tenant: str, dear: bool, exempt: int, dies: str) -> None:
        model = "dear" if dear else "cheap"
        number = "1" if session < "4" else "2"
        owner = Owner(session, "c", tenant, f"k{tenant}", model, number, "p", "e", exempt == 0)
        answer = self.ask(owner, lambda book: book.open(owner, self.clock_s), dies)
        if isinstance(answer, Hold) and answer.admitted:
            assert self.database.cases[session].account.held_micros == answer.held_micros

    @rule(session=SESSIONS, number=BILLS, cost=st.integers(0, 250),
          dies=st.sampled_from(["", "", "", "", "before", "after"]))  # fmt: skip
    def settle(self, session: str, number: int, cost: int, dies: str) -> None:
        """In any order, also twice, late or without a hold."""
        bill = Bill(RESPONSE, f"r{number}", "cheap", Usage(), 0, cost)
        answer = self.ask(Owner(session), lambda book: book.use(session, bill, self.clock_s), dies)
        if isinstance(answer, Charge):
            first = self.answers.setdefault((session, *bill.key), answer.cost_micros)
            assert answer.cost_micros == first

    @rule(session=SESSIONS, dies=st.sampled_from(["", "", "before", "after"]))
    def change_model(self, session: str, dies: str) -> None:
        def change(book: Lender) -> bool:
            return book.change_model(session, "dear", self.clock_s)

        if self.ask(Owner(session), change, dies) is True:
            case = self.database.cases[session]
            account, needs = case.account, Terms(PRICES, 30, 15, 0.0).needs("dear", self.clock_s)
            assert case.owner.model == "dear"
            assert account.tail_micros >= needs.tail_micros
            assert 2 * (account.held_micros - account.tail_micros) >= needs.slice_micros

    @rule(session=SESSIONS, number=BILLS, change=st.integers(-30, 30))
    def adjust(self, session: str, number: int, change: int) -> None:
        bill = Bill(ADJUSTMENT, f"a{number}", "", Usage(), 0, change)
        self.ask(Owner(session), lambda book: book.adjust(session, bill, self.clock_s))

    @rule(session=SESSIONS, dies=st.sampled_from(["", "", "before", "after"]))
    def close(self, session: str, dies: str) -> None:
        self.ask(Owner(session), lambda book: book.close(session, self.clock_s), dies)

    @rule()
    def expire(self) -> None:
        self.ask(Owner(""), lambda book: book.expire(self.clock_s))
        self.ask(Owner(""), lambda book: book.end_leases(self.steady_s))

    # ------------------------------------------------------------- a front door

    @rule(tenant=TENANTS, calls=st.integers(1, 4), again=st.booleans(),
          dies=st.sampled_from(["", "", "", "before", "after"]))  # fmt: skip
    def lease(self, tenant: str, calls: int, again: bool, dies: str) -> None:
        """A lease is asked for: the same, if nothing was held out of it, or another."""
        owner = Owner(f"{PREFIX}{self.leases}", "", tenant, f"k{tenant}", "cheap", "1", "p", "e")
        if again and self.purse is not None and not self.purse.taken:
            owner = self.purse.lease.owner
        else:
            self.leases += 1
        asked_at_s = self.steady_s
        lease = self.ask(
            owner, lambda book: book.lease(owner, calls, self.clock_s, asked_at_s), dies
        )
        if lease is not None:
            assert 0 < lease.micros <= self.database.cases[owner.session_id].account.held_micros
            self.purse = Purse(lease, asked_at_s)

    @rule()
    def give_back(self) -> None:
        if self.purse is not None and not self.purse.taken:
            lease_id, self.purse = self.purse.lease_id, None
            self.ask(Owner(lease_id), lambda book: book.give_back(lease_id, self.clock_s))

    @rule(session=st.sampled_from("678"))
    def hold_from_purse(self, session: str) -> None:
        """The singleton does not answer."""
        if self.purse is None or session in self.database.cases or session in self.claims:
            return
        owner = replace(self.purse.lease.owner, session_id=session, call_id="c")
        claim = self.purse.hold(owner, self.steady_s)
        if claim is not None:
            self.claims[session] = claim
            self.began_s[session] = self.steady_s

    @rule(session=st.sampled_from("678"), cost=st.integers(0, 60), billed=st.booleans(),
          dies=st.sampled_from(["", "", "", "before", "after"]))  # fmt: skip
    def claim(self, session: str, cost: int, billed: bool, dies: str) -> None:
        """By itself, or with the first bill; what was spent was held."""
        claim = self.claims.get(session)
        if claim is None:
            return
        longest_s = LEASES.setup_s + 30 + 15 + LEASES.margin_s
        counts = self.steady_s <= self.began_s[session] + longest_s
        counts = counts and session not in self.database.cases
        if counts:
            left = self.database.cases[claim.lease_id].account.held_micros
            assert left >= claim.micros, "it was given back too early"
        bill = Bill(RESPONSE, "r1", "cheap", Usage(), 0, cost)

        def told(book: Lender) -> Hold:
            hold = book.take(claim, self.clock_s)
            if billed:
                book.use(session, bill, self.clock_s)
            return hold

        before = self.overdrawn()
        hold = self.ask(claim.owner, told, dies, claim.lease_id)
        if counts:
            assert self.overdrawn() == before
            assert hold is None or (isinstance(hold, Hold) and hold.admitted)

    def overdrawn(self) -> list[Posting]:
        return [each for each in self.database.postings if each.entry.credit == OVERDRAFT]

    @rule(step_s=st.one_of(
        st.floats(0, 120), st.sampled_from([900.0, 3_600.0, 4_100.0, 86_400.0, 31 * 86_400.0])
    ))  # fmt: skip
    def time_passes(self, step_s: float) -> None:
        self.clock_s += step_s
        self.steady_s += step_s

    @rule(past_s=st.sampled_from([-1.0, 0.0, 1.0, 899.0]))
    def next_hour(self, past_s: float) -> None:
        self.clock_s = (self.clock_s // 3_600 + 1) * 3_600 + past_s

    @rule(step_s=st.one_of(st.floats(-7_200, 7_200), st.sampled_from([-10.0, -3_600.0])))
    def clock_is_set(self, step_s: float) -> None:
        self.clock_s += step_s

    @rule(which=st.sampled_from(LIMITS), share=st.integers(0, 150))
    def limit_is_changed(self, which: tuple[str, str, int], share: int) -> None:
        if not self.changed:
            return
        scope, window, micros = which
        self.limits[scope, window] = micros * share // 100
        self.book.sums.limits = self.table()

    @rule(session=SESSIONS, cost=st.integers(0, 250))
    def zombie_writes(self, session: str, cost: int) -> None:
        """A predecessor that does not know it is one."""
        for book, epoch in self.zombies[-1:]:
            before = len(self.database.bills), len(self.database.postings)
            self.prepare(book, Owner(session))
            bill = Bill(RESPONSE, f"zombie{epoch}", "cheap", Usage(), 0, cost)
            book.use(session, bill, self.clock_s)
            lent = Owner(f"{PREFIX}zombie", model="cheap")
            self.prepare(book, lent)
            book.lease(lent, 1, self.clock_s, self.steady_s)
            with pytest.raises(Fenced):
                self.database.commit(book.forget(), epoch)
            assert (len(self.database.bills), len(self.database.postings)) == before

    # ------------------------------------------------------------- what always holds

    def sums(self) -> dict[tuple[Scope, str, str], int]:
        """How far what is posted and held is above each limit now."""
        now_s = max(self.clock_s, self.database.now_s)
        return dict(self._excess(now_s))

    def _excess(self, now_s: float) -> Iterator[tuple[tuple[Scope, str, str], int]]:
        table = self.table()
        cases = self.database.cases
        for scope in {scope for case in cases.values() for scope in case.scopes}:
            within = [case for case in cases.values() if scope in case.scopes]
            for limit in table.of(scope):
                if isinstance(limit.window, OfCall):
                    for case in within:
                        if is_lease(case.owner.session_id):
                            continue
                        times = case.minutes(now_s) if limit.window.name == "call-minute" else 1
                        money = case.account.total_micros + case.account.held_micros
                        key = scope, limit.window.name, case.owner.session_id
                        yield key, money - limit.micros * times
                else:
                    held = sum(case.account.held_micros for case in within)
                    posted = self._posted(scope, limit, now_s)
                    yield (scope, limit.window.name, ""), posted + held - limit.micros

    def _posted(self, scope: Scope, limit: Limit, now_s: float) -> int:
        window = limit.window
        if isinstance(window, Rolling):
            start_s = now_s - window.length_s
        else:
            assert isinstance(window, Calendar)
            now = datetime.fromtimestamp(now_s, BERLIN)
            day = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
            start = {
                "day": day,
                "week": day - timedelta(days=day.weekday()),
                "month": day.replace(day=1),
            }.get(window.name)
            start_s = now_s // 3_600 * 3_600 if start is None else start.timestamp()
        return sum(
            bill.cost_micros
            for (session, *_), (bill, at_s) in self.database.bills.items()
            if at_s >= start_s and scope in self.database.cases[session].scopes
        )

    def check_limits(self, before: dict[tuple[Scope, str, str], int], changes: Changes) -> None:
        """A sum passes its limit by what was overdrawn and by nothing else, and
        no money is held where one would then be above its limit. What a call takes
        over from a lease was held before."""
        after = self.sums()
        claimed = any(
            is_lease(each.case.owner.session_id) and each.entry.kind is Kind.RELEASE
            for each in changes.postings
        )
        for key, excess in after.items():
            if claimed and self.changed and key[2] and key not in before:
                continue  # it was held for before its own limit was lowered
            overdrawn = sum(
                posting.entry.amount_micros
                for posting in changes.postings
                if posting.entry.credit == OVERDRAFT and key[0] in posting.case.scopes
            )
            assert excess <= max(0, before.get(key, 0)) + overdrawn, key
            holders = [
                posting.case
                for posting in changes.postings
                if posting.entry.kind in (Kind.HOLD, Kind.EXTEND)
                and not (claimed and posting.entry.kind is Kind.HOLD)
                and key[0] in posting.case.scopes
                and key[2] in ("", posting.case.owner.session_id)
            ]
            if holders:
                assert excess <= 0, key

    @invariant()
    def no_hour_and_no_day_has_more_than_its_limit(self) -> None:
        """Also those that are past: nothing was posted into one that was over."""
        if self.changed:
            return
        table, totals = self.table(), dict[tuple[Scope, str, str], int]()
        overdrawn = [
            (each.case, each.at_s, -each.entry.amount_micros)
            for each in self.database.postings
            if each.entry.credit == OVERDRAFT
        ]
        bills = [
            (self.database.cases[session], at_s, bill.cost_micros)
            for (session, *_), (bill, at_s) in self.database.bills.items()
        ]
        for case, at_s, micros in overdrawn + bills:
            at = datetime.fromtimestamp(at_s, BERLIN)
            for scope in case.scopes:
                for name, when in (("hour", f"{at_s // 3_600}"), ("day", f"{at.date()}")):
                    key = scope, name, when
                    totals[key] = totals.get(key, 0) + micros
        for (scope, name, when), micros in totals.items():
            for limit in table.of(scope):
                assert limit.window.name != name or micros <= limit.micros, (scope, when)

    @invariant()
    def money_is_conserved(self) -> None:
        balances: dict[str, dict[str, int]] = {}
        for posting in self.database.postings:
            of = balances.setdefault(posting.case.owner.session_id, dict.fromkeys(ACCOUNTS, 0))
            of[posting.entry.debit] += posting.entry.amount_micros
            of[posting.entry.credit] -= posting.entry.amount_micros
        for session, case in self.database.cases.items():
            of = balances.get(session, dict.fromkeys(ACCOUNTS, 0))
            account = case.account
            assert sum(of.values()) == 0
            assert (of["held"], of["spent"]) == (account.held_micros, account.total_micros)
            costs = [
                b.cost_micros for (s, *_), (b, _) in self.database.bills.items() if s == session
            ]
            assert account.total_micros == sum(costs)
            assert 0 <= account.tail_micros <= account.held_micros
            assert not (account.closed and account.held_micros)

    @invariant()
    def spending_is_the_bills(self) -> None:
        replayed: dict[tuple[Scope, int], int] = {}
        for (session, *_), (bill, at_s) in self.database.bills.items():
            for scope in self.database.cases[session].scopes:
                key = scope, int(at_s // 900) * 900
                replayed[key] = replayed.get(key, 0) + bill.cost_micros
        kept = {k: m for k, m in self.database.spending.items() if k[0] != OVERDRAFT and m}
        assert kept == {key: micros for key, micros in replayed.items() if micros}

    @invariant()
    def emergencies_are_limited_nowhere(self) -> None:
        for case in self.database.cases.values():
            assert not (case.owner.exempt and (case.account.wrapping or case.scopes != (EXEMPT,)))


Stories.TestCase.settings = settings(
    stateful_step_count=40,
)
TestStories = Stories.TestCase
