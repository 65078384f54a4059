"""Which session and which worker a call gets: decisions of a node's pools."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolRules:
    """floor: sessions kept ready; ceiling: sessions at most, leased ones
    included; calls_per_session: after so many a session is replaced."""

    floor: int
    ceiling: int
    calls_per_session: int = 200


class SessionPool:
    """Warm sessions of one node: ready, leased, and how many are to be started.

    A session is in at most one place at a time; the pool never leases one that
    it was not given.
    """

    def __init__(self, rules: PoolRules) -> None:
        self._rules = rules
        self._ready: deque[str] = deque()
        self._leased: dict[str, str] = {}
        self._calls: dict[str, int] = {}
        self._starting = 0

    def starting(self) -> None:
        """A session is being started."""
        self._starting += 1

    def failed_to_start(self) -> None:
        self._starting -= 1

    def add(self, session: str) -> None:
        """A started session is ready."""
        self._starting -= 1
        self._calls[session] = 0
        self._ready.append(session)

    def lease(self, lease_id: str) -> str | None:
        """The session that has been ready longest, or None when none is."""
        if not self._ready:
            return None
        session = self._ready.popleft()
        self._leased[session] = lease_id
        return session

    def give_back(self, session: str) -> bool:
        """A call is over. True: ready again; False: worn out, to be stopped."""
        if self._leased.pop(session, None) is None:
            return False
        self._calls[session] += 1
        if self._calls[session] >= self._rules.calls_per_session:
            del self._calls[session]
            return False
        self._ready.append(session)
        return True

    def remove(self, session: str) -> None:
        """A session is dead."""
        self._leased.pop(session, None)
        self._calls.pop(session, None)
        if session in self._ready:
            self._ready.remove(session)

    def wanted(self) -> int:
        """How many sessions to start now: up to the floor of ready ones, within
        the ceiling."""
        missing = self._rules.floor - len(self._ready) - self._starting
        room = self._rules.ceiling - len(self._calls) - self._starting
        return max(0, min(missing, room))

    def size(self) -> dict[str, int]:
        return {
            "ready": len(self._ready),
            "leased": len(self._leased),
            "starting": self._starting,
        }


def least_loaded(live_calls: Mapping[str, int]) -> str | None:
    """The worker with the fewest live calls, the first by name among equals."""
    if not live_calls:
        return None
    return min(live_calls, key=lambda worker: (live_calls[worker], worker))
