"""A node's session pool and the choice of worker."""

from hypothesis import given
from hypothesis import strategies as st

from reception.placement.lease import Placement
from reception.placement.pool import PoolRules, SessionPool, least_loaded


def filled(floor=2, ceiling=4, calls=200):
    pool = SessionPool(PoolRules(floor, ceiling, calls))
    for number in range(pool.wanted()):
        pool.starting()
        pool.add(f"s{number}")
    return pool


def test_sessions_are_leased_in_the_order_they_became_ready():
    pool = filled()
    assert [pool.lease("a"), pool.lease("b"), pool.lease("c")] == ["s0", "s1", None]
    assert pool.size() == {"ready": 0, "leased": 2, "starting": 0}


def test_the_pool_refills_up_to_its_floor_within_its_ceiling():
    pool = filled(floor=2, ceiling=3)
    assert pool.wanted() == 0
    pool.lease("a")
    assert pool.wanted() == 1
    pool.starting()
    assert pool.wanted() == 0
    pool.add("s2")
    pool.lease("b")
    assert pool.wanted() == 0  # the ceiling: two leased, one ready


def test_a_failed_start_is_wanted_again():
    pool = filled(floor=1)
    pool.lease("a")
    pool.starting()
    assert pool.wanted() == 0
    pool.failed_to_start()
    assert pool.wanted() == 1


def test_a_session_comes_back_until_it_is_worn_out():
    pool = filled(floor=1, calls=2)
    assert pool.lease("a") == "s0"
    assert pool.give_back("s0")
    assert pool.lease("b") == "s0"
    assert not pool.give_back("s0")
    assert pool.lease("c") is None


def test_giving_back_what_is_not_leased_changes_nothing():
    pool = filled(floor=1)
    assert not pool.give_back("s0")
    assert not pool.give_back("unknown")
    assert pool.size()["ready"] == 1


def test_a_dead_session_is_forgotten_ready_or_leased():
    pool = filled(floor=2)
    pool.lease("a")
    pool.remove("s0")
    pool.remove("s1")
    assert pool.size() == {"ready": 0, "leased": 0, "starting": 0}
    assert pool.wanted() == 2


def test_the_least_loaded_worker_takes_the_call():
    assert least_loaded({"w1": 3, "w0": 2, "w2": 2}) == "w0"
    assert least_loaded({}) is None


@given(st.lists(st.sampled_from(["lease", "back", "start", "die"]), max_size=60))
def test_never_past_the_ceiling_and_no_session_leased_twice(steps):
    pool = SessionPool(PoolRules(2, 5, 3))
    leased: list[str] = []
    number = 0
    for step in steps:
        for _ in range(pool.wanted() if step == "start" else 0):
            pool.starting()
            pool.add(f"s{number}")
            number += 1
        if step == "lease" and (session := pool.lease("x")):
            assert session not in leased
            leased.append(session)
        if step == "back" and leased:
            pool.give_back(leased.pop())
        if step == "die" and leased:
            pool.remove(leased.pop(0))
        size = pool.size()
        assert size["ready"] + size["leased"] + size["starting"] <= 5
        assert size["leased"] == len(leased)


def test_a_placement_says_where_the_call_lives():
    assert Placement("w.sock", "l", "w0", "p", "m").worker_socket == "w.sock"
