"""The book: every open call's account and the sums that the limits look at.

The whole arithmetic of money, without a database: requests in, answers and
`Changes` out. The caller writes those down in one transaction before it gives
an answer, and throws the book away if that fails.

Where `posted + held <= limit` is kept, for each scope and window:

- A hold is made only if it fits into every one of them (`Sums.tightest`): whole or not
  at all. Posting what was held changes nothing in the sum.
- What is held counts in the window of now, and so in the one in which it will
  be posted: when a window ends, the next begins with what is held and nothing
  posted. So that the last window can't come back, time here never does: a clock
  that is set back stands still until it has caught up.
- A call's slice is at least twice its dearest answer and is filled at half: the
  next answer is covered as long as it is no dearer than that and the tail.
- An answer that is dearer still was made and is owed. It takes what the limits
  leave; what is beyond them is posted too and counted as overdraft, the one way
  past a limit, beside lowering the limit below what is posted and held. Then
  nothing is held until the sum is below it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reception.errors import InvalidRequest, NotFound
from reception.money import account as money
from reception.money.account import Account, CallCost, Charge, Entry, Hold, Needs
from reception.money.alerts import Reading
from reception.money.allowance import Means
from reception.money.case import RESPONSE, Bill, Case, Changes, Posting, Terms
from reception.money.leases import is_lease
from reception.money.limits import LimitTable
from reception.money.policy import Policy, Step
from reception.money.scopes import EACH, OVERDRAFT, Owner, Scope
from reception.money.sums import UNLIMITED, Sums
from reception.money.windows import NEVER_S, OfCall, Window, slot_of, window_at
from reception.provider.base import Usage

RETRY_WHEN_HELD_S = 5.0
"""When to ask again if the money is only held: it may be given back."""

_DEFAULT_POLICY = Policy()


class Book:
    """Not safe for several threads.

    Args:
        now_s: the latest time in the ledger (UNIX seconds).
    """

    def __init__(
        self, limits: LimitTable, policies: Mapping[str, Policy], terms: Terms, now_s: float = 0.0
    ) -> None:
        self.terms = terms
        self.policies = policies
        self.now_s = now_s
        self.changes = Changes()
        self._cases: dict[str, Case] = {}
        self.sums = Sums(limits)
        self._swept_s = now_s

    # ------------------------------------------------------------- what it must know first

    def learn(self, case: Case) -> None:
        """Takes an account as it was written down."""
        self._cases[case.owner.session_id] = case
        self.sums.hold(case, case.account.held_micros)

    def scopes(self, session_id: str) -> tuple[Scope, ...] | None:
        """Where a call's money counts, if its account is here. Of a call that
        is neither here nor in the database there is none."""
        case = self._cases.get(session_id)
        return case.scopes if case else None

    def known(self, session_id: str) -> Case | None:
        """An account that is here."""
        return self._cases.get(session_id)

    def forget(self) -> Changes:
        """What is to be written, once; accounts without a hold are then no
        longer kept here."""
        changes, self.changes = self.changes, Changes()
        for session_id, case in changes.cases.items():
            if not case.account.held_micros:
                self._cases.pop(session_id, None)
        return changes

    # ------------------------------------------------------------- a call

    def open(self, owner: Owner, now_s: float) -> Hold:
        """Holds a call's first slice and its closing tail.

        Raises:
            InvalidRequest: its model has no price.
        """
        now_s = self._tick(now_s)
        known = self._cases.get(owner.session_id)
        if known is not None:
            if known.account.closed:
                return Hold(False, "this call is over")
            return self._admitted(known, self.sums.tightest(known, now_s)[0], now_s)
        needs = self.terms.needs(owner.model, now_s)
        case = Case(owner, now_s, now_s)
        want = needs.slice_micros + needs.tail_micros
        left, permille = self.sums.tightest(case, now_s)
        if left < want or self._policy(owner).refuses(permille):
            return self._refusal(case, want, now_s)
        self._cases[owner.session_id] = case
        account, entries = money.open_hold(case.account, needs)
        self._record(case, account, entries, now_s)
        return self._admitted(case, left, now_s)

    def use(self, session_id: str, bill: Bill, now_s: float) -> Charge:
        """Posts a bill and extends the hold. It is never refused: what was used
        is owed, also of a call that is over or was never opened."""
        now_s = self._tick(now_s)
        case = self._case(session_id, bill.model, now_s)
        known = case.bills.get(bill.key)
        if known is None:
            self._spend(case, bill, now_s)
        left, permille = self.sums.tightest(case, now_s)
        due = self._due(case, permille)
        ends = any(step.ends for step in due)
        if ends and not case.account.wrapping:
            self._record(case, replace(case.account, wrapping=True), (), now_s)
        cost = bill.cost_micros if known is None else known.cost_micros
        means = None if left == UNLIMITED else self._means(case, now_s)
        return Charge(cost, case.account.total_micros, ends, due, means)

    def change_model(self, session_id: str, model: str, now_s: float) -> bool:
        """Holds what a live call needs that is to go on with a dearer model, before it does.

        Returns:
            Whether it may: not where the limits leave less, nor where the policy has
            calls go on with a cheaper one.

        Raises:
            InvalidRequest: the model has no price.
        """
        now_s = self._tick(now_s)
        case = self._cases.get(session_id)
        if case is None or case.account.closed or case.account.wrapping:
            return False
        needs = self.terms.needs(model, now_s)
        needs = replace(needs, slice_micros=max(needs.slice_micros, 2 * case.dearest_micros))
        left, permille = self.sums.tightest(case, now_s)
        account, entries, held = money.extend(case.account, needs, max(0, left))
        if not held or Step.CHEAPER in self._due(case, permille):
            return False
        case.owner = replace(case.owner, model=model)
        self._record(case, account, entries, now_s)
        return True

    def adjust(self, session_id: str, bill: Bill, now_s: float) -> tuple[CallCost, bool]:
        """Corrects what a call has cost by `bill.cost_micros`, which may be
        negative; once for each id.

        Returns:
            What it has cost then, and whether this was the first time.

        Raises:
            NotFound: there is no such call.
            InvalidRequest: it would have cost less than nothing.
        """
        now_s = self._tick(now_s)
        case = self._cases.get(session_id)
        if case is None:
            raise NotFound("there is no account of this call", field="session_id")
        if bill.key in case.bills:
            return case.cost(), False
        if case.account.total_micros + bill.cost_micros < 0:
            raise InvalidRequest(
                f"change is {bill.cost_micros} micro-dollars: the call has cost only "
                f"{case.account.total_micros}",
                field="change_micros",
            )
        room = max(0, self.sums.tightest(case, now_s)[0])
        account, entries = money.adjust(case.account, bill.cost_micros, room)
        self._post(case, bill, now_s)
        self._record(case, account, entries, now_s)
        return case.cost(), True

    def close(self, session_id: str, now_s: float) -> CallCost:
        """Gives the rest of the hold back."""
        now_s = self._tick(now_s)
        case = self._case(session_id, "", now_s)
        if not case.account.closed:
            account, entries = money.release(case.account, close=True)
            self._record(case, account, entries, now_s)
        return case.cost()

    # ------------------------------------------------------------- what nobody asks for again

    def expire(self, now_s: float) -> list[str]:
        """Gives back what is held for calls that were not heard of for too
        long; their session ids. Leases end by another clock (`Lender`)."""
        now_s = self._swept_s = self._tick(now_s)
        before_s = now_s - self.terms.expiry_s
        lost = [
            case
            for case in self._cases.values()
            if case.active_at_s < before_s
            and case.account.held_micros
            and not is_lease(case.owner.session_id)
        ]
        for case in lost:
            account, entries = money.release(case.account, close=False)
            self._record(case, account, entries, now_s)
        return [case.owner.session_id for case in lost]

    def sweep_is_due(self, now_s: float, every_s: float) -> bool:
        """Whether `expire` was not asked for so long."""
        return now_s - self._swept_s >= every_s

    # ------------------------------------------------------------- how limits stand

    def readings(self, scopes: Iterable[Scope], now_s: float) -> list[Reading]:
        """The limits over a time of scopes whose spending is known here."""
        now_s = self._tick(now_s)
        return [
            Reading(
                str(scope),
                window_at(each.limit.window, now_s),
                each.limit.micros,
                each.posted_micros,
                each.held_micros,
            )
            for scope in scopes
            for each in self.sums.of_scope(scope, now_s)
            if not isinstance(each.limit.window, OfCall)
        ]

    def call_readings(self, cases: Iterable[Case], now_s: float) -> list[Reading]:
        """The tightest limit of each kind over single calls whose scopes are known here."""
        now_s = self._tick(now_s)
        return [
            Reading(
                f"call:{case.owner.call_id or case.owner.session_id}",
                Window(name, case.opened_at_s, NEVER_S),
                limit_micros,
                case.account.total_micros,
                case.account.held_micros,
            )
            for case in cases
            for name, limit_micros in self.sums.of_call(case, now_s).items()
        ]

    # ------------------------------------------------------------- inside

    def _tick(self, now_s: float) -> float:
        self.now_s = max(self.now_s, now_s)
        return self.now_s

    def _case(self, session_id: str, model: str, now_s: float) -> Case:
        case = self._cases.get(session_id)
        if case is None:
            case = self._cases[session_id] = Case(Owner(session_id, model=model), now_s, now_s)
        return case

    def _policy(self, owner: Owner) -> Policy:
        return self.policies.get(owner.tenant) or self.policies.get(EACH) or _DEFAULT_POLICY

    def _refusal(self, case: Case, want: int, now_s: float) -> Hold:
        """Why a new call is not taken, and when it may ask again."""
        standings = self.sums.standings(case, now_s)
        short = [each for each in standings if each.left_micros < want]
        first = min(short or standings, key=lambda each: each.left_permille)
        of = "call" if isinstance(first.limit.window, OfCall) else first.limit.window.name
        waits = [
            each.until_s - now_s
            for each in short
            if not isinstance(each.limit.window, OfCall)
            and each.limit.micros - each.posted_micros < want
        ]
        kind = first.scope.partition(":")[0]
        return Hold(
            False,
            f"the {of}'s budget is used up ({kind})",
            retry_after_s=max(waits, default=RETRY_WHEN_HELD_S),
            step=Step.REFUSE,
        )

    def _spend(self, case: Case, bill: Bill, now_s: float) -> None:
        """Posts a bill, and fills the hold again where that is due."""
        needs = self._needs(case, bill, now_s)
        left, _ = self.sums.tightest(case, now_s)
        account, spent = money.spend(case.account, bill.cost_micros, max(0, left))
        beyond = bill.cost_micros - (case.account.held_micros - account.held_micros)
        account, extended, held = money.extend(account, needs, max(0, left - beyond))
        if not held:
            account = replace(account, wrapping=True)
        self._post(case, bill, now_s)
        self._record(case, account, spent + extended, now_s)

    def _needs(self, case: Case, bill: Bill, now_s: float) -> Needs:
        """For the dearer of the call's model and the one that was just used, for
        twice the dearest answer, and so that half of it pays for a short one. A
        price that was taken out of the table while the call goes on is no reason to
        refuse its bills."""
        found = [Needs(2 * max(case.dearest_micros, bill.cost_micros))]
        for each in {case.owner.model, bill.model}:
            try:
                found.append(self.terms.needs(each, now_s))
            except InvalidRequest:
                continue
        last = bill if bill.kind == RESPONSE else case.last_response
        if last is not None and (means := self._means(case, now_s)) is not None:
            reads = last.tokens
            if last.model != case.owner.model:  # that one is told all of it as text
                reads = Usage(reads.input_text, output_text=reads.output_text)
            found.append(Needs(2 * means.least(reads)))
        return Needs(
            max(each.slice_micros for each in found), max(each.tail_micros for each in found)
        )

    def _due(self, case: Case, left_permille: int) -> tuple[Step, ...]:
        if case.account.closed or case.owner.exempt:
            return ()
        can_hold = not case.account.wrapping
        return self._policy(case.owner).for_call(left_permille, can_hold=can_hold)

    def _admitted(self, case: Case, left_micros: int, now_s: float) -> Hold:
        means = None if left_micros == UNLIMITED else self._means(case, now_s)
        return Hold(True, held_micros=case.account.held_micros, means=means)

    def _means(self, case: Case, now_s: float) -> Means | None:
        """What the next answers may cost, where a limit is over the call. They are those of
        the model that made the last one, or of one that is held for and not used yet."""
        account = case.account
        if account.closed or case.owner.exempt:
            return None
        last, model = case.last_response, case.owner.model
        if last is not None and any(each.model == model for each in case.bills.values()):
            model = last.model
        try:
            price = self.terms.prices.price(model, now_s)
        except InvalidRequest:
            return None
        spendable = account.held_micros - account.tail_micros
        means = Means(spendable, price.text, price.audio, case.entries, image=price.image)
        return means if means.each else None

    def _post(self, case: Case, bill: Bill, now_s: float) -> None:
        """Notes a bill; its cost counts in every scope and every window of now."""
        case.add(bill)
        self.changes.bills.append((case.owner.session_id, bill, now_s))
        slot, cost = slot_of(now_s), bill.cost_micros
        self.sums.post(case.scopes, slot, cost)
        for scope in case.scopes:
            self._count(scope, slot, cost)

    def _count(self, scope: Scope, slot: int, micros: int) -> None:
        spending = self.changes.spending
        spending[scope, slot] = spending.get((scope, slot), 0) + micros

    def _record(
        self, case: Case, account: Account, entries: tuple[Entry, ...], active_at_s: float
    ) -> None:
        """An account's next state and the entries that lead there, now."""
        now_s = self.now_s
        self.sums.hold(case, account.held_micros - case.account.held_micros)
        case.account, case.active_at_s = account, active_at_s
        self.changes.cases[case.owner.session_id] = case
        for entry in entries:
            self.changes.postings.append(Posting(case, case.entries, entry, now_s))
            case.entries += 1
            if entry.credit == money.OVERDRAFT:
                self._count(OVERDRAFT, slot_of(now_s), entry.amount_micros)
