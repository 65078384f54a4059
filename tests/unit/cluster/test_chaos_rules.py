"""What must be true of every try: each rule, kept and broken; and the figures of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster.chaos import history as h
from cluster.chaos.invariants import AWAY, WAITING_FRAMES, violations
from cluster.chaos.summary import COLUMNS, Report, percentile

BEGAN = h.Began("worker", 3, 2, 23.0)
INJECTED = h.Injected("process 7", ("a", "b"), 10.0, 15.0)


def call(call_id: str, hz: int, *, listens: bool = True) -> list[h.Event]:
    """A call that goes on through the fault and ends in order."""
    return [
        h.Offered(call_id, hz, listens, 1.0),
        h.Accepted(call_id, f"s-{call_id}", "n1", False, 1.5),
        h.Said(call_id, "Certainly.", 2.0),
        h.Heard(call_id, 300, 20, 2.0, 2.4),
        h.Said(call_id, f"tone {hz}", 3.0),
        h.Heard(call_id, hz, 350, 3.0, 10.0),
        h.Heard(call_id, hz, 400, 10.1, 18.0),
        h.Summed(call_id, "caller_hangup", 18.0),
        h.Gone(call_id, "hung up", 18.0),
        h.Record(call_id, f"s-{call_id}", "ended", "caller_hangup", 18.1),
        h.Account(call_id, f"s-{call_id}", 0, 7, True),
        h.Used(f"s-{call_id}", f"r-{call_id}", "response", 30, 40, 5),
        h.Used(f"s-{call_id}", f"i-{call_id}", "transcription", 0, 0, 2),
        h.Billed(f"sess-{call_id}", f"r-{call_id}", 30, 40, 3.0, True),
    ]


def story() -> list[h.Event]:
    """Two calls, as they should be."""
    return [
        BEGAN, INJECTED, *call("a", 850), *call("b", 900, listens=False),
        h.Money(60, 40, 0, 100, 5.0), h.Busy("n1", 0, 0, 0), h.Driver(2.5),
    ]  # fmt: skip


def without(events: list[h.Event], kind: type[Any], call_id: str = "") -> list[h.Event]:
    """Less the events of a kind; of one call, if it is named."""

    def out(event: h.Event) -> bool:
        return isinstance(event, kind) and call_id in ("", getattr(event, "call_id", ""))

    return [each for each in events if not out(each)]


def changed(kind: type[Any], call_id: str = "", **fields: Any) -> list[h.Event]:
    """The story with its first event of a kind, of a call, put in other words."""
    events = story()
    for at, each in enumerate(events):
        if isinstance(each, kind) and call_id in ("", getattr(each, "call_id", "")):
            events[at] = replace(each, **fields)
            return events
    raise AssertionError(f"there is no {kind.__name__}")


def broken(events: list[h.Event]) -> list[tuple[str, str]]:
    return [(each.rule, each.call_id) for each in violations(tuple(events))]


def test_two_calls_in_order_break_no_rule() -> None:
    assert broken(story()) == []


def test_a_call_that_was_never_accepted_is_not_judged() -> None:
    refused: list[h.Event] = [h.Offered("c", 950, True, 1.0), h.Gone("c", "UNAVAILABLE: busy", 3.0)]
    assert broken([*story(), *refused]) == []
    report = Report()
    report.add("worker", (*story(), *refused))
    row = report.figures["worker"].row()
    assert (row["refused"], row["no_money"], row["calls"]) == (1, 0, 2)


def test_who_was_refused_for_money_and_who_began_on_a_lease_is_counted() -> None:
    report = Report()
    refused = h.Offered("c", 950, True, 1.0), h.Gone("c", "RESOURCE_EXHAUSTED: budget", 3.0)
    report.add("cost_away", (*story(), *refused, h.OnLease("n1", 2), h.OnLease("n2", 1)))
    row = report.figures["cost_away"].row()
    assert (row["refused"], row["no_money"], row["on_lease"]) == (1, 1, 3)


@pytest.mark.parametrize(("heard_until_s", "rules"), [(30.0, []), (19.0, [("mute", "c")])])
def test_a_call_that_came_and_went_while_the_fault_went_on(
    heard_until_s: float, rules: list[tuple[str, str]]
) -> None:
    fault = replace(INJECTED, until_s=60.0)
    came: list[h.Event] = [
        h.Offered("c", 950, True, 11.0),
        h.Accepted("c", "s-c", "n1", False, 11.5),
        h.Heard("c", 950, 350, 12.0, heard_until_s),
        h.Summed("c", "caller_hangup", 40.0),
        h.Gone("c", "hung up", 40.0),
        h.Record("c", "s-c", "ended", "caller_hangup", 40.1),
        h.Account("c", "s-c", 0, 0, True),
    ]
    assert broken([BEGAN, fault, *came]) == rules


@pytest.mark.parametrize(("accepted_s", "rules"), [(34.0, [("mute", "c")]), (36.0, [])])
def test_a_call_that_was_taken_just_before_the_end_may_have_heard_nothing(
    accepted_s: float, rules: list[tuple[str, str]]
) -> None:
    came: list[h.Event] = [
        h.Offered("c", 950, True, 30.0),
        h.Accepted("c", "s-c", "n1", False, accepted_s),
        h.Gone("c", "hung up", 40.0),
        h.Record("c", "s-c", "ended", "caller_hangup", 40.1),
    ]
    assert broken([BEGAN, INJECTED, *came]) == rules


def test_events_of_calls_that_nobody_offered_belong_to_none() -> None:
    assert broken([*story(), h.Heard("z", 850, 1, 1.0, 2.0)]) == []


def test_a_fault_that_struck_nobody_was_not_tried() -> None:
    assert broken(changed(h.Injected, what="nothing: no worker", hit=())) == [("not struck", "")]


@pytest.mark.parametrize(
    ("status", "says_when", "rules"),
    [
        ("UNAVAILABLE", True, []),
        ("UNAVAILABLE", False, [("wrong refusal", "")]),
        ("INTERNAL", True, [("wrong refusal", "")]),
        ("OK", False, [("wrong refusal", "")]),
    ],
)
def test_who_can_not_be_taken_is_told_when_to_come_again(
    status: str, says_when: bool, rules: list[tuple[str, str]]
) -> None:
    assert broken([*story(), h.Newcomer("127.0.0.1:7", status, says_when, 0.5)]) == rules


# ------------------------------------------------------------------ each call


def test_a_call_without_a_record_is_lost() -> None:
    events = without(story(), h.Record, "a")
    assert broken(events) == [("lost", "a")]


def test_a_record_that_says_active_is_no_end() -> None:
    assert broken(changed(h.Record, "a", state="active")) == [("lost", "a")]


def test_two_records_are_two_ends() -> None:
    second = h.Record("a", "s-other", "ended", "caller_hangup", 18.2)
    assert broken([*story(), second]) == [("ended twice", "a")]


def test_two_summaries_are_two_ends() -> None:
    assert broken([*story(), h.Summed("a", "caller_hangup", 18.2)]) == [("ended twice", "a")]


@pytest.mark.parametrize("how", ["UNAVAILABLE: gone", "released"])
def test_who_stayed_and_was_let_down_is_cut_off(how: str) -> None:
    assert broken(changed(h.Gone, "a", how=how)) == [("cut off", "a")]


def test_who_was_never_told_of_the_end_is_cut_off() -> None:
    assert broken(without(story(), h.Gone, "a")) == [("cut off", "a")]


def test_a_record_that_blames_the_caller_wrongly_is_a_cut() -> None:
    assert broken(changed(h.Record, "a", end_reason="caller_vanished")) == [("cut off", "a")]


def test_who_was_told_why_ended_in_order() -> None:
    events = changed(h.Gone, "a", how="released")
    events = [
        replace(each, end_reason="provider_unavailable")
        if isinstance(each, h.Record) and each.call_id == "a"
        else each
        for each in events
    ]
    assert broken(events) == []


def test_a_line_that_stays_up_in_silence_is_mute() -> None:
    events = without(story(), h.Heard, "a")
    assert broken(events) == [("mute", "a")]
    assert broken([*events, h.Heard("a", 850, 10, 3.0, 15.0)]) == [("mute", "a")]
    assert broken([*events, h.Heard("a", 850, 10, 3.0, 15.1)]) == []
    assert broken([*events, h.Said("a", "tone 850", 15.0)]) == [("mute", "a")]
    assert broken([*events, h.Said("a", "tone 850", 15.1)]) == []  # between two answers


def test_a_listener_who_was_hit_hears_no_longer_silence_than_is_promised() -> None:
    silent = [*changed(h.Injected, hit=("a",), most_ms=50.0)]
    assert [each.late_p99_ms for each in silent if isinstance(each, h.Driver)] == [2.5]
    assert broken(silent) == [("silent too long", "a")]  # 100 ms
    assert broken([*changed(h.Injected, hit=("b",), most_ms=50.0)]) == []
    assert broken([*changed(h.Injected, hit=("a",), most_ms=98.0)]) == []
    assert broken([*changed(h.Injected, hit=("a",))]) == []


LEAST, MOST = 102 - WAITING_FRAMES, 102 + WAITING_FRAMES


@pytest.mark.parametrize(
    ("frames", "hit", "whole", "lost"),
    [(102, "a", True, False), (MOST, "a", True, False), (MOST + 1, "a", True, True),
     (LEAST, "a", True, False), (LEAST - 1, "a", True, True), (LEAST - 1, "b", True, False),
     (LEAST - 1, "a", False, False)],
)  # fmt: skip
def test_of_an_answer_as_much_sounds_as_was_numbered(
    frames: int, hit: str, whole: bool, lost: bool
) -> None:
    """Where the fault must not be heard."""
    events = changed(h.Injected, hit=(hit,), at_s=9.0, whole=whole)
    events = [
        replace(each, frames=frames, first_sequence=1, last_sequence=100 // h.FRAMES + 1)
        if isinstance(each, h.Heard) and each.call_id == "a" and each.frames == 350
        else each
        for each in events
    ]  # 102 are numbered
    late = [replace(each, late_p99_ms=0.0) if isinstance(each, h.Driver) else each
            for each in events]  # fmt: skip
    assert broken(late) == ([("audio lost", "a")] if lost else [])


def test_without_a_fault_nobody_is_mute() -> None:
    assert broken(without(without(story(), h.Injected), h.Heard, "a")) == []


def vanished(ended_at_s: float, how: str = "vanished") -> list[h.Event]:
    events = [
        replace(each, how=how, at_s=10.0)
        if isinstance(each, h.Gone) and each.call_id == "a"
        else each
        for each in story()
    ]
    return [
        replace(each, end_reason="caller_vanished", ended_at_s=ended_at_s)
        if isinstance(each, h.Record) and each.call_id == "a"
        else each
        for each in events
    ]


def test_a_caller_who_vanishes_has_its_call_ended_in_time() -> None:
    assert broken(vanished(33.0)) == []
    assert broken(vanished(33.1)) == [("ended late", "a")]
    assert broken(without(vanished(33.1), h.Began)) == []


@pytest.mark.parametrize("how", sorted(AWAY))
def test_so_has_a_caller_who_is_slow_or_deaf(how: str) -> None:
    assert broken(vanished(33.0, how)) == []
    assert broken(vanished(33.1, how)) == [("ended late", "a")]


def test_sound_of_another_call_is_heard_as_such() -> None:
    assert broken([*story(), h.Heard("a", 900, 2, 16.0, 16.1)]) == [("foreign audio", "a")]
    assert broken([*story(), h.Heard("a", 0, 2, 16.0, 16.1)]) == []
    assert broken([*story(), h.Heard("a", 1000, 2, 16.0, 16.1)]) == []  # nobody's


def test_words_of_another_call_are_seen_as_such() -> None:
    assert broken([*story(), h.Said("a", "tone 900", 16.0)]) == [("foreign words", "a")]


def test_frames_must_rise() -> None:
    assert broken([*story(), h.NotRising("a", 5, 5, 4.0)]) == [("not rising", "a")]


# ------------------------------------------------------------------ money


def test_a_response_with_two_bills_is_billed_twice() -> None:
    second = h.Used("s-b", "r-a", "response", 30, 40, 0)
    assert broken([*story(), second]) == [("billed twice", "a")]


def test_a_bill_that_the_provider_has_not_is_wrong() -> None:
    invented = h.Used("s-a", "r-none", "response", 30, 40, 0)
    assert broken([*story(), invented]) == [("billed wrongly", "a")]


@pytest.mark.parametrize("field", ["input_tokens", "output_tokens"])
def test_a_bill_must_be_what_the_provider_counts(field: str) -> None:
    assert broken(changed(h.Used, "", **{field: 1})) == [("billed wrongly", "a")]


@pytest.mark.parametrize(
    ("at_s", "last", "rules"),
    [
        (9.0, True, []),  # under way when the fault broke its connection
        (15.0, True, []),
        (8.9, True, ["not billed"]),
        (15.1, True, ["not billed"]),
        (9.5, False, ["not billed"]),  # others came after it on that connection
    ],
)
def test_a_response_without_a_bill(at_s: float, last: bool, rules: list[str]) -> None:
    events = [*story(), h.Billed("sess-x", "r-x", 1, 1, at_s, last)]
    assert [rule for rule, _ in broken(events)] == rules
    report = Report()
    report.add("worker", tuple(events))
    assert report.figures["worker"].row()["unbilled"] == 1


@pytest.mark.parametrize(("at_s", "rules"), [(9.5, []), (8.9, ["billed wrongly"])])
def test_a_response_that_we_counted_ourselves(at_s: float, rules: list[str]) -> None:
    events = [*story(), h.Billed("sess-x", "r-x", 30, 900, at_s, True)]
    events += [h.Used("s-a", "r-x", "response", 30, 7, 0)]
    assert [rule for rule, _ in broken(events)] == rules
    report = Report()
    report.add("worker", tuple(events))
    assert report.figures["worker"].row()["own_count"] == 1


def test_without_a_fault_every_response_has_a_bill() -> None:
    events = [*without(story(), h.Injected), h.Billed("sess-x", "r-x", 1, 1, 10.0, True)]
    assert broken(events) == [("not billed", "")]


def test_an_account_is_the_sum_of_its_bills() -> None:
    assert broken(changed(h.Account, "a", total_micros=8)) == [("billed wrongly", "a")]


def test_what_the_ledger_finds_is_a_violation() -> None:
    assert broken([*story(), h.LedgerFault("call s-a: 1 held more")]) == [("ledger", "")]


def test_money_never_passes_its_limit() -> None:
    assert broken([*story(), h.Money(61, 40, 0, 100, 6.0)]) == [("over limit", "")]
    assert broken([*story(), h.Money(61, 40, 1, 100, 6.0)]) == []  # told as overdraft


# ------------------------------------------------------------------ leases


@pytest.mark.parametrize(
    ("left", "call_id"),
    [
        (h.LeftLive("a", "s-a", "n1"), "a"),
        (h.Account("c", "s-c", 3, 0, True), "c"),
        (h.Account("c", "s-c", 0, 0, False), "c"),
        (h.Busy("n2", 1, 0, 0), ""),
        (h.Busy("n2", 0, 1, 0), ""),
    ],
)
def test_what_is_left_when_all_is_over_has_leaked(left: h.Event, call_id: str) -> None:
    assert broken([*story(), left]) == [("lease leaked", call_id)]


def test_what_waits_to_be_written_when_all_is_over_is_not_written() -> None:
    assert broken([*story(), h.Busy("n2", 0, 0, 3)]) == [("not written", "")]


# ------------------------------------------------------------------ figures


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([], 50) is None
    assert percentile([3.04], 99) == 3.0
    values = [float(each) for each in range(1, 101)]
    assert [percentile(values, each) for each in (1, 50, 99, 100)] == [1.0, 50.0, 99.0, 100.0]


def test_a_report_counts_by_fault() -> None:
    report = Report()
    assert report.add("worker", tuple(story())) == []
    assert report.sound
    assert [each.rule for each in report.add("worker", tuple(without(story(), h.Record, "a")))] == [
        "lost"
    ]
    report.add("session", tuple(vanished(20.0)))
    assert not report.sound
    report.kept["worker", 3] = "out/worker-3"
    rows = report.as_json({"seed": 1})
    assert rows["seed"] == 1
    worker, session = rows["faults"]["worker"], rows["faults"]["session"]
    assert tuple(worker) == COLUMNS
    assert (worker["tries"], worker["calls"], worker["went_on"], worker["lost"]) == (2, 4, 3, 1)
    assert (session["went_on"], session["ended_in_order"]) == (1, 1)
    assert worker["billed"] == 4
    assert worker["driver_late_ms"] == 2.5
    assert worker["silence_p50_ms"] == pytest.approx(100.0, abs=0.1)
    assert session["silence_p50_ms"] is None  # the listener vanished
    assert rows["violations"] == [
        {"fault": "worker", "try": 3, "rule": "lost", "call_id": "a",
         "text": "accepted, and there is no record of its end", "kept": "out/worker-3"},
    ]  # fmt: skip


def test_the_pause_before_the_answer_that_is_listened_to_does_not_count() -> None:
    report = Report()
    report.add("worker", tuple(changed(h.Heard, "a", from_s=1.0, to_s=1.1)))
    # silent from 1.1 to 3.0 while the caller spoke; 100 ms with the fault
    assert report.figures["worker"].row()["silence_max_ms"] == pytest.approx(100.0, abs=0.1)


def test_the_silence_of_calls_that_were_not_hit_is_told_apart() -> None:
    report = Report()
    events = [*changed(h.Injected, hit=("b",)), h.Heard("a", 850, 10, 21.0, 22.0)]
    report.add("worker", tuple(events))
    row = report.figures["worker"].row()
    assert (row["hit"], row["silence_max_ms"]) == (1, None)  # b talks
    assert row["others_max_ms"] == pytest.approx(100.0, abs=0.1)


def test_a_try_without_a_fault_has_no_silence() -> None:
    report = Report()
    report.add("worker", tuple(without(without(story(), h.Injected), h.Began)))
    assert report.figures["worker"].row()["silence_max_ms"] is None


def test_who_heard_nothing_before_the_fault_counts_for_no_silence() -> None:
    events = without(story(), h.Heard, "a")
    report = Report()
    report.add("worker", (*events, h.Heard("a", 850, 10, 11.0, 17.0)))
    assert report.figures["worker"].row()["silence_max_ms"] is None
