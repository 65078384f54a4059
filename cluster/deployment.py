"""A node that is up: what is asked of it, and its end."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.settings import LEAVE_S, Settings
from actors.spawn import Remote
from cluster.ray_node import STOP_TIMEOUT_S, RayNode
from reception.call.record import CallRecord, TakenMessage
from reception.errors import Unavailable

if TYPE_CHECKING:
    from voice.engine import Engine

START_TIMEOUT_S = 60.0
# Until whoever places calls knows that a node leaves: its own door asks twice a second,
# other nodes report each second, and their doors ask for that twice a second.
DRAIN_NOTICE_S = 3.0


@dataclass(slots=True)
class Deployment:
    """A node that is up. Every method is synchronous."""

    node: RayNode
    settings: Settings
    grpc_address: str = ""
    http_url: str = ""
    provider_url: str = ""
    handles: dict[str, Remote] = field(default_factory=dict)
    engine: Engine | None = None
    speech: ActorHandle[Any] | None = None
    """The synthesizer of answers that come as text, where there are any."""
    leave: threading.Event = field(default_factory=threading.Event)
    """Somebody, or Ray's autoscaler, wants the node to drain and stop, within `grace_s`."""
    grace_s: float = 0.0
    lost: threading.Event = field(default_factory=threading.Event)
    """The node's agent died, or Ray took the node for dead: nothing of it can be used."""
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def node_id(self) -> str:
        return self.node.node_id

    @property
    def speech_socket(self) -> str:
        return f"{self.node.folder}/speech.sock"

    def create_key(self, name: str, scopes: list[str]) -> str:
        """A new API key; shown here and never again."""
        made = self.call("security", "create_key", name, "default", scopes, None, "bring-up")
        return str(made[1])

    def snapshot(self) -> dict[str, Any]:
        """What is going on: calls, actors, costs, pool, front door."""
        agent = self.call("agent", "stats")
        calls = self.call("agent", "live_calls")
        return {
            "calls": list(calls),
            "actors": _actors(agent, set(self.handles)),
            "costs": self.call("cost", "totals"),
            "pool": agent["pool"],
            "door": self.call("door", "stats"),
        }

    def call_record(self, call_id: str) -> CallRecord | None:
        record: CallRecord | None = self.call("agent", "get_call", call_id)
        return record

    def messages(self) -> list[TakenMessage]:
        return list(self.call("agent", "messages"))

    def drain(self, grace_s: float) -> int:
        """Is advertised no more, and once that is known, waits for the live calls: those of
        this node, and those of others that came in here. Idempotent.

        Returns:
            How many calls of this node were left after all.
        """
        if "agent" not in self.handles:
            return 0
        self.call("agent", "close")
        self.stopping.wait(DRAIN_NOTICE_S)
        over_s = time.monotonic() + grace_s
        self._tell_door("drain", grace_s)
        left: int = self.call("agent", "drain", grace_s, timeout_s=grace_s + LEAVE_S)
        left_s = max(0.0, over_s - time.monotonic())
        self._tell_door("until_quiet", left_s, timeout_s=left_s + STOP_TIMEOUT_S)
        return left

    def _tell_door(self, method: str, *args: Any, timeout_s: float = 10.0) -> None:
        """Calls outlive their front door: that it is gone does not hold up the rest."""
        with contextlib.suppress(RayError, TimeoutError):
            self.call("door", method, *args, timeout_s=timeout_s)

    def stop(self) -> None:
        """Ends everything this node started and leaves nothing behind. Where the node is
        lost its door goes first, so that callers come back elsewhere at once."""
        self.stopping.set()
        if self.lost.is_set() and "door" in self.handles:
            with contextlib.suppress(RayError):
                self.handles["door"].kill()
        for name in ("http", "door", "agent"):
            with contextlib.suppress(RayError, TimeoutError, Unavailable):
                self.call(name, "stop", timeout_s=STOP_TIMEOUT_S)
        if self.engine is not None:
            with contextlib.suppress(RayError, TimeoutError):
                self.engine.stop()
        if self.speech is not None:
            ray.kill(self.speech)
        mine = ("http", "door", "agent") if self.node.joined else tuple(self.handles)
        for name in mine:
            if name in self.handles:
                self.handles[name].kill()
        self.node.stop()

    def call(self, name: str, method: str, *args: Any, timeout_s: float = 10.0) -> Any:
        """What an actor of the node answers. Raises Unavailable if there is none."""
        if name not in self.handles:
            raise Unavailable(f"{name} is not running")
        return ray.get(getattr(self.handles[name], method).remote(*args), timeout=timeout_s)


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
