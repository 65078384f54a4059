"""Leases of budget: a node goes on taking calls while the cost singleton restarts.

The ledger sets money aside for a node, for a time; until then the node holds
for its calls out of that without asking. For the limits all of it is held from
the beginning, so no limit is passed, whatever the node does with it.

Two clocks, and neither is asked for the other's time: the node counts from when
it asked (its monotonic clock) and stops by itself; the ledger counts from when
it granted, which was later, and gives back what was not claimed only a margin
after that. A node whose clock runs slow by less than the margin's share of the
length, or that stood still for less than the margin, spends nothing that has
been given back. What comes later still is owed as any bill is, and what passes
a limit by it is counted as overdraft.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reception.money.scopes import Owner


@dataclass(frozen=True, slots=True)
class Lease:
    """A grant to a node.

    Attributes:
        owner: whose calls it is for; the session id is the lease's.
        micros: how much (micro-dollars).
        length_s: for how long, from when it was asked for.
        call_micros: what may be held of it for one call.
    """

    owner: Owner
    micros: int
    length_s: float
    call_micros: int


@dataclass(slots=True)
class Purse:
    """A node's side of a lease. Times are the node's monotonic clock.

    Args:
        asked_at_s: when the request for it was sent.
    """

    lease: Lease
    asked_at_s: float
    _held: dict[str, int] = field(default_factory=dict)
    _gone_micros: int = 0

    @property
    def end_s(self) -> float:
        """From then on nothing may be spent out of it."""
        return self.asked_at_s + self.lease.length_s

    def left_micros(self, now_s: float) -> int:
        """What can still be held out of it."""
        if now_s >= self.end_s:
            return 0
        return self.lease.micros - sum(self._held.values()) - self._gone_micros

    def hold(self, owner: Owner, micros: int, now_s: float) -> bool:
        """Holds for a call: whole or not at all. Idempotent."""
        if owner.session_id in self._held:
            return now_s < self.end_s
        fits = micros <= min(self.left_micros(now_s), self.lease.call_micros)
        if not fits or not set(owner.scopes()) <= set(self.lease.owner.scopes()):
            return False
        self._held[owner.session_id] = micros
        return True

    def may_go_on(self, session_id: str, now_s: float) -> bool:
        """Whether a call that is held for here may spend now."""
        return session_id in self._held and now_s < self.end_s

    def claimed(self, session_id: str) -> None:
        """The ledger has taken the call over with what was held for it."""
        self._gone_micros += self._held.pop(session_id, 0)

    def to_claim(self) -> dict[str, int]:
        """What is to be told to the ledger as soon as it answers, by session id."""
        return dict(self._held)
