"""The audio worker: a pooled actor that holds the media legs of many calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import asdict
from pathlib import Path

import structlog

from actors.effort import Effort, News
from actors.link import SESSION_SUFFIX, Link
from actors.link_server import LinkServer, serve
from actors.link_tls import Credentials, NodeTls
from actors.media_call import MediaCall
from actors.memory import resident_mb
from actors.provider import ProviderRefused, ProviderSocket, warm_up
from actors.provider_meter import ProviderMeter
from actors.recording import Recorder
from actors.tasks import Tasks
from protos.link.v1 import link_pb2 as lk
from reception.address import TlsAddress
from reception.framing import Kind
from reception.media.adaptation import Targets
from reception.media.uplink import worst
from reception.placement.admission.provider_limits import NodeUse
from reception.provider.base import DialPlan

log = structlog.get_logger()

TICK_S = 0.02
LOOK_S = 1.0
ATTACH_TIMEOUT_S = 5.0
WARM_UP_DIAL_S = 3.0
DEADLINE_EXCEEDED, ALREADY_EXISTS = 4, 6


class AudioWorker:
    """Serves links of front doors at `path` and of sessions at `path`.ctl.

    A call begins when its door and its session have both attached with the
    same lease id (a secret of the node agent); whoever waits longer than
    `ATTACH_TIMEOUT_S` for the other is sent away.

    Args:
        resume_wait_s: how long a caller whose stream broke may take to come back.
        agent_socket: where the node agent hears of sessions that are gone.
    """

    def __init__(
        self,
        worker_id: str,
        path: str,
        recordings_path: str = "var/recordings",
        targets: Targets | None = None,
        resume_wait_s: float = 0.0,
        agent_socket: str = "",
    ) -> None:
        self._worker_id, self._path = worker_id, path
        self._resume_wait_s, self._agent_socket = resume_wait_s, agent_socket
        self._effort = Effort(targets or Targets())
        self._meter = ProviderMeter()
        self._recorder = Recorder(Path(recordings_path))
        self._calls: dict[str, MediaCall] = {}  # by their leases
        self._doors: dict[str, asyncio.Future[Link]] = {}
        self._servers: list[LinkServer] = []
        self._far: LinkServer
        self._tls: NodeTls | None = None
        self._clocks: list[asyncio.Task[None]] = []
        self._closing = Tasks()
        self._served = 0

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
        self._closing.begin(self._adopt())
        self._servers = [
            await serve(self._path, self._on_door),
            await serve(self._path + SESSION_SUFFIX, self._on_session),
        ]
        self._clocks = [asyncio.create_task(work) for work in (self._tick(), self._look())]
        return self._path

    async def open(self, host: str, credentials: Credentials) -> str:
        """Serves front doors of other nodes too, and shows them this certificate from
        now on; where they reach this worker."""
        if self._tls is None:
            self._tls = NodeTls(credentials)
            self._far = await serve(str(TlsAddress(host, 0)), self._on_door, self._tls)
            self._servers.append(self._far)
        else:
            self._tls.renew(credentials)
        return self._far.address

    async def stop(self) -> None:
        """Ends every call and stops serving."""
        for clock in self._clocks:
            clock.cancel()
        for server in self._servers:
            server.close()
        for call in list(self._calls.values()):
            await call.close()
        for waiting in self._doors.values():
            if waiting.done():
                await waiting.result().close()
        await asyncio.to_thread(self._recorder.close)
        for path in (self._path, self._path + SESSION_SUFFIX):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    async def set_level(self, level: str, by: str) -> None:
        """An operator's choice: "quality" to "survival", or "auto".

        Raises:
            InvalidRequest: no such level.
        """
        if self._effort.set_level(level, by, time.monotonic()):
            self._adapt()

    async def give_up(self, lease_id: str) -> None:
        """No session goes on with this call: its stream ends with our fault."""
        call = self._calls.get(lease_id)
        if call is not None:
            call.fail("the call's session ended unexpectedly")

    async def refuse(self, lease_id: str, message: str, field: str) -> bool:
        """What this call has in `field` is another call's: its stream ends with an error,
        and its session ends it in order. False: no such call is here."""
        call = self._calls.get(lease_id)
        if call is None:
            return False
        call.refuse(message, field, ALREADY_EXISTS)
        return True

    async def hand_over(self, lease_id: str) -> None:
        """This call is to go on at another node, from its next pause on."""
        call = self._calls.get(lease_id)
        if call is not None:
            call.hand_over()

    async def let_go(self, lease_id: str) -> None:
        """Another node has this call: nobody here is told anything any more."""
        call = self._calls.get(lease_id)
        if call is not None:
            self._on_call_end(call)

    async def news(self, after: int, timeout_s: float) -> News:
        """How much the worker does for its calls, and what changed in that after
        number `after`; waits for a change up to `timeout_s`."""
        return await self._effort.news(after, timeout_s)

    async def stats(self) -> dict[str, float]:
        """Live calls, calls served, what the process weighs, and what was measured in the
        last second."""
        effort = self._effort
        return {
            "live": len(self._calls),
            "served": self._served,
            "resident_mb": resident_mb(os.getpid()),
            "misses_per_s": effort.misses_per_s,
            **asdict(effort.load),
        }

    async def legs(self) -> list[str]:
        """The lease ids of its calls."""
        return list(self._calls)

    async def provider_use(self) -> NodeUse:
        """What its calls have used of the provider's account, what is left of that, and what
        became of dials since this was asked last."""
        return self._meter.report()

    # ------------------------------------------------------------- attaching

    async def _on_door(self, link: Link) -> None:
        attach = lk.DoorToWorker.FromString(await _first_control(link)).attach
        if not attach.lease_id:
            link.abort()
            return
        if attach.lease_id in self._calls:
            self._calls[attach.lease_id].adopt_door(link)
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
        if attach.lease_id in self._calls:
            self._calls[attach.lease_id].adopt(link, attach.session)
            return
        if attach.takes_over:
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
        call = MediaCall(
            door_link,
            link,
            attach,
            self._on_call_end,
            self._recorder,
            self._effort,
            self._meter,
            self._resume_wait_s,
            self._agent_socket,
        )
        self._calls[attach.lease_id] = call
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
            self._closing.begin(waiting.result().close())

    # ------------------------------------------------------------- running

    def _on_call_end(self, call: MediaCall) -> None:
        if self._calls.get(call.lease_id) is call:
            del self._calls[call.lease_id]
        self._closing.begin(call.close())

    async def _adopt(self) -> None:
        for path in await asyncio.to_thread(self._recorder.adopt):
            log.warning("recording of a lost process finished", path=str(path))

    async def _tick(self) -> None:
        """Paces the playout of every call, on absolute times."""
        next_s = time.monotonic()
        while True:
            next_s += TICK_S
            now_s = time.monotonic()
            if next_s > now_s:
                await asyncio.sleep(next_s - now_s)
            else:
                self._effort.woke(now_s - next_s)
                next_s = now_s
                await asyncio.sleep(0)
            now_s = time.monotonic()
            self._effort.woke(now_s - next_s)
            for call in list(self._calls.values()):
                try:
                    call.pace(now_s)
                except Exception:
                    log.exception("playout failed", call_id=call.call_id)
                    self._on_call_end(call)

    async def _look(self) -> None:
        """Once a second: what calls came to; is there room to do more, or is it to be less?"""
        while True:
            await asyncio.sleep(LOOK_S)
            for call in self._calls.values():
                call.look(time.monotonic())
            if self._effort.observe(
                worst([call.uplink for call in self._calls.values()]), time.monotonic()
            ):
                self._adapt()

    def _adapt(self) -> None:
        plan = self._effort.plan
        for call in self._calls.values():
            call.adapt(plan)


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
