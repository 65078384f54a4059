"""What a database of each earlier version has in it: two calls, one of them not over, and a
row or two of all that is kept beside them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from reception.money.windows import slot_of
from reception.security.audit import AuditEvent, link

Row = dict[str, Any]
Rows = dict[str, list[Row]]

MODEL, WORDS = "gpt-realtime-2.1-mini", "gpt-4o-mini-transcribe"
HELD, LIMIT = 55_000, 40_000_000
OPEN, OVER = 5_000, 7_200  # what the two calls cost
PRICES = f"""
version: "2026-11-02"
models:
  {MODEL}:
    - valid_from: 2026-01-01
      source: a version before images had prices
      text: {{input: 1.20, cached: 0.12, output: 4.80}}
      audio: {{input: 20, cached: 0.60, output: 40}}
      hold_usd_per_minute: 0.08
"""

SINCE = {
    "node_health": ("0001", "0001"),
    "cluster_ca": ("0002", ""),
    "live_calls": ("0002", ""),
    "limits": ("0003", ""),
    "policies": ("0003", ""),
    "price_tables": ("0003", ""),
    "alerts": ("0004", ""),
    "alert_states": ("0004", ""),
}
"""The first and the last revision of tables that not all have."""

_IMAGES = {"input_image": 0, "cached_image": 0}
ADDED: dict[str, tuple[str, Row]] = {
    "accounts": ("0003", {"number": "", "profile": "", "provider": "", "exempt": False,
                          "tail_micros": 0, "wrapping": False}),
    "usage": ("0007", _IMAGES),
    "model_totals": ("0007", _IMAGES),
}  # fmt: skip
"""Columns that came with a revision, and what they are for rows from before."""


def earlier(revision: str, now_s: float) -> Rows:
    """The rows of a database of that revision, by table; its calls began 200 s ago."""
    at_s = now_s - 200.0
    rows = _money(at_s) | _limits(at_s) | _calls(at_s) | _others(at_s)
    if revision < "0003":
        rows["spending"] = [{"slot_s": slot_of(at_s), "micros": OPEN + OVER}]
    for table, (first, last) in SINCE.items():
        if revision < first or "" < last < revision:
            del rows[table]
    for table, (first, named) in ADDED.items():
        if revision < first:
            rows[table] = [{k: v for k, v in row.items() if k not in named} for row in rows[table]]
    return rows


def upgraded(revision: str, now_s: float) -> Rows:
    """The same rows, as the newest version is to have them."""
    rows = earlier(revision, now_s)
    rows.pop("node_health", None)
    for table, (first, named) in ADDED.items():
        if revision < first:
            rows[table] = [row | named for row in rows[table]]
    if revision < "0003":
        rows["spending"] = _spending(now_s - 200.0, ("global", "tenant:acme", "key:k1"))
    return rows


def write(connection: sa.Connection, rows: Rows) -> None:
    """Each `id` is the database's, as it was for those who wrote them."""
    for table, of in rows.items():
        for row in of:
            given = [name for name in row if name != "id"]
            names, values = ", ".join(given), ", ".join(f":{name}" for name in given)
            connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


def read(connection: sa.Connection, tables: Rows) -> Rows:
    """All rows of these tables; for those of each the order of what was written."""
    found = {}
    for table, rows in tables.items():
        key = next(iter(rows[0]))
        all_of_it = connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY {key}"))
        found[table] = [dict(row) for row in all_of_it.mappings()]
    return found


# ------------------------------------------------------------------ money


def _money(at_s: float) -> Rows:
    account = {
        "tenant": "acme", "key_id": "k1", "model": MODEL, "opened_at_s": at_s,
        "number": "+15550100", "profile": "front", "provider": "openai", "exempt": False,
    }  # fmt: skip
    scopes = ("global", "tenant:acme", "key:k1", "number:+15550100", "profile:front",
              "provider:openai")  # fmt: skip
    return {
        "epochs": [{"singleton": "cost", "epoch": 4}],
        "ledger": [
            _entry(1, at_s, "s1", "hold", "held", "available", 60_000),
            _entry(2, at_s, "s2", "hold", "held", "available", 60_000),
            _entry(3, at_s, "s1", "settle", "spent", "held", OPEN),
            _entry(4, at_s, "s2", "settle", "spent", "held", 7_000),
            _entry(5, at_s, "s2", "settle", "spent", "held", 200),
            _entry(6, at_s, "s2", "release", "available", "held", 60_000 - OVER),
        ],
        "usage": [
            _bill(1, at_s, "s1", "r1", OPEN, output_audio=250),
            _bill(2, at_s, "s2", "r1", 7_000, input_text=1_000, cached_text=640, output_audio=340),
            _bill(3, at_s, "s2", "i1", 200, kind="transcription", model=WORDS, audio_ms=4_000),
        ],
        "accounts": [
            {"session_id": "s1", "call_id": "call-s1", "held_micros": HELD, "total_micros": OPEN,
             "closed": False, "active_at_s": at_s, "entries": 2, "tail_micros": 20_000,
             "wrapping": False} | account,
            {"session_id": "s2", "call_id": "call-s2", "held_micros": 0, "total_micros": OVER,
             "closed": True, "active_at_s": at_s + 60, "entries": 4, "tail_micros": 0,
             "wrapping": False} | account,
        ],
        "spending": _spending(at_s, scopes),
        "model_totals": [
            _total(WORDS, 200, transcriptions=1),
            _total(MODEL, OPEN + 7_000, responses=2, input_text=1_000, cached_text=640,
                   output_audio=590),
        ],
    }  # fmt: skip


def _entry(
    number: int, at_s: float, session: str, kind: str, debit: str, credit: str, micros: int
) -> Row:
    return {
        "id": number, "idempotency_key": f"key{number}", "epoch": 4, "session_id": session,
        "tenant": "acme", "kind": kind, "debit": debit, "credit": credit,
        "amount_micros": micros, "model": MODEL, "at_s": at_s,
    }  # fmt: skip


_TOKENS = dict.fromkeys(
    ("input_text", "input_audio", "cached_text", "cached_audio", "output_text", "output_audio",
     "input_image", "cached_image"), 0
)  # fmt: skip


def _bill(number: int, at_s: float, session: str, item: str, micros: int, **more: Any) -> Row:
    row = {
        "id": number, "session_id": session, "response_id": item, "kind": "response",
        "model": MODEL, "audio_ms": 0, "cost_micros": micros, "at_s": at_s,
    }  # fmt: skip
    return row | _TOKENS | more


def _total(model: str, micros: int, **more: int) -> Row:
    row = {"model": model, "responses": 0, "transcriptions": 0, "cost_micros": micros}
    return row | _TOKENS | more


def _spending(at_s: float, scopes: tuple[str, ...]) -> list[Row]:
    slot_s = slot_of(at_s)
    return [{"scope": each, "slot_s": slot_s, "micros": OPEN + OVER} for each in sorted(scopes)]


def _limits(at_s: float) -> Rows:
    by = {"set_by": "anna", "set_at_s": at_s}
    window = {"scope": "tenant:acme", "period": "day", "start_s": 1.0, "end_s": 2.0,
              "measure": "posted", "percent": 70}  # fmt: skip
    amounts = {"at_s": at_s, "from_percent": 0, "micros": 7, "limit_micros": 10}
    return {
        "limits": [{"scope": "tenant:acme", "period": "day", "zone": "UTC", "micros": LIMIT} | by],
        "policies": [{"tenant": "acme", "steps": '{"warn": 20, "wrap_up": 0}'} | by],
        "price_tables": [{"version": "2026-11-02", "text": PRICES} | by],
        "alerts": [{"id": 1} | window | amounts],
        "alert_states": [window | {"told": "[5.0, null, null]"}],
    }


# ------------------------------------------------------------------ all else


def _calls(at_s: float) -> Rows:
    return {
        "calls": [{
            "session_id": "s2", "call_id": "call-s2", "tenant": "acme", "node_id": "n",
            "profile": "front", "model": MODEL, "state": "ended", "end_reason": "caller_hangup",
            "accepted_at_s": at_s, "ended_at_s": at_s + 60, "cost_micros": OVER, "turns": 1,
            "record": "{}",
        }],
        "transcripts": [{
            "session_id": "s2", "position": 0, "who": "caller", "text": "Good morning.",
            "at_ms": 1_200, "item_id": "i1", "interrupted": False, "heard_ms": None,
        }],
        "messages": [{
            "message_id": "m1", "call_id": "call-s2", "for_whom": "Tom", "caller_name": "Ann",
            "phone_number": "+15550111", "text": "call back", "at_s": at_s,
        }],
        "live_calls": [{
            "session_id": "s1", "call_id": "call-s1", "key_id": "k1", "node_id": "n",
            "generation": 2, "token_hash": "t", "spec": "{}", "checkpoint": b"state",
            "told_at_s": at_s,
        }],
    }  # fmt: skip


def _others(at_s: float) -> Rows:
    first = link(None, AuditEvent("anna", "key.create", {"key": "k1"}), int(at_s * 1e6))
    second = link(first, AuditEvent("anna", "key.revoke", {"key": "k0"}), int(at_s * 1e6))
    return {
        "api_keys": [{
            "key_id": "k1", "name": "pbx", "tenant": "acme", "scopes": "call", "hash": b"h" * 32,
            "created_at_s": at_s, "created_by": "anna", "expires_at_s": None,
            "revoked_at_s": None,
        }],
        "rate_state": [{"subject": "k1", "rate": "call", "tat_ns": 5}],
        "audit": [asdict(entry) | {"epoch": 1} for entry in (first, second)],
        "provider_health": [{
            "provider": "openai", "state": "closed", "failures": 1, "opened_at_s": 0.0,
            "detail": "",
        }],
        "node_health": [{"node_id": "n", "reported_at_s": at_s, "load": "{}"}],
        "cluster_ca": [{"number": 1, "certificate_pem": "c", "key_pem": "k"}],
    }  # fmt: skip
