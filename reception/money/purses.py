"""The purses of a front door: for which calls it has budget leased (see leases.py).

A lease is for the scopes of its calls, so there is a purse for each kind of call that
came lately: of one tenant, key, number, profile, provider and model. Pure: what is to be
asked of the ledger comes out, its answers go in; times are the door's monotonic clock.

A lease out of which a call was held is neither asked for again nor given back: the call
claims its part from the ledger by itself, and the rest comes back at the lease's end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from reception.money.leases import PREFIX, Claim, Lease, Purse
from reception.money.scopes import Owner

Wanted = tuple[Owner, int]
"""A lease that is asked for, and for how many calls."""


@dataclass(frozen=True, slots=True)
class PurseRules:
    """When purses are filled.

    Attributes:
        most: purses that there are at the most: of those that called last.
        renew_s: after so long a lease is asked for again, also one that was refused, and
            all others with it;
        apart_s: between two requests, also when other kinds come.
        idle_s: a lease is given back when its calls did not come for so long.
        at_once: leases that are given back in one request at the most.
    """

    most: int = 64
    renew_s: float = 60.0
    apart_s: float = 20.0
    idle_s: float = 300.0
    at_once: int = 500


_RULES = PurseRules()


@dataclass(slots=True)
class _Kept:
    """Of one kind. calls: that came since a lease was granted; asking: the lease whose
    request was not answered yet."""

    came_s: float = 0.0
    calls: int = 0
    asked_at_s: float = -inf
    asking: str = ""
    purse: Purse | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """To the ledger: leases to grant, and leases to close. One at a time is under way."""

    wanted: tuple[Wanted, ...]
    back: tuple[str, ...]
    at_s: float


class Purses:
    """All purses of one door.

    Args:
        door: told apart by it from all others that ever were; in its leases' ids.
    """

    def __init__(self, door: str, rules: PurseRules = _RULES) -> None:
        self._door, self._rules = door, rules
        self._kept: OrderedDict[Owner, _Kept] = OrderedDict()  # who called last is last
        self._leases, self._asked_at_s = 0, -inf
        self._back: dict[str, None] = {}  # leases to give back

    # ------------------------------------------------------------- calls

    def came(self, owner: Owner, now_s: float) -> None:
        """The ledger has taken a call: there may be more like it."""
        if owner.exempt:
            return
        kept = self._kept.setdefault(_kind(owner), _Kept())
        kept.came_s, kept.calls = now_s, kept.calls + 1
        self._kept.move_to_end(_kind(owner))
        while len(self._kept) > self._rules.most:
            self._drop(next(iter(self._kept)))

    def has(self, owner: Owner, now_s: float) -> bool:
        """Whether such a call could begin without the ledger."""
        kept = self._kept.get(_kind(owner))
        return owner.exempt or bool(kept and kept.purse and kept.purse.has(now_s))

    def hold(self, owner: Owner, now_s: float) -> Claim | None:
        """Begins a call without the ledger, which must be told of it. None: there is no
        money for it here. What no limit holds back needs none. Idempotent."""
        if owner.exempt:
            return Claim(owner)
        kept = self._kept.get(_kind(owner))
        return kept.purse.hold(owner, now_s) if kept and kept.purse else None

    # ------------------------------------------------------------- what the ledger is asked

    def ask(self, now_s: float) -> Request | None:
        """What is to be asked now; then `answered` or `failed` is to be called."""
        rules = self._rules
        for kind in [k for k, kept in self._kept.items() if now_s - kept.came_s >= rules.idle_s]:
            self._drop(kind)
        if now_s - self._asked_at_s < rules.apart_s:
            return None
        waited_s = [now_s - kept.asked_at_s for kept in self._kept.values()]
        wanted = []
        if any(waited >= rules.renew_s for waited in waited_s):
            for kind, kept in self._kept.items():
                calls = max(1, kept.calls)
                kept.asking = kept.asking or self._next(kept.purse, calls)
                kept.asked_at_s = now_s
                wanted.append((replace(kind, session_id=kept.asking), calls))
            self._asked_at_s = now_s
        along = wanted or not self._kept  # else a lease goes back with the next request
        back = tuple(self._back)[: rules.at_once] if along else ()
        return Request(tuple(wanted), back, now_s) if wanted or back else None

    def answered(self, request: Request, leases: Sequence[Lease | None]) -> None:
        """What was granted; None: nothing, and an untouched lease that there was of that
        id is given back."""
        for lease_id in request.back:
            self._back.pop(lease_id, None)
        for (owner, _), lease in zip(request.wanted, leases, strict=True):
            kept = self._kept.get(_kind(owner))
            if kept is None or kept.asking != owner.session_id:  # dropped meanwhile
                continue
            kept.asking, kept.calls, purse = "", 0, kept.purse
            again = purse is not None and purse.lease_id == owner.session_id
            if lease is not None and purse is not None and again:
                purse.renewed(lease, request.at_s)
            elif lease is not None or again:
                self._leave(purse)
                kept.purse = Purse(lease, request.at_s) if lease else None

    def failed(self, request: Request) -> None:
        """Nobody knows whether it was granted: the same is asked for again, soon."""
        self._asked_at_s = -inf
        for owner, _ in request.wanted:
            kept = self._kept.get(_kind(owner))
            if kept is not None:
                kept.asked_at_s = -inf

    # ------------------------------------------------------------- inside

    def _next(self, purse: Purse | None, calls: int) -> str:
        """The lease to ask for: the same one, if it is untouched and not far too large."""
        if purse and not purse.taken and purse.lease.micros <= 4 * calls * purse.lease.hold_micros:
            return purse.lease_id
        self._leases += 1
        return f"{PREFIX}{self._door}:{self._leases}"

    def _drop(self, kind: Owner) -> None:
        kept = self._kept.pop(kind)
        if kept.asking and not (kept.purse and kept.purse.lease_id == kept.asking):
            self._back[kept.asking] = None  # it may be granted still
        self._leave(kept.purse)

    def _leave(self, purse: Purse | None) -> None:
        if purse is not None and not purse.taken:
            self._back[purse.lease_id] = None


def _kind(owner: Owner) -> Owner:
    """What calls have in common that one lease is for; so of a lease's owner too."""
    return replace(owner, session_id="", call_id="")
