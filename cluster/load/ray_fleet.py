"""Driver processes on the nodes of a Ray cluster: a fleet in an actor on each."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.load.fleet import START_S, Fleet, Progress
from cluster.load.measures import Measures
from cluster.load.schedule import Plan
from reception.errors import Unavailable

ANSWER_S = 30.0
CONNECT_S = 3.0


class RayFleet:
    """A `cluster.load.fleet.Fleet` on every live node; clocks must agree (NTP).

    Args:
        plan: of the whole run; its address must be that of a server as seen from
            the nodes.
        processes: on each node.
        address: of the cluster; "auto" for the one of this machine.
    """

    def __init__(self, plan: Plan, processes: int, address: str) -> None:
        try:
            _look_for(address)
            ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise Unavailable(f"no Ray cluster at {address}: {error}") from None
        nodes = sorted(node["NodeID"] for node in _nodes() if node["Alive"])
        remote = ray.remote(num_cpus=0)(Fleet)
        self.nodes = len(nodes)
        self._fleets = [
            remote.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(plan, processes, number * processes, len(nodes) * processes)
            for number, node in enumerate(nodes)
        ]

    def start(self) -> None:
        """See `cluster.load.fleet.Drivers`."""
        self._all("start", timeout_s=START_S + ANSWER_S)

    def go(self, at_s: float) -> None:
        """See `cluster.load.fleet.Drivers`."""
        self._all("go", at_s)

    def poll(self, timeout_s: float) -> tuple[Progress, bool]:
        """See `cluster.load.fleet.Drivers`."""
        total: Counter[str] = Counter()
        over = True
        for progress, one_over in self._all("poll", timeout_s):
            total.update(progress)
            over = over and one_over
        return dict(total), over

    def stop(self) -> None:
        """See `cluster.load.fleet.Drivers`."""
        self._all("stop")

    def result(self) -> dict[str, Any]:
        """See `cluster.load.fleet.Drivers`."""
        total = Measures()
        for plain in self._all("result"):
            total.merge(Measures.of(plain))
        return total.plain()

    def close(self) -> None:
        """See `cluster.load.fleet.Drivers`."""
        with suppress(RayError):
            self._all("close")
        for fleet in self._fleets:
            ray.kill(fleet)  # type: ignore[arg-type]  # wider than declared
        ray.shutdown()

    def _all(self, method: str, *args: object, timeout_s: float = ANSWER_S) -> list[Any]:
        asked = [getattr(fleet, method).remote(*args) for fleet in self._fleets]
        answers: list[Any] = ray.get(asked, timeout=timeout_s)
        return answers


def _look_for(address: str) -> None:
    """Whether somebody listens there: Ray itself tries for two minutes."""
    host, _, port = address.rpartition(":")
    if host:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()


def _nodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # no types there
    return found
