"""One call's messages through the front door, as they are, in both directions.

Nothing of a frame is decoded, no timer is set and no task is made for it. A
caller that doesn't read loses the oldest audio that waits for it, and only that,
until it counts as gone (`reception.call.presence`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import grpc
from google.protobuf.message import DecodeError

from actors.link import Link
from cluster.grpc_errors import code_by_number, rich_status
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.backlog import Backlog
from reception.call.presence import Marks, Presence, Seen
from reception.framing import AUDIO_TAG, CLEAR_TAG, MARK_TAG, Kind, split_audio

MAX_WAITING_AUDIO = 100
MAX_WAITING_OTHER = 1_000
CANCEL_FOLLOWS_S = 0.05
LAST_WORDS_S = 5.0  # for what waits when the call is over
_MAX_DOWN_US = 1_000_000_000

Context = grpc.aio.ServicerContext[bytes, bytes]


class Relay:
    """Between a caller's stream and the link to the call's worker.

    `up` and `down` run side by side; `down` ends first, with the call. When the
    worker dies, what the caller sends is held, bounded, for the next one.

    Args:
        idle_timeout_s: after which a caller counts as gone.
        audio_bytes_per_s: that the caller sends in real time; 0: it may send less.
        relink: gives a link to the call's next worker, or None if there is none.
    """

    def __init__(
        self,
        requests: AsyncIterator[bytes],
        context: Context,
        link: Link,
        idle_timeout_s: float,
        audio_bytes_per_s: float,
        relink: Callable[[], Awaitable[Link | None]],
    ) -> None:
        self.link = link
        self.checkpoint = b""  # the session's last state, where the call is on another node
        self.leaving = False  # the call's node hands it over
        self.caller_gone = ""  # why, when the caller counts as gone
        self._requests, self._context = requests, context
        self._idle_timeout_s, self._audio_bytes_per_s = idle_timeout_s, audio_bytes_per_s
        self._relink = relink
        self._moving: asyncio.Task[None] | None = None
        self._held: Backlog[tuple[int, bytes]] = Backlog(MAX_WAITING_AUDIO, MAX_WAITING_OTHER)
        self._gone: lk.LegGone | None = None  # why the caller's side is over
        self._sent_away = False
        self._dropped_before = 0  # by links that are no more
        self._heard_ns = time.monotonic_ns()
        self._audio_bytes, self._last_audio = 0, b""
        self._behind_since_s: float | None = None  # something waits to be read
        self._marks = Marks()
        self._on_hold = False
        self._caller_ended = False
        self._waiting: Backlog[tuple[int, bytes]] = Backlog(MAX_WAITING_AUDIO, MAX_WAITING_OTHER)
        self._wakeup: asyncio.Future[None] | None = None
        self._deadline: asyncio.Timeout
        self._patience: asyncio.TimerHandle
        self._presence: Presence
        self._over = False
        self._status: grpc.Status | None = None

    @property
    def dropped_audio(self) -> int:
        """Frames dropped in either direction because somebody didn't read."""
        waiting = self._waiting.dropped_audio + self._held.dropped_audio
        return self._dropped_before + self.link.dropped_audio + waiting

    def tell(self, message: bytes) -> None:
        """Sends the caller a message of the door's own."""
        self._add(0, message)

    # ------------------------------------------------------------- caller to worker

    async def up(self) -> None:
        """Passes the caller's messages on; says so when the caller's side is over."""
        reason, now_ns = "caller_vanished", time.monotonic_ns
        try:
            async for raw in self._requests:
                self._heard_ns = stamp_ns = now_ns()
                if raw[:1] == AUDIO_TAG:
                    self._audio_bytes += len(raw)
                    self._last_audio = raw
                else:
                    self._look_at(raw)
                if self._moving is None:
                    self.link.send_audio(stamp_ns, raw)
                else:
                    self._held.add((stamp_ns, raw), raw[:1] == AUDIO_TAG)
            if not self._caller_ended:
                # A cut connection ends the requests too; then the call is cancelled.
                await asyncio.sleep(CANCEL_FOLLOWS_S)
            reason = "caller_hangup"
        finally:
            if not self._caller_ended:
                # Who was sent away need not come back; a broken stream may be replaced.
                may_return = reason == "caller_vanished" and not self._sent_away
                self._gone = lk.LegGone(reason=reason, may_return=may_return)
                self.link.send(lk.DoorToWorker(leg_gone=self._gone))

    def _look_at(self, raw: bytes) -> None:
        """What the door must know of the messages that are not audio."""
        with suppress(DecodeError):  # the worker refuses it
            message = rv.CallerMessage.FromString(raw)
            if message.HasField("event"):
                self._marks.excuse()  # who is on hold may play nothing
                self._on_hold = message.event.kind == rv.CallEvent.KIND_HOLD or (
                    self._on_hold and message.event.kind != rv.CallEvent.KIND_UNHOLD
                )
            elif message.HasField("mark"):
                self._marks.came(message.mark.name)
            self._caller_ended = self._caller_ended or message.HasField("end")

    # ------------------------------------------------------------- worker to caller

    async def down(self) -> grpc.Status | None:
        """Passes the worker's messages on until the call is over; the status to
        end with, None for OK."""
        self._heard_ns = time.monotonic_ns()
        self._presence = Presence(
            self._idle_timeout_s, self._audio_bytes_per_s, self._heard_ns / 1e9
        )
        self._look_later()
        try:
            async with asyncio.timeout(None) as self._deadline:
                self.link.handle(self._on_frame, self._on_link_end)
                await self._write()
        except TimeoutError:
            if self._status is None:
                unread = f"the end of the call was not read within {LAST_WORDS_S:g} s"
                self._status = rich_status(grpc.StatusCode.DEADLINE_EXCEEDED, unread)
        finally:
            self._over = True
            self._patience.cancel()
            if self._moving is not None:
                self._moving.cancel()
        return self._status

    async def _write(self) -> None:
        write, waiting = self._context.write, self._waiting
        loop = asyncio.get_running_loop()
        while True:
            while waiting:
                stamp_ns, message = waiting.take()
                await write(message)
                if stamp_ns:
                    self._tell_sent(stamp_ns)
            self._behind_since_s = None
            if self._over:
                return
            self._wakeup = loop.create_future()
            await self._wakeup

    def _tell_sent(self, stamp_ns: int) -> None:
        down_us = max(0, time.monotonic_ns() - stamp_ns) // 1000
        sent = lk.FirstAudioSent(down_us=min(down_us, _MAX_DOWN_US))
        self.link.send(lk.DoorToWorker(first_audio_sent=sent))

    def _on_frame(self, kind: Kind, body: bytes) -> None:
        if kind is Kind.AUDIO:
            self._add(*split_audio(body))
            return
        control = lk.WorkerToDoor.FromString(body)
        if control.HasField("finished"):
            self._end(None)
        elif control.HasField("checkpoint"):
            self.checkpoint = control.checkpoint
        elif control.HasField("hand_over"):
            self._on_hand_over()
        elif control.HasField("abort"):
            fault = control.abort
            self._end(
                rich_status(
                    code_by_number(fault.code),
                    fault.message,
                    field=fault.field,
                    retry_after_s=fault.retry_after_ms / 1000,
                )
            )

    def _add(self, stamp_ns: int, message: bytes) -> None:
        if self._over:
            return
        if self._behind_since_s is None:
            self._behind_since_s = time.monotonic()
        self._waiting.add((stamp_ns, message), message[:1] == AUDIO_TAG)
        if message[:1] == MARK_TAG:
            name = rv.ReceptionMessage.FromString(message).mark.name
            self._marks.sent(name, time.monotonic())
        elif message[:1] == CLEAR_TAG:
            self._marks.dropped(time.monotonic())
        if self._waiting.overfull:
            text = f"over {MAX_WAITING_OTHER} messages wait: the caller does not read"
            self._end(rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, text), at_once=True)
        self._wake()

    def _on_link_end(self) -> None:
        if not self._over and self._moving is None:
            self._moving = asyncio.ensure_future(self._move())

    def _on_hand_over(self) -> None:
        """The node is leaving: its worker serves the call until another has it."""
        if not self._over and self._moving is None:
            self.leaving = True
            self._moving = asyncio.ensure_future(self._move())

    async def _move(self) -> None:
        """To the call's next worker, with all that was held meanwhile."""
        link, before = await self._relink(), self.link
        if link is None:
            text = "the call's audio worker is gone"
            self._end(rich_status(grpc.StatusCode.UNAVAILABLE, text, retry_after_s=1.0))
            return
        self._dropped_before += before.dropped_audio
        before.handle(lambda _kind, _body: None, lambda: None)
        before.abort()
        self.link, self._moving, self.leaving = link, None, False
        while self._held:
            link.send_audio(*self._held.take())
        if self._gone is not None:
            link.send(lk.DoorToWorker(leg_gone=self._gone))
        link.handle(self._on_frame, self._on_link_end)

    def _end(self, status: grpc.Status | None, *, at_once: bool = False) -> None:
        """The call is over, as soon as what waits is written."""
        if not self._over:
            self._over, self._status = True, status
            self._sent_away = True
            wait_s = 0.0 if at_once else LAST_WORDS_S
            self._deadline.reschedule(asyncio.get_running_loop().time() + wait_s)
            self._wake()

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    # ------------------------------------------------------------- patience

    def _look_later(self) -> None:
        wait_s = self._presence.next_look_s() - time.monotonic()
        self._patience = asyncio.get_running_loop().call_later(wait_s, self._check_patience)

    def _check_patience(self) -> None:
        """Ends the call of a caller who counts as gone."""
        now_s = time.monotonic()
        since_s = self._behind_since_s
        seen = Seen(
            heard_s=self._heard_ns / 1e9,
            behind_s=0.0 if since_s is None else now_s - since_s,
            unmarked_s=self._marks.waits_s(now_s),
            audio_bytes=self._audio_bytes,
            media_s=_media_s(self._last_audio),
            excused=self._on_hold or self._caller_ended,
        )
        gone = self._presence.look(seen, now_s)
        if not gone:
            self._look_later()
            return
        self.caller_gone = gone
        self._end(rich_status(grpc.StatusCode.DEADLINE_EXCEEDED, gone), at_once=True)


def _media_s(raw: bytes) -> float:
    """What a frame's own stamp says; 0 when it has none."""
    with suppress(DecodeError):  # the worker refuses it
        return rv.CallerMessage.FromString(raw).audio.timestamp_ms / 1000
    return 0.0
