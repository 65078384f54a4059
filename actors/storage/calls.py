"""Call records, transcripts and the messages that callers left."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage import live
from actors.storage.engine import Store, insert_if_new, upsert
from actors.storage.schema import calls, messages, transcripts
from reception.call.record import CallRecord, CallSpec, Said, TakenMessage, TurnTime, spec_of
from reception.errors import InvalidRequest

ENDED = "ended"
MAX_PAGE_SIZE = 1_000

_NOT_IN_JSON = ("transcript", "messages")

# Statements are built once: building one costs more than running it.
_RECORDS = sa.select(calls.c.session_id, calls.c.record).order_by(
    calls.c.accepted_at_s.desc(), calls.c.session_id.desc()
)
_NEWEST = _RECORDS.where(calls.c.call_id == sa.bindparam("call_id")).limit(1)
_LINES = (
    sa.select(transcripts)
    .where(transcripts.c.session_id.in_(sa.bindparam("sessions", expanding=True)))
    .order_by(transcripts.c.position)
)
_TAKEN = sa.select(messages).where(
    messages.c.message_id.in_(sa.bindparam("messages", expanding=True))
)


class CallStore:
    """Keeps what is known of each call. Methods block: call them from a thread.

    A call id may be used again once its call is over; the session id tells the
    calls apart, and asking for a call id finds the newest.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def save_call(self, record: CallRecord, generation: int = 0) -> bool:
        """`save_call` in a transaction of its own."""
        with self._store.transaction() as connection:
            return save_call(connection, record, generation)

    def get_call(self, call_id: str) -> CallRecord | None:
        """The newest call with this id."""
        with self._store.reading() as connection:
            found = _records(connection, _NEWEST, {"call_id": call_id})
            return found[0] if found else None

    def list_calls(
        self, state: str, page_size: int, page_token: str
    ) -> tuple[tuple[CallRecord, ...], str]:
        """Calls, newest first.

        Args:
            state: only calls in it; "" for all.
            page_size: 1 to MAX_PAGE_SIZE.
            page_token: what the page before gave; "" for the first.

        Returns:
            A page, and the token of the next one ("" for none).

        Raises:
            InvalidRequest: the size is out of bounds, or no page gave the token.
        """
        check_page_size(page_size)
        newest = _RECORDS
        if state:
            newest = newest.where(calls.c.state == state)
        if page_token:
            after = sa.tuple_(*(sa.literal(value) for value in parse_token(page_token)))
            newest = newest.where(sa.tuple_(calls.c.accepted_at_s, calls.c.session_id) < after)
        with self._store.reading() as connection:
            found = _records(connection, newest.limit(page_size + 1))
        page = tuple(found[:page_size])
        return page, token_of(page[-1].spec) if len(found) > page_size else ""

    def save_message(self, message: TakenMessage) -> None:
        """`save_message` in a transaction of its own."""
        with self._store.transaction() as connection:
            save_message(connection, message)

    def messages(self) -> list[TakenMessage]:
        """All messages, oldest first."""
        oldest = sa.select(messages).order_by(messages.c.at_s, messages.c.message_id)
        with self._store.reading() as connection:
            return [_message(row) for row in connection.execute(oldest)]


# ------------------------------------------------------------------ writing


def save_call(connection: Connection, record: CallRecord, generation: int = 0) -> bool:
    """Keeps a record in place of the one with its session id. Idempotent; a call that
    has ended stays ended, whatever comes late.

    Args:
        generation: of the call's place (`actors.storage.live`), which ends with an ended
            call; 0 for a call that has none.

    Returns:
        False: another node has the call, and nothing was kept.
    """
    spec = record.spec
    if has_ended(connection, spec.session_id) and (generation or record.state != ENDED):
        return True
    if generation and not live.end(connection, spec.session_id, generation):
        return False
    row = {
        "session_id": spec.session_id,
        "call_id": spec.call_id,
        "tenant": spec.tenant,
        "node_id": spec.node_id,
        "profile": spec.profile,
        "model": record.model,
        "state": record.state,
        "end_reason": record.end_reason,
        "accepted_at_s": spec.accepted_at_s,
        "ended_at_s": record.ended_at_s,
        "cost_micros": record.cost_micros,
        "turns": record.turns,
        "record": _to_json(record),
    }
    upsert(connection, calls, row)
    _save_transcript(connection, record)
    for message in record.messages:
        save_message(connection, message)
    return True


def save_message(connection: Connection, message: TakenMessage) -> None:
    """Keeps a message. Idempotent."""
    row = _clean(asdict(message)) | {"message_id": _message_id(message)}
    insert_if_new(connection, messages, row)


def has_ended(connection: Connection, session_id: str) -> bool:
    """Whether there is the record of a call that is over."""
    state = sa.select(calls.c.state).where(calls.c.session_id == session_id)
    return connection.execute(state.with_for_update()).scalar_one_or_none() == ENDED


def _save_transcript(connection: Connection, record: CallRecord) -> None:
    session_id = record.spec.session_id
    connection.execute(sa.delete(transcripts).where(transcripts.c.session_id == session_id))
    rows = [
        _clean(asdict(said)) | {"session_id": session_id, "position": position}
        for position, said in enumerate(record.transcript)
    ]
    if rows:
        connection.execute(sa.insert(transcripts), rows)


def _clean(row: dict[str, Any]) -> dict[str, Any]:
    """PostgreSQL's text can't hold NUL."""
    return {
        name: value.replace("\x00", "") if isinstance(value, str) else value
        for name, value in row.items()
    }


def _message_id(message: TakenMessage) -> str:
    """The same message has the same id, however often it is sent."""
    text = json.dumps(asdict(message), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _to_json(record: CallRecord) -> str:
    """All but what has tables of its own; messages by their ids."""
    fields = asdict(record)
    for name in _NOT_IN_JSON:
        del fields[name]
    ids = [_message_id(message) for message in record.messages]
    return json.dumps(fields | {"message_ids": ids})


# ------------------------------------------------------------------ reading


def _records(
    connection: Connection, query: sa.Select[Any], values: dict[str, Any] | None = None
) -> list[CallRecord]:
    rows = connection.execute(query, values or {}).all()
    parsed = [(row.session_id, json.loads(row.record)) for row in rows]
    said: dict[str, list[Said]] = {session_id: [] for session_id, _ in parsed}
    for row in connection.execute(_LINES, {"sessions": list(said)}) if said else ():
        said[row.session_id].append(
            Said(row.who, row.text, row.at_ms, row.item_id, row.interrupted, row.heard_ms)
        )
    ids = [message_id for _, fields in parsed for message_id in fields["message_ids"]]
    found = connection.execute(_TAKEN, {"messages": ids}) if ids else ()
    taken = {row.message_id: _message(row) for row in found}
    return [_record(fields, tuple(said[session_id]), taken) for session_id, fields in parsed]


def _record(
    fields: dict[str, Any], said: tuple[Said, ...], taken: dict[str, TakenMessage]
) -> CallRecord:
    ids = fields.pop("message_ids")
    spec = spec_of(fields.pop("spec"))
    times = tuple(TurnTime(**time) for time in fields.pop("turn_times"))
    steps = tuple(fields.pop("budget_steps", ()))
    record = CallRecord(spec=spec, turn_times=times, transcript=said, budget_steps=steps, **fields)
    return replace(record, messages=tuple(taken[each] for each in ids if each in taken))


def _message(row: sa.Row[Any]) -> TakenMessage:
    return TakenMessage(
        row.call_id, row.for_whom, row.caller_name, row.phone_number, row.text, row.at_s
    )


def check_page_size(page_size: int) -> None:
    """Raises InvalidRequest when it is out of bounds."""
    if not 1 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidRequest(
            f"page_size is {page_size}: must be 1 to {MAX_PAGE_SIZE}", field="page_size"
        )


def token_of(last: CallSpec) -> str:
    """Of the page that follows the one that ends with this call."""
    text = json.dumps([last.accepted_at_s, last.session_id])
    return base64.urlsafe_b64encode(text.encode()).decode()


def parse_token(token: str) -> tuple[float, str]:
    """When the last call of the page before was accepted, and its session id.

    Raises:
        InvalidRequest: no page gave the token.
    """
    try:
        accepted_at_s, session_id = json.loads(base64.b64decode(token, b"-_", validate=True))
        return float(accepted_at_s), str(session_id)
    except (ValueError, TypeError, binascii.Error):
        raise InvalidRequest(
            "page_token was not given by a page: leave it empty for the first", field="page_token"
        ) from None
