"""Leases of budget: a node goes on taking calls while the cost singleton restarts.

The ledger sets money aside for calls of one kind (their scopes and model) that come to
one node. While the ledger does not answer, the node's front door holds for such calls
out of that. For the limits all of it is held from the beginning, so no limit is passed,
whatever the node does with it.

Two clocks that are never set, and neither is asked for the other's time: the node counts
from when it asked and stops by itself; the ledger counts from when it granted, which was
later (a ledger that was read anew from when it first looked, which was later still), and
gives back what was not claimed only a margin after that. A node whose clock runs slow by
less than the margin's share of the length, or that stood still for less than the margin,
spends nothing that has been given back. What comes later still is owed as any bill is.

A lease out of which nothing was held may be asked for again under its id, before it
ends: it is filled up and lasts longer. An answer that is lost then leaves the ledger
with more set aside, and for longer, than the node knows: never with less.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reception.money.scopes import Owner

PREFIX = "lease:"
"""Every lease's id begins so, and no call's session id does."""


def is_lease(session_id: str) -> bool:
    """Whether an account is a lease's and not a call's."""
    return session_id.startswith(PREFIX)


@dataclass(frozen=True, slots=True)
class LeaseRules:
    """How much is leased, and for how long.

    Attributes:
        calls: one lease is for so many calls' first holds at the most,
        left_percent: and for so much of what any limit leaves;
        percent: all leases together hold at most so much of any limit.
        begin_s: calls may be held for so long after it was asked for;
        setup_s: they begin so much later at the most, and spend slice and tail;
        margin_s: and the rest is given back so much later.
    """

    calls: int = 20
    left_percent: int = 10
    percent: int = 10
    begin_s: float = 120.0
    setup_s: float = 10.0
    margin_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A grant to a node.

    Attributes:
        owner: whose calls it is for; the session id is the lease's.
        micros: how much (micro-dollars).
        hold_micros: what is held of it for one call: its first slice and its tail.
        tail_micros: the tail.
        begin_s: calls may be held for so long after it was asked for.
        alone_s: as a claim's.
    """

    owner: Owner
    micros: int
    hold_micros: int
    tail_micros: int
    begin_s: float
    alone_s: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A call that began while the ledger did not answer. Whoever bills the call
    tells it with every bill, so that its account is there, whichever comes first.

    Attributes:
        lease_id: what was held for it is a lease's; "": nothing was held.
        micros, tail_micros: how much, and the tail in it.
        alone_s: from its beginning on it may go on for so long until the ledger has
            taken it over, and then comes to its end by itself; None: for any time.
    """

    owner: Owner
    lease_id: str = ""
    micros: int = 0
    tail_micros: int = 0
    alone_s: float | None = None


@dataclass(slots=True)
class Purse:
    """A node's side of a lease. Times are the node's monotonic clock.

    Args:
        asked_at_s: when the request for it was sent.
    """

    lease: Lease
    asked_at_s: float
    taken: dict[str, Claim] = field(default_factory=dict)  # by session id

    @property
    def lease_id(self) -> str:
        return self.lease.owner.session_id

    def has(self, now_s: float) -> bool:
        """Whether there is enough in it for another call."""
        used = sum(claim.micros for claim in self.taken.values())
        in_time = now_s < self.asked_at_s + self.lease.begin_s
        return in_time and used + self.lease.hold_micros <= self.lease.micros

    def hold(self, owner: Owner, now_s: float) -> Claim | None:
        """Holds for a call, whole or not at all. Idempotent."""
        lease, session_id = self.lease, owner.session_id
        if session_id not in self.taken and self.has(now_s):
            self.taken[session_id] = Claim(
                owner, self.lease_id, lease.hold_micros, lease.tail_micros, lease.alone_s
            )
        return self.taken.get(session_id)

    def renewed(self, lease: Lease, asked_at_s: float) -> None:
        """The same lease was granted again. What was taken still counts: it may have
        been claimed since, or not."""
        self.lease, self.asked_at_s = lease, asked_at_s
