"""What a node holds for calls that it does not have, and calls that nothing is held for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

STRAY_S = 30.0  # longer than anything takes to begin, to move or to end


@dataclass(frozen=True, slots=True)
class Held:
    """What a node has: of each live call (lease id, session), then the lease ids of its
    audio workers' calls, and the sessions that the pool has leased."""

    calls: frozenset[tuple[str, str]]
    legs: frozenset[str]
    sessions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Strays:
    """calls: lease ids of those without a leg or without a session; legs and sessions:
    without a call."""

    calls: frozenset[str]
    legs: frozenset[str]
    sessions: frozenset[str]


def strays(held: Held) -> Strays:
    """What is in one only."""
    leases = {lease_id for lease_id, _ in held.calls}
    taken = {session for _, session in held.calls}
    return Strays(
        frozenset(
            lease_id
            for lease_id, session in held.calls
            if lease_id not in held.legs or session not in held.sessions
        ),
        held.legs - leases,
        held.sessions - taken,
    )


class Comparison:
    """Remembers since when each is stray."""

    def __init__(self) -> None:
        self._since_s: dict[tuple[str, str], float] = {}

    def due(self, held: Held, now_s: float) -> Strays:
        """What has been stray for longer than `STRAY_S`. It is named again until it is
        gone: ending it is idempotent."""
        found = strays(held)
        names = {("call", each) for each in found.calls}
        names |= {("leg", each) for each in found.legs}
        names |= {("session", each) for each in found.sessions}
        self._since_s = {each: self._since_s.get(each, now_s) for each in names}
        late = {each for each, since_s in self._since_s.items() if now_s - since_s > STRAY_S}
        return Strays(_of("call", late), _of("leg", late), _of("session", late))


def _of(kind: str, names: Iterable[tuple[str, str]]) -> frozenset[str]:
    return frozenset(name for each, name in names if each == kind)
