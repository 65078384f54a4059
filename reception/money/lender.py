"""The book of a cost singleton that lends: budget for nodes, in advance (see leases.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reception.errors import InvalidRequest
from reception.money import account as money
from reception.money.account import Hold, Needs
from reception.money.book import Book
from reception.money.case import Case, Terms
from reception.money.leases import Claim, Lease, LeaseRules, is_lease
from reception.money.limits import LimitTable
from reception.money.policy import Policy
from reception.money.scopes import Owner
from reception.money.sums import UNLIMITED, Standing
from reception.money.windows import OfCall

_RULES = LeaseRules()


class Lender(Book):
    """A lease is an account like a call's, held by nobody but its node. `steady_s` is
    a clock that is never set, such as the monotonic one of the process.

    Args:
        rules: how much is lent, and for how long.
    """

    def __init__(
        self,
        limits: LimitTable,
        policies: Mapping[str, Policy],
        terms: Terms,
        now_s: float = 0.0,
        rules: LeaseRules = _RULES,
    ) -> None:
        super().__init__(limits, policies, terms, now_s)
        self.rules = rules
        self._until_s: dict[str, float] = {}  # leases, by the steady clock

    # ------------------------------------------------------------- to nodes

    def lease(self, owner: Owner, calls: int, now_s: float, steady_s: float) -> Lease | None:
        """Sets money aside for so many calls, or for as many as the rules allow; what it
        has it keeps, and lasts longer. None: there is not enough for one call more, or
        too little now for what it has.

        Args:
            owner: whose calls it is for, and their model; its session id is the lease's.

        Raises:
            InvalidRequest: the model has no price.
        """
        now_s = self._tick(now_s)
        needs = self.terms.needs(owner.model, now_s)
        hold = needs.slice_micros + needs.tail_micros
        new = Case(owner, now_s, now_s)
        case = self._cases.get(owner.session_id, new)
        have = case.account.held_micros
        over = [
            each
            for each in self.sums.standings(new, now_s)
            if not isinstance(each.limit.window, OfCall)
        ]
        room = min((self._share(each, have) for each in over), default=UNLIMITED)
        permille = min((each.left_permille for each in over), default=1_000)
        if (
            case.account.closed
            or room < max(have, hold)
            or self.sums.of_one_call(new, now_s) < hold
            or self._policy(owner).refuses(permille)
        ):
            return None
        more = min(calls, self.rules.calls, room // max(1, hold)) * hold - have
        if more > 0:
            self._cases[owner.session_id] = case
            account, entries = money.add(case.account, more)
            self._record(case, account, entries, now_s)
        self._until_s[owner.session_id] = self._end_s(steady_s)
        return Lease(
            owner,
            case.account.held_micros,
            hold,
            needs.tail_micros,
            self.rules.begin_s,
            self.terms.slice_s,
        )

    def give_back(self, lease_id: str, now_s: float) -> None:
        """Closes a lease: what is left in it is free."""
        self._until_s.pop(lease_id, None)
        self.close(lease_id, now_s)

    def end_leases(self, steady_s: float) -> list[str]:
        """Gives back what is left of leases that are over; their ids."""
        over = [
            lease_id
            for lease_id, case in self._cases.items()
            if is_lease(lease_id)
            and case.account.held_micros
            and steady_s > self._until_s.setdefault(lease_id, self._end_s(steady_s))
        ]
        for lease_id in over:
            self.give_back(lease_id, self.now_s)
        return over

    def _share(self, each: Standing, have_micros: int) -> int:
        """What a limit lets a lease have that has so much already."""
        others = self.sums.leased(each.scope) - have_micros
        of_all = each.limit.micros * self.rules.percent // 100 - others
        of_left = (each.left_micros + have_micros) * self.rules.left_percent // 100
        return min(of_all, of_left)

    def _end_s(self, steady_s: float) -> float:
        rules, terms = self.rules, self.terms
        length_s = rules.begin_s + rules.setup_s + terms.slice_s + terms.tail_s
        return steady_s + length_s + rules.margin_s

    # ------------------------------------------------------------- from nodes

    def take(self, claim: Claim, now_s: float) -> Hold:
        """The account of a call that began without one: with what was held for it, which
        changes no sum; else with what any new call is held; else with nothing, and then
        the call is to come to its end. Its bills count in its scopes in any case."""
        now_s, owner, micros = self._tick(now_s), claim.owner, claim.micros
        known = self._cases.get(owner.session_id)
        if known is not None:
            account = known.account
            return Hold(not (account.closed or account.wrapping), held_micros=account.held_micros)
        case, lease = Case(owner, now_s, now_s), self._cases.get(claim.lease_id)
        if (
            lease is not None
            and lease.account.held_micros >= micros
            and set(case.scopes) <= set(lease.scopes)
        ):
            rest, given = money.hand_over(lease.account, micros)
            if not rest.held_micros:  # nobody can have more of it
                rest = replace(rest, closed=True)
                self._until_s.pop(claim.lease_id, None)
            needs = Needs(micros - claim.tail_micros, claim.tail_micros)
            account, taken = money.open_hold(case.account, needs)
            self._cases[owner.session_id] = case
            self._record(lease, rest, given, now_s)
            self._record(case, account, taken, now_s)
            return Hold(True, held_micros=micros)
        try:
            hold = self.open(owner, now_s)
        except InvalidRequest as error:  # its price was taken out meanwhile
            hold = Hold(False, error.message)
        if not hold.admitted:
            self._cases[owner.session_id] = case
            self._record(case, replace(case.account, wrapping=True), (), now_s)
        return hold
