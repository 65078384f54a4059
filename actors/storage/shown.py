"""Call records as the API shows them: without what was said, turn times, messages and
counts. Functions of a connection."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.caller_messages import call_of
from actors.storage.calls import ENDED, check_page_size, parse_token, token_of
from actors.storage.prepared import Prepared
from actors.storage.schema import calls
from protos.reception.v1 import reception_pb2 as rv
from reception.call.record import CallRecord, spec_of

_NEWEST_FIRST = sa.select(calls.c.record).order_by(
    calls.c.accepted_at_s.desc(), calls.c.session_id.desc()
)
_ENDED = (
    _NEWEST_FIRST.where(calls.c.state == sa.bindparam("state"))
    .limit(sa.bindparam("most"))
    .offset(sa.bindparam("skipped"))
)
_FIRST_PAGE = Prepared(_ENDED)
_NEXT_PAGE = Prepared(
    _ENDED.where(
        sa.tuple_(calls.c.accepted_at_s, calls.c.session_id)
        < sa.tuple_(sa.bindparam("at_s", type_=sa.Double()), sa.bindparam("session"))
    )
)
_CALL = Prepared(
    _NEWEST_FIRST.where(calls.c.call_id == sa.bindparam("call_id"))
    .limit(sa.bindparam("most"))
    .offset(sa.bindparam("skipped"))
)
_NOT_SHOWN = ("turn_times", "stats", "message_ids")


def newest(connection: Connection, call_id: str) -> bytes | None:
    """The newest call with this id: a serialized `Call`."""
    found = _CALL.read(connection, {"call_id": call_id, "most": 1, "skipped": 0})
    return call_of(_record(found[0][0])).SerializeToString() if found else None


def ended(connection: Connection, page_size: int, page_token: str) -> bytes:
    """Calls that are over, newest first, as `CallStore.list_calls` gives them: a serialized
    `ListCallsResponse`.

    Raises:
        InvalidRequest: the size is out of bounds, or no page gave the token.
    """
    check_page_size(page_size)
    values: dict[str, Any] = {"state": ENDED, "most": page_size + 1, "skipped": 0}
    if page_token:
        at_s, session_id = parse_token(page_token)
        found = _NEXT_PAGE.read(connection, values | {"at_s": at_s, "session": session_id})
    else:
        found = _FIRST_PAGE.read(connection, values)
    page = [_record(text) for (text,) in found[:page_size]]
    more = token_of(page[-1].spec) if len(found) > page_size else ""
    shown = rv.ListCallsResponse(calls=(call_of(each) for each in page), next_page_token=more)
    return shown.SerializeToString()


def _record(text: str) -> CallRecord:
    fields = json.loads(text)
    for name in _NOT_SHOWN:
        del fields[name]
    spec = spec_of(fields.pop("spec"))
    steps = tuple(fields.pop("budget_steps", ()))
    return CallRecord(spec=spec, budget_steps=steps, **fields)
