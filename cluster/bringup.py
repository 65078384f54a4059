"""Brings a node up: Ray, singletons, embedded engine, agent, front door, HTTP.

The composition root: the one place that knows every actor. Synchronous; call
it from a thread when inside an event loop.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import ray
import structlog
from ray._private.state import state as ray_state
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.assignment import NodeConfig, ProviderConfig
from actors.settings import LEAVE_S, Settings, load_settings
from actors.spawn import NAMESPACE, SOON, Remote, spawn
from cluster.door_config import DoorConfig
from reception.call.record import CallRecord, TakenMessage
from reception.errors import Unavailable
from reception.money.savings.levels import Level

SINGLETONS = {
    "cost": "actors.cost:CostController",
    "security": "actors.security:SecurityGuard",
    "health": "actors.health:HealthMonitor",
}
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
JOIN_TIMEOUT_S = 60.0
AFTER_RAY_S = 1.0
DOOR_AGAIN_S = 0.2
RAY_LOOK_S = 2.0

if TYPE_CHECKING:
    from voice.engine import Engine

Progress = Callable[[str], None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line decides; None takes the setting's value.

    address: of a Ray cluster to join; None starts a local one.
    node_ip: by which other nodes reach this one; None leaves that to Ray. A machine
        may have several nodes, each with an address of its own.
    calls: False for a node that has the singletons and takes no calls.
    grpc_port, http_port: 0 takes any free port.
    """

    provider: str | None = None
    grpc_port: int | None = None
    http_port: int | None = None
    address: str | None = None
    node_ip: str | None = None
    insecure_dev: bool = False
    database_url: str | None = None
    recordings_dir: str | None = None
    profile_path: str | None = None
    pool_size: int | None = None
    workers: int | None = None
    dashboard: bool = True
    calls: bool = True

    def settings(self) -> Settings:
        """Settings from the environment, with these options laid over them."""
        named = {
            "provider": self.provider,
            "grpc_port": self.grpc_port,
            "http_port": self.http_port,
            "database_url": self.database_url,
            "receptionist_path": self.profile_path,
            "recordings_path": self.recordings_dir,
            "pool_size": self.pool_size,
            "workers": self.workers,
        }
        given = {name: value for name, value in named.items() if value is not None}
        return load_settings(insecure_dev=self.insecure_dev, **given)


@dataclass(slots=True)
class Deployment:
    """A node that is up. Every method is synchronous."""

    node_id: str
    settings: Settings
    grpc_address: str = ""
    http_url: str = ""
    dashboard_url: str = ""
    provider_url: str = ""
    ray_address: str = ""
    _handles: dict[str, Remote] = field(default_factory=dict)
    _engine: Any = None
    _joined: bool = False
    _raylet: subprocess.Popen[bytes] | None = None
    _folder: str = ""
    leave: threading.Event = field(default_factory=threading.Event)
    """Somebody, or Ray's autoscaler, wants the node to drain and stop, within `grace_s`."""
    grace_s: float = 0.0
    lost: threading.Event = field(default_factory=threading.Event)
    """The node's agent died, or Ray took the node for dead: nothing of it can be used."""
    _stopping: threading.Event = field(default_factory=threading.Event)

    def create_key(self, name: str, scopes: list[str]) -> str:
        """A new API key; shown here and never again."""
        made = self._call("security", "create_key", name, "default", scopes, None, "bring-up")
        return str(made[1])

    def snapshot(self) -> dict[str, Any]:
        """What is going on: calls, actors, costs, pool, front door."""
        agent = self._call("agent", "stats")
        calls = self._call("agent", "live_calls")
        return {
            "calls": list(calls),
            "actors": _actors(agent, set(self._handles)),
            "costs": self._call("cost", "totals"),
            "pool": agent["pool"],
            "door": self._call("door", "stats"),
        }

    def call_record(self, call_id: str) -> CallRecord | None:
        record: CallRecord | None = self._call("agent", "get_call", call_id)
        return record

    def messages(self) -> list[TakenMessage]:
        return list(self._call("agent", "messages"))

    def drain(self, grace_s: float) -> int:
        """Takes no more calls and waits for the live ones; how many were left."""
        if "agent" not in self._handles:
            return 0
        self._call("door", "drain", grace_s, timeout_s=grace_s + STOP_TIMEOUT_S)
        left: int = self._call("agent", "drain", grace_s, timeout_s=grace_s + STOP_TIMEOUT_S)
        return left

    def stop(self) -> None:
        """Ends everything this node started and leaves nothing behind. Where the node is
        lost its door goes first, so that callers come back elsewhere at once."""
        self._stopping.set()
        if self.lost.is_set() and "door" in self._handles:
            with contextlib.suppress(RayError):
                self._handles["door"].kill()
        for name in ("http", "door", "agent"):
            with contextlib.suppress(RayError, TimeoutError, Unavailable):
                self._call(name, "stop", timeout_s=STOP_TIMEOUT_S)
        if self._engine is not None:
            with contextlib.suppress(RayError, TimeoutError):
                self._engine.stop()
        mine = ("http", "door", "agent") if self._joined else tuple(self._handles)
        for name in mine:
            if name in self._handles:
                self._handles[name].kill()
        _stop_ray()
        if self._raylet is not None:
            self._raylet.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._raylet.wait(STOP_TIMEOUT_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, name: str, method: str, *args: Any, timeout_s: float = 10.0) -> Any:
        if name not in self._handles:
            raise Unavailable(f"{name} is not running")
        return ray.get(getattr(self._handles[name], method).remote(*args), timeout=timeout_s)


def start(
    options: ServeOptions, settings: Settings | None = None, progress: Progress | None = None
) -> Deployment:
    """Brings everything up; back when calls are taken.

    Raises:
        InvalidRequest: a setting is wrong.
        Unavailable: a part did not come up; what had started is stopped again.
    """
    say = progress or (lambda _: None)
    settings = settings or options.settings()
    say("starting Ray")
    try:
        deployment = _start_ray(options, settings)
    except BaseException:
        _stop_ray()
        raise
    try:
        say("starting the actors")
        engine = _begin_engine(settings) if options.calls else None
        _start_singletons(deployment)
        if not options.calls:
            singletons = [deployment._handles[name].ping.remote() for name in SINGLETONS]
            ray.get(singletons, timeout=START_TIMEOUT_S)
            return deployment
        _spawn_agent(deployment)
        starting = deployment._handles["agent"].start.remote()
        if engine is not None:
            deployment._engine = engine
            engine.wait()
        singletons = [deployment._handles[name].ping.remote() for name in SINGLETONS]
        ray.get([starting, *singletons], timeout=START_TIMEOUT_S)
        say("warming sessions and audio workers")
        _serve_provider(deployment, settings.provider_base_url or (engine.url if engine else ""))
        say("opening the front door")
        _start_doors(deployment)
    except BaseException:
        deployment.stop()
        raise
    return deployment


# ---------------------------------------------------------------- the parts


def _start_ray(options: ServeOptions, settings: Settings) -> Deployment:
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_worker_niceness", str(SOON))  # while they start
    # Sessions are started one at a time by the node agent; at bring-up all at once.
    os.environ.setdefault("RAY_worker_maximum_startup_concurrency", "32")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # A node that does not answer is dead after some 6 s; singletons of it start elsewhere.
    for name, value in (("period_ms", "1000"), ("timeout_ms", "1000"), ("failure_threshold", "5")):
        os.environ.setdefault(f"RAY_health_check_{name}", value)
    raylet, folder = None, tempfile.mkdtemp(prefix="rec-")
    common: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False}
    common["logging_level"] = "ERROR"
    if options.node_ip is not None:
        common["_node_ip_address"] = options.node_ip
    if options.address is None:
        local: dict[str, Any] = {
            "include_dashboard": options.dashboard,
            "dashboard_host": "127.0.0.1",
        }
        with _signals_held():
            context = ray.init(address="local", **common, **local)
    else:
        if not _has_raylet(options.address, options.node_ip):
            raylet = _start_raylet(options.address, options.node_ip, folder)
        context = _join(options.address, common, raylet)
    node_id = ray.get_runtime_context().get_node_id()[:12]
    dashboard = context.dashboard_url or ""
    return Deployment(
        node_id=node_id,
        settings=settings,
        dashboard_url=f"http://{dashboard}" if dashboard else "",
        ray_address=ray.get_runtime_context().gcs_address,
        _joined=options.address is not None,
        _raylet=raylet,
        _folder=folder,
    )


@contextmanager
def _signals_held() -> Iterator[None]:
    """A signal that comes meanwhile is raised afterwards: Ray can't stop what it
    has half started, and puts in handlers of its own."""
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for each in (signal.SIGTERM, signal.SIGINT):
            before[each] = signal.signal(each, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    for number in came[:1]:
        signal.raise_signal(number)


def _stop_ray() -> None:
    """Ends Ray and what Ray leaves behind: it allows a raylet a second, and the
    agents of one that it had to kill may wait for its GCS for a minute."""
    raylets = [child for child in psutil.Process().children() if child.name() == "raylet"]
    descendants = [each for raylet in raylets for each in raylet.children(recursive=True)]
    ray.shutdown()
    _, left = psutil.wait_procs(descendants, timeout=AFTER_RAY_S)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _has_raylet(address: str, node_ip: str | None) -> bool:
    """Whether this machine is a node of the cluster already, at that address of its own."""
    wanted = {f"--gcs-address={address}"}
    if node_ip is not None:
        wanted.add(f"--node_ip_address={node_ip}")
    return any(
        process.info["name"] == "raylet" and wanted <= set(process.info["cmdline"] or ())
        for process in psutil.process_iter(["name", "cmdline"])
    )


def _start_raylet(address: str, node_ip: str | None, folder: str) -> subprocess.Popen[bytes]:
    """This machine becomes a node of the cluster at `address`. The folder is the node's
    own: raylets that start at once on one machine take each other's sockets otherwise."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    command += [f"--address={address}", "--disable-usage-stats", f"--temp-dir={folder}"]
    if node_ip is not None:
        command.append(f"--node-ip-address={node_ip}")
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _join(address: str, options: dict[str, Any], raylet: subprocess.Popen[bytes] | None) -> Any:
    """Connects to this machine's node of the cluster.

    Raises:
        Unavailable: there is no such cluster, or no node of it here in time.
    """
    until_s = time.monotonic() + JOIN_TIMEOUT_S
    try:
        while True:  # ray start has no ready signal while it blocks
            try:
                with _signals_held():
                    return ray.init(address=address, **options)
            except (ConnectionError, RuntimeError, ValueError) as error:
                ended = raylet is None or raylet.poll() is not None
                if ended or time.monotonic() > until_s:
                    text = (
                        f"there is no Ray cluster to join at {address}: {error.__cause__ or error}"
                    )
                    raise Unavailable(text[:300]) from error
                time.sleep(0.2)
    except BaseException:
        if raylet is not None:
            raylet.terminate()
        raise


def _start_singletons(deployment: Deployment) -> None:
    """On this node if there are none yet: for ever if their database is a file here."""
    node_id = ray.get_runtime_context().get_node_id()
    on_disk = deployment.settings.database_url.startswith("sqlite")
    where = NodeAffinitySchedulingStrategy(node_id, soft=not on_disk)
    for name, path in SINGLETONS.items():
        deployment._handles[name] = spawn(
            path, deployment.settings, name=name, detached=True, restarts=-1, strategy=where
        )


def _begin_engine(settings: Settings) -> Engine | None:
    """The embedded engine, if it is wanted; not waited for."""
    if settings.provider != "embedded" or settings.provider_base_url:
        return None
    from voice.engine import EngineSettings, deploy  # noqa: PLC0415 - the extra `embedded`

    return deploy(EngineSettings())


def _spawn_agent(deployment: Deployment) -> None:
    settings = deployment.settings
    config = NodeConfig(
        node_id=deployment.node_id,
        socket_dir=deployment._folder,
        database_url=settings.database_url,
        profile_path=str(Path(settings.receptionist_path).resolve()),
        pool=settings.pool_rules(),
        sizing=settings.sizer_rules(),
        targets=settings.targets(),
        workers=settings.workers,
        resume_wait_s=settings.resume_wait_s,
        recordings_path=str(settings.recordings_path.resolve()),
        host=_node_ip(),
        zone=settings.zone,
        outbox_path=str(settings.outbox_path),
        unbilled_s=settings.unbilled_s if settings.cost_failure == "closed" else math.inf,
        phrases_path=str(settings.phrases_path),
    )
    deployment._handles["agent"] = spawn(
        "actors.agent:NodeAgent", config, name=f"agent:{deployment.node_id}"
    )


def _serve_provider(deployment: Deployment, base_url: str) -> None:
    settings = deployment.settings
    deployment.provider_url = base_url
    provider = ProviderConfig(
        settings.provider, base_url, settings.model, settings.voice, Level(settings.savings)
    )
    deployment._call("agent", "serve", provider, timeout_s=START_TIMEOUT_S)


def _start_doors(deployment: Deployment) -> None:
    settings, node_id = deployment.settings, deployment.node_id
    door = DoorConfig(
        host=settings.grpc_host,
        port=settings.grpc_port,
        node_id=node_id,
        idle_timeout_s=settings.idle_timeout_s,
        attach_timeout_s=settings.attach_timeout_s,
        advertised=settings.grpc_advertised or _reachable(settings.grpc_host),
        balancing=settings.balancing,
        zone=settings.zone,
        security_failure=settings.security_failure,
        cost_failure=settings.cost_failure,
    )
    deployment._handles["door"] = spawn(
        "cluster.front_door:FrontDoor", door, name=f"door:{node_id}", restarts=-1
    )
    deployment._handles["http"] = spawn(
        "cluster.management:ManagementApi",
        settings.http_host, settings.http_port, node_id, name=f"http:{node_id}",
    )  # fmt: skip
    starting = [deployment._handles[name].start.remote() for name in ("door", "http")]
    deployment.grpc_address, deployment.http_url = ray.get(starting, timeout=START_TIMEOUT_S)
    for work in (_keep_door, _watch_agent, _hear_leave, _watch_ray):
        threading.Thread(target=work, args=(deployment,), name=work.__name__, daemon=True).start()


def _hear_leave(deployment: Deployment) -> None:
    """`reception drain`, by way of the node's agent."""
    with contextlib.suppress(RayError):
        grace_s = ray.get(deployment._handles["agent"].until_told_to_leave.remote())
        deployment.grace_s = deployment.settings.drain_grace_s if grace_s is None else grace_s
        deployment.leave.set()


def _watch_ray(deployment: Deployment) -> None:
    """Ray drains a node that its autoscaler takes away, or that was preempted."""
    node_id = ray.get_runtime_context().get_node_id()
    while not deployment._stopping.wait(RAY_LOOK_S):
        try:
            draining = ray_state.get_draining_nodes()
        except RayError:  # the GCS does not answer
            continue
        if node_id in draining:
            until_ms = draining[node_id]  # 0: whenever it is done
            left_s = until_ms / 1_000 - time.time() if until_ms else math.inf
            usual_s = deployment.settings.drain_grace_s
            deployment.grace_s = max(0.0, min(usual_s, left_s - LEAVE_S))
            deployment.leave.set()
            return


def _watch_agent(deployment: Deployment) -> None:
    """Pools and calls of a node live with its agent, so that it is not restarted alone."""
    with contextlib.suppress(RayError):
        ray.get(deployment._handles["agent"].until_stopped.remote())
    if not deployment._stopping.is_set():
        log.error("node agent lost")
        deployment.lost.set()


def _node_ip() -> str:
    """By which other nodes reach this one."""
    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]  # Ray's own


def _reachable(host: str) -> str:
    """By which others reach what listens there."""
    everywhere = host in ("0.0.0.0", "::", "[::]")  # noqa: S104  # nosec B104 - compared only
    return _node_ip() if everywhere else host


def _keep_door(deployment: Deployment) -> None:
    """Opens the front door again, at the same port, whenever its process died: callers
    come back with their resume tokens."""
    door, port = deployment._handles["door"], int(deployment.grpc_address.rpartition(":")[2])
    while True:
        with contextlib.suppress(RayError):
            ray.get(door.until_stopped.remote())
        if deployment._stopping.wait(DOOR_AGAIN_S):
            return
        log.warning("front door lost", port=port)
        while not _opened(door, port):  # its process may not be there yet
            if deployment._stopping.wait(DOOR_AGAIN_S):
                return


def _opened(door: Remote, port: int) -> bool:
    try:
        ray.get(door.start.remote(port), timeout=START_TIMEOUT_S)
    except RayError as error:
        log.warning("front door not opened", port=port, error=str(error)[:200])
        return False
    return True


def _actors(agent: dict[str, Any], named: set[str]) -> list[dict[str, Any]]:
    """Every actor of the node: named ones, workers, sessions with their calls."""
    listed = [{"name": name, "kind": name, "state": "up"} for name in sorted(named)]
    listed += [
        {"name": worker, "kind": "worker", "state": f"{live} calls"}
        for worker, live in sorted(agent["workers"].items())
    ]
    listed += [
        {"name": session, "kind": "session", "state": call or "ready"}
        for session, call in sorted(agent["sessions"].items())
    ]
    return listed
