"""The nodes of the cluster as a front door sees them: which lives, which gets a call."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from ray.exceptions import RayActorError, RayError, RayTaskError

from actors.link import Link
from actors.link_tls import Credentials, NodeTls
from actors.membership import Cluster
from actors.spawn import Remote, find
from reception.call.record import CallSpec
from reception.errors import InvalidRequest, LimitReached, NodeLost, ReceptionError, Unavailable
from reception.placement.balancing.balancer import Balancer, BalancerRules, NodeView
from reception.placement.balancing.pickers import picker
from reception.placement.balancing.report import REPORT_S, NodeReport, decode
from reception.placement.lease import Placement

log = structlog.get_logger()

LINK_TIMEOUT_S = 2.0
LINK_AGAIN_S = 1.0
GONE_S = 60.0  # not heard of for so long: it is no node any more


async def ask(actor: Remote, name: str, method: str, *args: Any, timeout_s: float) -> Any:
    """One actor call with a deadline; errors of the core come back as themselves, an
    actor that does not answer as Unavailable."""
    try:
        async with asyncio.timeout(timeout_s):
            return await getattr(actor, method)(*args)
    except RayTaskError as error:
        if isinstance(error.cause, ReceptionError):
            raise error.cause from None
        raise
    except RayActorError as error:
        raise Unavailable(f"{name} is restarting", retry_after_s=2.0) from error
    except (RayError, TimeoutError) as error:
        raise Unavailable(f"{name} did not answer in time", retry_after_s=2.0) from error


@dataclass(slots=True)
class _Node:
    """Another node. `lost` is done while there is no link to it."""

    agent: Remote
    address: str = ""
    grpc_address: str = ""
    watch: asyncio.Task[None] | None = None
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class Nodes:
    """Places calls, and calls the agents of nodes.

    To each other node there is a link that carries nothing. When it ends, which is at
    once when the node's agent dies and within 2 s when it stands still, nothing more is
    placed there, and whoever waits for its agent is told NodeLost.

    Args:
        node_id: of this door's own node, whose agent may always be asked.
        balancing: the algorithm's name (`reception.placement.balancing.pickers`).
        zone: where this node stands.

    Attributes:
        own: this node's last report; None before the first.
    """

    def __init__(self, node_id: str, balancing: str, zone: str, timeout_s: float = 5.0) -> None:
        self._own, self._zone, self._timeout_s = node_id, zone, timeout_s
        rng = random.Random()  # noqa: S311  # nosec B311 - spreads calls, no secret
        self._balancer = Balancer(BalancerRules(), picker(balancing, rng), rng)
        self._agent = find(f"agent:{node_id}")
        self._others: dict[str, _Node] = {}
        self._waiting: dict[str, str] = {}  # sessions that are being leased: at which node
        self._answered: dict[str, tuple[str, float]] = {}  # by their leases
        self.own: NodeReport | None = None
        self._tls: NodeTls | None = None
        self._credentials: Credentials | None = None

    @property
    def tls(self) -> NodeTls | None:
        """For links to workers of other nodes."""
        return self._tls

    def view(self) -> list[NodeView]:
        """Every node, as its share of calls is."""
        return self._balancer.view(time.monotonic())

    def grpc_address(self, node_id: str) -> str:
        """Where callers reach a node's front door; "" when that is not known."""
        node = self._others.get(node_id)
        return "" if node is None else node.grpc_address

    # ------------------------------------------------------------- following

    async def follow(self) -> None:
        """Hears how the nodes are, for ever."""
        while True:
            try:
                cluster: Cluster = await ask(
                    self._agent, "agent", "cluster", timeout_s=self._timeout_s
                )
            except (Unavailable, RayTaskError) as error:
                log.warning("no word of the nodes", error=str(error)[:200])
            else:
                self.heard(cluster)
            await asyncio.sleep(REPORT_S / 2)

    def heard(self, cluster: Cluster) -> None:
        """What the node's agent knows of the cluster."""
        if cluster.credentials is not None and cluster.credentials != self._credentials:
            self._credentials = cluster.credentials
            if self._tls is None:
                self._tls = NodeTls(cluster.credentials)
            else:
                self._tls.renew(cluster.credentials)
        now_s = time.monotonic()
        for age_s, data in cluster.reports:
            try:
                report = decode(data)
            except InvalidRequest as error:
                log.warning("report not understood", error=error.message)
                continue
            self._balancer.heard(replace(report, at_s=now_s - age_s), now_s)
            if report.node_id == self._own:
                self.own = report
            else:
                self._meet(report)
        known = {each.node_id: each.age_s for each in self.view()}
        for node_id in [each for each in self._others if known.get(each, GONE_S) >= GONE_S]:
            self._forget(node_id)

    def _meet(self, report: NodeReport) -> None:
        node = self._others.get(report.node_id)
        if node is None:
            node = _Node(find(f"agent:{report.node_id}"))
            node.lost.set()
            self._others[report.node_id] = node
        node.grpc_address = report.grpc_address
        if report.link_address != node.address and self._tls is not None:
            node.address = report.link_address
            if node.watch is not None:
                node.watch.cancel()
            node.watch = asyncio.ensure_future(self._watch(report.node_id, node))

    async def _watch(self, node_id: str, node: _Node) -> None:
        """Holds a link to a node, again and again."""
        while True:
            try:
                link = await Link.connect(node.address, LINK_TIMEOUT_S, self._tls)
            except Unavailable:
                await asyncio.sleep(LINK_AGAIN_S)
                continue
            ended = asyncio.Event()
            link.handle(lambda _kind, _body: None, ended.set)
            try:
                node.lost.clear()
                await ended.wait()
            finally:
                node.lost.set()
                link.abort()
            self._balancer.broke(node_id, time.monotonic())
            log.warning("node lost", node=node_id, why=link.end_reason or "closed")

    def _forget(self, node_id: str) -> None:
        node = self._others.pop(node_id)
        if node.watch is not None:
            node.watch.cancel()
        self._balancer.left(node_id)

    def close(self) -> None:
        """Lets go of all nodes."""
        for node_id in list(self._others):
            self._forget(node_id)

    # ------------------------------------------------------------- asking

    @property
    def reachable(self) -> list[str]:
        """This node, and those to which there is a link."""
        return [self._own, *(each for each, node in self._others.items() if not node.lost.is_set())]

    async def agent(self, node_id: str, method: str, *args: Any, patience_s: float = 0.0) -> Any:
        """Calls a node's agent.

        Raises:
            NodeLost: the node is gone, or went meanwhile.
            Unavailable: it did not answer in time.
            ReceptionError: the method's own errors.
        """
        timeout_s = self._timeout_s + patience_s
        if node_id == self._own:
            return await ask(self._agent, "the node's agent", method, *args, timeout_s=timeout_s)
        node = self._others.get(node_id)
        if node is None or node.lost.is_set():
            raise NodeLost(f"node {node_id} is gone", retry_after_s=1.0)
        asking = ask(node.agent, f"node {node_id}", method, *args, timeout_s=timeout_s)
        return await _unless(node.lost, node_id, asking)

    async def everywhere(self, method: str, *args: Any) -> list[Any]:
        """Calls every agent that can be reached; what they answered, in no order. One
        that fails to answer is left out."""
        return await self._each(self.reachable, method, *args)

    async def elsewhere(self, method: str, *args: Any) -> list[Any]:
        """As `everywhere`, without this node's agent."""
        others = [node_id for node_id in self.reachable if node_id != self._own]
        return await self._each(others, method, *args)

    async def _each(self, node_ids: Sequence[str], method: str, *args: Any) -> list[Any]:
        asked = (self.agent(node_id, method, *args) for node_id in node_ids)
        found = await asyncio.gather(*asked, return_exceptions=True)
        return [each for each in found if not isinstance(each, BaseException)]

    # ------------------------------------------------------------- placing

    def locate(self) -> str:
        """The node that the next call would be placed on; this one when none has room."""
        return self._pick(set()) or self._own

    async def place(
        self, spec: CallSpec, method: str, *more: Any, here: bool = False, lost: str = ""
    ) -> Placement:
        """A place for a call on the node whose turn it is; where a node refuses it, on
        the next.

        Args:
            method: of the agent, which is given the spec and `more`.
            here: this node is asked first.
            lost: a node that is not asked.

        Raises:
            ReceptionError: as the method, from the last node that was asked.
        """
        refused = {lost} if lost else set()
        node_id = self._own if here else self._pick(refused) or self._own
        while True:
            try:
                return await self._place_at(node_id, spec, method, *more)
            except (LimitReached, Unavailable):
                refused.add(node_id)
                other = self._pick(refused)
                if other is None:
                    raise
                node_id = other

    def _pick(self, refused: set[str]) -> str | None:
        exclude = refused | self._unreachable()
        return self._balancer.pick(time.monotonic(), self._zone, exclude)

    def _unreachable(self) -> set[str]:
        return {node_id for node_id, node in self._others.items() if node.lost.is_set()}

    async def _place_at(self, node_id: str, spec: CallSpec, method: str, *more: Any) -> Placement:
        began_s = time.monotonic()
        self._balancer.placed(node_id, began_s)
        self._waiting[spec.session_id] = node_id
        try:
            placement: Placement = await self.agent(node_id, method, spec, *more)
        except Unavailable:
            self._balancer.failed(node_id, time.monotonic())
            raise
        except BaseException:
            self._balancer.withdrawn(node_id, time.monotonic())
            raise
        finally:
            self._waiting.pop(spec.session_id, None)
        now_s = time.monotonic()
        self._balancer.answered(node_id, now_s - began_s, now_s)
        self._answered[placement.lease_id] = node_id, now_s
        return placement

    def over(self, placement: Placement) -> None:
        """A call that this door placed has left it."""
        node_id, answered_s = self._answered.pop(placement.lease_id, ("", 0.0))
        self._balancer.ended(node_id, answered_s)

    def waits_at(self, session_id: str) -> str:
        """The node that is asked to take the session; "" for none."""
        return self._waiting.get(session_id, "")


async def _unless(lost: asyncio.Event, node_id: str, work: Coroutine[Any, Any, Any]) -> Any:
    """What `work` gives, unless the node is lost first."""
    asked = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(lost.wait())
    try:
        await asyncio.wait((asked, gone), return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            raise NodeLost(f"node {node_id} is gone", retry_after_s=1.0)
        return asked.result()
    finally:
        gone.cancel()
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await gone
