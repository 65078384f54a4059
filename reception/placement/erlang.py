"""Traffic theory: how many sessions a load needs. Loads are in Erlang.

An Erlang is one call that lasts all the time: calls a second times the seconds
that one holds its session. Calls come at random (Poisson); holding times may
have any distribution for B, and are exponential for C. Source: A. K. Erlang,
1917; Teletraffic Engineering Handbook (ITU-D SG 2/16), chapters 7 and 12.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from reception.errors import InvalidRequest


def erlang_b(load: float, sessions: int) -> float:
    """The part of the calls that finds no session and goes away.

    By the recursion B(n) = aB(n-1) / (n + aB(n-1)), which only ever handles
    numbers between 0 and 1 and the load; exact for thousands of sessions.
    """
    _check(load)
    if sessions < 0:
        raise InvalidRequest(f"sessions is {sessions}: must be 0 or more", field="sessions")
    return next(islice(_blocking(load), sessions, None))


def erlang_c(load: float, sessions: int) -> float:
    """The part of the calls that waits, when all that find no session do.

    1 when the load is the sessions' number or more: then the queue grows for ever.
    """
    _check(load)
    if load >= sessions:
        return 1.0
    return _waiting(load, sessions, erlang_b(load, sessions))


def sessions_needed(load: float, blocking: float) -> int:
    """The fewest sessions with which at most this part of the calls is lost."""
    _check(load)
    _check_part("blocking", blocking)
    return next(n for n, part in enumerate(_blocking(load)) if part <= blocking)


def sessions_needed_to_wait(load: float, waiting: float) -> int:
    """The fewest sessions with which at most this part of the calls waits."""
    _check(load)
    _check_part("waiting", waiting)
    return next(
        n
        for n, part in enumerate(_blocking(load))
        if load < n and _waiting(load, n, part) <= waiting
    )


def mean_wait_s(load: float, sessions: int, holding_s: float) -> float:
    """How long a call waits on average, those that need not included."""
    if load >= sessions:
        return float("inf")
    return erlang_c(load, sessions) * holding_s / (sessions - load)


def _blocking(load: float) -> Iterator[float]:
    """B for 0, 1, 2 ... sessions."""
    blocking, sessions = 1.0, 0
    while True:
        yield blocking
        sessions += 1
        blocking = load * blocking / (sessions + load * blocking)


def _waiting(load: float, sessions: int, blocking: float) -> float:
    return sessions * blocking / (sessions - load * (1 - blocking))


def _check(load: float) -> None:
    if not 0 <= load < float("inf"):
        raise InvalidRequest(f"load is {load}: must be 0 Erlang or more", field="load")


def _check_part(name: str, part: float) -> None:
    if not 0 < part <= 1:
        raise InvalidRequest(f"{name} is {part}: must be above 0, at most 1", field=name)
