"""How alerts go to somebody's HTTP server: when again, when never, and how they are signed."""

from __future__ import annotations

import hashlib
import hmac
import random

MOST_TRIES = 8
FIRST_S, LONGEST_S = 0.5, 60.0
SIGNATURE = "x-reception-signature"

_OK = range(200, 300)
_REFUSED = range(400, 500)
_AGAIN = (408, 425, 429)


def is_taken(status: int) -> bool:
    """Whether the server has it."""
    return status in _OK


def is_refused(status: int) -> bool:
    """Whether it would say the same again."""
    return status in _REFUSED and status not in _AGAIN


def wait_s(tries: int, rng: random.Random) -> float | None:
    """Seconds before the next try, after so many that failed; None: there is none. It grows
    twofold, and half of it is by chance, so that a server that is back is not overrun."""
    if tries >= MOST_TRIES:
        return None
    longest_s = min(LONGEST_S, FIRST_S * 2**tries)
    return rng.uniform(longest_s / 2, longest_s)


def signature(secret: str, body: bytes, at_s: int) -> str:
    """That whoever has the secret sent this body at this UNIX time: t=TIME,v1=HEX, the hex
    of HMAC-SHA256 over the time, a full stop and the body."""
    signed = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256)
    return f"t={at_s},v1={signed.hexdigest()}"
