"""The audit trail's hash chain: each entry's hash covers the one before it.

hash = SHA-256(0x00 || previous hash || canonical JSON of the entry). The 0x00
marks a leaf as in RFC 6962, section 2.1, so that the same hashes can become
the leaves of a tree.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that happened: who (`actor`) did what (`action`). `detail` is
    JSON-able and holds no credential."""

    actor: str
    action: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One link of the chain; `at_us` is UNIX time in microseconds and
    `detail` is canonical JSON text."""

    seq: int
    previous: bytes
    hash: bytes
    at_us: int
    actor: str
    action: str
    detail: str


def link(previous: AuditEntry | None, event: AuditEvent, at_us: int) -> AuditEntry:
    """The entry that follows `previous` (None: the first)."""
    seq = 1 if previous is None else previous.seq + 1
    before = GENESIS if previous is None else previous.hash
    detail = canonical(event.detail)
    digest = entry_hash(before, seq, at_us, (event.actor, event.action, detail))
    return AuditEntry(seq, before, digest, at_us, event.actor, event.action, detail)


def entry_hash(previous: bytes, seq: int, at_us: int, texts: tuple[str, str, str]) -> bytes:
    """The hash of an entry with (actor, action, detail) `texts`."""
    body = canonical([seq, at_us, *texts]).encode()
    return hashlib.sha256(b"\x00" + previous + body).digest()


def first_fault(entries: Iterable[AuditEntry], after: AuditEntry | None = None) -> str:
    """What is wrong with a chain that follows `after`, or "" if nothing is."""
    seq, previous = (0, GENESIS) if after is None else (after.seq, after.hash)
    for entry in entries:
        seq += 1
        if entry.seq != seq:
            return f"entry {seq} is missing"
        if entry.previous != previous:
            return f"entry {seq} does not follow the one before it"
        texts = (entry.actor, entry.action, entry.detail)
        previous = entry_hash(previous, seq, entry.at_us, texts)
        if entry.hash != previous:
            return f"entry {seq} was changed"
    return ""


def canonical(value: Any) -> str:
    """JSON text with sorted keys and no spaces: one value, one text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
