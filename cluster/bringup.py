"""Brings a node up: Ray, singletons, embedded engine, agent, front door, HTTP.

The composition root: the one place that knows every actor. Synchronous; call
it from a thread when inside an event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.assignment import NodeConfig, ProviderConfig
from actors.settings import Settings, load_settings
from actors.spawn import spawn
from cluster import ray_node
from cluster.deployment import START_TIMEOUT_S, Deployment
from cluster.door_config import DoorConfig
from cluster.models import check_models
from cluster.speech import speaks_here
from cluster.watch import watch, watch_raylet
from reception.money.savings.levels import Level

SINGLETONS = {
    "cost": "actors.cost:CostController",
    "security": "actors.security:SecurityGuard",
    "health": "actors.health:HealthMonitor",
}

if TYPE_CHECKING:
    from voice.engine import Engine

Progress = Callable[[str], None]


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
    speaks = options.calls and speaks_here(settings)
    if options.calls:
        check_models(settings)
    say("starting Ray")
    node = ray_node.start(options.address, options.node_ip, dashboard=options.dashboard)
    deployment = Deployment(node, settings)
    try:
        say("starting the actors")
        engine = _begin_engine(settings) if options.calls else None
        speaking = _begin_speech(deployment) if speaks else None
        _start_singletons(deployment)
        if not options.calls:
            singletons = [deployment.handles[name].ping.remote() for name in SINGLETONS]
            ray.get(singletons, timeout=START_TIMEOUT_S)
            watch_raylet(deployment)
            return deployment
        _spawn_agent(deployment)
        starting = deployment.handles["agent"].start.remote()
        if engine is not None:
            deployment.engine = engine
            engine.wait()
        singletons = [deployment.handles[name].ping.remote() for name in SINGLETONS]
        ray.get([starting, *singletons], timeout=START_TIMEOUT_S)
        say("warming sessions and audio workers")
        if speaking is not None:
            ray.get(speaking, timeout=START_TIMEOUT_S)
        _serve_provider(deployment, settings.provider_base_url or (engine.url if engine else ""))
        say("opening the front door")
        _start_doors(deployment)
    except BaseException:
        deployment.stop()
        raise
    return deployment


# ---------------------------------------------------------------- the parts


def _start_singletons(deployment: Deployment) -> None:
    """On this node if there are none yet: for ever if their database is a file here."""
    node_id = ray.get_runtime_context().get_node_id()
    on_disk = deployment.settings.database_url.startswith("sqlite")
    where = NodeAffinitySchedulingStrategy(node_id, soft=not on_disk)
    for name, path in SINGLETONS.items():
        deployment.handles[name] = spawn(
            path, deployment.settings, name=name, detached=True, restarts=-1, strategy=where
        )


def _begin_engine(settings: Settings) -> Engine | None:
    """The embedded engine, if it is wanted; not waited for."""
    if settings.provider != "embedded" or settings.provider_base_url:
        return None
    from voice.engine import EngineSettings, deploy  # noqa: PLC0415 - the extra `embedded`

    return deploy(EngineSettings())


def _begin_speech(deployment: Deployment) -> ray.ObjectRef[int]:
    """Who speaks answers that come as text; done when it does."""
    from voice.engine import deploy_synthesizer  # noqa: PLC0415 - the extra `embedded`

    deployment.speech = deploy_synthesizer(deployment.speech_socket)
    started: ray.ObjectRef[int] = deployment.speech.start.remote()
    return started


def _spawn_agent(deployment: Deployment) -> None:
    settings = deployment.settings
    config = NodeConfig(
        node_id=deployment.node_id,
        socket_dir=deployment.node.folder,
        database_url=settings.database_url,
        profile_path=str(Path(settings.receptionist_path).resolve()),
        pool=settings.pool_rules(),
        sizing=settings.sizer_rules(),
        recycling=settings.recycling_rules(),
        targets=settings.targets(),
        workers=settings.workers,
        resume_wait_s=settings.resume_wait_s,
        recordings_path=str(settings.recordings_path.resolve()),
        host=ray_node.own_ip(),
        zone=settings.zone,
        outbox_path=str(settings.outbox_path),
        unbilled_s=settings.alone_s(),
        phrases_path=str(settings.phrases_path),
        synthesizer=deployment.speech_socket if deployment.speech is not None else "",
        most_grace_s=settings.most_grace_s,
    )
    deployment.handles["agent"] = spawn(
        "actors.agent:NodeAgent", config, name=f"agent:{deployment.node_id}"
    )


def _serve_provider(deployment: Deployment, base_url: str) -> None:
    settings = deployment.settings
    deployment.provider_url = base_url
    provider = ProviderConfig(
        settings.provider, base_url, settings.model, settings.voice, Level(settings.savings)
    )
    deployment.call("agent", "serve", provider, timeout_s=START_TIMEOUT_S)


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
    deployment.handles["door"] = spawn(
        "cluster.front_door:FrontDoor", door, name=f"door:{node_id}", restarts=-1
    )
    deployment.handles["http"] = spawn(
        "cluster.management:ManagementApi",
        settings.http_host, settings.http_port, node_id, name=f"http:{node_id}",
    )  # fmt: skip
    starting = [deployment.handles[name].start.remote() for name in ("door", "http")]
    deployment.grpc_address, deployment.http_url = ray.get(starting, timeout=START_TIMEOUT_S)
    watch(deployment)


def _reachable(host: str) -> str:
    """By which others reach what listens there."""
    everywhere = host in ("0.0.0.0", "::", "[::]")  # noqa: S104  # nosec B104 - compared only
    return ray_node.own_ip() if everywhere else host
