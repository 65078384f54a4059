"""Calls that would never end by themselves, at a real node: a thousand of each kind.

Nothing of them may be left: no stream, session, call, held money, connection to the
provider or socket that only its peer has closed; and what its processes grow by is told,
from the first tenth of a kind to its end. The provider never says a word. That nothing is
left in the front door's and the worker's own objects is in tests/grpc/test_never_ending.py.
Callers who vanish without a FIN, or read nothing, and a provider that closes: `reception chaos`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
import yaml

from actors.settings import load_settings
from benchmarks.process import KEPT, Process
from cluster import loop
from cluster.bringup import ServeOptions, start
from cluster.deployment import Deployment
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from voice.scripted import SCRIPTED_MODEL, Fault, Script, Scripted
from voice.server import EngineConfig, EngineServer

CALLS, AT_ONCE = 1_000, 20
IDLE_S = 2.0
LEFT_S = 60.0  # until nothing may be left any more
KIND_S = 600.0
ASKED = 9  # times at most that a call asks for an answer
_WORD = b"\x01" * 160  # 20 ms
_HASTY = "hasty"  # a receptionist who waits for an answer of the provider for a second
_RECEPTIONIST = Path(__file__).resolve().parents[1] / "config" / "receptionist.yaml"
_AGAIN = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)

Stream = Any  # of grpc.aio, which has no types for it
Call = Callable[[], Awaitable[str]]  # how it ended


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="n-") as folder, node(Path(folder)) as house:
        if not loop.run(_told(house)):
            sys.exit(1)


async def _told(house: House) -> bool:
    """Prints what came of each kind; whether nothing was left."""
    clean = True
    async for kind in of_each(house, CALLS, AT_ONCE):
        ends = ", ".join(f"{count} {how}" for how, count in kind.ends.most_common())
        print(f"{kind.name}: {ends}; {kind.took_s:.0f} s; left: {kind.left or 'nothing'}")
        calls = 0.9 * kind.ends.total()
        grown = (f"{name} {mb:.1f} ({1024 * mb / calls:.1f})" for name, mb in kind.grown_mb.items())
        print("    MB more (kB a call): " + ", ".join(grown))
        clean = clean and not kind.left
    return clean


@dataclass(frozen=True, slots=True)
class Kind:
    """How calls of a kind ended, what is left of them, and what their node's processes of
    each class weigh more (resident MB) than after a tenth of them."""

    name: str
    ends: Counter[str]
    left: dict[str, int]
    grown_mb: dict[str, float]
    took_s: float


@dataclass(frozen=True, slots=True)
class House:
    """A node, a caller's key, one of a tenant without money, and the provider's port."""

    deployment: Deployment
    key: str
    poor_key: str
    provider_port: int


@contextmanager
def node(folder: Path) -> Iterator[House]:
    """With as many sessions as calls at once; who finds none is refused at once."""
    with Process(_provider) as provider:
        port = int(provider.address)
        settings = load_settings(
            provider="embedded", provider_base_url=f"http://127.0.0.1:{port}/v1",
            model=SCRIPTED_MODEL, receptionist_path=_receptionists(folder), grpc_port=0,
            http_port=0, pool_size=AT_ONCE, pool_ceiling=AT_ONCE, pool_waiting=0,
            idle_timeout_s=IDLE_S, resume_wait_s=IDLE_S,
            rate_limit_per_minute=1_000_000, rate_limit_per_hour=1_000_000,
            database_url=f"sqlite:///{folder / 'reception.db'}",
        )  # fmt: skip
        deployment = start(ServeOptions(dashboard=False), settings)
        try:
            _, poor = deployment.call(
                "security", "create_key", "poor", "poor", ["call"], None, "benchmark"
            )
            deployment.call("cost", "set_limit", "tenant:poor", "day", 1, "benchmark")
            yield House(deployment, deployment.create_key("rich", ["call"]), str(poor), port)
        finally:
            deployment.stop()


def _receptionists(folder: Path) -> Path:
    """The file of the usual one, and of a hasty one."""
    book = yaml.safe_load(_RECEPTIONIST.read_text())
    [usual] = book["profiles"].values()
    book["profiles"][_HASTY] = usual | {"limits": usual["limits"] | {"answer_s": 1.0}}
    path = folder / "receptionist.yaml"
    path.write_text(yaml.safe_dump(book))
    return path


async def _provider() -> str:
    """Its port."""
    logging.getLogger("websockets").addHandler(logging.NullHandler())  # of dials given up
    script = Script(faults=tuple(Fault("silence", at=1 + asked) for asked in range(ASKED)))
    parts = Scripted(script)
    server = EngineServer(EngineConfig(port=0), parts, parts, parts, script)
    KEPT.append(server)
    return str(await server.start())


async def of_each(house: House, calls: int, at_once: int) -> AsyncIterator[Kind]:
    """So many calls of each kind."""
    async with _callers(house) as callers:
        for name, call in callers.kinds.items():
            began_s = time.monotonic()
            ends = await _many(call, calls // 10, at_once)
            before = _resident_mb()
            ends += await _many(call, calls - calls // 10, at_once)
            left = await _left(house)
            grown: dict[str, float] = {}
            for process, mb in _resident_mb().items():
                grown[process[0]] = grown.get(process[0], 0.0) + mb - before.get(process, mb)
            yield Kind(name, ends, left, grown, time.monotonic() - began_s)


async def _many(call: Call, calls: int, at_once: int) -> Counter[str]:
    """How they ended."""
    room = asyncio.Semaphore(at_once)

    async def in_turn() -> str:
        async with room:
            return await call()

    async with asyncio.timeout(KIND_S):
        return Counter(await asyncio.gather(*(in_turn() for _ in range(calls))))


async def _left(house: House) -> dict[str, int]:
    """What there still is once nothing more changes for the better."""
    until_s = time.monotonic() + LEFT_S
    while True:
        told = await asyncio.to_thread(house.deployment.snapshot)
        agent = await asyncio.to_thread(house.deployment.call, "agent", "stats")
        found = {
            "streams": told["door"]["live"],
            "calls": len(told["calls"]),
            "sessions": told["pool"]["leased"],
            "media": round(sum(agent["workers"].values())),
            "micro-dollars held": told["costs"]["held_micros"],
        } | _sockets(house.provider_port)
        left = {name: count for name, count in found.items() if count}
        if not left or time.monotonic() > until_s:
            return left
        await asyncio.sleep(0.2)


def _actors() -> Iterator[tuple[str, psutil.Process]]:
    """Of this process's node, by class."""
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline()).strip()
        except psutil.Error:
            continue
        if title.startswith("ray::") and "IDLE" not in title:
            yield title.removeprefix("ray::").partition(".")[0].split()[0], process


def _resident_mb() -> dict[tuple[str, int], float]:
    """By class and process."""
    found = {}
    for kind, process in _actors():
        with contextlib.suppress(psutil.Error):
            found[kind, process.pid] = process.memory_info().rss / 2**20
    return found


def _sockets(provider_port: int) -> dict[str, int]:
    found = {"connections to the provider": 0, "sockets that their peer closed": 0}
    for _, process in _actors():
        with contextlib.suppress(psutil.Error):
            for each in process.net_connections("tcp"):
                if each.status == psutil.CONN_CLOSE_WAIT:
                    found["sockets that their peer closed"] += 1
                elif each.raddr and each.raddr.port == provider_port:
                    found["connections to the provider"] += 1
    return found


class _Callers:
    def __init__(self, stub: rpc.ReceptionStub, house: House) -> None:
        self._stub, self._house = stub, house
        self.kinds: dict[str, Call] = {
            "refused for money": self._poor,
            "refused for want of room": self._crowd,
            "streams on which nothing is said": self._half_open,
            "given up while they are placed": self._impatient,
            "hung up before anybody speaks": self._brief,
            "never answered": self._unanswered,
            "never answered, and the caller waits": self._waits,
            "cut off in the middle of a word": self._cut,
            "silent once they are accepted": self._silent,
        }

    def _begin(self, key: str = "") -> Stream:
        return self._stub.Converse(metadata=[("x-api-key", key or self._house.key)])

    async def _asked(self, key: str = "", profile: str = "", ptime_ms: int = 20) -> Stream:
        stream = self._begin(key)
        leg = rv.LegFormat(codec=rv.CODEC_PCMU, ptime_ms=ptime_ms)
        start = rv.CallStart(format=leg, profile=profile)
        await stream.write(rv.CallerMessage(start=start))
        return stream

    async def _accepted(self, profile: str = "", ptime_ms: int = 20) -> Stream:
        """A call; another where the node has no room for it."""
        while True:
            stream = await self._asked(profile=profile, ptime_ms=ptime_ms)
            try:
                while not (await stream.read()).HasField("accepted"):
                    pass
            except (grpc.aio.AioRpcError, AttributeError):  # no message but the end
                if await stream.code() not in _AGAIN:
                    raise
                await asyncio.sleep(0.1)
            else:
                return stream

    async def _poor(self) -> str:
        return await _end(await self._asked(self._house.poor_key))

    async def _crowd(self) -> str:
        """Three for each place; until one is refused."""
        while True:
            streams = await asyncio.gather(*(self._asked() for _ in range(3)))
            first = [await _first(stream) for stream in streams]
            for stream in streams:
                stream.cancel()
            if "RESOURCE_EXHAUSTED" in first:
                return "RESOURCE_EXHAUSTED"

    async def _half_open(self) -> str:
        return await _end(self._begin())

    async def _impatient(self) -> str:
        stream = await self._asked()
        await asyncio.sleep(0.01)
        stream.cancel()
        return "given up"

    async def _brief(self) -> str:
        stream = await self._accepted()
        await stream.done_writing()
        return await _end(stream)

    async def _unanswered(self) -> str:
        """The caller listens to nothing for a second and leaves."""
        stream = await self._accepted()
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it ended
            for _ in range(50):
                await stream.write(rv.CallerMessage(audio=rv.Audio(payload=_WORD)))
                await asyncio.sleep(0.02)
            await stream.write(rv.CallerMessage(end=rv.CallEnd(reason="no_answer")))
            await stream.done_writing()
        return await _end(stream)

    async def _waits(self) -> str:
        """On the line until the receptionist gives up."""
        stream = await self._accepted(_HASTY, ptime_ms=60)
        listening = asyncio.create_task(_end(stream))
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it ended
            while not listening.done():
                await stream.write(rv.CallerMessage(audio=rv.Audio(payload=3 * _WORD)))
                await asyncio.sleep(0.06)
        return await listening

    async def _cut(self) -> str:
        stream = await self._accepted()
        await stream.write(rv.CallerMessage(audio=rv.Audio(payload=_WORD)))
        stream.cancel()
        return "cut"

    async def _silent(self) -> str:
        return await _end(await self._accepted())


async def _first(stream: Stream) -> str:
    """Of what comes: a message, or how it ended."""
    try:
        message = await stream.read()
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return str((await stream.code()).name) if message is grpc.aio.EOF else "taken"


async def _end(stream: Stream) -> str:
    """Reads what comes until the end."""
    try:
        while await stream.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return str((await stream.code()).name)


@asynccontextmanager
async def _callers(house: House) -> AsyncIterator[_Callers]:
    async with grpc.aio.insecure_channel(house.deployment.grpc_address) as channel:
        stub = rpc.ReceptionStub(channel)  # type: ignore[no-untyped-call]  # generated
        yield _Callers(stub, house)
