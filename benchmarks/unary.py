"""`ListCalls` and `GetCall` in turn: what a request costs whom, and how long it takes from
its intended time, at a set rate.

Callers in one process, the front door in a second, the security singleton in a third, the
node's agent with the records of ended calls in a fourth (the actors' classes as they are,
SQLite with full fsync, calls of actors over Unix sockets as within a node; no Ray). The
baseline is a bare gRPC request that answers with as many bytes.
"""

from __future__ import annotations

from cluster import grpc_threads  # noqa: F401 - comes before gRPC

# isort: split

import asyncio
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import uvloop

from actors.agent import NodeAgent
from actors.assignment import NodeConfig
from actors.keeper import CallKeeper
from actors.nearby import Nearby, serve
from actors.security import SecurityGuard
from actors.settings import Settings
from benchmarks.figures import quantile, row
from benchmarks.process import KEPT, Process
from cluster.door_config import DoorConfig
from cluster.front_door import SERVICE, FrontDoor
from cluster.front_door import backends as asked
from cluster.front_door import nodes as asked_nodes
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from reception.call.record import CallRecord, CallSpec, Said, TurnTime
from reception.placement.pool import PoolRules

ONE_BY_ONE, ROUNDS = 200, 5
PER_S, SECONDS = 100.0, 20.0  # 0: not measured, on a machine that is busy
PATIENCE_S = 60.0
KEPT_CALLS, PAGE_SIZE, LINES = 200, 20, 12  # ended calls; a page; what was said in each
NODE = "bench"


def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'reception.db'}"
        with (
            Process(_guard, url, folder) as guard,  # its address is a key
            Process(_agent, url, folder) as agent,
            Process(_bare_door) as bare,
            Process(_door, folder) as door,
        ):
            _report(bare, {"door": door, "guard": guard, "agent": agent}, guard.address)


def _report(bare: Process, asked_of: dict[str, Process], key: str) -> None:
    door = asked_of["door"].address
    base_us: list[float] = []
    used_us: dict[str, list[float]] = {name: [] for name in asked_of}
    for _ in range(ROUNDS):  # in turns, so that a busy machine hits both
        began_s = bare.cpu_s()
        uvloop.run(_one_by_one(bare.address, ""))
        base_us.append((bare.cpu_s() - began_s) * 1e6 / ONE_BY_ONE)
        before_s = {name: process.cpu_s() for name, process in asked_of.items()}
        uvloop.run(_one_by_one(door, key))
        for name, process in asked_of.items():
            used_us[name].append((process.cpu_s() - before_s[name]) * 1e6 / ONE_BY_ONE)
    used_us["all three"] = [sum(each) for each in zip(*used_us.values(), strict=True)]
    row("baseline: bare gRPC request, CPU", base_us, "us")
    for name, values in used_us.items():
        row(f"one at a time: {name}, CPU", values, "us", quantile(base_us, 0.5))
    if not SECONDS:
        return
    base_ms = uvloop.run(_steadily(bare.address, ""))
    row(f"baseline: bare gRPC request, {PER_S:g} a second", base_ms, "ms")
    took_ms = uvloop.run(_steadily(door, key))
    row(f"ListCalls and GetCall, {PER_S:g} a second", took_ms, "ms", quantile(base_ms, 0.5))


async def _guard(url: str, folder: str) -> str:
    much = 10**6  # requests: none is refused
    settings = Settings(database_url=url, rate_limit_per_minute=much, rate_limit_per_hour=60 * much)
    guard = SecurityGuard(settings)
    await guard.warm_up()
    _, key = await guard.create_key("bench", "bench", ["call", "read"], None, "bench")
    await _serve(f"{folder}/security", guard)
    return key


async def _agent(url: str, folder: str) -> str:
    keeper = CallKeeper(url, NODE, lambda _: None)
    for number in range(KEPT_CALLS):
        await keeper.save_call(_record(number), 0)
    agent = NodeAgent(NodeConfig(NODE, folder, url, "", PoolRules(floor=1, ceiling=1)))
    agent._provide(keeper, None)
    await _serve(f"{folder}/agent:{NODE}", agent)
    return "there"


async def _door(folder: str) -> str:
    def find(name: str) -> Any:
        return _Near(f"{folder}/{name}")

    for module in (asked, asked_nodes):  # no Ray here
        vars(module)["find"] = find
    asked.PATIENCE_S = PATIENCE_S
    door = FrontDoor(DoorConfig("127.0.0.1", 0, NODE), _Backends())
    KEPT.append(door)
    return await door.start()


class _Backends(asked.RayBackends):
    """That opens no calls and follows no other nodes."""

    def __init__(self) -> None:
        super().__init__(DoorConfig("", 0, NODE), PATIENCE_S)

    async def start(self) -> None:
        pass

    async def serves_at(self, grpc_address: str) -> None:
        del grpc_address

    async def ready(self) -> bool:
        return True


class _Near:
    """An actor of another process, over its socket."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._near: Nearby | None = None

    def __getattr__(self, method: str) -> Any:
        async def call(*args: Any) -> Any:
            if self._near is None:
                self._near = await Nearby.connect(self._name)
                assert self._near is not None
            return await self._near.call(method, args)

        return call


async def _serve(name: str, actor: Any) -> None:
    async def call(method: str, args: tuple[Any, ...]) -> Any:
        return await getattr(actor, method)(*args)

    KEPT.append((actor, await serve(name, call)))


async def _bare_door() -> str:
    answer = rv.ListCallsResponse(
        calls=[rv.Call(call_id=f"call-{number}", metadata={"a": "b" * 80}) for number in range(10)]
    ).SerializeToString()

    async def method(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        del request, context
        return answer

    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(method)
    methods = {"ListCalls": handler, "GetCall": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    KEPT.append(server)
    return f"127.0.0.1:{port}"


async def _one_by_one(door: str, key: str) -> None:
    async with grpc.aio.insecure_channel(door) as channel:
        for number in range(ONE_BY_ONE):
            await _ask(channel, key, number)


async def _steadily(door: str, key: str) -> list[float]:
    """Requests at their intended times, whatever the answers take: ms each."""
    took_ms: list[float] = []
    async with grpc.aio.insecure_channel(door) as channel:

        async def ask(number: int, intended_s: float) -> None:
            await _ask(channel, key, number)
            took_ms.append((time.monotonic() - intended_s) * 1000)

        await _ask(channel, key, 1)  # connects
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(PER_S * SECONDS)):
                at_s = began_s + number / PER_S
                await asyncio.sleep(max(0.0, at_s - time.monotonic()))
                group.create_task(ask(number, at_s))
    return took_ms


async def _ask(channel: grpc.aio.Channel, key: str, number: int) -> None:
    stub = rpc.ReceptionStub(channel)  # type: ignore[no-untyped-call]  # generated
    metadata = (("x-api-key", key),) if key else ()
    if number % 2:
        request = rv.GetCallRequest(call_id=f"call-{number % KEPT_CALLS}")
        await stub.GetCall(request, metadata=metadata)
    else:
        await stub.ListCalls(rv.ListCallsRequest(page_size=PAGE_SIZE), metadata=metadata)


def _record(number: int) -> CallRecord:
    said = tuple(
        Said(("caller", "reception")[line % 2], f"what was said in line {line} " * 4, line * 4_000)
        for line in range(LINES)
    )
    return replace(
        _CALL,
        spec=replace(
            _CALL.spec,
            call_id=f"call-{number}",
            session_id=f"session-{number}",
            accepted_at_s=1.7e9 + number,
        ),
        ended_at_s=1.7e9 + number + 60,
        transcript=said,
    )


_CALL = CallRecord(
    spec=CallSpec(
        "", "", "lease", "sip:+4930123456@example.org", "sip:+4930654321@example.org", "inbound",
        "pcmu", 8_000, 20, True, "day", {"trunk": "a", "priority": "normal"}, "bench", "key", NODE,
        0.0,
    ),
    state="ended", phase="ended", model="gpt-realtime", end_reason="caller_hangup", turns=6,
    cost_micros=41_000, turn_times=tuple(TurnTime(turn, 480, 900, False) for turn in range(6)),
    stats={f"counted_{number}": number for number in range(24)},
)  # fmt: skip
