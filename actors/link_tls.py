"""TLS of the links between nodes: both sides show a certificate of the cluster's CA."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a node shows and whom it believes, all PEM; the key is not encrypted."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    ca_pem: bytes


class NodeTls:
    """A node's contexts for taking links and for making them: TLS 1.3 only.

    A peer is whoever the cluster's CA has given a certificate; where it is (its
    host name or address) plays no part.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.server = _context(ssl.PROTOCOL_TLS_SERVER, credentials)
        self.client = _context(ssl.PROTOCOL_TLS_CLIENT, credentials)
        self.server.num_tickets = 0  # a link is made once; nobody comes back with a ticket
        self._ca_pem = credentials.ca_pem

    def renew(self, credentials: Credentials) -> None:
        """Shows a newer certificate of the same CA in links made from now on.

        Raises:
            ValueError: it is of another CA.
        """
        if credentials.ca_pem != self._ca_pem:
            raise ValueError("the new certificate is of another CA: make a new NodeTls")
        for context in (self.server, self.client):
            _show(context, credentials)


def peer_node_id(transport: asyncio.BaseTransport) -> str:
    """The node id in the certificate of a transport's peer; empty when it has none."""
    certificate = transport.get_extra_info("peercert")
    names = certificate.get("subjectAltName", ()) if certificate else ()
    return next((str(value) for kind, value in names if kind == "DNS"), "")


def _context(protocol: int, credentials: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=credentials.ca_pem.decode("ascii"))
    _show(context, credentials)
    return context


def _show(context: ssl.SSLContext, credentials: Credentials) -> None:
    # The ssl module takes a certificate and its key from files only.
    with tempfile.TemporaryDirectory() as name:  # made with mode 0700
        certificate, key = Path(name) / "node.pem", Path(name) / "node.key"
        certificate.write_bytes(credentials.certificate_pem)
        key.write_bytes(credentials.key_pem)
        context.load_cert_chain(certificate, key)
