"""Which leases a front door asks for, what it holds out of them, what it gives back."""

from __future__ import annotations

from dataclasses import replace

from reception.money.leases import Lease
from reception.money.purses import PurseRules, Purses, Request, Wanted
from reception.money.scopes import Owner

RULES = PurseRules(most=3, renew_s=60.0, apart_s=20.0, idle_s=300.0, at_once=2)
ANN = Owner("s1", "c1", "ann", "k", "m", "+49", "p")
BOB, CID, DAN = (replace(ANN, tenant=tenant) for tenant in ("bob", "cid", "dan"))


def wanted(owner: Owner, number: int, calls: int = 1) -> Wanted:
    return replace(owner, session_id=f"lease:d:{number}", call_id=""), calls


def grant(each: Wanted, micros: int = 120) -> Lease:
    return Lease(each[0], micros, 60, 20, 120.0, 30.0)


def call(number: int, owner: Owner = ANN) -> Owner:
    return replace(owner, session_id=f"s{number}", call_id=f"c{number}")


def door(*owners: Owner) -> Purses:
    """One where these called at 0 s, and each has a lease of two calls."""
    purses = Purses("d", RULES)
    for owner in owners:
        purses.came(owner, 0.0)
    answer(purses, 0.0)
    return purses


def answer(purses: Purses, now_s: float, micros: int = 120) -> Request | None:
    """Everything is granted that is asked for now."""
    request = purses.ask(now_s)
    if request is not None:
        purses.answered(request, [grant(each, micros) for each in request.wanted])
    return request


def held(purses: Purses, owner: Owner, now_s: float) -> str:
    claim = purses.hold(owner, now_s)
    return "" if claim is None else claim.lease_id


def test_a_purse_for_each_kind_of_call_that_came() -> None:
    purses = Purses("d", RULES)
    assert purses.ask(0.0) is None
    for owner in (ANN, BOB, call(2)):
        purses.came(owner, 1.0)
        assert not purses.has(owner, 1.0)
        assert purses.hold(owner, 1.0) is None
    assert answer(purses, 2.0) == Request((wanted(BOB, 1), wanted(ANN, 2, 2)), (), 2.0)
    assert purses.has(ANN, 2.0)
    assert [held(purses, call(number), 2.0) for number in (1, 1, 2, 3)] == [
        "lease:d:2", "lease:d:2", "lease:d:2", "",
    ]  # fmt: skip
    assert held(purses, call(4, BOB), 2.0) == "lease:d:1"
    assert not purses.has(CID, 2.0)


def test_it_is_renewed_well_before_its_end() -> None:
    purses = door(ANN)
    assert answer(purses, 59.0) is None
    assert answer(purses, 60.0) == Request((wanted(ANN, 1),), (), 60.0)
    assert purses.has(ANN, 179.0)
    assert not purses.has(ANN, 180.0)


def test_others_are_asked_for_along_with_one_that_is_due() -> None:
    purses = door(ANN)
    purses.came(BOB, 19.0)
    assert answer(purses, 19.0) is None
    assert answer(purses, 20.0) == Request((wanted(ANN, 1), wanted(BOB, 2)), (), 20.0)
    assert answer(purses, 79.0) is None
    assert answer(purses, 80.0) == Request((wanted(ANN, 1), wanted(BOB, 2)), (), 80.0)


def test_a_lease_that_calls_took_from_ends_by_itself_and_another_is_asked_for() -> None:
    purses = door(ANN)
    assert held(purses, call(1), 1.0) == "lease:d:1"
    assert answer(purses, 60.0) == Request((wanted(ANN, 2),), (), 60.0)
    assert held(purses, call(2), 61.0) == "lease:d:2"
    assert answer(purses, 119.0) is None


def test_a_lease_that_is_far_too_large_is_given_back_for_another() -> None:
    purses = door(ANN)
    answer(purses, 60.0, micros=301)
    request = purses.ask(120.0)
    assert request == Request((wanted(ANN, 2),), (), 120.0)
    purses.answered(request, [None])  # the one that there is stays
    assert held(purses, ANN, 121.0) == "lease:d:1"
    purses = door(ANN)
    answer(purses, 60.0, micros=301)
    answer(purses, 120.0)
    assert answer(purses, 179.0) is None
    assert answer(purses, 180.0) == Request((wanted(ANN, 2),), ("lease:d:1",), 180.0)
    assert answer(purses, 240.0) == Request((wanted(ANN, 2),), (), 240.0)


def test_one_that_is_not_renewed_is_given_back() -> None:
    purses = door(ANN)
    request = purses.ask(60.0)
    assert request is not None
    purses.answered(request, [None])
    assert not purses.has(ANN, 60.0)
    assert answer(purses, 120.0) == Request((wanted(ANN, 2),), ("lease:d:1",), 120.0)


def test_a_refused_one_is_asked_for_again_as_another() -> None:
    purses = Purses("d", RULES)
    purses.came(ANN, 0.0)
    request = purses.ask(0.0)
    assert request is not None
    purses.answered(request, [None])
    assert purses.ask(59.0) is None
    assert answer(purses, 60.0) == Request((wanted(ANN, 2),), (), 60.0)


def test_without_an_answer_the_same_is_asked_for_again() -> None:
    purses = Purses("d", RULES)
    purses.came(ANN, 0.0)
    for now_s in (0.0, 5.0):
        request = purses.ask(now_s)
        assert request == Request((wanted(ANN, 1),), (), now_s)
        purses.failed(request)
    answer(purses, 10.0)
    request = purses.ask(70.0)
    assert request is not None
    purses.failed(request)
    assert held(purses, ANN, 129.0) == "lease:d:1"
    assert purses.hold(call(2), 130.0) is None
    assert answer(purses, 131.0) == Request((wanted(ANN, 1),), (), 131.0)
    assert held(purses, call(2), 132.0) == "lease:d:1"  # what was held out of it still counts
    assert purses.hold(call(3), 132.0) is None
    request = purses.ask(191.0)
    assert request == Request((wanted(ANN, 2),), (), 191.0)


def test_the_last_kinds_that_called_are_kept_and_the_others_given_back() -> None:
    purses = door(ANN, BOB, CID)
    assert held(purses, BOB, 1.0) == "lease:d:2"
    request = purses.ask(60.0)
    assert request is not None
    for owner in (ANN, DAN, replace(DAN, number="1"), replace(DAN, number="2")):
        purses.came(owner, 61.0)  # BOB, CID and ANN are dropped while it is under way
    purses.answered(request, [grant(each) for each in request.wanted])
    purses.failed(request)
    given = answer(purses, 62.0)
    assert given is not None
    assert given.back == ("lease:d:4", "lease:d:3")  # BOB's new one: it may be granted still
    assert len(given.wanted) == 3
    assert answer(purses, 63.0) is None
    again = answer(purses, 122.0)
    assert again is not None
    assert again.back == ("lease:d:1",)


def test_kinds_that_call_no_more_are_given_back() -> None:
    purses = door(ANN)
    purses.came(BOB, 299.0)
    request = answer(purses, 300.0)
    assert request == Request((wanted(BOB, 2),), ("lease:d:1",), 300.0)
    assert answer(purses, 599.0) == Request((), ("lease:d:2",), 599.0)
    assert answer(purses, 600.0) is None


def test_emergencies_need_no_lease() -> None:
    purses = Purses("d", RULES)
    help_ = replace(ANN, exempt=True)
    purses.came(help_, 0.0)
    assert purses.ask(0.0) is None
    assert purses.has(help_, 0.0)
    claim = purses.hold(help_, 0.0)
    assert claim is not None
    assert (claim.owner, claim.lease_id, claim.micros) == (help_, "", 0)
