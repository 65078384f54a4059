"""Actor calls over a Unix socket: as Ray's, but for the way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError

from actors import nearby
from actors.nearby import Nearby, serve
from reception.errors import InvalidRequest, LimitReached
from reception.money.account import Hold
from reception.money.allowance import Means
from reception.money.policy import Step
from reception.money.prices import TokenPrice
from reception.money.scopes import Owner

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65_534


@dataclass(frozen=True)
class Alone:
    value: int


@dataclass
class Loose:
    first: int
    second: int = 0


@dataclass(frozen=True)
class Later:
    first: int
    second: int = field(default=0, init=False)


@dataclass(frozen=True)
class Named:
    first: int
    second: int = field(default=0, kw_only=True)


@dataclass(frozen=True)
class Counting:
    first: int
    second: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "second", self.second + 1)


class Further(Counting):
    """What it has besides is no field."""


class Actor:
    """What is called."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.done: list[str] = []

    async def call(self, method: str, args: tuple[Any, ...]) -> Any:
        return await getattr(self, method)(*args)

    async def echo(self, value: Any) -> Any:
        return value

    async def wait(self, name: str) -> str:
        await self.gate.wait()
        self.done.append(name)
        return name

    async def refuse(self) -> None:
        raise InvalidRequest("ptime_ms is 7: must be 10 to 60", field="ptime_ms")

    async def fail(self) -> None:
        raise KeyError("nothing")

    async def unpicklable(self) -> Any:
        return lambda: None

    async def odd_error(self) -> None:
        error = ValueError("odd")
        error.args = (lambda: None,)
        raise error


@pytest.fixture
def actor_id(request: pytest.FixtureRequest) -> str:
    return f"{os.getpid()}-{request.node.name}"


@pytest.fixture
async def actor(actor_id: str) -> AsyncIterator[Actor]:
    actor = Actor()
    server = await serve(actor_id, actor.call)
    assert server is not None
    yield actor
    server.close()


@pytest.fixture
async def near(actor: Actor, actor_id: str) -> Nearby:
    near = await Nearby.connect(actor_id)
    assert near is not None
    return near


async def test_values_come_back_as_they_went(near: Nearby) -> None:
    for value in (None, 7, "ü", b"x" * 3_000_000, {"a": (1, 2.5)}):
        assert await near.call("echo", (value,)) == value


async def test_answers_come_in_any_order(near: Nearby, actor: Actor) -> None:
    slow = [asyncio.create_task(near.call("wait", (f"w{n}",))) for n in range(50)]
    assert await near.call("echo", (1,)) == 1
    assert not any(task.done() for task in slow)
    actor.gate.set()
    assert await asyncio.gather(*slow) == [f"w{n}" for n in range(50)]


async def test_an_error_of_the_core_is_itself_and_rays(near: Nearby) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await near.call("refuse", ())
    assert isinstance(caught.value, RayTaskError)
    assert isinstance(caught.value.cause, InvalidRequest)
    assert caught.value.cause.field == "ptime_ms"
    assert "must be 10 to 60" in str(caught.value)


async def test_other_errors_bring_their_traceback(near: Nearby) -> None:
    with pytest.raises(KeyError) as caught:
        await near.call("fail", ())
    assert 'raise KeyError("nothing")' in str(caught.value)


@pytest.mark.parametrize("method", ["unpicklable", "odd_error"])
async def test_what_cannot_travel_is_an_error_and_nothing_hangs(near: Nearby, method: str) -> None:
    with pytest.raises(RayTaskError):
        await near.call(method, ())
    assert await near.call("echo", (1,)) == 1


async def test_who_is_cancelled_disturbs_nobody(near: Nearby, actor: Actor) -> None:
    given_up = asyncio.create_task(near.call("wait", ("given up",)))
    other = asyncio.create_task(near.call("wait", ("other",)))
    await near.call("echo", (1,))
    given_up.cancel()
    actor.gate.set()
    assert await other == "other"
    assert actor.done == ["given up", "other"]  # at most once, and to the end
    assert await near.call("echo", (1,)) == 1


async def test_too_many_calls_are_refused_at_once(
    near: Nearby, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearby, "MAX_CALLS", 3)
    waiting = [asyncio.create_task(near.call("wait", (f"w{n}",))) for n in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(LimitReached, match="3 calls"):
        await near.call("echo", (1,))
    actor.gate.set()
    await asyncio.gather(*waiting)
    assert await near.call("echo", (1,)) == 1


async def test_a_call_over_the_bound_is_refused(
    near: Nearby, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearby, "MAX_BYTES", 10_000)
    with pytest.raises(LimitReached, match="is over 10000"):
        await near.call("echo", (b"x" * 10_000,))
    assert await near.call("echo", (1,)) == 1


async def test_a_message_that_says_it_is_over_the_bound_ends_the_connection(
    near: Nearby, actor_id: str
) -> None:
    reader, writer = await asyncio.open_unix_connection(nearby._address(actor_id))
    writer.write(b"\xff\xff\xff\xff")
    assert await reader.read() == b""
    writer.close()
    assert await near.call("echo", (1,)) == 1


async def test_nobody_there_is_none() -> None:
    assert await Nearby.connect("nobody") is None


SERVER = textwrap.dedent("""
    import asyncio, os, sys
    from actors.nearby import serve

    async def call(method, args):
        await asyncio.sleep(60 if method == "wait" else 0)
        return os.getpid()

    async def main():
        await serve(sys.argv[1], call)
        print("up", flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
""")


@contextlib.asynccontextmanager
async def running(
    code: str, *args: str, user: int | None = None
) -> AsyncIterator[subprocess.Popen[str]]:
    """A process that has said that it is up; killed at the end."""
    python = sys.executable if user is None else "/usr/bin/python3"
    command = [python, "-c", code, *args]
    folder = ROOT if user is None else Path("/")
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, user=user
    ) as process:
        try:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "up\n"
            yield process
        finally:
            process.kill()


async def test_a_killed_process_is_noticed_and_its_successor_found(actor_id: str) -> None:
    for _ in range(2):
        async with running(SERVER, actor_id) as process:
            near = await Nearby.connect(actor_id)
            assert near is not None
            assert await near.call("pid", ()) == process.pid
            waiting = asyncio.create_task(near.call("wait", ()))
            await near.call("pid", ())
            process.send_signal(signal.SIGKILL)
            with pytest.raises(RayActorError):
                await waiting
            assert near.lost
            with pytest.raises(RayActorError):
                await near.call("pid", ())
        assert await Nearby.connect(actor_id) is None


STRANGER = textwrap.dedent("""
    import socket, sys
    end = socket.socket(socket.AF_UNIX)
    end.connect(chr(0) + sys.argv[1])
    try:
        end.sendall(b"\\0\\0\\0\\1.")
        heard = end.recv(100)
    except (BrokenPipeError, ConnectionResetError):
        heard = b""
    if not heard:
        print("up")
""")
SQUATTER = textwrap.dedent("""
    import socket, sys, time
    end = socket.socket(socket.AF_UNIX)
    end.bind(chr(0) + sys.argv[1])
    end.listen()
    print("up", flush=True)
    time.sleep(60)
""")
two_users = pytest.mark.skipif(
    os.getuid() != 0 or not Path("/usr/bin/python3").exists(), reason="only root can be two users"
)


@two_users
async def test_another_user_is_not_listened_to(near: Nearby, actor_id: str) -> None:
    async with running(STRANGER, nearby._address(actor_id)[1:], user=NOBODY):
        pass
    assert await near.call("echo", (1,)) == 1


@two_users
async def test_another_users_process_is_not_called(actor_id: str) -> None:
    async with running(SQUATTER, nearby._address(actor_id)[1:], user=NOBODY):
        assert await Nearby.connect(actor_id) is None


async def test_objects_arrive_as_they_were(actor_id: str, actor: Actor) -> None:
    del actor
    later, further = Later(1), Further(1)
    object.__setattr__(later, "second", 5)
    object.__setattr__(further, "beside", 7)
    means = Means(5, TokenPrice(1, 2, 3), TokenPrice(4, 5, 6), binding=False)
    sent = [
        Owner("s", "c", exempt=True), Hold(True, step=Step.WARN, means=means), Alone(3),
        Loose(1, 2), later, Named(1, second=2), Counting(1, 2), further, TokenPrice,
    ]  # fmt: skip
    near = await Nearby.connect(actor_id)
    assert near is not None
    got = await near.call("echo", (sent,))
    assert got == sent
    assert [type(each) for each in got] == [type(each) for each in sent]
    assert (got[4].second, got[7].beside) == (5, 7)
