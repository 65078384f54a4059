"""API keys: air_<environment>_<key id>_<secret>_<check>.

The key id (12 base62 characters) is public and finds the stored hash; the
secret (30 base62 characters, 178 bits) is shown once; the check is the CRC-32
of all before it in base62, so that a mistyped key is refused without a look-up
and a scanner can tell a leaked key from noise.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_ID_CHARS = 12
SECRET_CHARS = 30
SCOPES = ("call", "read", "manage")

_CHECK_CHARS = 6
_FORM = re.compile(
    rf"air_(?P<environment>[a-z]{{2,11}})_(?P<key_id>[0-9A-Za-z]{{{KEY_ID_CHARS}}})"
    rf"_[0-9A-Za-z]{{{SECRET_CHARS}}}_(?P<check>[0-9A-Za-z]{{{_CHECK_CHARS}}})"
)
_DUMMY_HASH = hashlib.sha256(b"no key has this hash").digest()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A well-formed key; `text` is all of it and is never stored or logged."""

    environment: str
    key_id: str
    text: str

    def __repr__(self) -> str:
        return f"ApiKey({self.environment}, {self.key_id})"


def make(environment: str, choose: Callable[[str], str]) -> ApiKey:
    """A new key.

    Args:
        environment: 2 to 11 small letters, such as "live" or "development".
        choose: picks one character of a string, unpredictably (secrets.choice).
    """
    key_id = "".join(choose(ALPHABET) for _ in range(KEY_ID_CHARS))
    secret = "".join(choose(ALPHABET) for _ in range(SECRET_CHARS))
    body = f"air_{environment}_{key_id}_{secret}"
    return ApiKey(environment, key_id, f"{body}_{check_of(body)}")


def parse(text: str) -> ApiKey | None:
    """The key that `text` is, or None if it has another form or a wrong check."""
    found = _FORM.fullmatch(text)
    if found is None or check_of(text[: found.start("check") - 1]) != found["check"]:
        return None
    return ApiKey(found["environment"], found["key_id"], text)


def check_of(body: str) -> str:
    """CRC-32 in base62, six characters."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK_CHARS):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def hash_key(key: ApiKey, pepper: bytes) -> bytes:
    """What is stored: HMAC-SHA-256 of the whole key under the pepper."""
    return hmac.digest(pepper, key.text.encode(), "sha256")


def matches(key: ApiKey, stored: bytes | None, pepper: bytes) -> bool:
    """Whether `stored` is this key's hash, in a time that tells nothing; None
    (no such key id) takes as long."""
    expected = _DUMMY_HASH if stored is None else stored
    same = hmac.compare_digest(hash_key(key, pepper), expected)
    return same and stored is not None
