"""The simulator's own parts: its time, its statistics, its nodes, what it counts."""

from __future__ import annotations

from math import inf
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import pytest

from benchmarks.scaling.agenda import Agenda
from benchmarks.scaling.calls import Tally
from benchmarks.scaling.cluster import Outcome
from benchmarks.scaling.failures import timeline
from benchmarks.scaling.measures import Sample, balanced_after_s, joined_after_s
from benchmarks.scaling.model import Model
from benchmarks.scaling.node import NO_SESSION, UNREACHABLE, Node
from benchmarks.scaling.paper import draw, tables
from benchmarks.scaling.singletons import Capacity, EachCall, Messages, messages
from reception.errors import InvalidRequest
from reception.placement.admission.priority import Priority

MODEL = Model(nodes=10, calls=1_000)

# ---------------------------------------------------------------- time


def test_things_happen_in_the_order_of_their_time_then_of_their_noting() -> None:
    agenda, seen = Agenda(), list[tuple[float, str]]()

    def see(name: str) -> None:
        seen.append((agenda.now_s, name))

    agenda.at(2.0, see, "c")
    agenda.at(1.0, see, "a")
    agenda.at(1.0, see, "b")
    agenda.at(3.0, see, "too late")
    agenda.run(3.0)
    agenda.at(1.0, see, "past, so now")
    agenda.after(0.5, see, "d")
    agenda.run(9.0)
    assert seen == [(1.0, "a"), (1.0, "b"), (2.0, "c"), (3.0, "too late"),
                    (3.0, "past, so now"), (3.5, "d")]  # fmt: skip
    assert (agenda.now_s, agenda.done) == (9.0, 6)


def test_what_is_done_again_and_again_stops_itself() -> None:
    agenda, at_s = Agenda(), list[float]()

    def act() -> bool:
        at_s.append(agenda.now_s)
        return len(at_s) < 3

    agenda.every(2.0, 1.0, act)
    agenda.run(100.0)
    assert at_s == [1.0, 3.0, 5.0]


# ---------------------------------------------------------------- statistics


def test_capacities_are_mixed_and_carry_the_calls_at_the_load() -> None:
    model = Model(nodes=1_000, calls=100_000, load=0.7)
    capacities = model.capacities(Random(1))
    assert sum(capacities) == pytest.approx(100_000 / 0.7, rel=0.01)
    assert [capacities.count(each) for each in sorted(set(capacities))] == [500, 300, 200]
    assert capacities != sorted(capacities)


def test_calls_that_are_met_have_what_is_left_of_longer_ones() -> None:
    """The mean rest of a call is E(x^2) / 2 E(x)."""
    dice = Random(1)
    assert fmean(MODEL.length_s(dice) for _ in range(50_000)) == pytest.approx(180, rel=0.02)
    rest_s = 180 * 2.718281828 ** (0.8**2) / 2
    assert fmean(MODEL.rest_s(dice) for _ in range(100_000)) == pytest.approx(rest_s, rel=0.02)


@pytest.mark.parametrize(
    ("field", "value"), [("calls", 999), ("load", 1.0), ("kill", 1.0), ("join", -0.1)]
)
def test_a_model_that_makes_no_sense_is_refused(field: str, value: Any) -> None:
    changed: dict[str, Any] = {"nodes": 1_000, field: value}
    with pytest.raises(InvalidRequest, match=f"{field} is {value}: must be"):
        Model(**changed)


# ---------------------------------------------------------------- a node


def node(agenda: Agenda, capacity: int = 100) -> Node:
    return Node("n", capacity, MODEL, agenda, Random(1))


def test_a_node_leases_what_it_has_then_lets_wait_then_refuses() -> None:
    agenda, told = Agenda(), list[str]()
    at, waited, late = node(agenda), list[str](), list[str]()
    for number in range(4):
        at.lease(str(number), Priority.NORMAL, told.append)
    at.lease("waits", Priority.NORMAL, waited.append)
    for number in range(5, 8):
        at.lease(str(number), Priority.NORMAL, told.append)
    assert told == [""] * 4 + [NO_SESSION] * 3
    assert waited == []
    agenda.run(2.5)  # for the session that was being started, or for too long
    assert waited in ([""], [NO_SESSION])
    agenda.run(30.0)
    at.lease("late", Priority.NORMAL, late.append)
    assert late == [""]


def test_a_node_that_is_full_says_so() -> None:
    agenda, told = Agenda(), list[str]()
    at = node(agenda, capacity=20)
    at.carried([f"c{number}" for number in range(19)], 0.1)
    at.lease("normal", Priority.NORMAL, told.append)
    at.lease("emergency", Priority.EMERGENCY, told.append)
    at.lease("another", Priority.EMERGENCY, told.append)
    assert told == ["sessions", "", "sessions"]
    at.end("c0")
    at.lease("another", Priority.EMERGENCY, told.append)
    assert told[-1] == ""
    assert at.measure().live == 20


def test_a_node_that_dies_answers_those_who_wait_with_nothing() -> None:
    agenda, told = Agenda(), list[str]()
    at = node(agenda)
    for number in range(5):
        at.lease(str(number), Priority.NORMAL, told.append)
    at.die()
    agenda.run(60.0)
    assert told == [""] * 4 + [UNREACHABLE]
    assert not at.live
    assert not at.resize()


def test_a_slow_node_measures_that_it_is() -> None:
    agenda = Agenda()
    at = node(agenda)
    at.carried([f"c{number}" for number in range(70)], 0.4)
    well = at.measure()
    at.pace = 2.5
    slow = at.measure()
    assert well.lag_ms == 2.0
    assert (well.misses_per_s, slow.cpu) == (0.0, 1.0)
    assert slow.lag_ms > 10
    assert slow.misses_per_s > 5


# ---------------------------------------------------------------- measures


def seen(at_s: float, **changed: Any) -> Sample:
    told: dict[str, Any] = dict.fromkeys(Sample.__slots__, 0)
    return Sample(**{**told, "at_s": at_s, "worst": 1.05, **changed})


def test_balanced_is_when_it_stays_so() -> None:
    worst = [1.2, 1.05, 1.2, *[1.05] * 6]
    samples = [seen(number, worst=each) for number, each in enumerate(worst)]
    assert balanced_after_s(samples, 0.0) == 3.0
    assert balanced_after_s(samples, 4.0) == inf
    assert balanced_after_s(samples[:7], 0.0) == inf


def test_joined_is_when_the_new_carry_their_part() -> None:
    samples = [seen(number, joined=number / 10) for number in range(10)]
    assert joined_after_s(samples, 2.0) == 7.0
    assert joined_after_s(samples, 2.0, 0.95) == inf


def outcome() -> Outcome:
    """A call a second to 100 live ones; one moment when 50 callers come back."""
    model = Model(nodes=10, calls=100, failures=False, minutes=0.1, warm_s=0.0)
    samples = [
        seen(second, live=100, arrived=second, ended=second, resumed=50 if second > 3 else 0,
             health=10 * second)
        for second in range(6)
    ]  # fmt: skip
    return Outcome(model, timeline(model), samples)


def test_messages_to_singletons_are_counted_by_the_second() -> None:
    told = {each.singleton: each for each in messages(outcome(), EachCall())}
    assert told["health"].mean(outcome()) == 10
    assert [count for _, count in told["security"].per_s] == [1, 1, 1, 51, 1]
    assert told["security"].peak == 51
    assert told["cost"].mean(outcome()) == 1 + 1 + 2 * 100 / 10


def test_a_queue_is_what_was_not_handled_yet() -> None:
    burst = Messages("security", "", [(0.0, 10.0), (0.1, 50.0), (0.2, 10.0), (0.3, 10.0)])
    assert burst.queue_s(20.0) == 1.5
    assert burst.queue_s(50.0) == 0.0


def test_an_actor_call_s_own_cost_comes_on_top() -> None:
    assert Capacity(3_000.0, 0.2).by_ray_per_s == 1_000
    assert Capacity(500.0, 0.2).by_ray_per_s == 500


def test_a_run_without_failures_is_told_shortly(tmp_path: Path) -> None:
    calm = outcome()
    for name in ("warm", "end"):
        calm.tallies[name] = Tally()
    assert "nodes die" not in tables(calm, {})
    draw(calm, tmp_path)
    assert "some die" not in (tmp_path / "balance.svg").read_text()
