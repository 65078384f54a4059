"""The one place where plain classes become Ray actors."""

from __future__ import annotations

import os
from typing import Any

import ray
from ray.actor import ActorHandle

NAMESPACE = "reception"
PING_TIMEOUT_S = 20.0

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def spawn(
    cls: type[Any],
    *args: Any,
    name: str | None = None,
    detached: bool = False,
    restarts: int = 0,
    resources: dict[str, float] | None = None,
    env: dict[str, str] | None = None,
    threads: bool = False,
    strategy: Any = None,
) -> ActorHandle[Any]:
    """Starts an actor of `cls(*args)`.

    Args:
        name: its name in the namespace `reception`; None for no name.
        detached: it outlives whoever starts it.
        restarts: how often Ray starts it again (-1: for ever).
        resources: custom resources that it holds, such as call_slots.
        env: environment variables for its process.
        threads: libraries may use several threads (heavy work only).
        strategy: Ray's scheduling strategy; None leaves the node to Ray.
    """
    variables = ({} if threads else dict(_ONE_THREAD)) | (env or {})
    for inherited in ("COVERAGE_PROCESS_START",):
        if inherited in os.environ:
            variables[inherited] = os.environ[inherited]
    options: dict[str, Any] = {
        "num_cpus": 0,
        "max_restarts": restarts,
        "namespace": NAMESPACE,
        "runtime_env": {"env_vars": variables},
    }
    if name is not None:
        options["name"] = name
    if detached:
        options["lifetime"] = "detached"
    if strategy is not None:
        options["scheduling_strategy"] = strategy
    if resources:
        options["resources"] = resources
    return ray.remote(cls).options(**options).remote(*args)  # type: ignore[no-any-return]


def find(name: str) -> ActorHandle[Any]:
    """The named actor. Raises ValueError when there is none."""
    return ray.get_actor(name, namespace=NAMESPACE)
