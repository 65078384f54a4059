"""Admission: keys' states and loopback peers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reception.security.admission import StoredKey, is_loopback, refuse_key

GOOD = StoredKey("id", "name", "acme", ("call", "read"), b"", 100.0)


def test_a_good_key_is_not_refused() -> None:
    assert refuse_key(GOOD, "call", 1_000.0) is None
    assert refuse_key(replace(GOOD, expires_at_s=1_000.1), "read", 1_000.0) is None


@pytest.mark.parametrize(
    ("key", "scope", "code", "word"),
    [
        (replace(GOOD, revoked_at_s=500.0), "call", "unauthenticated", "revoked"),
        (replace(GOOD, expires_at_s=1_000.0), "call", "unauthenticated", "expired"),
        (GOOD, "manage", "permission_denied", "manage"),
    ],
)
def test_why_a_key_is_refused(key: StoredKey, scope: str, code: str, word: str) -> None:
    answer = refuse_key(key, scope, 1_000.0)
    assert answer is not None
    assert (answer.allowed, answer.code, answer.tenant, answer.key_id) == (
        False, code, "acme", "id",
    )  # fmt: skip
    assert word in answer.message


@pytest.mark.parametrize(
    "peer",
    ["ipv4:127.0.0.1:5000", "ipv4:127.8.9.1:1", "ipv6:[::1]:5000", "ipv6:%5B::1%5D:5000",
     "ipv6:[::ffff:127.0.0.1]:5000", "unix:", "unix:/tmp/socket", "unix-abstract:x"],
)  # fmt: skip
def test_loopback_peers(peer: str) -> None:
    assert is_loopback(peer)


@pytest.mark.parametrize(
    "peer",
    ["", "127.0.0.1", "ipv4:10.0.0.1:5000", "ipv6:[2001:db8::1]:5000", "ipv4:127.0.0.1",
     "ipv6:[::ffff:10.0.0.1]:5000", "ipv4:localhost:5000", "dns:127.0.0.1:80",
     "ipv4:127.0.0.1.example.org:80", "ipv6:[fe80::1%25lo]:80", "vsock:1:2"],
)  # fmt: skip
def test_everything_else_is_not_loopback(peer: str) -> None:
    assert not is_loopback(peer)
