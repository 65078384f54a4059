"""The book: holds before money is spent, and never past a limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from reception.errors import InvalidRequest, NotFound
from reception.money.account import Charge, Hold
from reception.money.alerts import Reading
from reception.money.allowance import Means
from reception.money.book import RETRY_WHEN_HELD_S, Book
from reception.money.case import ADJUSTMENT, RESPONSE, TRANSCRIPTION, Bill, Case, Terms
from reception.money.limits import LimitTable, make_limit
from reception.money.policy import Policy, Step, parse_policy
from reception.money.prices import PriceTable, TokenPrice, parse_prices
from reception.money.scopes import GLOBAL, OVERDRAFT, Owner, Scope
from reception.money.windows import NEVER_S, Window, slot_of
from reception.provider.base import Usage

NOON_S = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
HOUR_S = 3_600
CHEAP, DEAR, FREE = "cheap", "dear", "free"  # 40 and 20, 400 and 200, nothing to hold


def table(**changed: Any) -> PriceTable:
    def model(per_minute: str) -> list[dict[str, Any]]:
        return [
            {"valid_from": "2026-01-01", "text": {"input": 1}, "hold_usd_per_minute": per_minute}
        ]

    models = {CHEAP: model("0.000080"), DEAR: model("0.000800"), FREE: model("0")}
    return parse_prices({"version": "1", "models": models | changed})


def make(
    *limits: tuple[str, str, int],
    policies: Mapping[str, Policy] | None = None,
    prices: PriceTable | None = None,
) -> Book:
    terms = Terms(prices or table(), slice_s=30, tail_s=15, expiry_s=1_000.0)
    book = Book(LimitTable(make_limit(*limit) for limit in limits), policies or {}, terms, NOON_S)
    know(book, GLOBAL)
    return book


def know(book: Book, *scopes: str, slots: Mapping[int, int] | None = None) -> None:
    for scope in scopes:
        book.sums.learn(Scope(scope), slots or {})


def bill(number: int, micros: int, model: str = CHEAP, kind: str = RESPONSE) -> Bill:
    return Bill(kind, f"r{number}", model, Usage(output_audio=1), 0, micros)


def call(session: str = "s1", model: str = CHEAP, **named: Any) -> Owner:
    return Owner(session, f"call-{session}", "acme", "k", model, **named)


def entries(book: Book) -> list[tuple[str, int]]:
    return [(each.entry.kind.value, each.entry.amount_micros) for each in book.changes.postings]


# ------------------------------------------------------------------ one call


def test_a_call_from_hold_to_settlement() -> None:
    book = make()
    assert book.open(call(), NOON_S) == Hold(True, held_micros=60)
    assert book.use("s1", bill(1, 15), NOON_S) == Charge(15, 15, False)
    assert book.use("s1", bill(2, 6), NOON_S) == Charge(6, 21, False)
    cost = book.close("s1", NOON_S)
    assert (cost.total_micros, cost.held_micros, cost.closed, cost.responses) == (21, 0, True, 2)
    assert cost.output_audio == 2
    assert entries(book) == [
        ("hold", 60), ("settle", 15), ("settle", 6), ("extend", 21), ("release", 60),
    ]  # fmt: skip
    assert [posting.number for posting in book.changes.postings] == [0, 1, 2, 3, 4]


def test_everything_that_comes_twice_counts_once() -> None:
    book = make()
    for _ in range(2):
        assert book.open(call(), NOON_S).held_micros == 60
    assert book.use("s1", bill(1, 5), NOON_S) == book.use("s1", bill(1, 9), NOON_S)
    assert book.use("s1", bill(1, 7, kind=TRANSCRIPTION), NOON_S).call_total_micros == 12
    assert book.close("s1", NOON_S) == book.close("s1", NOON_S)
    assert len(book.changes.postings) == 4


def test_a_call_that_is_over_is_not_opened_again() -> None:
    book = make()
    book.close("s1", NOON_S)
    assert book.open(call(), NOON_S) == Hold(False, "this call is over")


def test_what_comes_late_is_billed_and_ends_nothing() -> None:
    book = make()
    book.close("s1", NOON_S)
    assert book.use("s1", bill(1, 5), NOON_S) == Charge(5, 5, False)
    assert entries(book) == [("usage", 5)]


def test_what_comes_before_the_opening_is_billed() -> None:
    book = make()
    assert book.use("s1", bill(1, 5), NOON_S).call_total_micros == 5
    assert book.open(call(), NOON_S) == Hold(True, held_micros=60)


def test_a_model_without_a_price_is_refused_before_the_call() -> None:
    book = make()
    with pytest.raises(InvalidRequest, match="gpt-9"):
        book.open(call(model="gpt-9"), NOON_S)
    assert book.scopes("s1") is None
    assert not book.changes.cases


def test_a_model_that_lost_its_price_is_billed_on() -> None:
    book = make()
    book.open(call(), NOON_S)
    book.terms = book.terms.at(table(cheap=table_without_cheap()))
    assert book.use("s1", bill(1, 50, model="gone"), NOON_S) == Charge(50, 50, False)


def table_without_cheap() -> list[dict[str, Any]]:
    return [{"valid_from": "2030-01-01", "text": {"input": 1}}]


def test_the_slice_grows_with_the_dearest_answer() -> None:
    book = make()
    book.open(call(), NOON_S)
    book.use("s1", bill(1, 45), NOON_S)
    assert entries(book)[-1] == ("extend", 95)  # twice 45 and the tail of 20 are held then
    book.use("s1", bill(2, 45), NOON_S)  # as dear again: covered
    assert entries(book)[-1] == ("settle", 45)


def test_a_cheaper_model_goes_on_with_the_dearer_hold() -> None:
    book = make()
    book.open(call(model=DEAR), NOON_S)
    book.use("s1", bill(1, 350), NOON_S)
    book.use("s1", bill(2, 401, model=CHEAP), NOON_S)
    assert book.close("s1", NOON_S).total_micros == 751
    assert entries(book)[-1] == ("release", 2 * 401 + 200)


def test_a_dearer_model_is_held_for_before_it_goes_on() -> None:
    book = make()
    book.open(call(), NOON_S)
    assert book.change_model("s1", DEAR, NOON_S)
    assert book.change_model("s1", DEAR, NOON_S)
    assert entries(book)[1:] == [("extend", 540)]
    book.use("s1", bill(1, 201), NOON_S)  # of the model before: the hold stays the dearer one's
    assert entries(book)[-1] == ("extend", 402 - 199)
    assert book.close("s1", NOON_S).total_micros == 201
    assert not book.change_model("s1", DEAR, NOON_S)
    assert not book.change_model("s9", DEAR, NOON_S)
    book.open(call("s2"), NOON_S)
    with pytest.raises(InvalidRequest, match="gpt-9"):
        book.change_model("s2", "gpt-9", NOON_S)


def test_a_dearer_model_holds_twice_the_calls_dearest_answer_too() -> None:
    book = make()
    book.open(call(), NOON_S)
    book.use("s1", bill(1, 300), NOON_S)
    assert book.change_model("s1", DEAR, NOON_S)
    assert entries(book)[-1] == ("extend", 2 * 300 + 200 - (2 * 300 + 20))


@pytest.mark.parametrize(("limit", "allowed"), [(600, True), (599, False)])
def test_without_the_money_for_it_no_dearer_model_goes_on(limit: int, allowed: bool) -> None:
    book = make(("global", "hour", limit), policies={"*": Policy(())})
    book.open(call(), NOON_S)
    assert book.change_model("s1", DEAR, NOON_S) is allowed
    [case] = book.changes.cases.values()
    assert case.owner.model == (DEAR if allowed else CHEAP)
    assert case.account.held_micros == (600 if allowed else 60)
    assert not case.account.wrapping


def test_where_calls_go_on_with_a_cheaper_model_none_goes_on_with_a_dearer_one() -> None:
    book = make(("global", "hour", 10_000), policies={"*": parse_policy({"cheaper": 50})})
    book.open(call(), NOON_S)
    know(book, GLOBAL, slots={slot_of(NOON_S): 4_941})
    assert not book.change_model("s1", DEAR, NOON_S)
    know(book, GLOBAL, slots={slot_of(NOON_S): 4_940})
    assert book.change_model("s1", DEAR, NOON_S)


def test_a_call_that_comes_to_its_end_changes_nothing() -> None:
    book = make(("tenant:*", "call", 100))
    know(book, "tenant:acme")
    book.open(call(), NOON_S)
    assert book.use("s1", bill(1, 45), NOON_S).wrap_up
    assert not book.change_model("s1", CHEAP, NOON_S)


def test_a_rise_of_price_is_held_before_it_comes() -> None:
    day_s = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
    dated = [
        {"valid_from": "2026-01-01", "text": {"input": 1}, "hold_usd_per_minute": "0.00008"},
        {"valid_from": "2026-11-25", "text": {"input": 1}, "hold_usd_per_minute": "0.00016"},
    ]
    book = make(prices=table(cheap=dated))
    assert book.open(call("s1"), day_s - 1_000).held_micros == 60
    assert book.open(call("s2"), day_s - 100).held_micros == 120
    assert book.open(call("s3"), day_s + 100).held_micros == 120


def test_a_price_for_an_answer_is_held_twice() -> None:
    priced = [
        {
            "valid_from": "2026-01-01", "text": {"input": 1}, "hold_usd_per_minute": "0.00008",
            "hold_usd_per_answer": "0.0001",
        }
    ]  # fmt: skip
    book = make(prices=table(cheap=priced))
    assert book.open(call(), NOON_S).held_micros == 220


# ------------------------------------------------------------------ limits


def test_exactly_as_many_as_the_limit_carries() -> None:
    book = make(("global", "hour", 180))
    answers = [book.open(call(f"s{number}"), NOON_S).admitted for number in range(5)]
    assert answers == [True, True, True, False, False]
    refused = book.open(call("s9"), NOON_S)
    assert refused.message == "the hour's budget is used up (global)"
    assert (refused.retry_after_s, refused.step) == (RETRY_WHEN_HELD_S, Step.REFUSE)
    book.close("s1", NOON_S)
    assert book.open(call("s9"), NOON_S).admitted


@pytest.mark.parametrize(
    "scope",
    ["tenant:acme", "tenant:*", "key:k", "number:tel:1", "profile:day", "provider:openai"],
)
def test_each_scope_has_its_limit(scope: str) -> None:
    book = make(("global", "hour", 10_000), (scope, "day", 60))
    inside = {"number": "tel:1", "profile": "day", "provider": "openai"}
    owner = call("s1", **inside)
    assert book.sums.strange(owner.scopes()) == [
        each for each in owner.scopes() if each == scope or (scope == "tenant:*" and each[0] == "t")
    ]
    know(book, *book.sums.strange(owner.scopes()))
    assert book.open(owner, NOON_S).admitted
    refused = book.open(call("s2", **inside), NOON_S)
    assert refused.message == f"the day's budget is used up ({scope.partition(':')[0]})"
    other = Owner("s3", "c", "other", "k2", CHEAP, "tel:2", "night", "embedded")
    know(book, *book.sums.strange(other.scopes()))
    assert book.open(other, NOON_S).admitted


def test_what_was_spent_before_counts() -> None:
    book = make(("global", "day", 100))
    know(book, GLOBAL, slots={slot_of(NOON_S - 12 * HOUR_S): 30, slot_of(NOON_S - HOUR_S): 41})
    assert not book.open(call(), NOON_S).admitted
    know(book, GLOBAL, slots={slot_of(NOON_S - 13 * HOUR_S): 30, slot_of(NOON_S - HOUR_S): 40})
    assert book.open(call(), NOON_S).admitted


def test_a_full_window_says_when_it_ends() -> None:
    book = make(("global", "hour", 100))
    book.open(call("s1"), NOON_S)
    book.use("s1", bill(1, 50), NOON_S + 60)
    book.close("s1", NOON_S + 60)
    refused = book.open(call("s2"), NOON_S + 60)
    assert refused.retry_after_s == HOUR_S - 60
    assert book.open(call("s2"), NOON_S + HOUR_S).admitted


def test_a_rolling_window_lets_go_slot_by_slot() -> None:
    book = make(("global", "rolling-hour", 100))
    book.use("s1", bill(1, 50), NOON_S)
    book.close("s1", NOON_S)
    assert book.open(call("s2"), NOON_S + HOUR_S).retry_after_s == 900.0
    assert not book.open(call("s2"), NOON_S + HOUR_S + 899).admitted
    assert book.open(call("s2"), NOON_S + HOUR_S + 900).admitted


def test_what_is_held_counts_in_the_next_window_too() -> None:
    book = make(("global", "hour", 100))
    book.open(call("s1"), NOON_S)
    assert not book.open(call("s2"), NOON_S + HOUR_S).admitted
    assert book.use("s1", bill(1, 20), NOON_S + HOUR_S) == Charge(20, 20, False)


def test_a_clock_that_is_set_back_opens_no_window_again() -> None:
    book = make(("global", "hour", 100))
    book.use("s1", bill(1, 95), NOON_S + 60)
    book.close("s1", NOON_S + 60)
    assert book.open(call("s2"), NOON_S + HOUR_S).admitted  # a new hour: 60 held
    book.close("s2", NOON_S)
    assert book.open(call("s3"), NOON_S + 60).admitted  # it is still that hour
    assert not book.open(call("s4"), NOON_S + 60).admitted
    assert book.now_s == NOON_S + HOUR_S


def test_a_limit_for_one_call() -> None:
    book = make(("global", "call", 120))
    book.open(call("s1"), NOON_S)
    ends = [book.use("s1", bill(number, 30), NOON_S).wrap_up for number in range(3)]
    assert ends == [False, False, True]  # 90 are spent, 20 held: another slice of 60 is too much
    small = make(("global", "call", 59))
    refused = small.open(call("s1"), NOON_S)
    assert (refused.admitted, refused.message) == (False, "the call's budget is used up (global)")


def test_a_limit_for_each_minute_of_a_call() -> None:
    book = make(("global", "call-minute", 70))
    book.open(call("s1"), NOON_S)
    assert book.use("s1", bill(1, 10), NOON_S + 59).wrap_up is False
    assert book.use("s1", bill(2, 30), NOON_S + 60).wrap_up is False  # 140 by now
    assert book.use("s1", bill(3, 30), NOON_S + 60).wrap_up is False
    assert book.use("s1", bill(4, 30), NOON_S + 60).wrap_up


def test_an_answer_dearer_than_all_that_is_held_is_owed() -> None:
    book = make(("global", "hour", 100))
    book.open(call("s1"), NOON_S)
    charge = book.use("s1", bill(1, 130), NOON_S)
    assert (charge.call_total_micros, charge.wrap_up) == (130, True)
    assert entries(book)[1:] == [("settle", 60), ("usage", 40), ("usage", 30)]
    assert book.changes.spending[OVERDRAFT, slot_of(NOON_S)] == 30
    assert not book.open(call("s2"), NOON_S).admitted


def test_a_limit_that_is_lowered_stops_new_holds_and_keeps_the_old() -> None:
    book = make(("global", "hour", 200))
    book.open(call("s1"), NOON_S)
    book.open(call("s2"), NOON_S)
    book.sums.limits = LimitTable([make_limit("global", "hour", 50)])
    assert not book.open(call("s3"), NOON_S).admitted
    assert not book.use("s1", bill(1, 15), NOON_S).wrap_up
    assert book.use("s1", bill(2, 15), NOON_S).wrap_up
    assert book.close("s2", NOON_S).held_micros == 0


def test_a_limit_of_nothing_admits_nobody_but_free_models() -> None:
    book = make(("global", "hour", 0))
    assert not book.open(call("s1"), NOON_S).admitted
    assert book.open(call("s2", model=FREE), NOON_S).admitted


def test_an_emergency_call_is_never_held_back_and_counted() -> None:
    book = make(("global", "hour", 0))
    assert book.open(call("s1", exempt=True), NOON_S).admitted
    assert book.use("s1", bill(1, 5_000), NOON_S) == Charge(5_000, 5_000, False)
    assert book.changes.spending == {("exempt", slot_of(NOON_S)): 5_000}


# ------------------------------------------------------------------ policies


def test_the_steps_of_a_call_that_runs_out_of_money() -> None:
    policy = parse_policy({"warn": 60, "shorten": 40, "cheaper": 20, "wrap_up": 0})
    book = make(("global", "hour", 200), policies={"*": policy})
    assert book.open(call(), NOON_S).step is Step.GO_ON  # 140 left
    seen = [book.use("s1", bill(number, 10), NOON_S).step for number in range(16)]
    assert list(dict.fromkeys(seen)) == [
        Step.GO_ON, Step.WARN, Step.SHORTEN, Step.CHEAPER, Step.WRAP_UP,
    ]  # fmt: skip
    assert seen == sorted(seen, key=list(Step).index)


def test_a_tenant_has_its_own_policy() -> None:
    policies = {"*": Policy(()), "acme": parse_policy({"transfer": 50})}
    book = make(("global", "hour", 200), policies=policies)
    book.open(call("s1"), NOON_S)
    other = Owner("s2", tenant="other", model=CHEAP)
    book.open(other, NOON_S)
    assert book.use("s2", bill(1, 10), NOON_S) == Charge(10, 10, False)
    charge = book.use("s1", bill(1, 10), NOON_S)  # 120 held and spent: 40 % left
    assert (charge.wrap_up, charge.step) == (True, Step.TRANSFER)


def test_a_call_that_was_told_to_end_holds_nothing_more_and_spends_its_tail() -> None:
    policy = parse_policy({"wrap_up": 50})
    book = make(("global", "hour", 100), policies={"*": policy})
    book.open(call("s1"), NOON_S)
    assert book.use("s1", bill(1, 5), NOON_S).wrap_up
    book.sums.limits = LimitTable(())
    assert book.use("s1", bill(2, 40), NOON_S).wrap_up  # money or not: it ends
    assert entries(book) == [("hold", 60), ("settle", 5), ("settle", 40)]
    assert book.use("s1", bill(2, 40), NOON_S).step is Step.WRAP_UP


def test_new_calls_are_refused_before_the_money_is_gone() -> None:
    book = make(("global", "hour", 1_000), policies={"*": parse_policy({"refuse": 90})})
    assert book.open(call("s1"), NOON_S).admitted
    assert book.open(call("s2"), NOON_S).admitted
    refused = book.open(call("s3"), NOON_S)
    assert (refused.admitted, refused.step) == (False, Step.REFUSE)


# ------------------------------------------------------------------ abandoned, corrected


def test_a_hold_is_given_back_when_its_call_vanished() -> None:
    book = make()
    book.open(call("s1"), NOON_S)
    book.open(call("s2"), NOON_S + 1)
    assert not book.sweep_is_due(NOON_S + 59, 60.0)
    assert book.sweep_is_due(NOON_S + 60, 60.0)
    assert book.expire(NOON_S + 1_000) == []
    assert not book.sweep_is_due(NOON_S + 1_059, 60.0)
    assert book.expire(NOON_S + 1_001) == ["s1"]
    assert entries(book)[-1] == ("release", 60)
    assert not book.use("s1", bill(1, 5), NOON_S + 1_001).wrap_up  # it is back, and held for again
    assert entries(book)[-1] == ("extend", 60)


def test_a_correction_counts_once_and_never_below_nothing() -> None:
    book = make(("global", "hour", 100))
    book.open(call("s1"), NOON_S)
    book.use("s1", bill(1, 20), NOON_S)
    less = Bill(ADJUSTMENT, "a1", "", Usage(), 0, -15)
    for first in (True, False):
        cost, new = book.adjust("s1", less, NOON_S)
        assert (cost.total_micros, cost.responses, new) == (5, 1, first)
    with pytest.raises(InvalidRequest) as caught:
        book.adjust("s1", Bill(ADJUSTMENT, "a2", "", Usage(), 0, -6), NOON_S)
    assert caught.value.field == "change_micros"
    more = Bill(ADJUSTMENT, "a3", "", Usage(), 0, 70)
    assert book.adjust("s1", more, NOON_S)[0].total_micros == 75
    assert book.changes.spending[OVERDRAFT, slot_of(NOON_S)] == 15  # 40 were held, 45 free
    with pytest.raises(NotFound):
        book.adjust("s2", more, NOON_S)


# ------------------------------------------------------------------ what is kept in mind


def test_what_was_written_is_forgotten_unless_it_holds_money() -> None:
    book = make()
    book.open(call("s1"), NOON_S)
    book.open(call("s2"), NOON_S)
    book.close("s2", NOON_S)
    changes = book.forget()
    assert set(changes.cases) == {"s1", "s2"}
    assert (book.scopes("s1"), book.scopes("s2")) == (call("s1").scopes(), None)
    assert not book.forget().cases


def test_an_account_is_learnt_as_it_was_written() -> None:
    first = make(("global", "hour", 100))
    first.open(call("s1"), NOON_S)
    first.use("s1", bill(1, 30), NOON_S)
    case = first.forget().cases["s1"]
    second = make(("global", "hour", 100))
    again = Case(case.owner, NOON_S, NOON_S, case.account, case.entries, dict(case.bills))
    assert again.dearest_micros == 30
    second.learn(again)
    know(second, GLOBAL, slots={slot_of(NOON_S): 30})
    assert second.use("s1", bill(1, 30), NOON_S) == Charge(30, 30, True, (Step.WRAP_UP,))
    assert not second.open(call("s2"), NOON_S).admitted


def test_old_spending_is_dropped_in_time() -> None:
    book = make(("global", "hour", 100))
    slots = {slot_of(NOON_S) - 900 * number: 1 for number in range(5_000)}
    know(book, GLOBAL, slots=slots)
    assert book.open(call("s1"), NOON_S).admitted
    [standing] = book.sums.standings(Case(Owner(""), NOON_S, NOON_S), NOON_S)
    assert (standing.posted_micros, standing.held_micros, standing.left_permille) == (1, 60, 390)
    assert len(book.sums._spent[GLOBAL].slots) < 3_000


def test_terms_keep_only_so_many_answers() -> None:
    terms = Terms(table(), 30, 15, 1_000.0)
    many: Iterable[int] = range(1_001)
    assert {terms.needs(CHEAP, NOON_S + 900 * number).slice_micros for number in many} == {40}
    assert len(terms._known) == 1


# ------------------------------------------------------------------ how limits stand


def test_readings_are_of_limits_over_a_time_with_what_is_posted_and_held() -> None:
    book = make(
        ("global", "hour", 1_000), ("tenant:*", "rolling-day", 500), ("tenant:acme", "call", 90)
    )
    tenant = Scope("tenant:acme")
    know(book, tenant, slots={slot_of(NOON_S): 7})
    book.open(call(), NOON_S)
    book.use("s1", bill(1, 5), NOON_S)
    assert set(book.sums.holding()) == {"global", "tenant:acme", "key:k"}
    assert book.readings([GLOBAL, tenant, Scope("key:k")], NOON_S) == [
        Reading("global", Window("hour", NOON_S, NOON_S + HOUR_S), 1_000, 5, 55),
        Reading("tenant:acme", Window("rolling-day", 0.0, NEVER_S), 500, 12, 55),
    ]
    [next_hour, _] = book.readings([GLOBAL, tenant], NOON_S + HOUR_S)
    assert (next_hour.window.start_s, next_hour.posted_micros) == (NOON_S + HOUR_S, 0)
    assert book.readings([GLOBAL], NOON_S) == [next_hour]  # time never goes back


def test_of_single_calls_the_tightest_limit_of_each_kind_is_read() -> None:
    book = make(
        ("global", "call", 900), ("tenant:acme", "call", 100), ("tenant:*", "day", 500),
        ("global", "call-minute", 80),
    )  # fmt: skip
    know(book, "tenant:acme", "tenant:b")
    book.open(call(), NOON_S)
    book.use("s1", bill(1, 5), NOON_S)
    book.open(Owner("s2", tenant="b", model=CHEAP), NOON_S)
    cases = [each for name in ("s1", "s2") if (each := book.known(name))]
    assert book.call_readings(cases, NOON_S + 60) == [
        Reading("call:call-s1", Window("call", NOON_S, NEVER_S), 100, 5, 55),
        Reading("call:call-s1", Window("call-minute", NOON_S, NEVER_S), 160, 5, 55),
        Reading("call:s2", Window("call", NOON_S, NEVER_S), 900, 0, 60),
        Reading("call:s2", Window("call-minute", NOON_S, NEVER_S), 160, 0, 60),
    ]


# ------------------------------------------------------------------ how long an answer may be


SPEAKING = {
    "valid_from": "2026-01-01", "audio": {"output": 20}, "hold_usd_per_minute": "0.08",
}  # fmt: skip


def test_what_the_next_answers_may_cost_is_what_is_held_without_the_tail() -> None:
    book = make(("global", "hour", 1_000_000), prices=table(speaking=[SPEAKING]))
    hold = book.open(call(model="speaking"), NOON_S)  # 40,000 and 20,000: a token is 20
    audio = TokenPrice(output=20_000_000)
    assert hold.means == Means(40_000, TokenPrice(), audio, 1)
    assert book.open(call(model="speaking"), NOON_S) == hold
    assert book.use("s1", bill(1, 1_000, "speaking"), NOON_S).means == Means(
        39_000, TokenPrice(), audio, 2
    )
    words = bill(2, 18_000, "words", TRANSCRIPTION)
    assert book.use("s1", words, NOON_S).means == Means(21_000, TokenPrice(), audio, 3)
    assert book.use("s1", bill(3, 2_000, "speaking"), NOON_S).means == Means(
        40_000, TokenPrice(), audio, 5
    )
    assert book.use("s1", bill(4, 1, "gone"), NOON_S).means is None
    assert book.use("s1", bill(5, 1, CHEAP), NOON_S).means is None  # it makes for nothing
    book.close("s1", NOON_S)
    assert book.use("s1", bill(6, 1, "speaking"), NOON_S).means is None


def test_before_a_dearer_model_answers_its_prices_count() -> None:
    dear = SPEAKING | {"audio": {"input": 10, "cached": 1, "output": 40}}
    book = make(("global", "hour", 1_000_000), prices=table(speaking=[SPEAKING], shouting=[dear]))
    book.open(call(model="speaking"), NOON_S)

    def output(number: int, model: str) -> int:
        means = book.use("s1", bill(number, 10, model), NOON_S).means
        return means.audio.output if means else 0

    assert output(1, "speaking") == 20_000_000
    assert book.change_model("s1", "shouting", NOON_S)
    assert output(2, "speaking") == 40_000_000
    assert output(3, "shouting") == 40_000_000
    assert output(4, "speaking") == 20_000_000
    book.terms = book.terms.at(table(shouting=[dear]))
    assert output(5, "speaking") == 0  # a model without a price


def test_half_of_the_slice_pays_for_a_short_answer() -> None:
    """Whatever the seconds of a slice come to; else the call comes to its end."""
    costly = SPEAKING | {"hold_usd_per_minute": "0.01"}  # 5,000 and 2,500
    for limit, wraps in ((1_000_000, False), (12_000, True)):
        book = make(("global", "hour", limit), prices=table(speaking=[costly]))
        book.open(call(model="speaking"), NOON_S)
        charge = book.use("s1", bill(1, 100, "speaking"), NOON_S)
        assert charge.wrap_up is wraps
        assert charge.means
        assert (charge.means.spendable_micros >= 256 * 20) is not wraps


def test_where_nothing_is_limited_no_answer_is_bounded() -> None:
    book = make(prices=table(speaking=[SPEAKING]))
    assert book.open(call(model="speaking"), NOON_S).means is None
    assert book.use("s1", bill(1, 1_000, "speaking"), NOON_S).means is None
