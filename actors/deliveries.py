"""What a node tells of its calls elsewhere: at once, or later where it can't be told now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any

import structlog
from ray.exceptions import RayError, RayTaskError

from actors.bills import Delivery, bill, closing
from actors.keeper import CallKeeper
from actors.outbox import Outbox
from actors.spawn import find, in_time
from reception.call import messages as m
from reception.call.journal import FENCED
from reception.call.record import CallRecord, CallSpec, TakenMessage
from reception.errors import ReceptionError, Unavailable

log = structlog.get_logger()


class Deliveries:
    """Bills, records and messages; what is refused for good is told, and not tried again.

    Args:
        keeper: of this node.
        outbox: keeps what is to be delivered later; without one nothing is.
    """

    def __init__(self, keeper: CallKeeper, outbox: Outbox | None) -> None:
        self._keeper, self._outbox = keeper, outbox
        self._targets: dict[str, Any] = {"calls": keeper}

    def __len__(self) -> int:
        """How many wait."""
        return 0 if self._outbox is None else len(self._outbox)

    async def run(self) -> None:
        """Delivers what waits, for ever."""
        if self._outbox is not None:
            await self._outbox.deliver(self._deliver)

    def close(self) -> None:
        """What waits stays for the next process that starts here."""
        if self._outbox is not None:
            self._outbox.close()

    async def later(self, delivery: Delivery) -> None:
        """Keeps on disk what is to be delivered once it can be.

        Raises:
            Unavailable: this node keeps nothing on disk.
        """
        if self._outbox is None:
            raise Unavailable("this node keeps nothing on disk")
        log.warning(
            "to be written later", to=delivery.to, method=delivery.method, waiting=len(self)
        )
        await self._outbox.add(delivery)

    async def save_message(self, message: TakenMessage) -> None:
        """Keeps a message that a caller left, durably. Idempotent.

        Raises:
            Unavailable: neither the database nor this node can.
        """
        try:
            await self._keeper.save_message(message)
        except Unavailable:
            await self.later(Delivery("calls", "save_message", (message,)))

    async def save_call(self, record: CallRecord) -> bool:
        """A call is over here. False: it is another node's."""
        session_id = record.spec.session_id
        if record.end_reason == FENCED:
            self._keeper.forget(session_id)
            return False
        generation = self._keeper.generation(session_id)
        try:
            return await self._keeper.save_call(record, generation)
        except Unavailable:
            with contextlib.suppress(ReceptionError):
                await self.later(Delivery("calls", "save_call", (record, generation)))
                return True
        except ReceptionError as error:
            reason = error.message
            log.error("call record not saved", call_id=record.spec.call_id, error=reason)
        return True

    async def settle(
        self, spec: CallSpec, pending: Iterable[m.Work], transcriber: str
    ) -> int | None:
        """Bills what was under way of a call that goes on nowhere, and closes its account.

        Args:
            transcriber: the model that wrote down what the caller said.

        Returns:
            What it has cost, in micro-dollars; None while the cost singleton can't say.
        """
        used = [each for each in pending if isinstance(each, m.ReportUsage | m.ReportTranscription)]
        now_s = time.time()
        bills = [bill(each, spec, transcriber, now_s) for each in used]
        for delivery in (*bills, closing(spec)):
            if not await self._deliver(delivery):
                await self.later(delivery)
        with contextlib.suppress(RayError, TimeoutError):
            async with in_time():
                cost = await self._target("cost").call_cost(spec.session_id)
                return int(cost.total_micros)
        return None

    def _target(self, name: str) -> Any:
        """Found once: it asks Ray's GCS, which takes its time."""
        if name not in self._targets:
            self._targets[name] = find(name)
        return self._targets[name]

    async def _deliver(self, delivery: Delivery) -> bool:
        """False: not now."""
        try:
            async with in_time():
                await getattr(self._target(delivery.to), delivery.method)(*delivery.args)
        except RayTaskError as error:
            if not isinstance(error.cause, ReceptionError) or error.cause.retryable:
                return False
            log.error("refused", to=delivery.to, method=delivery.method, error=error.cause.message)
        except (RayError, TimeoutError, Unavailable):
            return False
        except ReceptionError as error:
            log.error("refused", to=delivery.to, method=delivery.method, error=error.message)
        return True
