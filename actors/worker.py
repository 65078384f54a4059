"""The audio worker: a pooled actor that holds the media legs of many calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Coroutine
from pathlib import Path

import structlog

from actors.link import SESSION_SUFFIX, Link
from actors.link_server import LinkServer, serve
from actors.media_call import MediaCall
from actors.provider import ProviderRefused, ProviderSocket, warm_up
from actors.recording import Recorder
from protos.link.v1 import link_pb2 as lk
from reception.framing import Kind
from reception.provider.base import DialPlan

log = structlog.get_logger()

TICK_S = 0.02
ATTACH_TIMEOUT_S = 5.0
WARM_UP_DIAL_S = 3.0
DEADLINE_EXCEEDED = 4


class AudioWorker:
    """Serves links of front doors at `path` and of sessions at `path`.ctl.

    A call begins when its door and its session have both attached with the
    same lease id (a secret of the node agent); whoever waits longer than
    `ATTACH_TIMEOUT_S` for the other is sent away.
    """

    def __init__(self, worker_id: str, path: str, recordings_path: str = "var/recordings") -> None:
        self._worker_id, self._path = worker_id, path
        self._recorder = Recorder(Path(recordings_path))
        self._calls: set[MediaCall] = set()
        self._doors: dict[str, asyncio.Future[Link]] = {}
        self._servers: list[LinkServer] = []
        self._ticker: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._served = 0
        self._lag_s = 0.0

    async def warm_up(self, provider: str, base_url: str, model: str) -> None:
        """Makes the first dial as quick as any other, by making one; whether the
        provider can be reached is seen again at each call."""
        await asyncio.to_thread(warm_up, provider, base_url)
        with contextlib.suppress(ProviderRefused):
            plan = DialPlan(provider, base_url, model, "pcmu", connect_timeout_s=WARM_UP_DIAL_S)
            socket = await ProviderSocket.dial(plan)
            await socket.close()

    async def start(self) -> str:
        """Serves; returns the path for front doors."""
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        self._servers = [
            await serve(self._path, self._on_door),
            await serve(self._path + SESSION_SUFFIX, self._on_session),
        ]
        self._ticker = asyncio.create_task(self._tick())
        return self._path

    async def stop(self) -> None:
        """Ends every call and stops serving."""
        if self._ticker is not None:
            self._ticker.cancel()
        for server in self._servers:
            server.close()
        for call in list(self._calls):
            await call.close()
        for waiting in self._doors.values():
            if waiting.done():
                await waiting.result().close()
        await asyncio.to_thread(self._recorder.close)
        for path in (self._path, self._path + SESSION_SUFFIX):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self._stopped.set()

    async def until_stopped(self) -> None:
        """Comes back when the worker was stopped; fails when its process dies."""
        await self._stopped.wait()

    async def stats(self) -> dict[str, float]:
        """Live calls, calls served, the pacer's worst lag in seconds of late."""
        lag_s, self._lag_s = self._lag_s, 0.0
        return {"live": len(self._calls), "served": self._served, "lag_s": lag_s}

    # ------------------------------------------------------------- attaching

    async def _on_door(self, link: Link) -> None:
        attach = lk.DoorToWorker.FromString(await _first_control(link)).attach
        if not attach.lease_id:
            link.abort()
            return
        waiting = self._door_future(attach.lease_id)
        if waiting.done():
            link.abort()
        else:
            waiting.set_result(link)
            asyncio.get_running_loop().call_later(
                ATTACH_TIMEOUT_S, self._give_up, attach.lease_id, waiting
            )

    async def _on_session(self, link: Link) -> None:
        attach = lk.SessionToWorker.FromString(await _first_control(link)).attach
        if not attach.lease_id:
            link.abort()
            return
        door = self._door_future(attach.lease_id)
        try:
            async with asyncio.timeout(ATTACH_TIMEOUT_S):
                door_link = await asyncio.shield(door)
        except TimeoutError:
            link.abort()
            return
        finally:
            self._doors.pop(attach.lease_id, None)
        call = MediaCall(door_link, link, attach, self._on_call_end, self._recorder)
        self._calls.add(call)
        self._served += 1
        call.begin()

    def _door_future(self, lease_id: str) -> asyncio.Future[Link]:
        future = self._doors.get(lease_id)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._doors[lease_id] = future
        return future

    def _give_up(self, lease_id: str, waiting: asyncio.Future[Link]) -> None:
        """No session came for a door: tell it."""
        if self._doors.get(lease_id) is waiting:
            del self._doors[lease_id]
            abort = lk.Abort(code=DEADLINE_EXCEEDED, message="no session took the call in time")
            waiting.result().send(lk.WorkerToDoor(abort=abort))
            self._later(waiting.result().close())

    # ------------------------------------------------------------- running

    def _on_call_end(self, call: MediaCall) -> None:
        self._calls.discard(call)
        self._later(call.close())

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _tick(self) -> None:
        """Paces the playout of every call, on absolute times."""
        next_s = time.monotonic()
        while True:
            next_s += TICK_S
            now_s = time.monotonic()
            if next_s > now_s:
                await asyncio.sleep(next_s - now_s)
            else:
                self._lag_s = max(self._lag_s, now_s - next_s)
                next_s = now_s
                await asyncio.sleep(0)
            now_s = time.monotonic()
            for call in list(self._calls):
                try:
                    call.tick(now_s)
                except Exception:
                    log.exception("playout failed", call_id=call.call_id)
                    self._on_call_end(call)


async def _first_control(link: Link) -> bytes:
    """The body of the first frame, which must be a control message that comes
    in time; else the link is cut and the body is empty."""
    try:
        async with asyncio.timeout(ATTACH_TIMEOUT_S):
            frame = await link.receive()
    except TimeoutError:
        frame = None
    if frame is None or frame[0] is not Kind.CONTROL:
        link.abort()
        return b""
    return frame[1]
