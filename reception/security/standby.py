"""Whether new calls are taken while the security singleton does not answer."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from reception.security.admission import Admission

KNOWN_S = 3_600.0
MAX_KNOWN = 10_000

CLOSED, KNOWN, OPEN = "closed", "known", "open"


class Standby:
    """What a front door does by itself. `now_s` is any monotonic clock.

    Args:
        security: "closed": nobody is admitted; "known": who was admitted here, for the
            same, within the last hour; "open": besides, whoever calls, without a tenant.
    """

    def __init__(self, security: str) -> None:
        self._security = security
        self._known: OrderedDict[bytes, tuple[float, Admission]] = OrderedDict()

    def admitted(
        self, credential: str | None, scope: str, admission: Admission, now_s: float
    ) -> None:
        """The security singleton has answered."""
        if self._security == CLOSED:
            return
        caller = _hashed(credential, scope)
        self._known.pop(caller, None)
        if admission.allowed:
            self._known[caller] = now_s, admission
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def admit(self, credential: str | None, scope: str, now_s: float) -> Admission | None:
        """It does not answer. None: nobody is admitted by anybody else."""
        at_s, known = self._known.get(_hashed(credential, scope), (0.0, None))
        if known is not None and now_s - at_s < KNOWN_S:
            return known
        return Admission(True) if self._security == OPEN and scope == "call" else None


def _hashed(credential: str | None, scope: str) -> bytes:
    """The door's memory has no keys in it."""
    return hashlib.sha256(f"{scope} {credential or ''}".encode()).digest()
