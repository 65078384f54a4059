"""A node among the others: tells each second how it is, hears how they are, and has
the certificate that links between nodes take."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from ray.exceptions import RayError

from actors.cluster_ca import Request, renew_after_s
from actors.link import Link
from actors.link_server import LinkServer, serve
from actors.link_tls import Credentials, NodeTls
from actors.spawn import find
from reception.address import TlsAddress
from reception.errors import ReceptionError
from reception.placement.admission.provider_limits import NodeUse
from reception.placement.balancing.report import NodeReport, encode

log = structlog.get_logger()

THERE_S = 10.0  # so old may be the last word of a node that is there
EXCHANGE_TIMEOUT_S = 0.8
CERTIFY_TIMEOUT_S = 5.0
AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """The nodes as this one knows them.

    reports: encoded NodeReports, each with the seconds since it was measured.
    credentials: what this node's links show; None while it has no certificate.
    """

    reports: tuple[tuple[float, bytes], ...]
    credentials: Credentials | None


class Membership:
    """Serves links that carry nothing: who holds one knows at once when this process
    dies, and within 2 s when it stands still.

    Args:
        host: where other nodes reach this one.
        renewed: is told each new certificate.
    """

    def __init__(self, node_id: str, host: str, renewed: Callable[[Credentials], None]) -> None:
        self._node_id, self._host, self._renewed = node_id, host, renewed
        self._health, self._security = find("health"), find("security")
        self._credentials: Credentials | None = None
        self._server: LinkServer | None = None
        self._own: tuple[float, bytes] | None = None
        self._others: list[tuple[float, bytes]] = []  # and when they were measured
        self._links: set[Link] = set()

    @property
    def address(self) -> str:
        """Where the links are served; "" while they can't be."""
        return "" if self._server is None else self._server.address

    def cluster(self) -> Cluster:
        """What is known now."""
        now_s = time.monotonic()
        own = [] if self._own is None else [self._own]
        reports = tuple((now_s - at_s, report) for at_s, report in (*own, *self._others))
        return Cluster(reports, self._credentials)

    def has_others(self) -> bool:
        """Whether there are nodes beside this one."""
        now_s = time.monotonic()
        return any(now_s - at_s < THERE_S for at_s, _ in self._others)

    async def tell(self, report: NodeReport) -> None:
        """This node's report; those of the others come back. When the health singleton
        does not answer, what it told last gets older."""
        sent_s, encoded = time.monotonic(), encode(report)
        self._own = sent_s, encoded
        try:
            async with asyncio.timeout(EXCHANGE_TIMEOUT_S):
                told = await self._health.exchange(encoded)
        except (RayError, ReceptionError, TimeoutError) as error:
            log.warning("no word of the other nodes", error=str(error)[:200])
            return
        self._others = [(sent_s - age_s, each) for age_s, each in told if each != encoded]

    async def tell_use(self, use: NodeUse) -> None:
        """What this node's calls use of the provider's account."""
        with contextlib.suppress(RayError, ReceptionError, TimeoutError):
            async with asyncio.timeout(EXCHANGE_TIMEOUT_S):
                await self._health.provider_use(use)

    async def leave(self) -> None:
        """This node is gone in good order."""
        with contextlib.suppress(RayError, TimeoutError):
            async with asyncio.timeout(EXCHANGE_TIMEOUT_S):
                await self._health.forget_node(self._node_id)

    async def open(self) -> None:
        """Gets a certificate, serves links, and renews it in time; for ever."""
        tls: NodeTls | None = None
        while True:
            try:
                self._credentials = await self._certified()
            except (RayError, ReceptionError, TimeoutError) as error:
                log.warning("no certificate", error=str(error)[:200])
                await asyncio.sleep(AGAIN_S)
                continue
            if tls is None:
                tls = NodeTls(self._credentials)
                self._server = await serve(str(TlsAddress(self._host, 0)), self._hold, tls)
            else:
                tls.renew(self._credentials)
            self._renewed(self._credentials)
            await asyncio.sleep(renew_after_s(self._credentials))

    async def _certified(self) -> Credentials:
        wanted = Request.make(self._node_id)
        async with asyncio.timeout(CERTIFY_TIMEOUT_S):
            certificate, ca = await self._security.certify(self._node_id, wanted.pem)
        return wanted.granted(certificate, ca)

    async def _hold(self, link: Link) -> None:
        """Keeps a link open, and reads what never comes."""
        self._links.add(link)
        link.handle(lambda _kind, _body: None, lambda: self._links.discard(link))

    def close(self) -> None:
        """Who holds a link sees it end."""
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.abort()
