"""Scopes and limits: where a call's money counts and what holds for it."""

from __future__ import annotations

import pytest

from reception.errors import InvalidRequest
from reception.money.limits import MAX_LIMIT_MICROS, Limit, LimitTable, default_limits, make_limit
from reception.money.scopes import EXEMPT, GLOBAL, Owner, Scope, each_of_kind, parse_scope
from reception.money.windows import Calendar, OfCall, Rolling

ACME = Scope("tenant:acme")


def test_a_call_counts_in_every_scope_that_is_known() -> None:
    owner = Owner("s", "c", "acme", "k1", "m", "tel:+49301", "day", "openai")
    assert owner.scopes() == (
        "global", "tenant:acme", "key:k1", "number:tel:+49301", "profile:day", "provider:openai",
    )  # fmt: skip
    assert Owner("s").scopes() == (GLOBAL,)


def test_an_emergency_call_counts_apart() -> None:
    assert Owner("s", tenant="acme", exempt=True).scopes() == (EXEMPT,)


def test_scopes_by_name() -> None:
    for text in ("global", "tenant:acme", "number:tel:+49301", "profile:*"):
        assert parse_scope(text) == text
    assert each_of_kind(ACME) == "tenant:*"
    assert each_of_kind(Scope("number:tel:+49301")) == "number:*"
    assert each_of_kind(GLOBAL) == GLOBAL


@pytest.mark.parametrize(
    "text", ["", "exempt", "tenant", "tenant:", "planet:mars", "key:" + "k" * 300]
)
def test_what_is_no_scope(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_scope(text)
    assert caught.value.field == "scope"


def test_a_limit_is_checked() -> None:
    assert make_limit("tenant:acme", "day", 5, "Europe/Berlin") == Limit(
        ACME, Calendar("day", "Europe/Berlin"), 5
    )
    assert make_limit("global", "call", 0).window == OfCall("call")
    for micros in (-1, MAX_LIMIT_MICROS + 1):
        with pytest.raises(InvalidRequest) as caught:
            make_limit("global", "day", micros)
        assert caught.value.field == "micros"


def test_a_later_limit_replaces_an_earlier_one_of_the_same_window() -> None:
    defaults = default_limits({"hour": 1, "day": 2, "week": 3, "month": 4}, "Europe/Berlin")
    own = Limit(GLOBAL, Calendar("day", "UTC"), 7)
    table = LimitTable((*defaults, own))
    assert [limit.micros for limit in table.of(GLOBAL)] == [1, 7, 3, 4]
    assert table.of(GLOBAL)[0].window == Calendar("hour", "Europe/Berlin")
    assert set(table.all()) == {defaults[0], own, defaults[2], defaults[3]}


def test_a_limit_for_each_of_a_kind_gives_way_to_an_own_one() -> None:
    each_day = Limit(Scope("tenant:*"), Calendar("day"), 10)
    each_call = Limit(Scope("tenant:*"), OfCall("call"), 2)
    own_day = Limit(ACME, Calendar("day"), 50)
    own_week = Limit(ACME, Rolling("rolling-week"), 60)
    table = LimitTable((each_day, each_call, own_day, own_week))
    assert set(table.of(ACME)) == {own_day, each_call, own_week}
    assert set(table.of(Scope("tenant:other"))) == {each_day, each_call}
    assert table.of(ACME) is table.of(ACME)
    assert table.of(Scope("key:k")) == table.of(GLOBAL) == ()
