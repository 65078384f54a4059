"""Whether a request is let in: what is known of the key decides."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

UNAUTHENTICATED = "unauthenticated"
PERMISSION_DENIED = "permission_denied"
RATE_LIMITED = "rate_limited"

DEV_TENANT = "development"


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer. `code` is "" when allowed, else unauthenticated,
    permission_denied or rate_limited."""

    allowed: bool
    tenant: str = ""
    key_id: str = ""
    code: str = ""
    message: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredKey:
    """An API key as stored; times are UNIX seconds, None is never."""

    key_id: str
    name: str
    tenant: str
    scopes: tuple[str, ...]
    hash: bytes
    created_at_s: float
    expires_at_s: float | None = None
    revoked_at_s: float | None = None


UNKNOWN_KEY = Admission(False, code=UNAUTHENTICATED, message="the API key is not valid")
"""The same for a malformed key, an unknown one and a wrong secret."""


def refuse_key(stored: StoredKey, scope: str, now_s: float) -> Admission | None:
    """Why the owner of a genuine key is refused, or None if it is good."""
    code, message = UNAUTHENTICATED, ""
    if stored.revoked_at_s is not None:
        message = "the API key has been revoked"
    elif stored.expires_at_s is not None and now_s >= stored.expires_at_s:
        message = "the API key has expired"
    elif scope not in stored.scopes:
        code = PERMISSION_DENIED
        message = f"the API key lacks the scope {scope!r}; it has {', '.join(stored.scopes)}"
    if not message:
        return None
    return Admission(False, stored.tenant, stored.key_id, code, message)


def is_loopback(peer: str) -> bool:
    """Whether a gRPC peer ("ipv4:127.0.0.1:5000", "ipv6:[::1]:5000", "unix:…")
    is this machine. Anything not understood is not."""
    kind, _, rest = peer.partition(":")
    if kind in ("unix", "unix-abstract"):
        return True
    if kind not in ("ipv4", "ipv6"):
        return False
    host = rest.replace("%5B", "[").replace("%5D", "]").rpartition(":")[0].strip("[]")
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
