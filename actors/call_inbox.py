"""What comes from a call's audio worker: events for the conversation, and figures of the leg."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from actors import worker_messages
from actors.call_worker import CallWorker
from actors.link import Link
from protos.link.v1 import link_pb2 as lk
from reception.call import messages as m
from reception.framing import Kind
from reception.media.leg_totals import LegTotals
from reception.provider.base import ProviderCodec

MAX_WAITING_EVENTS = 1_000


class CallInbox:
    """Events in the order in which they came, those of our own among them.

    The worker's messages with events have numbers, from 1 on, by which a session that
    takes the call over is told what was handled.

    Args:
        worker: whose messages these are.
        codec: of the provider's events.
        is_over: whether the conversation has come to its end.

    Attributes:
        handled: the number of the last message whose events were taken.
        legs: what the leg came to, over all workers so far.
    """

    def __init__(
        self, worker: CallWorker, codec: ProviderCodec, is_over: Callable[[], bool]
    ) -> None:
        self.handled = 0
        self.legs = LegTotals()
        self._worker, self._codec, self._is_over = worker, codec, is_over
        # With the number of the message that brought them; 0: of our own.
        self._waiting: asyncio.Queue[tuple[int, tuple[m.ConversationEvent, ...]]] = asyncio.Queue(
            MAX_WAITING_EVENTS
        )
        self._came = self._told = 0
        self._stats: asyncio.Future[lk.LegStats] = asyncio.get_running_loop().create_future()

    def follow(self, link: Link) -> None:
        """Takes this link's frames from now on."""
        self._worker.handle(link, self._on_frame, self._on_link_end)

    def count_from(self, number: int) -> None:
        """The worker has sent so many messages with events, and all were handled."""
        self._came = self.handled = self._told = number

    # ------------------------------------------------------------- taken out

    async def next(self) -> tuple[m.ConversationEvent, ...]:
        """The events of one message, once there is one."""
        return self._take(*await self._waiting.get())

    def rest(self) -> Iterator[tuple[m.ConversationEvent, ...]]:
        """What waits, message by message."""
        while not self._waiting.empty():
            yield self._take(*self._waiting.get_nowait())

    def _take(
        self, number: int, events: tuple[m.ConversationEvent, ...]
    ) -> tuple[m.ConversationEvent, ...]:
        self.handled = number or self.handled
        return events

    @property
    def untold(self) -> int:
        """Messages handled of which the worker does not know that they are."""
        return self.handled - self._told

    def told(self) -> None:
        """The worker knows of all that were handled."""
        self._told = self.handled

    async def stats(self, wait_s: float) -> lk.LegStats:
        """What the worker says of the whole leg at its end; empty when it says nothing."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                return await self._stats
        return lk.LegStats()

    # ------------------------------------------------------------- put in

    def put(self, *events: m.ConversationEvent, number: int = 0) -> None:
        """Events past the inbox's bound mean that something runs away: the link
        is cut, which ends the call with a record."""
        try:
            self._waiting.put_nowait((number, events))
        except asyncio.QueueFull:
            self._worker.abort()

    def worker_lost(self) -> None:
        """No worker has the call (any more)."""
        self.legs.worker_lost()
        self.put(m.MediaLost())

    def _on_frame(self, kind: Kind, body: bytes) -> None:
        if kind is not Kind.CONTROL:
            return
        message = lk.WorkerToSession.FromString(body)
        which = message.WhichOneof("message")
        if which in ("attached", "resume"):
            return
        if which == "so_far":
            self.legs.told(worker_messages.figures(message.so_far))
            return
        self._came += 1
        if which == "provider_state" and message.provider_state.audio_format:
            self._worker.audio_format = message.provider_state.audio_format
        if which == "stats":
            self.legs.told(worker_messages.figures(message.stats))
            if not self._stats.done():
                self._stats.set_result(message.stats)
        else:
            self.put(*worker_messages.events(message, self._codec), number=self._came)

    def _on_link_end(self) -> None:
        """The worker is gone, or this call let go of it."""
        if not self._is_over():
            self.worker_lost()
        elif not self._stats.done():
            self._stats.set_result(lk.LegStats())
