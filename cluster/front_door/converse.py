"""One `Converse` stream: admits the call, places it, and relays its bytes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc
import structlog
from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError

from actors.link import Link
from cluster.door_config import DoorConfig
from cluster.front_door.backends import Backends
from cluster.front_door.credentials import admitted
from cluster.grpc_errors import abort, code_by_number, rich_status
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call.record import CallSpec
from reception.call.validation import StartRequest, check_start
from reception.errors import (
    IdleTimeout,
    InvalidRequest,
    LimitReached,
    NotFound,
    ReceptionError,
    Unavailable,
)
from reception.framing import Kind, split_audio
from reception.placement.lease import Placement

log = structlog.get_logger()

_AUDIO_TAG = 0x12  # field 2 of CallerMessage: audio, relayed without decoding
_LAST_WORDS_S = 5.0
_CODECS = {
    rv.CODEC_UNSPECIFIED: "",
    rv.CODEC_PCMU: "pcmu",
    rv.CODEC_PCMA: "pcma",
    rv.CODEC_L16: "l16",
    rv.CODEC_OPUS: "opus",
}
_CODEC_NUMBERS = {name: number for number, name in _CODECS.items()}
_DIRECTIONS = {
    rv.DIRECTION_UNSPECIFIED: "inbound",
    rv.DIRECTION_INBOUND: "inbound",
    rv.DIRECTION_OUTBOUND: "outbound",
}

Context = grpc.aio.ServicerContext[bytes, bytes]


class Stream:
    """The door's side of one call."""

    def __init__(
        self,
        requests: AsyncIterator[bytes],
        context: Context,
        backends: Backends,
        config: DoorConfig,
    ) -> None:
        self.setup_ms = 0.0
        self.dropped_audio = 0
        self._requests, self._context = requests, context
        self._backends, self._config = backends, config
        self._opened_s = time.monotonic()
        self._heard_s = self._opened_s
        self._on_hold = False
        self._ended = False
        self._link: Link | None = None
        self._write_lock = asyncio.Lock()

    async def run(self) -> None:
        """The whole call; ends the RPC with its status."""
        try:
            spec, placement = await self._set_up()
        except ReceptionError as error:
            await abort(self._context, error)
            return
        link = self._link
        assert link is not None
        reader = asyncio.create_task(self._relay_up(link))
        try:
            await self._accept(spec, placement)
            status = await self._relay_down(link)
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await reader
            self.dropped_audio = link.dropped_audio
            if not link.ended:
                link.send(lk.DoorToWorker(leg_gone=lk.LegGone(reason="caller_vanished")))
            await link.close()
        if status is not None:
            await self._context.abort(status.code, status.details, status.trailing_metadata)

    async def drain(self, grace_s: float) -> None:
        """Tells the caller that this server is going away."""
        grace = duration_pb2.Duration(seconds=int(grace_s))
        message = rv.ReceptionMessage(draining=rv.Draining(grace=grace))
        if self.setup_ms:
            await self._write(message.SerializeToString())

    # ------------------------------------------------------------- setting up

    async def _set_up(self) -> tuple[CallSpec, Placement]:
        start = await self._first_message()
        request = _checked(start)
        admission = await admitted(self._backends, self._context, "call")
        session_id = secrets.token_hex(12)
        call_id = request.call_id or f"call-{secrets.token_hex(8)}"
        spec = CallSpec(
            call_id=call_id,
            session_id=session_id,
            lease_id="",
            from_uri=request.from_uri,
            to_uri=request.to_uri,
            direction=request.direction,
            codec=request.codec,
            rate_hz=request.rate_hz,
            ptime_ms=request.ptime_ms,
            sends_marks=request.sends_marks,
            profile=request.profile,
            metadata=dict(request.metadata),
            tenant=admission.tenant,
            key_id=admission.key_id,
            node_id=self._config.node_id,
            accepted_at_s=time.time(),
        )
        model = self._backends.model(request.profile, request.to_uri)
        hold = await self._backends.open_call(
            session_id, call_id, admission.tenant, admission.key_id, model
        )
        if not hold.admitted:
            raise LimitReached(hold.message, retry_after_s=hold.retry_after_s)
        try:
            placement = await self._backends.lease(spec)
        except BaseException:
            await asyncio.shield(self._backends.close_call(session_id))
            raise
        try:
            self._link = await self._attach(call_id, placement)
        except BaseException:
            # The session settles the call's account when it finds it abandoned.
            await asyncio.shield(self._backends.abandon(placement.lease_id, "caller_vanished"))
            raise
        return spec, placement

    async def _first_message(self) -> rv.CallStart:
        try:
            async with asyncio.timeout(self._config.idle_timeout_s):
                raw = await anext(self._requests)
        except TimeoutError:
            raise IdleTimeout(f"no CallStart within {self._config.idle_timeout_s:g} s") from None
        except StopAsyncIteration:
            raise InvalidRequest(
                "the stream ended before CallStart, its first message", field="start"
            ) from None
        try:
            message = rv.CallerMessage.FromString(raw)
        except DecodeError:
            raise InvalidRequest(
                "the first message is no valid CallerMessage", field="message"
            ) from None
        kind = message.WhichOneof("message")
        if kind != "start":
            raise InvalidRequest(
                f"the first message must be CallStart, not {kind or 'an empty one'}",
                field="start",
            )
        return message.start

    async def _attach(self, call_id: str, placement: Placement) -> Link:
        """A link to the call's worker, once its session is there too."""
        link = await Link.connect(placement.worker_socket, self._config.attach_timeout_s)
        try:
            attach = lk.DoorAttach(call_id=call_id, lease_id=placement.lease_id)
            link.send(lk.DoorToWorker(attach=attach))
            async with asyncio.timeout(self._config.attach_timeout_s):
                frame = await link.receive()
        except BaseException as error:
            link.abort()
            if isinstance(error, TimeoutError):
                raise Unavailable("no session took the call in time", retry_after_s=1.0) from None
            raise
        answer = lk.WorkerToDoor.FromString(frame[1]) if frame else lk.WorkerToDoor()
        if not answer.HasField("attached"):
            link.abort()
            raise Unavailable("the call's session could not be reached", retry_after_s=1.0)
        return link

    async def _accept(self, spec: CallSpec, placement: Placement) -> None:
        accepted = rv.CallAccepted(
            call_id=spec.call_id,
            session_id=spec.session_id,
            format=rv.LegFormat(
                codec=_CODEC_NUMBERS[spec.codec],
                rate_hz=spec.rate_hz,
                ptime_ms=spec.ptime_ms,
            ),
            resume_token=secrets.token_urlsafe(24),
            node_id=spec.node_id,
            profile=placement.profile,
        )
        await self._write(rv.ReceptionMessage(accepted=accepted).SerializeToString())
        self._heard_s = time.monotonic()
        self.setup_ms = (self._heard_s - self._opened_s) * 1000

    # ------------------------------------------------------------- relaying

    async def _relay_up(self, link: Link) -> None:
        """Caller to worker, as it is; says so when the caller's side is over."""
        reason = "caller_vanished"
        try:
            async for raw in self._requests:
                self._heard_s = time.monotonic()
                if raw[:1] != b"\x12":
                    self._look_at(raw)
                link.send_audio(time.monotonic_ns(), raw)
            reason = "caller_hangup"
        finally:
            if not self._ended:
                link.send(lk.DoorToWorker(leg_gone=lk.LegGone(reason=reason)))

    def _look_at(self, raw: bytes) -> None:
        """What the door must know of the messages that are not audio."""
        with suppress(DecodeError):  # the worker refuses it
            message = rv.CallerMessage.FromString(raw)
            if message.HasField("event"):
                self._on_hold = message.event.kind == rv.CallEvent.KIND_HOLD or (
                    self._on_hold and message.event.kind != rv.CallEvent.KIND_UNHOLD
                )
            self._ended = self._ended or message.HasField("end")

    async def _relay_down(self, link: Link) -> grpc.Status | None:
        """Worker to caller; the status to end with, None for OK."""
        while True:
            try:
                async with asyncio.timeout(self._patience_s()):
                    frame = await link.receive()
            except TimeoutError:
                if self._patience_s() > 0:
                    continue
                bound = f"{self._config.idle_timeout_s:g} s"
                return rich_status(
                    grpc.StatusCode.DEADLINE_EXCEEDED, f"nothing received for {bound}"
                )
            if frame is None:
                return rich_status(
                    grpc.StatusCode.UNAVAILABLE,
                    "the call's audio worker is gone",
                    retry_after_s=1.0,
                )
            kind, body = frame
            if kind is Kind.AUDIO:
                await self._pass_on(link, body)
                continue
            control = lk.WorkerToDoor.FromString(body)
            if control.HasField("finished"):
                return None
            if control.HasField("abort"):
                fault = control.abort
                return rich_status(
                    code_by_number(fault.code),
                    fault.message,
                    field=fault.field,
                    retry_after_s=fault.retry_after_ms / 1000,
                )

    def _patience_s(self) -> float:
        """How much longer the caller may be silent."""
        if self._on_hold or self._ended:
            return self._config.idle_timeout_s
        return self._heard_s + self._config.idle_timeout_s - time.monotonic()

    async def _pass_on(self, link: Link, body: bytes) -> None:
        stamp_ns, message = split_audio(body)
        await self._write(message)
        if stamp_ns:
            down_us = max(0, time.monotonic_ns() - stamp_ns) // 1000
            sent = lk.FirstAudioSent(down_us=down_us)
            link.send(lk.DoorToWorker(first_audio_sent=sent))

    async def _write(self, message: bytes) -> None:
        async with self._write_lock:
            await self._context.write(message)


def _checked(start: rv.CallStart) -> StartRequest:
    if start.resume_token:
        raise NotFound("resume_token is not that of a waiting call", field="start.resume_token")
    if start.direction not in _DIRECTIONS:
        raise InvalidRequest(f"direction {start.direction} is not 0 to 2", field="start.direction")
    return check_start(
        StartRequest(
            call_id=start.call_id,
            from_uri=getattr(start, "from"),
            to_uri=start.to,
            direction=_DIRECTIONS[start.direction],
            codec=_CODECS.get(start.format.codec, str(start.format.codec)),
            rate_hz=start.format.rate_hz,
            ptime_ms=start.format.ptime_ms,
            profile=start.profile,
            metadata=dict(start.metadata),
            resume_token=start.resume_token,
            sends_marks=start.sends_marks,
        )
    )
