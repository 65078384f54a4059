"""The front door: the gRPC server of a node."""

from __future__ import annotations

from actors.tasks import Tasks
from cluster import grpc_threads  # noqa: F401 - comes before gRPC

# isort: split

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cluster.door_config import DoorConfig
from cluster.front_door import orca
from cluster.front_door.backends import Backends, RayBackends
from cluster.front_door.calls import Calls
from cluster.front_door.converse import Stream
from cluster.front_door.turnstile import Turnstile
from cluster.grpc_errors import abort
from protos.reception.v1 import reception_pb2 as rv
from reception.errors import ReceptionError, Unavailable
from reception.placement.balancing.balancer import NodeView

__all__ = ["DoorConfig", "FrontDoor"]

log = structlog.get_logger()

SERVICE = rv.DESCRIPTOR.services_by_name["Reception"].full_name
SETUPS_KEPT = 10_000
HEALTH_S = 0.5
FIRST_WRITE_S = 1.0
# A connection that says nothing for 7 s is broken. Then its callers may come back, for 10 s
# (`Settings.resume_wait_s`); 3 are left to end and bill a call within 20.
KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS = 4_000, 3_000
CLIENTS_PING_MS = 1_000  # as often clients may do the same, to notice a door that stands still


class FrontDoor:
    """Serves reception.v1, grpc.health.v1 and reflection.

    Args:
        config: where to listen and how long to wait.
        backends: whom to ask; None for the cluster's actors.
    """

    def __init__(self, config: DoorConfig, backends: Backends | None = None) -> None:
        self._config = config
        self._backends = backends or RayBackends(config)
        self._streams: set[Stream] = set()
        self._quiet = asyncio.Event()  # no stream is live
        self._quiet.set()
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()
        self._turnstile = Turnstile(config.turnstile)
        self._afterwards = Tasks()
        self._draining = False
        self._serving: bool | None = None  # as health says; None: it says nothing yet
        self._following: asyncio.Task[None] | None = None
        self._accepted = self._dropped_audio = 0
        self._refused: Counter[str] = Counter()
        self._setups_ms: deque[float] = deque(maxlen=SETUPS_KEPT)
        self._stopped = asyncio.Event()

    async def start(self, port: int | None = None) -> str:
        """Listens; returns the bound address.

        Args:
            port: instead of the configured one.
        """
        config = self._config
        port = config.port if port is None else port
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", config.max_message_bytes),
                ("grpc.keepalive_time_ms", KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
                ("grpc.http2.min_ping_interval_without_data_ms", CLIENTS_PING_MS),
            ]
        )
        own = orca.handlers(self._backends.own_report)
        self._server.add_generic_rpc_handlers((self._handlers(), own))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        await self._backends.start()
        await self._advertise()  # before anybody can ask: the node may be draining
        port = self._server.add_insecure_port(f"{config.host}:{port}")
        await self._server.start()
        self._following = asyncio.create_task(self._follow())
        address = f"{config.host}:{port}"
        await self._backends.serves_at(_advertised(config, port))
        return address

    def _handlers(self) -> grpc.GenericRpcHandler:
        calls = Calls(self._backends)
        unary, out_stream = (
            grpc.unary_unary_rpc_method_handler,
            grpc.unary_stream_rpc_method_handler,
        )
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                # Bytes in, bytes out: frames are relayed without being decoded.
                "Converse": grpc.stream_stream_rpc_method_handler(self._converse),
                "GetCall": unary(calls.get_call, rv.GetCallRequest.FromString),
                "ListCalls": unary(calls.list_calls, rv.ListCallsRequest.FromString),
                "EndCall": unary(
                    calls.end_call, rv.EndCallRequest.FromString, rv.Call.SerializeToString
                ),
                "Locate": unary(
                    calls.locate,
                    rv.LocateRequest.FromString,
                    rv.LocateResponse.SerializeToString,
                ),
                "WatchCalls": out_stream(
                    calls.watch_calls,
                    rv.WatchCallsRequest.FromString,
                    rv.CallUpdate.SerializeToString,
                ),
            },
        )

    async def _converse(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        if self._draining:
            self._refused["UNAVAILABLE"] += 1
            # A client whose first write fails is told INTERNAL by grpcio, whatever
            # the status (grpc/grpc issue 36066): take that write first.
            with suppress(StopAsyncIteration, TimeoutError):
                async with asyncio.timeout(FIRST_WRITE_S):
                    await anext(requests)
            await abort(context, Unavailable("this server is going away", retry_after_s=1.0))
        stream = Stream(
            requests, context, self._backends, self._config, self._turnstile, self._later
        )
        self._streams.add(stream)
        self._quiet.clear()
        try:
            await stream.run()
        except (grpc.aio.AbortError, asyncio.CancelledError, ReceptionError):
            raise
        except grpc.aio.BaseError as error:
            log.info("caller's stream broke", error=type(error).__name__)
        except Exception as error:
            await abort(context, error)
        finally:
            self._streams.discard(stream)
            if not self._streams:
                self._quiet.set()
            self._count(stream, context)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        self._afterwards.begin(self._undisturbed(work))

    async def _undisturbed(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ReceptionError as error:
            log.warning("a refused call was not cleared away", error=error.message)

    def _count(self, stream: Stream, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self._dropped_audio += stream.dropped_audio
        if stream.setup_ms:
            self._accepted += 1
            self._setups_ms.append(stream.setup_ms)
        else:
            code: Any = context.code()
            self._refused[getattr(code, "name", "CANCELLED")] += 1

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_S)
            await self._advertise()

    async def _advertise(self) -> None:
        """Health says what the node is: ready, or draining or full."""
        serving = await self._backends.ready() and not self._draining
        if serving is self._serving:
            return
        self._serving = serving
        known = health_pb2.HealthCheckResponse
        for service in ("", SERVICE):
            await self._health.set(service, known.SERVING if serving else known.NOT_SERVING)

    async def drain(self, grace_s: float) -> None:
        """Takes no more streams, and tells the live ones how long they may go on.
        Idempotent."""
        if self._draining:
            return
        self._draining = True
        await self._advertise()
        for stream in self._streams:
            stream.drain(grace_s)

    async def until_quiet(self, timeout_s: float) -> int:
        """Until no stream is live, or for so long; how many are live then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._quiet.wait()
        return len(self._streams)

    async def stop(self) -> None:
        """Ends what is left and stops listening."""
        self._draining = True
        if self._following is not None:
            self._following.cancel()
        if self._server is not None:
            await self._server.stop(1.0)
        if self._afterwards:
            await asyncio.wait(self._afterwards, timeout=1.0)
        self._backends.close()
        self._stopped.set()

    async def until_stopped(self) -> None:
        """Comes back after `stop`; fails when the process dies."""
        await self._stopped.wait()

    async def nodes(self) -> list[NodeView]:
        """The nodes of the cluster, as this door shares calls out to them."""
        return self._backends.nodes()

    async def leave(self, node_id: str, grace_s: float | None, by: str) -> None:
        """Has a node drain and leave the cluster (`NodeAgent.leave`).

        Raises:
            NotFound: no node of this name can be reached.
        """
        await self._backends.leave(node_id, grace_s, by)

    async def stats(self) -> dict[str, Any]:
        """Live streams, how many of them wait at the door, calls accepted and refused (by
        status), setup times in ms."""
        setups = sorted(self._setups_ms)
        live_setups = [stream.setup_ms for stream in self._streams if stream.setup_ms]
        setups = sorted([*setups, *live_setups])
        return {
            "live": len(self._streams),
            "waiting": self._turnstile.waiting,
            "accepted": self._accepted + len(live_setups),
            "refused": dict(self._refused),
            "dropped_audio": self._dropped_audio,
            "without_ledger": self._backends.calls_without_ledger,
            "setup_p50_ms": _quantile(setups, 0.50),
            "setup_p95_ms": _quantile(setups, 0.95),
        }


def _advertised(config: DoorConfig, port: int) -> str:
    """Where callers reach the door; the configured port is not told twice."""
    host = config.advertised or config.host
    return host if ":" in host else f"{host}:{port}"


def _quantile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0
