"""The door's own line: a few calls at a time are admitted, the others wait their turn."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from reception.errors import LimitReached
from reception.placement.line import Refusal
from reception.placement.turnstile import Turnstile as Decisions
from reception.placement.turnstile import TurnstileRules


@dataclass(slots=True)
class _Waiting:
    turn: asyncio.Future[None]
    late: asyncio.TimerHandle


class Turnstile:
    """However many call at once, the actors behind are asked for a few at a time: who
    waits here costs nothing, and is told in time that it is too much."""

    def __init__(self, rules: TurnstileRules) -> None:
        self._decisions = Decisions(rules)
        self._waiting: dict[str, _Waiting] = {}

    def enter(self, caller: str, *, first: bool) -> asyncio.Future[None]:
        """Done once the caller is inside; fails with LimitReached when the wait got too
        long. In any case the caller has to `leave`.

        Args:
            first: before all others who wait.

        Raises:
            LimitReached: the line is full, or would take too long; says when to ask again.
        """
        loop, now_s = asyncio.get_running_loop(), time.monotonic()
        turn: asyncio.Future[None] = loop.create_future()
        answer = self._decisions.enter(caller, now_s, first=first)
        if isinstance(answer, Refusal):
            raise _refused(answer)
        if answer is None:
            turn.set_result(None)
        else:
            late = loop.call_later(answer.until_s - now_s, self._late, caller)
            self._waiting[caller] = _Waiting(turn, late)
        return turn

    def leave(self, caller: str) -> None:
        """The caller is through, or gone: the next one's turn. Idempotent."""
        self._forget(caller)
        turn = self._decisions.leave(caller, time.monotonic())
        waiting = self._forget(turn) if turn is not None else None
        if waiting is not None and not waiting.turn.done():  # else it leaves soon
            waiting.turn.set_result(None)

    async def place(self, caller: str) -> tuple[int, float] | None:
        """Its place in the line, and the wait to be expected, in seconds; None: not in it."""
        ticket = self._decisions.ticket(caller)
        return None if ticket is None else (ticket.position, ticket.expected_wait_s)

    @property
    def waiting(self) -> int:
        return self._decisions.waiting

    def _late(self, caller: str) -> None:
        waiting = self._forget(caller)
        if waiting is not None and not waiting.turn.done():
            waiting.turn.set_exception(_refused(self._decisions.refuse(time.monotonic())))

    def _forget(self, caller: str) -> _Waiting | None:
        waiting = self._waiting.pop(caller, None)
        if waiting is not None:
            waiting.late.cancel()
        return waiting


def _refused(refusal: Refusal) -> LimitReached:
    return LimitReached(refusal.reason, retry_after_s=refusal.retry_after_s)
