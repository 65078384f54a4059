"""Audio workers that have grown: which one is replaced, and that no call is touched by it."""

import random

import pytest

from reception.placement.recycling import Order, Recycling, RecyclingRules, Step, Weight
from reception.placement.sizer import NodeMemory

ROOM, SHORT = NodeMemory(500.0, 1_000.0), NodeMemory(900.0, 1_000.0)
RULES = RecyclingRules(limit_mb=300.0, memory_percent=80.0)


def begun(*names):
    """Workers that weigh 100 MB each."""
    recycling = Recycling(RULES)
    assert recycling.observe(dict.fromkeys(names, Weight(100.0, 0)), SHORT) is None
    return recycling


@pytest.mark.parametrize(
    ("resident_mb", "calls", "memory", "step"),
    [
        (149.9, 0, SHORT, None),
        (150.0, 0, SHORT, Step.RETIRE),
        (150.0, 0, ROOM, None),
        (299.0, 0, ROOM, None),
        (301.0, 0, ROOM, Step.RETIRE),
        (169.0, 10, SHORT, None),  # its calls take some
        (170.0, 10, SHORT, Step.RETIRE),
        (349.0, 100, ROOM, None),  # past the bound by its calls alone
    ],
)
def test_who_has_grown_retires_past_its_own_bound_or_when_memory_is_short(
    resident_mb, calls, memory, step
):
    order = begun("a").observe({"a": Weight(resident_mb, calls)}, memory)
    assert (order and order.step) == step


def test_a_bound_below_what_a_worker_weighs_at_first_replaces_none():
    recycling = Recycling(RecyclingRules(limit_mb=50.0))
    for _ in range(3):
        assert recycling.observe({"a": Weight(100.0, 0)}, SHORT) is None


def test_the_reason_has_the_numbers():
    order = begun("a").observe({"a": Weight(320.4, 3)}, SHORT)
    assert order == Order(Step.RETIRE, "a", "320 MB > 300, 100 at first")
    order = begun("a").observe({"a": Weight(200.4, 3)}, SHORT)
    assert order == Order(Step.RETIRE, "a", "memory 90 % > 80, 200 MB, 100 at first")


def test_it_takes_no_new_calls_and_is_replaced_after_its_last_one():
    recycling = begun("a", "b")
    assert recycling.takes(["a", "b"]) == ["a", "b"]
    weights = {"a": Weight(200.0, 2), "b": Weight(250.0, 5)}
    assert recycling.observe(weights, SHORT).worker == "b"  # the largest, and one at a time
    for calls in (5, 1):
        assert recycling.observe(weights | {"b": Weight(250.0, calls)}, ROOM) is None
        assert recycling.takes(["a", "b"]) == ["a"]
    weights["b"] = Weight(250.0, 0)
    assert recycling.observe(weights, ROOM).step is Step.START
    assert recycling.observe(weights, ROOM) is None
    recycling.started("b")
    weights["c"] = Weight(101.0, 0)
    assert recycling.takes(["a", "b", "c"]) == ["a", "c"]
    assert recycling.observe(weights, ROOM).step is Step.STOP
    assert recycling.observe(weights, ROOM) is None
    assert recycling.gone("b")
    del weights["b"]
    assert recycling.observe(weights, SHORT).worker == "a"  # the next


def test_the_only_one_takes_calls_until_there_is_another_in_its_place():
    recycling = begun("a")
    weights = {"a": Weight(200.0, 3)}
    assert recycling.observe(weights, SHORT).step is Step.RETIRE
    assert recycling.takes(["a"]) == ["a"]
    assert recycling.observe(weights, SHORT).step is Step.START
    recycling.started("a")
    weights["b"] = Weight(100.0, 0)
    assert recycling.takes(["a", "b"]) == ["b"]
    assert recycling.observe(weights, SHORT) is None  # it has calls still
    assert recycling.observe(weights | {"a": Weight(200.0, 0)}, SHORT).step is Step.STOP


def test_one_that_does_not_answer_is_waited_for():
    recycling = begun("a", "b")
    assert recycling.observe({"a": Weight(200.0, 1), "b": Weight(100.0, 0)}, SHORT)
    assert recycling.observe({"b": Weight(100.0, 0)}, SHORT) is None
    assert recycling.takes(["a", "b"]) == ["b"]


@pytest.mark.parametrize(
    ("steps", "replaced"), [(0, False), (1, False), (2, True), (3, True), (4, True)]
)
def test_one_that_dies_on_the_way_is_replaced_once(steps, replaced):
    recycling = begun("a", "b")
    weights = {"a": Weight(200.0, 0), "b": Weight(100.0, 0)}
    for number in range(steps):
        if number == 2:
            recycling.started("a")
        else:
            assert recycling.observe(weights, SHORT)
    assert recycling.gone("a") is replaced
    recycling.started("a")  # too late to be of any meaning
    assert recycling.takes(["a", "b"]) == ["a", "b"]
    assert recycling.observe(weights | {"a": Weight(100.0, 0)}, SHORT) is None


def test_who_dies_meanwhile_does_not_matter_to_the_one_that_retires():
    recycling = begun("a", "b")
    recycling.observe({"a": Weight(200.0, 1), "b": Weight(100.0, 0)}, SHORT)
    assert not recycling.gone("b")
    assert recycling.takes(["a", "b"]) == ["b"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_no_call_is_stopped_and_there_is_always_a_worker(seed):
    """Calls come and go, and workers grow with each; memory is short now and then."""
    dice = random.Random(seed)
    recycling, names = Recycling(RULES), [str(number) for number in range(dice.randint(1, 3))]
    most = len(names)
    calls, grown_mb = dict.fromkeys(names, 0), dict.fromkeys(names, 100.0)
    starting, started, stopped = "", len(names), 0
    for _ in range(3_000):
        name = dice.choice(recycling.takes(calls))
        if dice.random() < 0.5:
            calls[name] += 1
            grown_mb[name] += dice.random() * 3
        busy = [each for each in calls if calls[each]]
        if busy and dice.random() < 0.52:
            calls[dice.choice(busy)] -= 1
        if starting and dice.random() < 0.3:
            new, started = str(started), started + 1
            calls[new], grown_mb[new] = 0, 100.0
            recycling.started(starting)
            starting = ""
        weights = {each: Weight(grown_mb[each] + 2 * calls[each], calls[each]) for each in calls}
        order = recycling.observe(weights, dice.choice((ROOM, SHORT)))
        if order is not None and order.step is Step.START:
            assert not starting
            starting = order.worker
        elif order is not None and order.step is Step.STOP:
            assert calls.pop(order.worker) == 0
            assert recycling.gone(order.worker)
            stopped += 1
        assert most <= len(calls) <= most + 1
    assert stopped >= 3
