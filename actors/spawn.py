"""The one place where plain classes become Ray actors, and calls to them.

Ray loads an actor's class wherever a handle of it is used: a session that asks
the cost controller would import the database with it (measured: 0.6 s and
25 MB in every session). So what Ray sees is `Host`, which imports the real class
in the actor's own process only; `Remote` is a handle of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import secrets
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from ray.util import serialization_addons
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.nearby import Nearby, serve
from actors.rest import Rest, announce

NAMESPACE = "reception"
ACTOR_TIMEOUT_S = 5.0

# Niceness of processes. Ray gives all its workers the same (15); here, on the few
# cores of a node, whoever moves audio or admits calls comes before sessions, and they
# before those that are started ahead.
AT_ONCE, SOON, LATER = -5, 5, 10

# What is asked of a pooled actor before it serves.
_PREPARING = frozenset(("start", "warm_up", "rehearse"))

# Ray would import pydantic and starlette into every process, 7 MB, to know their
# classes when it pickles objects; between our actors go plain values.
serialization_addons.apply = lambda _context: None


class Host:
    """The actor that Ray knows: makes an instance of a class and calls it.

    Args:
        path: "module:Class".
        args: the class's arguments.
        niceness: of the process, where the system grants it.
        bell: of a pooled actor (`spawn`): under which its calls are announced
            (`actors.rest`); "" for any other.
    """

    def __init__(
        self, path: str, args: tuple[Any, ...], niceness: int = SOON, bell: str = ""
    ) -> None:
        self._serving: int | None = None  # the niceness for when it does
        if _set_niceness(niceness) and bell:
            self._serving = niceness
            _set_niceness(LATER)
        if bell:
            self._rest = Rest(bell)
        module, _, name = path.partition(":")
        self._actor = getattr(importlib.import_module(module), name)(*args)
        self._nearby: asyncio.Server | None = None

    async def call(self, method: str, args: tuple[Any, ...]) -> Any:
        """Calls an async method. The first call comes through Ray; from then on this
        node's processes can call without it."""
        if self._nearby is not None:
            return await self._call(method, args)
        with contextlib.suppress(OSError):  # a predecessor still has the address
            actor_id = ray.get_runtime_context().get_actor_id() or ""
            self._nearby = await serve(_near(actor_id), self._call)
        result = await self._call(method, args)
        gc.freeze()  # a look at all that is imported stops everything for 60 ms and more
        return result

    async def _call(self, method: str, args: tuple[Any, ...]) -> Any:
        if self._serving is not None and method not in _PREPARING:
            _set_niceness(self._serving)
            self._serving = None
        return await getattr(self._actor, method)(*args)


def _near(actor_id: str) -> str:
    """What an actor is called on this node; a machine may have several nodes."""
    return f"{actor_id}@{ray.get_runtime_context().get_node_id()[:12]}"


def _set_niceness(niceness: int) -> bool:
    """For every thread of this process: on Linux each has its own. To go below
    what Ray gave takes a privilege (CAP_SYS_NICE); without it all stays as it is: False."""
    try:
        for thread in Path("/proc/self/task").glob("*"):
            with contextlib.suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, int(thread.name), niceness)
    except OSError:
        return False
    return True


class RemoteMethod:
    """`await handle.method(args)`, or `handle.method.remote(args)`."""

    def __init__(self, remote: Remote, method: str) -> None:
        self._remote, self._method = remote, method

    async def __call__(self, *args: Any) -> Any:
        """Calls an actor in the shortest way; its result.

        Raises:
            RayError: as Ray's own calls do.
        """
        return await self._remote.call(self._method, args)

    def remote(self, *args: Any) -> Any:
        """Sends the call through Ray; its result is an ObjectRef."""
        return self._remote.send(self._method, args)


class Remote:
    """An actor: `await remote.method(args)`. One that was found by its name is looked
    up at the first call, and again after it died.

    Args:
        handle: Ray's; None for a named actor.
        bell: see `Host`.
        name: in the namespace `reception`.
    """

    def __init__(
        self, handle: ActorHandle[Any] | None = None, bell: str = "", name: str = ""
    ) -> None:
        self._handle, self._bell, self._name = handle, bell, name
        self._near: Nearby | None = None
        self._connecting = asyncio.Lock()

    def __getattr__(self, method: str) -> RemoteMethod:
        if method.startswith("_"):
            raise AttributeError(method)
        return RemoteMethod(self, method)

    async def call(self, method: str, args: tuple[Any, ...]) -> Any:
        """Past Ray if the actor is on this node.

        Raises:
            RayError: as Ray's own calls do.
        """
        try:
            near = await self._connected()
            if near is not None:
                return await near.call(method, args)
            return await self.send(method, args)
        except RayActorError:
            if self._name:
                self._handle = None
            raise

    def send(self, method: str, args: tuple[Any, ...]) -> Any:
        """Through Ray; an ObjectRef. Raises RayActorError."""
        if self._bell:
            announce(self._bell)
        return self._known().call.remote(method, args)

    def _known(self) -> Any:
        if self._handle is None:
            try:
                self._handle = ray.get_actor(self._name, namespace=NAMESPACE)
            except ValueError:
                raise RayActorError(error_msg=f"there is no actor {self._name}") from None
        return self._handle

    async def _connected(self) -> Nearby | None:
        if self._near is None or self._near.lost:
            async with self._connecting:
                if self._near is None or self._near.lost:
                    self._near = await Nearby.connect(_near(self._known()._actor_id.hex()))
        return self._near

    def kill(self) -> None:
        """Ends the actor's process at once; it is not restarted."""
        ray.kill(self._known())


def spawn(
    path: str,
    *args: Any,
    name: str | None = None,
    detached: bool = False,
    restarts: int = 0,
    resources: dict[str, float] | None = None,
    strategy: Any = None,
    niceness: int = AT_ONCE,
    pooled: bool = False,
) -> Remote:
    """Starts an actor of the class at `path` ("module:Class").

    Args:
        name: its name in the namespace `reception`; None for no name.
        detached: it outlives whoever starts it.
        restarts: how often Ray starts it again (-1: for ever).
        resources: custom resources that it holds, such as call_slots.
        strategy: Ray's scheduling strategy; None for this process's own node.
        niceness: AT_ONCE or SOON.
        pooled: one of several, started ahead: LATER until it serves, and its main
            thread sleeps while nobody on this node calls it by the handle that is
            given back (`actors.rest`).
    """
    options: dict[str, Any] = {
        "num_cpus": 0,
        "max_restarts": restarts,
        "namespace": NAMESPACE,
        # Ray would keep a history of every call; that of actors it keeps anyway.
        "enable_task_events": False,
        # No "runtime_env": a process of one imports Ray twice (1.1 s of CPU, not 0.7).
    }
    if name is not None:
        options["name"] = name
    if detached:
        options |= {"lifetime": "detached", "get_if_exists": True}  # two nodes may start at once
    if resources:
        options["resources"] = resources
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options["scheduling_strategy"] = strategy or here
    # A class of the real one's name, so that Ray's tools show what runs.
    shown = type(path.rpartition(":")[2], (Host,), {})
    actor: Any = ray.remote(shown)
    bell = f"reception-{secrets.token_hex(8)}" if pooled else ""
    return Remote(actor.options(**options).remote(path, args, niceness, bell), bell)


def in_time() -> asyncio.Timeout:
    """`async with in_time()`: an actor that does not answer in ACTOR_TIMEOUT_S is a
    TimeoutError."""
    return asyncio.timeout(ACTOR_TIMEOUT_S)


def find(name: str) -> Remote:
    """The named actor."""
    return Remote(name=name)


def exists(name: str) -> bool:
    """Whether there is an actor of this name."""
    try:
        ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return False
    return True
