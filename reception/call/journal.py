"""What a call's session leaves behind, for the session that goes on when it dies."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

MAX_EVENTS = 1_000
TAKEOVER_S = 20.0  # for another session to go on where one has died: audio goes on meanwhile

FENCED = "fenced"
"""Why a call ends on a node when another node has taken it: without a record."""

_LOST = b"session lost "

T = TypeVar("T")


def session_lost(lease_id: str, session: str) -> bytes:
    """What the node agent is told when a call's session is gone or stands still."""
    return _LOST + f"{lease_id} {session}".encode()


def lost_session(news: bytes) -> tuple[str, str] | None:
    """The lease and the session of `session_lost`; None when the news is of something
    else."""
    if not news.startswith(_LOST):
        return None
    lease_id, _, session = news.removeprefix(_LOST).decode().partition(" ")
    return lease_id, session


class Journal(Generic[T]):
    """The state that a session last told, and the events that came since. It is kept
    where the events come from, so that none is lost between the two.

    Attributes:
        checkpoint: the state; empty before the first.
        events: how many events it includes.
    """

    def __init__(self, checkpoint: bytes = b"") -> None:
        self.checkpoint = checkpoint
        self.events = 0
        self._since: deque[T] = deque()

    def add(self, event: T) -> bool:
        """An event for the session. False: it has not told its state for so long that
        there is no room for more."""
        self._since.append(event)
        return len(self._since) <= MAX_EVENTS

    def keep(self, checkpoint: bytes, events: int) -> None:
        """The session's state after `events` events. One that is older than what is
        known changes nothing."""
        if events < self.events:
            return
        for _ in range(min(events - self.events, len(self._since))):
            self._since.popleft()
        self.checkpoint, self.events = checkpoint, events

    def since(self) -> tuple[T, ...]:
        """Events that the checkpoint does not include, in the order they came."""
        return tuple(self._since)
