"""A node's session pool."""

from hypothesis import given
from hypothesis import strategies as st

from reception.placement.line import Refusal, Ticket
from reception.placement.pool import PoolRules, PoolSize, Recycling, SessionPool


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


def test_a_session_that_has_grown_past_its_bound_is_replaced():
    pool = SessionPool(PoolRules(1, 4, session_limit_mb=300.0))
    pool.starting()
    pool.add("s0")
    for memory_mb in (0.0, 300.0):  # not known; at the bound
        pool.lease("a")
        assert pool.give_back("s0", memory_mb)
    pool.lease("a")
    assert not pool.give_back("s0", 300.1)
    assert pool.size() == {"ready": 0, "leased": 0, "starting": 0}
    assert pool.wanted() == 1


def test_a_session_that_had_no_call_is_the_next_and_not_worn():
    pool = filled(floor=2, calls=1)
    assert pool.lease("a") == "s0"
    pool.unused("s0")
    pool.unused("s0")
    pool.unused("unknown")
    assert pool.size()["ready"] == 2
    assert pool.lease("b") == "s0"
    assert not pool.give_back("s0")  # worn by its one call


def test_a_dead_session_is_forgotten_ready_or_leased():
    pool = filled(floor=2)
    pool.lease("a")
    pool.remove("s0")
    pool.remove("s1")
    assert pool.size() == {"ready": 0, "leased": 0, "starting": 0}
    assert pool.wanted() == 2


# ---------------------------------------------------------------- size


def test_a_pool_is_resized_within_the_rules_ceiling():
    pool = filled(floor=2, ceiling=10)
    pool.resize(5, 100)
    assert pool.wanted() == 3
    pool.resize(50, 100)
    assert pool.wanted() == 8
    pool.resize(5, 3)
    assert (pool.wanted(), pool.can_start) == (1, True)
    pool.resize(5, 2)
    assert (pool.wanted(), pool.can_start) == (0, False)
    pool.resize(0, 0)
    assert pool.wanted() == 0


def test_who_had_a_call_last_is_leased_next():
    pool = filled(floor=3, ceiling=4)
    first, second = pool.lease("a"), pool.lease("b")
    pool.give_back(first)
    pool.give_back(second)
    pool.starting()
    pool.add("new")
    assert [pool.lease(lease) for lease in "cdef"] == [second, first, "s2", "new"]


def test_those_that_never_had_a_call_are_stopped_first():
    pool = filled(floor=4, ceiling=4)
    assert pool.lease("a") == "s0"
    pool.give_back("s0")
    assert pool.shrink(0) == []
    assert pool.shrink(2) == ["s3", "s2"]
    assert pool.counts() == PoolSize(ready=2, leased=0, starting=0, waiting=0)
    assert pool.wanted() == 2
    assert pool.shrink(5) == ["s1", "s0"]


# ---------------------------------------------------------------- recycling


def grown(*now_mb, floor=2, ceiling=10):
    """As many ready sessions, which weighed 100 MB at first."""
    pool = SessionPool(PoolRules(floor, ceiling))
    for number in range(len(now_mb)):
        pool.starting()
        pool.add(f"s{number}")
        pool.weighs(f"s{number}", 100.0)
    leased = [str(pool.lease(f"l{number}")) for number in range(len(now_mb))]
    for session, mb in zip(sorted(leased), now_mb, strict=True):
        pool.give_back(session, mb)
    return pool


def test_the_largest_of_those_that_have_grown_is_recycled_first():
    pool = grown(110.0, 120.0, 150.0, 119.9)
    assert pool.to_recycle() == Recycling("s2", replace=False)
    assert pool.retire("s2")
    assert not pool.retire("s2")
    assert pool.to_recycle() == Recycling("s1", replace=False)
    assert pool.retire("s1")
    assert pool.to_recycle() is None  # nobody else has grown
    assert pool.counts().ready == 2


def test_where_the_floor_needs_it_another_is_ready_before_one_is_recycled():
    pool = grown(130.0, 140.0)
    assert pool.to_recycle() == Recycling("s1", replace=True)
    assert not pool.retire("s1")  # not yet
    pool.starting()
    pool.add("new")
    assert pool.retire("s1")
    assert pool.counts().ready == 2


def test_without_room_for_another_nothing_is_recycled():
    pool = grown(130.0, 140.0, ceiling=2)
    assert pool.to_recycle() is None
    assert pool.counts().ready == 2
    pool = grown(130.0, 140.0, ceiling=3)
    pool.starting()
    assert pool.to_recycle() is None


def test_a_session_that_was_leased_meanwhile_is_not_recycled():
    pool = grown(100.0, 100.0, 100.0, 150.0)
    assert pool.to_recycle() == Recycling("s3", replace=False)
    assert pool.lease("a") == "s3"
    assert pool.to_recycle() is None
    assert not pool.retire("s3")
    pool.give_back("s3", 160.0)
    assert pool.to_recycle() == Recycling("s3", replace=False)


def test_what_is_not_known_has_not_grown():
    pool = filled(floor=1)
    pool.weighs("s0", 0.0)
    pool.weighs("unknown", 50.0)
    pool.lease("a")
    pool.give_back("s0", 250.0)
    assert pool.to_recycle() is None


def test_a_pool_that_shrinks_stops_those_first_that_have_grown():
    pool = grown(150.0, 100.0, 170.0, 100.0)
    pool.starting()
    pool.add("fresh")
    assert pool.shrink(3) == ["s2", "s0", "fresh"]


@given(
    st.lists(st.floats(50, 299), min_size=1, max_size=8),
    st.integers(0, 4),
    st.lists(st.sampled_from(["recycle", "lease", "back"]), max_size=30),
)
def test_recycling_never_takes_the_pool_below_its_floor(now_mb, floor, steps):
    pool = grown(*now_mb, floor=floor)
    leased: list[str] = []
    for number, step in enumerate(steps):
        if step == "recycle" and (due := pool.to_recycle()) is not None:
            before = pool.counts()
            if due.replace:
                pool.starting()
                pool.add(f"new{number}")
            assert pool.retire(due.session)
            after = pool.counts()
            assert after.ready >= min(floor, before.ready)
            assert after.ready + after.leased <= 10
        elif step == "lease" and (session := pool.lease("x")):
            leased.append(session)
        elif step == "back" and leased:
            pool.give_back(leased.pop(), 140.0)


# ---------------------------------------------------------------- waiting


def exhausted(waiting=3, longest_wait_s=2.0):
    pool = SessionPool(PoolRules(1, 2, 200, waiting=waiting, longest_wait_s=longest_wait_s))
    pool.starting()
    pool.add("s0")
    pool.lease("first")
    return pool


def test_callers_wait_in_the_order_they_came():
    pool = exhausted()
    assert pool.wait("b", 1.0, 100.0) == Ticket("b", 1, 1.0, until_s=102.0)
    assert pool.wait("c", 1.0, 100.5) == Ticket("c", 2, 2.0, until_s=102.5)
    assert pool.wait("b", 2.0, 101.0) == Ticket("b", 1, 0.5, until_s=102.0)  # its old place
    assert pool.serve() == []
    pool.give_back("s0")
    assert pool.serve() == [("b", "s0")]
    assert pool.ticket("b", 1.0) is None
    assert pool.ticket("c", 1.0) == Ticket("c", 1, 1.0, until_s=102.5)
    pool.starting()
    pool.add("s1")
    assert pool.serve() == [("c", "s1")]
    assert pool.counts() == PoolSize(ready=0, leased=2, starting=0, waiting=0)


def test_nobody_overtakes_those_who_wait():
    pool = exhausted()
    pool.wait("b", 1.0, 100.0)
    pool.give_back("s0")
    assert pool.lease("pushy") is None
    assert pool.serve() == [("b", "s0")]


def test_live_calls_wait_before_new_ones_however_long_it_may_take():
    pool = exhausted(waiting=2)
    pool.wait("new", 1.0, 100.0)
    assert pool.wait("x", 0.001, 100.0, live=True) == Ticket("x", 1, 1_000.0, until_s=104.0)
    assert pool.wait("y", 0.0, 101.0, live=True) == Ticket("y", 2, float("inf"), until_s=105.0)
    assert isinstance(pool.wait("z", 1.0, 101.0, live=True), Refusal)  # 2 wait
    pool.cancel("x")
    assert pool.ticket("y", 1.0) == Ticket("y", 1, 1.0, until_s=105.0)
    pool.give_back("s0")
    assert pool.serve() == [("y", "s0")]
    pool.give_back("s0")
    assert pool.lease("new too") is None
    assert pool.lease("live", live=True) == "s0"
    assert pool.ticket("new", 1.0) == Ticket("new", 1, 1.0, until_s=102.0)


def test_a_live_call_does_not_overtake_another():
    pool = exhausted()
    pool.wait("x", 1.0, 100.0, live=True)
    pool.give_back("s0")
    assert pool.lease("y", live=True) is None
    assert pool.serve() == [("x", "s0")]


def test_sessions_are_started_for_those_who_wait_too():
    pool = exhausted()
    pool.resize(1, 2)
    assert pool.wanted() == 1
    pool = SessionPool(PoolRules(1, 10))
    pool.wait("a", 5.0, 0.0)
    pool.wait("b", 5.0, 0.0)
    assert pool.wanted() == 3


def test_who_cancels_leaves_no_trace():
    pool = exhausted()
    before = pool.counts()
    pool.wait("b", 1.0, 100.0)
    pool.cancel("b")
    pool.cancel("b")
    assert (pool.counts(), pool.ticket("b", 1.0)) == (before, None)
    assert pool.wait("c", 1.0, 100.0) == Ticket("c", 1, 1.0, until_s=102.0)
    pool.give_back("s0")
    assert pool.serve() == [("c", "s0")]


def test_a_wait_that_would_be_too_long_is_refused_at_once():
    pool = exhausted(longest_wait_s=2.0)
    pool.wait("b", 1.0, 100.0)
    pool.wait("c", 1.0, 100.0)
    refused = pool.wait("d", 1.0, 100.0)
    assert refused == Refusal("all sessions of this node are busy, and 2 callers wait", 1.0)
    assert pool.counts().waiting == 2


def test_a_full_line_is_refused():
    pool = exhausted(waiting=1)
    pool.wait("b", 100.0, 0.0)
    assert isinstance(pool.wait("c", 100.0, 0.0), Refusal)


def test_where_no_session_comes_nobody_waits():
    pool = exhausted()
    assert pool.wait("b", 0.0, 100.0) == Refusal(
        "all sessions of this node are busy, and 0 callers wait", 60.0
    )
    pool.wait("c", 1.0, 100.0)
    ticket = pool.ticket("c", 0.0)
    assert ticket is not None
    assert ticket.expected_wait_s == float("inf")


def test_those_refused_are_asked_back_one_after_the_other():
    pool = exhausted()
    pool.wait("b", 0.5, 100.0)
    refused = [pool.wait(f"late{number}", 0.5, 100.0) for number in range(40)]
    waits = [each.retry_after_s for each in refused if isinstance(each, Refusal)]
    assert waits[:4] == [2.0, 4.0, 6.0, 8.0]
    assert waits[-1] == 60.0
    later = pool.wait("later", 0.5, 300.0)
    assert isinstance(later, Refusal)
    assert later.retry_after_s == 2.0
    assert pool.refuse(0.5, 300.0).retry_after_s == 4.0  # waited in vain


# ---------------------------------------------------------------- both


STEPS = ["lease", "wait", "back", "start", "die", "cancel", "shrink"]


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 4)), max_size=80))
def test_callers_are_served_in_order_and_sessions_are_conserved(steps):
    pool = SessionPool(PoolRules(2, 5, 3, waiting=3, longest_wait_s=10.0))
    line: list[str] = []
    leased: list[str] = []
    alive: set[str] = set()

    def serve():
        for caller, session in pool.serve():
            assert caller == line.pop(0)
            assert session not in leased
            leased.append(session)

    for number, (step, which) in enumerate(steps):
        if step == "start" and pool.wanted():
            pool.starting()
            pool.add(f"s{number}")
            alive.add(f"s{number}")
        elif step == "lease" and (session := pool.lease("x")):
            assert not line
            leased.append(session)
        elif step == "wait" and isinstance(pool.wait(f"c{number}", 1.0, 0.0), Ticket):
            line.append(f"c{number}")
        elif step == "back" and leased:
            session = leased.pop(which % len(leased))
            if not pool.give_back(session):
                alive.discard(session)
        elif step == "die" and leased:
            session = leased.pop(which % len(leased))
            pool.remove(session)
            alive.discard(session)
        elif step == "cancel" and line:
            pool.cancel(line.pop(which % len(line)))
        elif step == "shrink":
            alive -= set(pool.shrink(which))
        serve()
        counts = pool.counts()
        assert (counts.leased, counts.waiting) == (len(leased), len(line))
        assert counts.ready == len(alive) - len(leased)
        assert counts.waiting <= 3
        assert not (counts.ready and counts.waiting)


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
