"""Looks after the cost singleton's commits whether a limit is near, and tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import structlog

from actors.storage.books import Books
from actors.storage.writer import Writer
from reception.errors import Fenced, ReceptionError
from reception.money.alerts import Alert, Measure

log = structlog.get_logger()

LOOK_S = 1.0
"""How soon after a change its limits are looked at."""

AGAIN_S = 30.0
"""How often limits with an alert are looked at without a change: windows end, and so
do cooldowns."""

_WITH_NUMBERS = "number"


class Deliver(Protocol):
    """Where alerts go. They are in the database by then, each once; what is
    delivered may be lost with the process."""

    def __call__(self, alerts: Sequence[Alert], /) -> None: ...


def to_log(alerts: Sequence[Alert]) -> None:
    """A warning for each alert that rose, a line for each that fell."""
    for alert in alerts:
        if alert.measure is Measure.USAGE:
            log.warning(
                "a provider's count differs from ours",
                scope=alert.scope,
                what=alert.window.name,
                percent=alert.percent,
                ours=alert.limit_micros,
                theirs=alert.micros,
            )
            continue
        kind = alert.scope.partition(":")[0]
        write = log.warning if alert.raised else log.info
        write(
            "a limit is near" if alert.raised else "a limit is near no more",
            scope=kind if kind == _WITH_NUMBERS else alert.scope,
            window=alert.window.name,
            ends_at_s=alert.window.end_s,
            measure=alert.measure.value,
            percent=alert.percent,
            from_percent=alert.from_percent,
            micros=alert.micros,
            limit_micros=alert.limit_micros,
        )


def everywhere(*ways: Deliver) -> Deliver:
    """By each of these ways."""

    def deliver(alerts: Sequence[Alert], /) -> None:
        for way in ways:
            way(alerts)

    return deliver


class AlertWatch:
    """Looks a second after a commit that changed something, never within it.

    Args:
        clock: UNIX time in seconds.
        deliver: gets what was told, once it is durable.
    """

    def __init__(
        self,
        writer: Writer,
        books: Books,
        clock: Callable[[], float],
        deliver: Deliver = to_log,
    ) -> None:
        self._writer, self._books, self._clock, self._deliver = writer, books, clock, deliver
        self._watching: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Watches from now on, in the running event loop. Idempotent."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def look(self) -> tuple[Alert, ...]:
        """Looks now.

        Raises:
            Fenced: another process took this singleton's place.
            Unavailable: the database can't do it now; nothing was told.
        """
        return self.tell(await self._writer.run(partial(self._books.look, now_s=self._clock())))

    def tell(self, alerts: tuple[Alert, ...]) -> tuple[Alert, ...]:
        """Delivers what is written down."""
        self._deliver(alerts)
        return alerts

    async def _watch(self) -> None:
        looked_s = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._books.changed and loop.time() - looked_s < AGAIN_S:
                continue
            try:
                await self.look()
                looked_s = loop.time()
            except Fenced:
                return
            except ReceptionError as error:
                log.warning("limits could not be looked at", error=error.message)
