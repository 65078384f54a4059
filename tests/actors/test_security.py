"""The security singleton over real databases: keys, admission, audit."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from actors.security import SecurityGuard
from actors.settings import Settings
from actors.storage import schema
from actors.storage.engine import Store
from reception.errors import Fenced, InvalidRequest, NotFound, Unavailable
from reception.security import keys

REMOTE = "ipv4:192.0.2.7:40000"
LOCAL = "ipv4:127.0.0.1:40000"
START_NS = 1_700_000_000_000_000_000
S = 1_000_000_000


class Clock:
    """UNIX nanoseconds that a test sets."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(
    database_url: str, settings_for: Callable[..., Settings], clock: Clock
) -> Iterator[Callable[..., SecurityGuard]]:
    """Guards over one database; its audit trail is proved at the end."""
    made: list[SecurityGuard] = []

    def build(**named: Any) -> SecurityGuard:
        choose = random.Random(len(made)).choice
        made.append(SecurityGuard(settings_for(database_url, **named), clock, choose))
        return made[-1]

    yield build
    if made:
        assert asyncio.run(made[-1].verify_audit()) == ""
    for guard in made:
        guard.close()


@pytest.fixture
def guard(make: Callable[..., SecurityGuard]) -> SecurityGuard:
    return make()


async def new_key(guard: SecurityGuard, *scopes: str, expires_at_s: float | None = None) -> str:
    wanted = list(scopes or ("call",))
    _, text = await guard.create_key("pbx", "acme", wanted, expires_at_s, "tester")
    return text


async def actions(guard: SecurityGuard) -> list[tuple[str, str]]:
    return [(entry["actor"], entry["action"]) for entry in await guard.audit_entries(0, 1_000)]


# ------------------------------------------------------------------ admission


async def test_a_key_lets_its_owner_in(guard: SecurityGuard) -> None:
    key_id, text = await guard.create_key("pbx", "acme", ["call", "read"], None, "tester")
    answer = await guard.admit(text, REMOTE, "call")
    assert (answer.allowed, answer.tenant, answer.key_id, answer.code) == (
        True, "acme", key_id, "",
    )  # fmt: skip
    assert await actions(guard) == [("tester", "create_key"), (f"key:{key_id}", "admit")]


@pytest.mark.parametrize("credential", [None, "", "nonsense", "air_live_x_y_z"])
async def test_without_a_good_key_nobody_gets_in(
    guard: SecurityGuard, credential: str | None
) -> None:
    answer = await guard.admit(credential, REMOTE, "call")
    assert (answer.allowed, answer.code) == (False, "unauthenticated")
    assert await actions(guard) == [("anonymous", "refuse")]


async def test_a_wrong_secret_tells_no_more_than_an_unknown_key(
    make: Callable[..., SecurityGuard],
) -> None:
    guard = make(key_pepper="a" * 32)
    text = await new_key(guard)
    assert (await guard.admit(text, REMOTE, "call")).allowed
    other_pepper = make(key_pepper="b" * 32)
    wrong = await other_pepper.admit(text, REMOTE, "call")
    stranger = keys.make("live", random.Random(99).choice)
    unknown = await other_pepper.admit(stranger.text, REMOTE, "call")
    assert wrong == unknown
    assert (wrong.allowed, wrong.code, wrong.key_id) == (False, "unauthenticated", "")


async def test_warming_up_leaves_neither_key_nor_entry(guard: SecurityGuard) -> None:
    await guard.warm_up()
    assert await guard.list_keys() == []
    assert await guard.audit_entries() == []
    assert await guard.verify_audit() == ""


async def test_a_key_needs_the_scope(guard: SecurityGuard) -> None:
    text = await new_key(guard, "read")
    answer = await guard.admit(text, REMOTE, "manage")
    assert (answer.allowed, answer.code) == (False, "permission_denied")
    assert "'manage'" in answer.message
    assert (await guard.admit(text, REMOTE, "read")).allowed


async def test_an_unknown_scope_is_an_error(guard: SecurityGuard) -> None:
    with pytest.raises(InvalidRequest, match="root"):
        await guard.admit(None, REMOTE, "root")


async def test_a_key_expires(guard: SecurityGuard, clock: Clock) -> None:
    text = await new_key(guard, expires_at_s=START_NS / S + 10)
    assert (await guard.admit(text, REMOTE, "call")).allowed
    clock.now_ns += 10 * S
    answer = await guard.admit(text, REMOTE, "call")
    assert (answer.allowed, answer.message) == (False, "the API key has expired")


async def test_a_revoked_key_is_refused_at_once(guard: SecurityGuard) -> None:
    key_id, text = await guard.create_key("pbx", "acme", ["call"], None, "tester")
    assert (await guard.admit(text, REMOTE, "call")).allowed
    await guard.revoke_key(key_id, "boss")
    await guard.revoke_key(key_id, "boss")
    answer = await guard.admit(text, REMOTE, "call")
    assert (answer.allowed, answer.message) == (False, "the API key has been revoked")
    assert (await actions(guard)).count(("boss", "revoke_key")) == 1


async def test_revoking_beside_the_singleton_counts_at_once(
    make: Callable[..., SecurityGuard],
) -> None:
    """As the command line does it, without taking the singleton's place."""
    guard, beside = make(), make()
    await guard.ping()
    key_id, text = await beside.create_key("pbx", "acme", ["call"], None, "shell")
    assert (await guard.admit(text, REMOTE, "call")).allowed
    await beside.revoke_key(key_id, "shell")
    assert not (await guard.admit(text, REMOTE, "call")).allowed
    assert await guard.ping() == {"epoch": 1}


# ------------------------------------------------------------------ insecure development


async def test_insecure_dev_is_for_this_machine_only(make: Callable[..., SecurityGuard]) -> None:
    guard = make(insecure_dev=True)
    for peer in (LOCAL, "ipv6:[::1]:5", "unix:"):
        answer = await guard.admit(None, peer, "call")
        assert (answer.allowed, answer.tenant, answer.key_id) == (True, "development", "")
    assert (await guard.admit(None, REMOTE, "call")).code == "unauthenticated"
    assert (await guard.admit("wrong", LOCAL, "call")).code == "unauthenticated"


async def test_without_the_setting_this_machine_needs_a_key(guard: SecurityGuard) -> None:
    assert (await guard.admit(None, LOCAL, "call")).code == "unauthenticated"


# ------------------------------------------------------------------ rate limits


async def test_each_key_has_its_rate(make: Callable[..., SecurityGuard], clock: Clock) -> None:
    guard = make(rate_limit_per_minute=3)
    first, second = await new_key(guard), await new_key(guard)
    for _ in range(3):
        assert (await guard.admit(first, REMOTE, "call")).allowed
    refused = await guard.admit(first, REMOTE, "call")
    assert (refused.allowed, refused.code, refused.retry_after_s) == (False, "rate_limited", 20.0)
    assert (await guard.admit(second, REMOTE, "call")).allowed
    clock.now_ns += 20 * S
    assert (await guard.admit(first, REMOTE, "call")).allowed


async def test_the_hour_has_its_own_rate(make: Callable[..., SecurityGuard], clock: Clock) -> None:
    guard = make(rate_limit_per_hour=2)
    text = await new_key(guard)
    for _ in range(2):
        assert (await guard.admit(text, REMOTE, "call")).allowed
    refused = await guard.admit(text, REMOTE, "call")
    assert (refused.retry_after_s, "hour" in refused.message) == (1_800.0, True)


async def test_a_restart_forgets_no_rate(make: Callable[..., SecurityGuard]) -> None:
    guard = make(rate_limit_per_minute=2)
    text = await new_key(guard)
    for _ in range(2):
        assert (await guard.admit(text, REMOTE, "call")).allowed
    successor = make(rate_limit_per_minute=2)
    assert (await successor.admit(text, REMOTE, "call")).code == "rate_limited"
    with pytest.raises(Fenced):
        await guard.admit(text, REMOTE, "call")


async def test_many_at_once_never_pass_the_rate(make: Callable[..., SecurityGuard]) -> None:
    guard = make(rate_limit_per_minute=7)
    text = await new_key(guard)
    answers = await asyncio.gather(*(guard.admit(text, REMOTE, "call") for _ in range(40)))
    assert sum(answer.allowed for answer in answers) == 7
    assert len(await actions(guard)) == 41


# ------------------------------------------------------------------ keys


async def test_the_list_has_no_secrets(guard: SecurityGuard) -> None:
    key_id, text = await guard.create_key("pbx", "acme", ["call", "call"], 1.8e9, "tester")
    (listed,) = await guard.list_keys()
    assert listed == {
        "key_id": key_id, "name": "pbx", "tenant": "acme", "scopes": ["call"],
        "created_at_s": START_NS / S, "expires_at_s": 1.8e9, "revoked_at_s": None,
    }  # fmt: skip
    secret = text.split("_")[3]
    assert secret not in json.dumps(await guard.audit_entries())


async def test_only_a_hash_is_stored(guard: SecurityGuard) -> None:
    text = await new_key(guard)
    with guard._store.reading() as connection:
        row = connection.execute(sa.select(schema.api_keys)).one()
    assert text.split("_")[3] not in repr(tuple(row))
    assert len(row.hash) == 32


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("", "acme", ["call"], None, "me"), "name"),
        (("n" * 129, "acme", ["call"], None, "me"), "name"),
        (("pbx", "", ["call"], None, "me"), "tenant"),
        (("pbx", "acme", ["call"], None, ""), "by"),
        (("pbx", "acme", [], None, "me"), "scopes"),
        (("pbx", "acme", ["call", "root"], None, "me"), "scopes"),
        (("pbx", "acme", ["call"], 1.0, "me"), "expires_at_s"),
    ],
)
async def test_a_key_has_bounds(
    guard: SecurityGuard, arguments: tuple[str, str, list[str], float | None, str], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await guard.create_key(*arguments)
    assert caught.value.field == field
    assert await guard.list_keys() == []


async def test_an_unknown_key_can_not_be_revoked(guard: SecurityGuard) -> None:
    await guard.ping()
    with pytest.raises(NotFound):
        await guard.revoke_key("nobody", "boss")


# ------------------------------------------------------------------ audit


async def test_entries_come_in_pages(guard: SecurityGuard) -> None:
    for _ in range(5):
        await guard.admit(None, REMOTE, "call")
    first = await guard.audit_entries(0, 3)
    rest = await guard.audit_entries(first[-1]["seq"], 3)
    assert [entry["seq"] for entry in first + rest] == [1, 2, 3, 4, 5]
    assert json.loads(first[0]["detail"])["peer"] == REMOTE
    for size in (0, 1_001):
        with pytest.raises(InvalidRequest, match=str(size)):
            await guard.audit_entries(0, size)


async def test_a_forged_entry_is_found(
    sqlite_url: str, settings_for: Callable[..., Settings]
) -> None:
    guard = SecurityGuard(settings_for(sqlite_url))
    for _ in range(3):
        await guard.admit(None, REMOTE, "call")
    assert await guard.verify_audit() == ""
    forger = Store.open(sqlite_url)
    with forger.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.execute(sa.update(schema.audit).where(schema.audit.c.seq == 2).values(actor="x"))
    forger.close()
    assert await guard.verify_audit() == "entry 2 was changed"
    guard.close()


async def test_nobody_is_let_in_when_the_trail_can_not_be_written(
    sqlite_url: str, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.storage.engine.BUSY_TIMEOUT_MS", 1)
    guard = SecurityGuard(settings_for(sqlite_url, insecure_dev=True))
    await guard.ping()
    blocker = Store.open(sqlite_url)
    with blocker.transaction(), pytest.raises(Unavailable):
        await guard.admit(None, LOCAL, "call")
    assert (await guard.admit(None, LOCAL, "call")).allowed
    blocker.close()
    guard.close()
