"""Where a byte link is served, as one string.

`unix:/path` (or the bare path) on the same node, `tls:host:port` between nodes;
an IPv6 host is in brackets.
"""

from __future__ import annotations

from dataclasses import dataclass

from reception.errors import InvalidRequest

MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system."""

    path: str

    @property
    def name(self) -> str:
        """For error messages: tells sockets apart and shows no folders."""
        return self.path.rpartition("/")[2]

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TlsAddress:
    """A TCP port where both sides show a certificate; port 0: any free one."""

    host: str
    port: int

    @property
    def name(self) -> str:
        """For error messages: host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"tls:{self.name}"


Address = UnixAddress | TlsAddress


def parse(address: str) -> Address:
    """Takes an address apart. Raises InvalidRequest when it is none."""
    scheme, _, rest = address.partition(":")
    if scheme == "tls":
        return _tls(address, rest)
    path = rest if scheme == "unix" else address
    if not path or "\0" in path:
        raise InvalidRequest(f"{address!r} has no path: write unix:/path", field="address")
    return UnixAddress(path)


def _tls(address: str, rest: str) -> TlsAddress:
    host, _, port = rest.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not (port.isascii() and port.isdigit()) or int(port) > MAX_PORT:
        raise InvalidRequest(
            f"{address!r} is not tls:host:port with a port of 0 to {MAX_PORT}", field="address"
        )
    return TlsAddress(host, int(port))
