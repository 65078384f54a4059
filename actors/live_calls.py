"""The calls that live on a node: found, told news of, and counted as they end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import structlog

from actors.changes import Changes
from actors.live_call import LiveCall
from reception.call import progress
from reception.call.journal import lost_session
from reception.call.record import CallRecord
from reception.errors import CallIdInUse, InvalidRequest, NotFound
from reception.placement.workers import Leg

log = structlog.get_logger()


class LiveCalls:
    """By their call ids, in the order they began.

    Attributes:
        changes: every start, change and end of a call.
    """

    def __init__(self) -> None:
        self.changes = Changes()
        self._calls: dict[str, LiveCall] = {}
        self._ended = self._takeovers = 0
        self._usage = dict.fromkeys(("usage_differs", "usage_estimated"), 0)

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[LiveCall]:
        """Those that live now; others may begin or end meanwhile."""
        return iter(list(self._calls.values()))

    async def until_none(self, wait_s: float) -> None:
        """Until no call is live, or the time is up."""
        await self.changes.until(lambda: not self._calls, wait_s)

    # ------------------------------------------------------------- beginning and ending

    def must_be_new(self, call_id: str) -> None:
        """Raises CallIdInUse when a live call has the id."""
        if call_id in self._calls:
            raise CallIdInUse.of(call_id)

    def began(self, live: LiveCall) -> None:
        """A call has its session and its worker. It is not shown yet."""
        self._calls[live.spec.call_id] = live

    def show(self, live: LiveCall) -> None:
        """Its door is told that it has begun."""
        live.shown = True
        self.changes.note("started", live.record)

    def ended(self, live: LiveCall, record: CallRecord | None) -> None:
        """A call is over; without a record: it goes on elsewhere, or never began."""
        del self._calls[live.spec.call_id]
        self._takeovers += live.takeovers
        if record is None:
            self.changes.wake()
            return
        self._ended += 1
        for name in self._usage:
            self._usage[name] += record.stats.get(name, 0)
        self.changes.note("ended", record)

    # ------------------------------------------------------------- finding

    def get(self, call_id: str) -> LiveCall | None:
        """One that is shown."""
        live = self._calls.get(call_id)
        return live if live is not None and live.shown else None

    def going_on(self) -> list[LiveCall]:
        """Those that have, or look for, a session; of others the end is being written."""
        return [live for live in self if not live.ending]

    def shown(self) -> list[LiveCall]:
        """Those of which others may hear."""
        return [live for live in self if live.shown]

    def of_lease(self, lease_id: str) -> LiveCall | None:
        return next((each for each in self if each.spec.lease_id == lease_id), None)

    def of_session(self, session_id: str) -> LiveCall | None:
        """By the session id of its spec."""
        return next((each for each in self if each.spec.session_id == session_id), None)

    def of_token(self, token: str, key_id: str) -> LiveCall:
        """The call whose caller may come back with the token.

        Raises:
            NotFound: no live call of this key has it.
        """
        for each in self:
            if each.spec.key_id == key_id and each.opens(token):
                return each
        raise NotFound(
            "resume_token is not that of a live call of this key", field="start.resume_token"
        )

    # ------------------------------------------------------------- looking and hearing

    def hear(self, data: bytes) -> None:
        """A live call changed, or has lost its session (a datagram)."""
        lost = lost_session(data)
        if lost is not None:
            lease_id, session_id = lost
            live = self.of_lease(lease_id)
            if live is not None:
                live.session_lost(session_id)
            return
        try:
            news = progress.decode(data)
        except InvalidRequest as error:
            log.warning("what a session told is not valid", error=error.message)
            return
        live = self._calls.get(news.call_id)
        if live is not None and live.spec.lease_id == news.lease_id:
            live.record = progress.applied(live.record, news)
            if live.shown:
                self.changes.note("changed", live.record)

    def load(self, workers: Iterable[str]) -> dict[str, int]:
        """How many calls each of the workers has."""
        load = dict.fromkeys(workers, 0)
        for live in self._calls.values():
            if live.worker_id in load:  # else it has just died
                load[live.worker_id] += 1
        return load

    def legs(self) -> list[Leg]:
        """Of all of them, at their audio workers."""
        return [live.leg() for live in self._calls.values()]

    def by_session(self, sessions: Iterable[str]) -> dict[str, str]:
        """The call that each of the sessions runs; "": none."""
        running = {live.session_id: live.spec.call_id for live in self._calls.values()}
        return {name: running.get(name, "") for name in sessions}

    def stats(self) -> dict[str, Any]:
        takeovers = self._takeovers + sum(live.takeovers for live in self._calls.values())
        return {
            "live": len(self._calls),
            "ended": self._ended,
            **self._usage,
            "takeovers": takeovers,
        }
