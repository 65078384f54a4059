"""The audit chain shows every change."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from reception.security.audit import AuditEntry, AuditEvent, canonical, first_fault, link


def chain(length: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for number in range(length):
        event = AuditEvent("key:a", "admit", {"peer": "unix:", "number": number})
        entries.append(link(entries[-1] if entries else None, event, 1_000 + number))
    return entries


def test_a_whole_chain_is_good() -> None:
    assert first_fault(chain(5)) == ""
    assert first_fault([]) == ""


def test_a_part_that_follows_a_known_entry_is_good() -> None:
    entries = chain(5)
    assert first_fault(entries[3:], after=entries[2]) == ""


def test_the_hash_by_hand() -> None:
    (entry,) = chain(1)
    text = r'[1,1000,"key:a","admit","{\"number\":0,\"peer\":\"unix:\"}"]'
    assert entry.hash == hashlib.sha256(b"\x00" + bytes(32) + text.encode()).digest()


@pytest.mark.parametrize(
    "change",
    [{"at_us": 7}, {"actor": "me"}, {"action": "refuse"}, {"detail": "{}"}, {"hash": bytes(32)}],
)
def test_a_changed_entry_is_found(change: dict[str, object]) -> None:
    entries = chain(5)
    entries[2] = replace(entries[2], **change)  # type: ignore[arg-type]  # wider than declared
    assert first_fault(entries) == "entry 3 was changed"


def test_a_missing_entry_is_found() -> None:
    entries = chain(5)
    del entries[2]
    assert first_fault(entries) == "entry 3 is missing"


def test_a_rewritten_tail_is_found() -> None:
    entries = chain(5)
    forged = link(None, AuditEvent("me", "admit", {}), 1)
    entries[2] = link(replace(forged, seq=2), AuditEvent("me", "admit", {}), 1)
    assert first_fault(entries) == "entry 3 does not follow the one before it"


def test_one_value_has_one_text() -> None:
    assert canonical({"b": 1, "a": "é"}) == canonical({"a": "é", "b": 1}) == '{"a":"\\u00e9","b":1}'
