"""Delivers alerts to somebody's HTTP server, beside the work of whoever tells of them."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.log import log
from actors.storage.alerts import shown
from reception.money import hook
from reception.money.alerts import Alert

if TYPE_CHECKING:
    import httpx

MOST_WAITING = 1_000
TIMEOUT_S = 5.0
_WITH_NUMBERS = "number:"


class Webhook:
    """One POST for what is told at a time: JSON with `id` (the same in each try) and
    `alerts`, oldest first. Beyond MOST_WAITING alerts the oldest are dropped. What waits
    is lost with the process: the table has it all.

    Args:
        url: http:// or https://.
        secret: each POST is signed with it (`hook.signature`); "" for none.
    """

    def __init__(self, url: str, secret: str) -> None:
        self._url, self._secret = url, secret
        self._waiting: deque[Alert] = deque(maxlen=MOST_WAITING)
        self._sending: asyncio.Task[None] | None = None
        self._rng = random.Random()  # noqa: S311  # nosec B311 - jitter, no secret

    def __call__(self, alerts: Sequence[Alert], /) -> None:
        """Takes alerts, in a running event loop; never waits."""
        dropped = len(self._waiting) + len(alerts) - MOST_WAITING
        if dropped > 0:
            log.warning("alerts dropped", count=dropped)
        self._waiting.extend(alerts)
        if self._waiting and (self._sending is None or self._sending.done()):
            self._sending = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        import httpx  # noqa: PLC0415 - ten megabytes, for who has a webhook only

        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            while self._waiting:
                alerts = list(self._waiting)
                self._waiting.clear()
                await self._send(client, alerts)

    async def _send(self, client: httpx.AsyncClient, alerts: list[Alert]) -> None:
        told = {"id": uuid.uuid4().hex, "alerts": [shown(_discreet(each)) for each in alerts]}
        body, tries = json.dumps(told).encode(), 0
        while True:
            problem, final = await self._try(client, body)
            if not problem:
                return
            tries += 1
            again_s = None if final else hook.wait_s(tries, self._rng)
            if again_s is None:
                log.error("alerts not delivered", count=len(alerts), tries=tries, problem=problem)
                return
            log.warning("alerts are delivered later", count=len(alerts), problem=problem)
            await asyncio.sleep(again_s)

    async def _try(self, client: httpx.AsyncClient, body: bytes) -> tuple[str, bool]:
        """What went wrong, "" for nothing; and whether it always would."""
        import httpx  # noqa: PLC0415 - as above

        headers = {"content-type": "application/json"}
        if self._secret:
            headers[hook.SIGNATURE] = hook.signature(self._secret, body, int(time.time()))
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):  # a body that trickles is no answer
                answer = await client.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            return type(error).__name__, False
        if hook.is_taken(answer.status_code):
            return "", True
        return f"status {answer.status_code}", hook.is_refused(answer.status_code)


def _discreet(alert: Alert) -> Alert:
    """Telephone numbers do not leave the deployment."""
    if alert.scope.startswith(_WITH_NUMBERS):
        return replace(alert, scope=_WITH_NUMBERS.rstrip(":"))
    return alert
