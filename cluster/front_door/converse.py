"""One `Converse` stream: admits the call, places it, and has it relayed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import structlog
from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError

from actors.link import Link
from actors.pulse import Pulse
from cluster.door_config import DoorConfig
from cluster.front_door.backends import Backends
from cluster.front_door.credentials import admitted
from cluster.front_door.relay import Context, Relay
from cluster.front_door.turnstile import Turnstile
from cluster.grpc_errors import abort
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call.record import CallSpec
from reception.call.validation import StartRequest, check_start, check_token
from reception.errors import (
    IdleTimeout,
    InvalidRequest,
    LimitReached,
    NodeLost,
    NotFound,
    ReceptionError,
    Unavailable,
)
from reception.media.codecs import AudioFormat
from reception.money.account import Hold
from reception.money.scopes import Owner
from reception.placement.admission.answer import Cause, Refused
from reception.placement.admission.priority import KEY as PRIORITY
from reception.placement.admission.priority import Priority, priority_of
from reception.placement.lease import Placement

log = structlog.get_logger()

RELINK_TIMEOUT_S = 22.0  # where every worker of the node died, a new one takes seconds
RELINK_PAUSE_S = 0.1
BACK_TIMEOUT_S = 1.0
TELL_PLACE_S = 0.2
LONGEST_TOLD_S = 60.0  # where nothing is known to come, the wait would be endless
SETUP_TIMEOUT_S = 4.0  # then the caller is better off elsewhere, or later
RETRY_AFTER_S = 2.0
STATUS_S = 2.0  # to send it: it waits behind what a caller does not read
HALF_CLOSE_S = 0.5  # after the summary, for the caller to be done writing

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


T = TypeVar("T")

# A call's place in a line, and the wait to be expected in seconds; None: not in it.
PlaceOf = Callable[[str], Awaitable[tuple[int, float] | None]]
# Does what a caller need not wait for, even when its own RPC is cancelled.
Later = Callable[[Coroutine[Any, Any, None]], None]


class Stream:
    """The door's side of one call.

    Args:
        requests: the caller's messages.
        context: of the RPC.
        backends: whom to ask.
        config: how long to wait.
        turnstile: lets a few at a time through to be admitted.
        later: gives back what a refused call held.
    """

    def __init__(
        self,
        requests: AsyncIterator[bytes],
        context: Context,
        backends: Backends,
        config: DoorConfig,
        turnstile: Turnstile,
        later: Later,
    ) -> None:
        self.setup_ms = 0.0
        self.dropped_audio = 0
        self._requests, self._context = requests, context
        self._backends, self._config = backends, config
        self._turnstile, self._later = turnstile, later
        self._came_back = False
        self._opened_s = time.monotonic()
        self._link: Link | None = None
        self._relay: Relay | None = None
        self._draining = b""  # what the caller is told of it
        self._spec: CallSpec
        self._placement: Placement

    async def run(self) -> None:
        """The whole call; ends the RPC with its status."""
        try:
            spec, placement = await self._set_up()
        except ReceptionError as error:
            await abort(self._context, error)
            return
        link = self._link
        assert link is not None
        self._spec, self._placement = spec, placement
        relay = self._relay = Relay(
            self._requests,
            self._context,
            link,
            self._config.idle_timeout_s,
            _audio_bytes_per_s(spec),
            self._relink,
        )
        if self._draining:  # since before there was a line
            relay.tell(self._draining)
        up = asyncio.create_task(relay.up())
        try:
            await self._accept(spec, placement)
            status = await relay.down()
            if status is None:  # grpcio drops what a client has not read when a write of it fails
                await asyncio.wait([up], timeout=HALF_CLOSE_S)
        finally:
            up.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await up
            self.dropped_audio = relay.dropped_audio
            if relay.caller_gone:
                log.info("caller gone", call_id=spec.call_id, why=relay.caller_gone)
            self._backends.over(self._placement)
            await relay.link.close()
        if status is not None:
            with suppress(TimeoutError):  # what is left of its stream is gRPC's then
                async with asyncio.timeout(STATUS_S):
                    await self._context.abort(status.code, status.details, status.trailing_metadata)

    def drain(self, grace_s: float) -> None:
        """Tells the caller that this server is going away."""
        grace = duration_pb2.Duration(seconds=int(grace_s))
        message = rv.ReceptionMessage(draining=rv.Draining(grace=grace))
        self._draining = message.SerializeToString()
        if self._relay is not None:
            self._relay.tell(self._draining)

    # ------------------------------------------------------------- setting up

    async def _set_up(self) -> tuple[CallSpec, Placement]:
        start = await self._first_message()
        request = None if start.resume_token else _checked(start)
        try:
            async with asyncio.timeout(SETUP_TIMEOUT_S):
                if request is None:
                    return await self._resume(start.resume_token)
                return await self._place(request, here=start.here)
        except TimeoutError:
            message = f"this node is too busy: no line within {SETUP_TIMEOUT_S:g} s"
            raise LimitReached(message, retry_after_s=RETRY_AFTER_S) from None

    async def _place(self, request: StartRequest, *, here: bool) -> tuple[CallSpec, Placement]:
        """Admits the call and gives it a session and a worker."""
        session_id = secrets.token_hex(12)
        metadata = self._metadata(request)
        urgent = priority_of(metadata) is Priority.EMERGENCY
        turn = self._turnstile.enter(session_id, first=urgent)
        try:
            await self._telling_place(turn, self._turnstile.place, session_id)
            spec = await self._admit(request, metadata, session_id)
        finally:
            self._turnstile.leave(session_id)
        try:
            placement = await self._lease(spec, here=here)
        except BaseException as error:
            if not isinstance(error, ReceptionError):  # the caller may wait in line
                self._later(self._backends.abandon_wait(spec.session_id))
            self._later(self._backends.close_call(spec.session_id))
            raise
        try:
            self._link = await self._attach(spec.call_id, placement)
        except BaseException:
            # The session settles the call's account when it finds it abandoned.
            self._later(self._backends.abandon(placement, "caller_vanished"))
            raise
        return spec, placement

    async def _resume(self, token: str) -> tuple[CallSpec, Placement]:
        """A caller whose stream broke is back: the call goes on here."""
        check_token(token)
        admission = await admitted(self._backends, self._context, "call")
        spec, placement = await self._backends.resume(token, admission.key_id)
        self._link = await self._attach(spec.call_id, placement)
        self._came_back = True
        return spec, placement

    def _metadata(self, request: StartRequest) -> dict[str, str]:
        """What the caller says, and what is known of the number."""
        metadata = dict(request.metadata)
        if self._backends.is_emergency(request.to_uri):
            metadata[PRIORITY] = Priority.EMERGENCY.value
        return metadata

    async def _admit(
        self, request: StartRequest, metadata: dict[str, str], session_id: str
    ) -> CallSpec:
        """Key, rate and money; from here on the call has an account."""
        admission = await admitted(self._backends, self._context, "call")
        priority = priority_of(metadata)
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
            metadata=metadata,
            tenant=admission.tenant,
            key_id=admission.key_id,
            node_id=self._config.node_id,
            accepted_at_s=time.time(),
            full_model=request.full_model,
        )
        profile, model = self._backends.receptionist(
            request.profile, request.to_uri, full_model=request.full_model
        )
        owner = Owner(
            session_id,
            call_id,
            admission.tenant,
            admission.key_id,
            model,
            number=request.to_uri,
            profile=profile,
            exempt=priority is Priority.EMERGENCY,
        )
        try:
            (spec, hold), room = await asyncio.gather(
                self._hold(spec, owner), self._backends.provider_room(session_id, priority)
            )
        except asyncio.CancelledError:
            self._later(self._backends.close_call(session_id))
            raise
        if not hold.admitted:
            raise LimitReached(hold.message, retry_after_s=hold.retry_after_s)
        if isinstance(room, Refused):
            self._later(self._backends.close_call(session_id))
            refusal = Unavailable if room.cause is Cause.PROVIDER_AWAY else LimitReached
            raise refusal(room.reason, retry_after_s=room.retry_after_s)
        return replace(spec, claim=hold.claim, means=hold.means)

    async def _hold(self, spec: CallSpec, owner: Owner) -> tuple[CallSpec, Hold]:
        """Holds the call's money. Where there is none for the full model that it asks for,
        the small one answers."""
        hold = await self._backends.open_call(owner)
        if hold.admitted or not spec.full_model:
            return spec, hold
        _, model = self._backends.receptionist(spec.profile, spec.to_uri)
        if model != owner.model:
            hold = await self._backends.open_call(replace(owner, model=model))
        return replace(spec, full_model=False), hold

    async def _lease(self, spec: CallSpec, *, here: bool) -> Placement:
        lease = asyncio.ensure_future(self._backends.lease(spec, here=here))
        return await self._telling_place(lease, self._backends.place_in_line, spec.session_id)

    async def _telling_place(
        self, waiting: asyncio.Future[T], place_of: PlaceOf, session_id: str
    ) -> T:
        """What a caller waits for; meanwhile it is told its place in the line."""
        told = 0
        try:
            while not waiting.done():
                if (await asyncio.wait((waiting,), timeout=TELL_PLACE_S))[0]:
                    break
                place = await place_of(session_id)
                if place is not None and place[0] != told:
                    told, wait_s = place
                    wait = duration_pb2.Duration()
                    wait.FromMilliseconds(round(1000 * min(wait_s, LONGEST_TOLD_S)))
                    queued = rv.Queued(position=told, expected_wait=wait)
                    message = rv.ReceptionMessage(queued=queued)
                    await self._context.write(message.SerializeToString())
        except BaseException:
            waiting.cancel()
            with suppress(BaseException):
                await waiting
            raise
        return waiting.result()

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

    async def _attach(
        self, call_id: str, placement: Placement, timeout_s: float | None = None
    ) -> Link:
        """A link to the call's worker, once its session is there too."""
        timeout_s, tls = timeout_s or self._config.attach_timeout_s, self._backends.tls
        link = await Link.connect(placement.worker_address, timeout_s, tls)
        try:
            attach = lk.DoorAttach(call_id=call_id, lease_id=placement.lease_id)
            link.send(lk.DoorToWorker(attach=attach))
            async with asyncio.timeout(timeout_s):
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

    async def _relink(self) -> Link | None:
        """A link to the worker that has the call now: another one of its node, or when
        the node is lost or leaves, one of another node. None when there is none in
        time."""
        until_s = time.monotonic() + RELINK_TIMEOUT_S
        if self._held_up() and (link := await self._back()) is not None:
            return link
        while time.monotonic() < until_s:
            try:
                return await self._attach(self._spec.call_id, await self._placed_again())
            except NotFound:
                return None
            except ReceptionError as error:
                log.info("call not placed again yet", error=error.message)
                await asyncio.sleep(RELINK_PAUSE_S)
        return None

    def _held_up(self) -> bool:
        """This process stood still: nobody else need be at fault."""
        return self._relay is not None and not self._relay.leaving and Pulse.of_loop().held_up()

    async def _back(self) -> Link | None:
        """A link to the same worker, which waits for the caller; None: it does not."""
        with suppress(ReceptionError):
            link = await self._attach(self._spec.call_id, self._placement, BACK_TIMEOUT_S)
            log.info("back at the call's worker", call_id=self._spec.call_id)
            return link
        return None

    async def _placed_again(self) -> Placement:
        placement, relay = self._placement, self._relay
        assert relay is not None
        if not relay.leaving:
            try:
                address = await self._backends.another_worker(placement)
                self._placement = replace(placement, worker_address=address)
                return self._placement
            except NodeLost:
                log.warning("node of a call lost", call_id=self._spec.call_id)
        self._placement = await self._backends.take_over(self._spec, relay.checkpoint, placement)
        self._backends.over(placement)
        return self._placement

    async def _accept(self, spec: CallSpec, placement: Placement) -> None:
        accepted = rv.CallAccepted(
            call_id=spec.call_id,
            session_id=spec.session_id,
            format=rv.LegFormat(
                codec=_CODEC_NUMBERS[spec.codec],
                rate_hz=spec.rate_hz,
                ptime_ms=spec.ptime_ms,
            ),
            resume_token=placement.resume_token,
            node_id=placement.node_id,
            profile=placement.profile,
        )
        await self._context.write(rv.ReceptionMessage(accepted=accepted).SerializeToString())
        if self._came_back:
            self._later(self._backends.has_token(spec.session_id, placement))
        self.setup_ms = (time.monotonic() - self._opened_s) * 1000


def _audio_bytes_per_s(spec: CallSpec) -> float:
    """That a leg sends in real time; 0 with Opus, which has no fixed size and may be
    discontinuous."""
    if spec.codec == "opus":
        return 0.0
    return 1000 * AudioFormat(spec.codec, spec.rate_hz).bytes_per_ms


def _checked(start: rv.CallStart) -> StartRequest:
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
            sends_marks=start.sends_marks,
            full_model=start.full_model,
        )
    )
