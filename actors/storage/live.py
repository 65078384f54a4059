"""Where each live call is, and what its next session has to know. Functions of a
connection: the caller gives the transaction.

A call's row is there from its beginning to its record. Its generation is raised by each
node that takes the call from one that is lost; a write that carries an older generation
changes nothing, so that a node that was only standing still can't spoil the call. No two
rows have one call id: here, and only here, it is decided whose a call id is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.engine import insert_if_new
from actors.storage.schema import live_calls
from reception.call.record import CallSpec, spec_of
from reception.errors import CallIdInUse


@dataclass(frozen=True, slots=True)
class Claim:
    """A call that its node has: as it was admitted there, the generation that its
    writes carry, and the state that was kept last (empty before the first)."""

    spec: CallSpec
    generation: int
    checkpoint: bytes = b""


@dataclass(frozen=True, slots=True)
class Kept:
    """A call's state, to be kept."""

    session_id: str
    generation: int
    checkpoint: bytes


_ROW = sa.select(live_calls).where(live_calls.c.session_id == sa.bindparam("session"))
_OURS = (
    live_calls.c.session_id == sa.bindparam("session"),
    live_calls.c.generation == sa.bindparam("ours"),
)
_KEEP = (
    sa.update(live_calls)
    .where(*_OURS)
    .values(checkpoint=sa.bindparam("state"), told_at_s=sa.bindparam("now"))
)
_TAKE = (
    sa.update(live_calls)
    .where(*_OURS)
    .values(
        node_id=sa.bindparam("node"), spec=sa.bindparam("text"), told_at_s=sa.bindparam("now"),
        token_hash=sa.bindparam("token"), generation=live_calls.c.generation + 1,
    )
)  # fmt: skip
_TOKEN = sa.update(live_calls).where(*_OURS).values(token_hash=sa.bindparam("token"))
_BY_TOKEN = sa.select(live_calls).where(live_calls.c.token_hash == sa.bindparam("token"))
_PLACES = sa.select(live_calls.c.session_id, live_calls.c.node_id)
_END = sa.delete(live_calls).where(*_OURS)
_MAKE_ROOM = sa.delete(live_calls).where(
    live_calls.c.node_id == sa.bindparam("node"),
    live_calls.c.session_id.in_(sa.bindparam("over", expanding=True)),
)


def hashed(token: str) -> str:
    """What is kept of a resume token."""
    return hashlib.sha256(token.encode()).hexdigest()


def begin(
    connection: Connection, spec: CallSpec, token: str, now_s: float, over: Collection[str] = ()
) -> Claim | None:
    """A call begins on a node, `spec.node_id`. None: another node has it already.
    Idempotent.

    Args:
        over: sessions of calls with this call id that ended on this node, and whose rows
            may be here still.

    Raises:
        CallIdInUse: another live call has its call id.
    """
    if over:
        connection.execute(_MAKE_ROOM, {"node": spec.node_id, "over": list(over)})
    row = {
        "session_id": spec.session_id,
        "call_id": spec.call_id,
        "key_id": spec.key_id,
        "node_id": spec.node_id,
        "generation": 1,
        "token_hash": hashed(token),
        "spec": json.dumps(asdict(spec)),
        "checkpoint": b"",
        "told_at_s": now_s,
    }
    if insert_if_new(connection, live_calls, row):
        return Claim(spec, 1)
    found = connection.execute(_ROW, {"session": spec.session_id}).one_or_none()
    if found is None:
        raise CallIdInUse.of(spec.call_id)
    return Claim(spec, 1) if (found.node_id, found.generation) == (spec.node_id, 1) else None


def find(connection: Connection, session_id: str) -> Claim | None:
    """A live call as it is kept."""
    row = connection.execute(_ROW, {"session": session_id}).one_or_none()
    return None if row is None else _claim(row)


def by_token(connection: Connection, token: str, key_id: str) -> Claim | None:
    """The live call whose caller may come back with this token and key."""
    row = connection.execute(_BY_TOKEN, {"token": hashed(token)}).one_or_none()
    return None if row is None or row.key_id != key_id else _claim(row)


def places(connection: Connection) -> list[tuple[str, str]]:
    """The sessions of all live calls, with their nodes."""
    return [(row.session_id, row.node_id) for row in connection.execute(_PLACES)]


def take(
    connection: Connection, found: Claim, spec: CallSpec, token: str, now_s: float
) -> Claim | None:
    """The node `spec.node_id` takes a call over from the node that has it by `found`, and
    its caller comes back with `token`. None: somebody else did, or the call is over."""
    values = {
        "session": spec.session_id,
        "ours": found.generation,
        "node": spec.node_id,
        "text": json.dumps(asdict(spec)),
        "token": hashed(token),
        "now": now_s,
    }
    if connection.execute(_TAKE, values).rowcount == 0:
        return None
    return Claim(spec, found.generation + 1, found.checkpoint)


def keep(connection: Connection, states: Iterable[Kept], now_s: float) -> list[str]:
    """Keeps the states of calls; the sessions of those that are no longer the writer's."""
    lost = []
    for each in states:
        values = {
            "session": each.session_id,
            "ours": each.generation,
            "state": each.checkpoint,
            "now": now_s,
        }
        if connection.execute(_KEEP, values).rowcount == 0:
            lost.append(each.session_id)
    return lost


def new_token(connection: Connection, session_id: str, generation: int, token: str) -> None:
    """The caller comes back with another token from now on."""
    values = {"session": session_id, "ours": generation, "token": hashed(token)}
    connection.execute(_TOKEN, values)


def end(connection: Connection, session_id: str, generation: int) -> bool:
    """The call is over. False: it is not, another node has it."""
    values = {"session": session_id, "ours": generation}
    if connection.execute(_END, values).rowcount > 0:
        return True
    return connection.execute(_ROW, {"session": session_id}).one_or_none() is None


def _claim(row: sa.Row[tuple[object, ...]]) -> Claim:
    spec = spec_of(json.loads(row.spec))
    return Claim(spec, row.generation, bytes(row.checkpoint))
