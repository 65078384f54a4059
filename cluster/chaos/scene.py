"""What faults find: a cluster with live calls, its provider and its database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from cluster.chaos.caller import ChaosCaller
from cluster.chaos.databases import Database
from cluster.chaos.history import Newcomer
from cluster.chaos.provider import Provider
from cluster.local import LocalCluster, Member


@dataclass(slots=True)
class Scene:
    """What a fault finds: the cluster, its provider, the callers, and chance. one_more: has
    somebody call."""

    cluster: LocalCluster
    provider: Provider
    database: Database
    callers: Sequence[ChaosCaller] = ()
    rng: Random = field(default_factory=Random)
    one_more: Callable[[], ChaosCaller] = field(init=False)

    def nodes(self) -> list[Member]:
        """Those that take calls."""
        return [each for each in self.cluster.nodes if each.said and each.process.poll() is None]

    def node_of(self, caller: ChaosCaller) -> Member:
        """The node that serves a call, as far as its caller was told."""
        for node in self.nodes():
            if node.node_id == caller.node_id:
                return node
        return self.rng.choice(self.nodes())

    def through(self, node: Member) -> tuple[str, ...]:
        """The calls that a node serves, or that came in at its door."""
        return tuple(
            caller.call_id
            for caller in self.callers
            if node.node_id == caller.node_id or node.grpc_address == caller.door
        )

    def everybody(self) -> tuple[str, ...]:
        """All calls."""
        return tuple(caller.call_id for caller in self.callers)

    def busy(self) -> Member:
        """A node with live calls."""
        return self.node_of(self.rng.choice(self.callers))

    def some(self) -> list[ChaosCaller]:
        """A third of the callers, one at least."""
        return self.rng.sample(list(self.callers), max(1, len(self.callers) // 3))


@dataclass(frozen=True, slots=True)
class Struck:
    """What a fault did, and which calls run through what it struck; who called meanwhile
    and could not be taken."""

    what: str
    hit: tuple[str, ...]
    newcomers: tuple[Newcomer, ...] = ()


Strike = Callable[[Scene], Awaitable[Struck]]
