"""A node that leaves: the real front door, agent, management API and commands, in this
process instead of Ray's; its calls live at other nodes."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import ray
import uvicorn
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ray._private.state import state as ray_state
from ray.exceptions import RaySystemError
from typer.testing import CliRunner

import cluster.front_door
from actors.settings import LEAVE_S, load_settings
from cluster import deployment as deploying
from cluster import watch
from cluster.cli import app, serve
from cluster.cli import cluster as commands
from cluster.deployment import Deployment
from cluster.door_config import DoorConfig
from cluster.front_door import SERVICE, FrontDoor
from cluster.management import create_app
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from reception.security.admission import Admission
from tests.actors.test_agent import House as AgentHouse
from tests.fakes.backends import FakeBackends, worker_at
from tests.fakes.provider import FakeProvider
from tests.waiting import PATIENCE_S, until

STATUS = health_pb2.HealthCheckResponse
NOT_READY = (503, "not ready: draining\n")


class Handle:
    """An actor in this process, called as Ray's are."""

    def __init__(self, actor: Any, asked: list[str]) -> None:
        self._actor, self._asked = actor, asked
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, method: str) -> Any:
        return _Method(self, method)

    def ask(self, method: str, args: tuple[Any, ...]) -> Any:
        self._asked.append(method)
        return asyncio.run_coroutine_threadsafe(getattr(self._actor, method)(*args), self._loop)

    def kill(self) -> None:
        self._asked.append("kill")


class _Method:
    def __init__(self, handle: Handle, name: str) -> None:
        self._handle, self._name = handle, name

    def remote(self, *args: Any) -> Any:
        return self._handle.ask(self._name, args)


class Notice(threading.Event):
    """The time that balancers need, until the test says that it is over."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_s: list[float | None] = []
        self.over = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.asked_s.append(timeout)
        self.over.wait(PATIENCE_S)
        return False


class Node:
    """Another node of the cluster would be told to leave in the same way."""

    node_id, joined, stopped = "n", True, False

    def stop(self) -> None:
        self.stopped = True


class Backends(FakeBackends):
    """Places calls elsewhere, and asks the node's own agent what is its."""

    agent: Any

    async def ready(self) -> bool:
        return bool(await self.agent.readiness() == "ready")

    async def leave(self, node_id: str, grace_s: float | None, by: str) -> None:
        assert node_id == "n"
        await self.agent.leave(grace_s, by)


class House:
    """A node that is up, with a caller's line to its door."""

    def __init__(self, folder: Path, provider_url: str, worker_path: str) -> None:
        self.agents = AgentHouse(folder, capacity=10)
        self.agent: Any = self.agents.agent
        self.backends = Backends(worker_path, provider_url)
        self.backends.agent = self.agent
        self.door = FrontDoor(DoorConfig("127.0.0.1", 0, "n", 600.0), self.backends)
        self.asked: list[str] = []
        self.deployment = Deployment(Node(), load_settings())  # type: ignore[arg-type]  # what is asked of it
        self.deployment.stopping = self.notice = Notice()
        self.channel: grpc.aio.Channel
        self.http = ""

    async def ask(self, role: str, method: str, *args: Any) -> Any:
        """For the management API."""
        match role, method:
            case "security", "admit":
                return Admission(True, "t", "operator")
            case (("cost" | "security"), "ping"):
                return None
            case "agent", "stats":  # of the pool, which is none here
                return {"node_id": "n"}
        return await getattr({"agent": self.agent, "door": self.door}[role], method)(*args)

    async def accepted(self) -> Any:
        """A caller's stream."""
        stream = rpc.ReceptionStub(self.channel).Converse(metadata=(("x-api-key", "secret"),))
        start = rv.CallStart(format=rv.LegFormat(codec=rv.CODEC_PCMU))
        await stream.write(rv.CallerMessage(start=start))
        assert (await asyncio.wait_for(stream.read(), PATIENCE_S)).HasField("accepted")
        return stream

    async def command(self, *args: str) -> Any:
        """`reception drain`, as a process of its own would say it."""
        whole = ["drain", *args, "--http", self.http, "--key", "k", "--no-wait"]
        return await asyncio.to_thread(CliRunner().invoke, app, whole)

    async def readyz(self) -> tuple[int, str]:
        import httpx

        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{self.http}/readyz")
        return answer.status_code, answer.text

    async def draining(self) -> asyncio.Task[int]:
        """What `reception serve` does once it is told to leave."""
        await until(self.deployment.leave.is_set)
        return asyncio.create_task(
            asyncio.to_thread(self.deployment.drain, self.deployment.grace_s)
        )

    async def told(self, method: str) -> None:
        """An actor of the node was asked to."""
        await until(lambda: method in self.asked)


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(ray, "get", lambda asked, timeout=None: asked.result(timeout))
    monkeypatch.setattr(cluster.front_door, "HEALTH_S", 0.02)
    provider = FakeProvider()
    worker = await worker_at(str(tmp_path / "w.sock"))
    house = House(tmp_path, await provider.start(), str(tmp_path / "w.sock"))
    address = await house.door.start()
    handles: Any = {
        name: Handle(actor, house.asked)
        for name, actor in (("agent", house.agent), ("door", house.door))
    }
    house.deployment.handles = handles
    hearing = threading.Thread(target=watch._hear_leave, args=(house.deployment,), daemon=True)
    hearing.start()
    config = uvicorn.Config(create_app(house.ask), port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    house.http = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    async with grpc.aio.insecure_channel(address) as house.channel:
        yield house
    await house.backends.until_quiet()
    house.notice.over.set()
    server.should_exit = True
    await serving
    await house.agent.leave(None, "the test")
    await asyncio.to_thread(hearing.join)
    await house.door.stop()
    await worker.stop()
    await provider.stop()


async def test_a_node_is_known_to_leave_before_its_callers_are_told(house: House) -> None:
    live = await house.accepted()
    reading = asyncio.ensure_future(live.read())
    health = health_pb2_grpc.HealthStub(house.channel)
    watching = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    assert (await watching.read()).status == STATUS.SERVING
    assert await house.readyz() == (200, "ok\n")

    done = await house.command("--grace", "30")
    assert done.exit_code == 0, done.output
    assert "n is draining\n" in done.output
    draining = await house.draining()
    told = await asyncio.wait_for(watching.read(), PATIENCE_S)
    assert told.status == STATUS.NOT_SERVING
    assert await house.readyz() == NOT_READY
    assert [report.ready for report in house.agents.membership.told] == [False]
    assert house.notice.asked_s == [deploying.DRAIN_NOTICE_S]
    assert not reading.done()
    late = await house.accepted()  # from a balancer that has not seen it yet

    house.notice.over.set()
    assert (await asyncio.wait_for(reading, PATIENCE_S)).draining.grace.seconds == 30
    assert (await asyncio.wait_for(late.read(), PATIENCE_S)).HasField("draining")
    with pytest.raises(grpc.aio.AioRpcError, match="going away"):
        await house.accepted()
    await house.told("until_quiet")  # the node has no calls of its own
    for stream in (live, late):
        assert not draining.done()
        await stream.write(rv.CallerMessage(end=rv.CallEnd()))
        assert (await asyncio.wait_for(stream.read(), PATIENCE_S)).HasField("summary")
        assert await stream.read() is grpc.aio.EOF
    assert await asyncio.wait_for(draining, PATIENCE_S) == 0
    watching.cancel()


async def test_who_does_not_move_keeps_the_call_until_the_grace_time_is_over(
    house: House,
) -> None:
    grace_s = 1.0
    house.notice.over.set()
    live = await house.accepted()
    await house.command("n", "--grace", f"{grace_s:g}")
    draining = await house.draining()
    assert (await asyncio.wait_for(live.read(), PATIENCE_S)).HasField("draining")
    told_s = time.monotonic()
    await house.told("until_quiet")
    await live.write(rv.CallerMessage(audio=rv.Audio(sequence=1, payload=b"\xff" * 160)))
    assert await asyncio.wait_for(draining, PATIENCE_S) == 0
    assert time.monotonic() - told_s > grace_s / 2
    assert (await house.door.stats())["live"] == 1
    await house.door.stop()
    with pytest.raises(grpc.aio.AioRpcError):
        await asyncio.wait_for(_to_the_end(live), PATIENCE_S)
    assert await house.door.until_quiet(PATIENCE_S) == 0


async def _to_the_end(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


async def test_to_drain_twice_is_to_drain_once(house: House) -> None:
    """As a pod does: its preStop hook, then SIGTERM."""
    live = await house.accepted()
    for _ in range(2):
        assert (await house.command("--grace", "30")).exit_code == 0
    both = [await house.draining() for _ in range(2)]
    house.notice.over.set()
    assert (await asyncio.wait_for(live.read(), PATIENCE_S)).HasField("draining")
    await until(lambda: house.asked.count("until_quiet") == 2)
    await live.write(rv.CallerMessage(end=rv.CallEnd()))
    assert (await asyncio.wait_for(live.read(), PATIENCE_S)).HasField("summary")
    assert await asyncio.wait_for(asyncio.gather(*both), PATIENCE_S) == [0, 0]


async def test_a_drain_past_the_nodes_own_end_is_refused(house: House) -> None:
    house.agent._config = replace(house.agent._config, most_grace_s=60.0)
    done = await house.command("--grace", "61")
    assert done.exit_code == 1
    assert "grace_s is 61: at most 60 s fit into what" in done.output
    assert not house.deployment.leave.is_set()


async def test_a_front_door_that_is_gone_does_not_hold_up_the_drain(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any) -> None:
        raise RaySystemError("its process died")

    house.notice.over.set()
    for method in ("drain", "until_quiet"):
        monkeypatch.setattr(house.door, method, gone)
    assert await asyncio.to_thread(house.deployment.drain, 30.0) == 0


# ------------------------------------------------------------------ signals


@pytest.fixture
def signals() -> Iterator[tuple[threading.Event, threading.Event]]:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield serve._signals_set()
    for each, handler in before.items():
        signal.signal(each, handler)


class Leaving:
    """A deployment whose calls last until the test ends them."""

    def __init__(self) -> None:
        self.over, self.stopped = threading.Event(), threading.Event()

    def drain(self, grace_s: float) -> int:
        assert grace_s == 30.0
        self.over.wait(PATIENCE_S)
        return 0

    def stop(self) -> None:
        self.stopped.set()


@pytest.fixture
def leaving(
    signals: tuple[threading.Event, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Leaving]:
    """By `reception drain`, which is no signal."""
    monkeypatch.setattr(serve, "_POLL_S", 0.01)
    deployment: Any = Leaving()
    thread = threading.Thread(target=serve._leave, args=(deployment, 30.0, signals[1]))
    thread.start()
    yield deployment
    deployment.over.set()
    thread.join()
    assert deployment.stopped.is_set()


def test_sigterm_after_a_drain_was_asked_for_cuts_no_call_off(
    leaving: Leaving, signals: tuple[threading.Event, threading.Event]
) -> None:
    signal.raise_signal(signal.SIGTERM)
    assert [each.is_set() for each in signals] == [True, False]
    assert not leaving.stopped.wait(0.2)


def test_a_second_signal_stops_at_once(
    leaving: Leaving, signals: tuple[threading.Event, threading.Event]
) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.raise_signal(number)
    assert [each.is_set() for each in signals] == [True, True]
    assert leaving.stopped.wait(PATIENCE_S)
    assert not leaving.over.is_set()


# ------------------------------------------------------------------ Ray's notice


class Context:
    def get_node_id(self) -> str:
        return "mine"


USUAL_S = 60.0


@pytest.mark.parametrize(
    ("left_s", "grace_s"),
    [
        (None, USUAL_S),  # whenever it is done
        (3_600.0, USUAL_S),
        (LEAVE_S + 20.0, 20.0),
        (LEAVE_S, 0.0),
        (-5.0, 0.0),
    ],
)
def test_a_notice_of_rays_has_the_node_leave_in_time(
    monkeypatch: pytest.MonkeyPatch, left_s: float | None, grace_s: float
) -> None:
    until_ms = 0 if left_s is None else int((time.time() + left_s) * 1_000)
    answers: Iterator[Callable[[], dict[str, int]] | dict[str, int]] = iter(
        [{}, {"another": 0}, _no_gcs, {"another": 0, "mine": until_ms}]
    )

    def draining_nodes() -> dict[str, int]:
        answer = next(answers)
        return answer if isinstance(answer, dict) else answer()

    monkeypatch.setattr(watch, "RAY_LOOK_S", 0.001)
    monkeypatch.setattr(ray_state, "get_draining_nodes", draining_nodes)
    monkeypatch.setattr(ray, "get_runtime_context", Context)
    deployment = Deployment(Node(), load_settings(drain_grace_s=USUAL_S))  # type: ignore[arg-type]  # what is asked of it
    watch._watch_ray(deployment)
    assert deployment.leave.is_set()
    assert grace_s - PATIENCE_S < deployment.grace_s <= grace_s
    assert deployment.grace_s >= 0.0
    assert next(answers, None) is None


def _no_gcs() -> dict[str, int]:
    raise RaySystemError("the GCS does not answer")


def test_a_node_that_stops_hears_no_notice_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_state, "get_draining_nodes", _no_gcs)
    monkeypatch.setattr(ray, "get_runtime_context", Context)
    deployment = Deployment(Node(), load_settings())  # type: ignore[arg-type]  # what is asked of it
    deployment.stopping.set()
    watch._watch_ray(deployment)
    assert not deployment.leave.is_set()


# ------------------------------------------------------------------ as it is deployed


def _fragment(kind: str) -> str:
    """Of docs/drain.md."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "drain.md").read_text()
    return text.partition(f"```{kind}\n")[2].partition("```")[0]


def _fits(env: dict[str, str], given_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node with these variables starts, and knows what it is given."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.termination_grace_s == given_s
    assert settings.drain_grace_s <= settings.most_grace_s


def test_the_pod_of_the_documentation_has_time_to_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = yaml.safe_load(_fragment("yaml"))["spec"]
    [container] = pod["containers"]
    env = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    _fits(env, pod["terminationGracePeriodSeconds"], monkeypatch)
    hook = container["lifecycle"]["preStop"]["exec"]["command"]
    asked: list[tuple[str, str]] = []

    def ask(_http: str, _key: str, method: str, path: str, _body: Any = None) -> Any:
        asked.append((method, path))
        return {"nodes": [], "node_id": "n"}

    monkeypatch.setattr(commands, "_answer", ask)
    assert CliRunner().invoke(app, hook[1:]).exit_code == 0
    assert (hook[0], ("POST", "/cluster/n/drain") in asked) == ("reception", True)


def test_the_unit_of_the_documentation_has_time_to_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = dict(line.split("=", 1) for line in _fragment("ini").splitlines() if "=" in line)
    env = dict(each.split("=") for each in unit["Environment"].split())
    _fits(env, float(unit["TimeoutStopSec"]), monkeypatch)
    assert unit["KillMode"] == "mixed"
