"""The caller's side of a call at its audio worker: the link of the front door that has the
stream, or what waits for the caller to come back to one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.link import FrameHandler, Link, Serializable
from protos.link.v1 import link_pb2 as lk
from reception.backlog import Backlog
from reception.framing import AUDIO_TAG

ABORTED, INTERNAL = 10, 13
VANISHED = "caller_vanished"
MAX_UNTOLD_AUDIO, MAX_UNTOLD = 100, 1_000


class DoorSide:
    """One link at a time, from `open` on.

    Args:
        wait_s: how long a caller whose stream broke may take to come back.
        on_frame: what comes from the door.
        on_gone: the caller does not come back; why.
        on_overfull: so much waits for a caller who is away that no more can.
    """

    def __init__(
        self,
        door: Link,
        wait_s: float,
        on_frame: FrameHandler,
        on_gone: Callable[[str], None],
        on_overfull: Callable[[], None],
    ) -> None:
        self._door, self._wait_s = door, wait_s
        self._on_frame, self._on_gone, self._on_overfull = on_frame, on_gone, on_overfull
        self._waiting: asyncio.TimerHandle | None = None  # the caller may come back until then
        self._untold: Backlog[bytes] = Backlog(MAX_UNTOLD_AUDIO, MAX_UNTOLD)
        self._left = False
        self._farewell: asyncio.Future[None] | None = None  # to a door before

    @property
    def away(self) -> bool:
        """The caller's stream broke, and the caller is not back."""
        return self._waiting is not None

    @property
    def dropped_audio(self) -> int:
        """Frames of audio that this door was too slow for."""
        return self._door.dropped_audio

    # ------------------------------------------------------------- the link

    def open(self) -> None:
        """Tells the door that the call is up, and the caller what waited."""
        door = self._door
        door.send(lk.WorkerToDoor(attached=lk.Attached()))
        while self._untold:
            door.send_audio(0, self._untold.take())
        door.handle(self._on_frame, lambda: self._on_end(door))

    def move(self, door: Link) -> None:
        """The caller is back, at this door, which is still to be opened; where the stream
        before is still there, it ends."""
        before, self._door = self._door, door
        if self._waiting is None:
            moved = lk.Abort(code=ABORTED, message="the call goes on at another stream")
            before.send(lk.WorkerToDoor(abort=moved))
        else:
            self._waiting.cancel()
            self._waiting = None
        before.handle(lambda _kind, _body: None, lambda: None)  # it speaks for nobody now
        self._farewell = asyncio.ensure_future(before.close())

    def _on_end(self, door: Link) -> None:
        if door is self._door:
            self.wait()

    async def close(self) -> None:
        await self._door.close()

    # ------------------------------------------------------------- what is told

    def to_caller(self, message: Serializable | bytes, stamp_ns: int = 0) -> None:
        """Sends a message of the stream, or keeps it until the caller is back."""
        raw = message if isinstance(message, bytes) else message.SerializeToString()
        if self._waiting is None:
            self._door.send_audio(stamp_ns, raw)
            return
        self._untold.add(raw, raw[:1] == AUDIO_TAG)
        if self._untold.overfull:
            self._on_overfull()

    def keep(self, checkpoint: bytes) -> None:
        """The session's state, for a door on another node."""
        if self._door.peer_node_id:
            self._door.send(lk.WorkerToDoor(checkpoint=checkpoint))

    def hand_over(self, checkpoint: bytes) -> None:
        """The door is to bring the call to another node, in this state."""
        if not self._door.peer_node_id:  # that of another node has it already
            self._door.send(lk.WorkerToDoor(checkpoint=checkpoint))
        self._door.send(lk.WorkerToDoor(hand_over=lk.HandOver()))

    def refuse(self, code: int, message: str, field: str = "") -> None:
        """Ends the caller's stream with an error."""
        self._door.send(lk.WorkerToDoor(abort=lk.Abort(code=code, field=field, message=message)))

    def finish(self) -> None:
        """All is over, and in order."""
        self._door.send(lk.WorkerToDoor(finished=lk.Finished()))

    # ------------------------------------------------------------- waiting

    def wait(self) -> None:
        """For the caller to come back, unless there is nobody to wait for."""
        if self._waiting is None and not self._left:
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(self._wait_s, self._on_gone, VANISHED)

    def left(self) -> None:
        """The caller is waited for no more."""
        self._left = True

    def stop(self) -> None:
        """Whatever the door or its caller does now changes nothing."""
        self._left = True
        if self._waiting is not None:
            self._waiting.cancel()
