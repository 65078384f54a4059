"""The security singleton: API keys, admission, rate limits, audit trail."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.cluster_ca import ClusterCa
from actors.settings import Settings
from actors.storage import audit, keys
from actors.storage.engine import Store, check_epoch, insert_if_new
from actors.storage.reader import Reader
from actors.storage.schema import cluster_ca
from actors.storage.writer import Writer
from reception.errors import InvalidRequest, NotFound
from reception.security import keys as key_form
from reception.security.admission import (
    DEV_TENANT,
    RATE_LIMITED,
    UNAUTHENTICATED,
    UNKNOWN_KEY,
    Admission,
    StoredKey,
    is_loopback,
    refuse_key,
)
from reception.security.audit import AuditEvent
from reception.security.gcra import NS_PER_S, Rate, take

SINGLETON = "security"
MAX_NAME_CHARS = 128
MAX_PEER_CHARS = 256
MAX_AUDIT_PAGE = 1_000

_MINUTE_NS = 60 * NS_PER_S
_NEEDS_KEY = (
    "an API key is needed: send it as x-api-key or authorization: Bearer "
    "(create one with: reception keys create)"
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """`key` is None when what was given is no well-formed key."""

    key: key_form.ApiKey | None
    given: bool
    peer: str
    scope: str


class SecurityGuard:
    """Nothing is kept in memory: every decision reads and writes the database
    in one transaction, together with its entry in the audit trail. A key that
    was revoked is refused from the next request on, whoever revoked it.

    Keys may also be created, revoked and listed by a process that is not the
    singleton (the command line): that replaces nobody.

    Args:
        settings: limits, pepper and database.
        clock_ns: UNIX time in nanoseconds.
        choose: picks one character, unpredictably; None for `secrets.choice`.
    """

    def __init__(
        self,
        settings: Settings,
        clock_ns: Callable[[], int] = time.time_ns,
        choose: Callable[[str], str] | None = None,
    ) -> None:
        self._clock_ns = clock_ns
        # Not a default argument: the system's random source can't travel to an actor.
        self._choose = choose or secrets.choice
        self._environment = settings.profile
        self._insecure_dev = settings.insecure_dev
        self._pepper = settings.key_pepper.get_secret_value().encode()
        self._rates = (
            Rate("minute", settings.rate_limit_per_minute, _MINUTE_NS),
            Rate("hour", settings.rate_limit_per_hour, 60 * _MINUTE_NS),
        )
        self._ca: ClusterCa | None = None
        self._store = Store.open(settings.database_url)
        self._writer = Writer(self._store, SINGLETON)
        self._reader = Reader(self._store)

    # ------------------------------------------------------------- nodes

    async def certify(self, node_id: str, request_pem: bytes) -> tuple[bytes, bytes]:
        """A node's certificate for links with others, and that of the cluster's CA,
        which is made when the first node asks.

        Raises:
            InvalidRequest: as `ClusterCa.sign`.
        """
        if self._ca is None:
            self._ca = await self._writer.run(self._open_ca)
        now_ns, certificate = self._clock_ns(), self._ca.sign(node_id, request_pem)

        def note(connection: Connection) -> None:
            self._note(connection, AuditEvent(f"node:{node_id}", "certify", {}), now_ns)

        await self._writer.run(note)
        return certificate, self._ca.ca_pem

    def _open_ca(self, connection: Connection) -> ClusterCa:
        made = ClusterCa.create()
        row = {
            "number": 1,
            "certificate_pem": made.ca_pem.decode("ascii"),
            "key_pem": made.key_pem(self._pepper).decode("ascii"),
        }
        insert_if_new(connection, cluster_ca, row)
        kept = connection.execute(sa.select(cluster_ca)).one()
        return ClusterCa.load(kept.certificate_pem.encode(), kept.key_pem.encode(), self._pepper)

    # ------------------------------------------------------------- admission

    async def admit(self, credential: str | None, peer: str, scope: str) -> Admission:
        """Whether a request may pass. The answer is in the audit trail, durably,
        before it is given.

        Args:
            credential: an API key; None or "" for none.
            peer: the connection's other end as gRPC names it.
            scope: what it is for: call, read or manage.

        Raises:
            InvalidRequest: no such scope.
            Unavailable: the database can't be written; nobody is let in then.
        """
        _check_scopes((scope,))
        key = key_form.parse(credential) if credential else None
        asked = _Asked(key, bool(credential), peer[:MAX_PEER_CHARS], scope)
        return await self._writer.run(partial(self._admit, asked=asked))

    def _admit(self, connection: Connection, *, asked: _Asked) -> Admission:
        now_ns = self._clock_ns()
        if asked.given or not (self._insecure_dev and is_loopback(asked.peer)):
            answer = self._decide(connection, asked, now_ns)
        else:
            answer = Admission(True, tenant=DEV_TENANT)
        detail = {"scope": asked.scope, "peer": asked.peer, "tenant": answer.tenant}
        if not answer.allowed:
            detail |= {"code": answer.code, "reason": answer.message}
        action = "admit" if answer.allowed else "refuse"
        actor = f"key:{answer.key_id}" if answer.key_id else "anonymous"
        self._note(connection, AuditEvent(actor, action, detail), now_ns)
        return answer

    def _decide(self, connection: Connection, asked: _Asked, now_ns: int) -> Admission:
        if not asked.given:
            return Admission(False, code=UNAUTHENTICATED, message=_NEEDS_KEY)
        key = asked.key
        if key is None:
            return UNKNOWN_KEY
        stored = keys.find(connection, key.key_id)
        genuine = key_form.matches(key, stored.hash if stored else None, self._pepper)
        if stored is None or not genuine:
            return UNKNOWN_KEY
        refused = refuse_key(stored, asked.scope, now_ns / NS_PER_S)
        if refused is not None:
            return refused
        verdict = take(self._rates, keys.tats(connection, stored.key_id), now_ns)
        if verdict.refused_by:
            return Admission(
                False,
                stored.tenant,
                stored.key_id,
                RATE_LIMITED,
                f"the API key's rate limit for the {verdict.refused_by} is reached",
                verdict.retry_after_ns / NS_PER_S,
            )
        keys.save_tats(connection, stored.key_id, verdict.tats)
        return Admission(True, stored.tenant, stored.key_id)

    # ------------------------------------------------------------- keys

    async def create_key(
        self, name: str, tenant: str, scopes: list[str], expires_at_s: float | None, by: str
    ) -> tuple[str, str]:
        """A new key.

        Args:
            name: what people call it; 1 to 128 characters, as `tenant` is.
            scopes: one or more of call, read, manage.
            expires_at_s: UNIX time; None for never.
            by: who asked for it.

        Returns:
            Its id, and the key itself, which can't be had again.

        Raises:
            InvalidRequest: names the argument and its bound.
        """
        wanted = tuple(dict.fromkeys(scopes))
        _check_scopes(wanted)
        for field, value in (("name", name), ("tenant", tenant), ("by", by)):
            if not 1 <= len(value) <= MAX_NAME_CHARS:
                raise InvalidRequest(
                    f"{field} has {len(value)} characters: must have 1 to {MAX_NAME_CHARS}",
                    field=field,
                )
        now_ns = self._clock_ns()
        now_s = now_ns / NS_PER_S
        if expires_at_s is not None and expires_at_s <= now_s:
            raise InvalidRequest(
                f"expires_at_s is {expires_at_s}: must be later than now, {now_s:.0f}",
                field="expires_at_s",
            )
        key = key_form.make(self._environment, self._choose)
        hashed = key_form.hash_key(key, self._pepper)
        stored = StoredKey(key.key_id, name, tenant, wanted, hashed, now_s, expires_at_s)
        detail = {"key_id": key.key_id, "name": name, "tenant": tenant, "scopes": list(wanted)}

        def create(connection: Connection) -> None:
            keys.add(connection, stored, by)
            self._note(connection, AuditEvent(by, "create_key", detail), now_ns)

        await self._administer(create)
        return key.key_id, key.text

    async def revoke_key(self, key_id: str, by: str) -> None:
        """Ends a key at once. Idempotent. Raises NotFound."""
        now_ns = self._clock_ns()

        def revoke(connection: Connection) -> None:
            if keys.find(connection, key_id) is None:
                raise NotFound(f"there is no key {key_id!r}", field="key_id")
            if keys.revoke(connection, key_id, now_ns / NS_PER_S):
                event = AuditEvent(by[:MAX_NAME_CHARS], "revoke_key", {"key_id": key_id})
                self._note(connection, event, now_ns)

        await self._administer(revoke)

    async def list_keys(self) -> list[dict[str, Any]]:
        """All keys without their secrets, oldest first; times are UNIX seconds."""
        return [
            {
                "key_id": key.key_id,
                "name": key.name,
                "tenant": key.tenant,
                "scopes": list(key.scopes),
                "created_at_s": key.created_at_s,
                "expires_at_s": key.expires_at_s,
                "revoked_at_s": key.revoked_at_s,
            }
            for key in await self._reader.run(keys.every)
        ]

    # ------------------------------------------------------------- audit

    async def audit_entries(self, after_seq: int = 0, size: int = 100) -> list[dict[str, Any]]:
        """Entries of the trail that follow `after_seq`, oldest first."""
        if not 1 <= size <= MAX_AUDIT_PAGE:
            raise InvalidRequest(f"size is {size}: must be 1 to {MAX_AUDIT_PAGE}", field="size")
        entries = await self._reader.run(partial(audit.page, after_seq=after_seq, size=size))
        return [
            {
                "seq": entry.seq,
                "at_us": entry.at_us,
                "actor": entry.actor,
                "action": entry.action,
                "detail": entry.detail,
                "hash": entry.hash.hex(),
            }
            for entry in entries
        ]

    async def verify_audit(self) -> str:
        """What is wrong with the trail, or "" if nothing is."""
        return await self._reader.run(audit.fault)

    # ------------------------------------------------------------- the actor

    async def warm_up(self) -> None:
        """Makes the first admission as quick as any other."""
        await self._writer.rehearse(self._rehearse)

    def _rehearse(self, connection: Connection) -> None:
        now_ns = self._clock_ns()
        key = key_form.make(self._environment, self._choose)
        hashed = key_form.hash_key(key, self._pepper)
        stored = StoredKey(key.key_id, "", "", ("call",), hashed, now_ns / NS_PER_S, None)
        keys.add(connection, stored, "rehearsal")
        self._admit(connection, asked=_Asked(key, True, "rehearsal", "call"))

    async def ping(self) -> dict[str, Any]:
        """Takes over from a predecessor, if there is one; the epoch.

        Raises:
            Fenced: a successor has taken over.
        """
        return {"epoch": await self._writer.begin()}

    def close(self) -> None:
        """Finishes writing and closes the database; blocks."""
        self._writer.close()
        self._store.close()

    async def _administer(self, work: Callable[[Connection], None]) -> None:
        """In the singleton with its epoch, elsewhere beside it."""
        if self._writer.epoch:
            await self._writer.run(work)
        else:
            await asyncio.to_thread(self._write_beside, work)

    def _write_beside(self, work: Callable[[Connection], None]) -> None:
        with self._store.transaction() as connection:
            check_epoch(connection, SINGLETON, None)
            work(connection)

    def _note(self, connection: Connection, event: AuditEvent, now_ns: int) -> None:
        audit.append(connection, event, now_ns // 1_000, self._writer.epoch)


def _check_scopes(scopes: tuple[str, ...]) -> None:
    if not scopes or not set(scopes) <= set(key_form.SCOPES):
        raise InvalidRequest(
            f"scopes are {', '.join(scopes) or 'none'}: must be of {', '.join(key_form.SCOPES)}",
            field="scopes",
        )
