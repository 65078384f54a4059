"""What goes on beside a node that is up, each in a thread: front door and synthesizer are
started again, and whoever wants the node to leave, or took it away, is heard."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import Any

import psutil
import ray
import structlog
from ray._private.state import state as ray_state
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.settings import LEAVE_S
from actors.spawn import Remote
from cluster import ray_node
from cluster.deployment import START_TIMEOUT_S, Deployment

AGAIN_S = 0.2
RAY_LOOK_S = 2.0

log = structlog.get_logger()


def watch(deployment: Deployment) -> None:
    """Until the node stops."""
    for work in (_keep_door, _keep_speech, _watch_agent, _hear_leave, _watch_ray):
        threading.Thread(target=work, args=(deployment,), name=work.__name__, daemon=True).start()


def watch_raylet(deployment: Deployment) -> None:
    """Until the node stops: of one that takes no calls, and has no agent to be watched."""
    work = _watch_raylet
    threading.Thread(target=work, args=(deployment,), name=work.__name__, daemon=True).start()


def _watch_raylet(deployment: Deployment) -> None:
    """It ends when Ray has taken the node for dead: its singletons are elsewhere by then."""
    raylet = ray_node.own_raylet()
    while raylet.is_running() and raylet.status() != psutil.STATUS_ZOMBIE:
        if deployment.stopping.wait(RAY_LOOK_S):
            return
    log.error("raylet lost")
    deployment.lost.set()


def _keep_door(deployment: Deployment) -> None:
    """At the same port: callers come back with their resume tokens."""
    port = int(deployment.grpc_address.rpartition(":")[2])
    _keep(deployment, "front door", deployment.handles["door"], port)


def _keep_speech(deployment: Deployment) -> None:
    if deployment.speech is not None:
        _keep(deployment, "speech synthesis", deployment.speech)


def _keep(deployment: Deployment, part: str, actor: Remote | ActorHandle[Any], *given: Any) -> None:
    """Starts an actor again, with what it is given, whenever its process died."""
    while True:
        with contextlib.suppress(RayError):
            ray.get(actor.until_stopped.remote())
        if deployment.stopping.wait(AGAIN_S):
            return
        log.warning("part of the node lost", part=part)
        while not _started(part, actor, *given):  # its process may not be there yet
            if deployment.stopping.wait(AGAIN_S):
                return


def _started(part: str, actor: Remote | ActorHandle[Any], *given: Any) -> bool:
    try:
        ray.get(actor.start.remote(*given), timeout=START_TIMEOUT_S)
    except RayError as error:
        log.warning("part of the node not started", part=part, error=str(error)[:200])
        return False
    return True


def _watch_agent(deployment: Deployment) -> None:
    """Pools and calls of a node live with its agent, so that it is not restarted alone."""
    with contextlib.suppress(RayError):
        ray.get(deployment.handles["agent"].until_stopped.remote())
    if not deployment.stopping.is_set():
        log.error("node agent lost")
        deployment.lost.set()


def _hear_leave(deployment: Deployment) -> None:
    """`reception drain`, by way of the node's agent."""
    try:
        grace_s = ray.get(deployment.handles["agent"].until_told_to_leave.remote())
    except RayError:
        return
    except Exception:
        if deployment.stopping.is_set():  # Ray ends beside this, and says so in many ways
            return
        raise
    deployment.grace_s = deployment.settings.drain_grace_s if grace_s is None else grace_s
    deployment.leave.set()


def _watch_ray(deployment: Deployment) -> None:
    """Ray drains a node that its autoscaler takes away, or that was preempted."""
    node_id = ray.get_runtime_context().get_node_id()
    while not deployment.stopping.wait(RAY_LOOK_S):
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
