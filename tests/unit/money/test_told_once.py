"""Alerts that are told once: limits of single calls, and counts that differ."""

from __future__ import annotations

import pytest

from reception.money import told_once
from reception.money.alerts import Alert, Measure, Reading
from reception.money.told_once import ToldOnce
from reception.money.windows import NEVER_S, Window

NOW_S = 1_000.0


def of_call(posted: int, held: int = 0, call: str = "c1", name: str = "call") -> Reading:
    return Reading(f"call:{call}", Window(name, 900.0, NEVER_S), 1_000, posted, held)


def told(alerts: list[Alert]) -> list[tuple[str, str, str, int, int]]:
    return [
        (each.scope, each.window.name, each.measure.value, each.from_percent, each.percent)
        for each in alerts
    ]


def test_each_level_of_a_call_is_told_once() -> None:
    once = ToldOnce(60.0)
    assert once.calls(NOW_S, [of_call(0, 699)]) == []
    assert told(once.calls(NOW_S, [of_call(300, 400)])) == [("call:c1", "call", "committed", 0, 70)]
    assert once.calls(NOW_S, [of_call(300, 0), of_call(300, 400)]) == []
    assert told(once.calls(NOW_S, [of_call(950)])) == [
        ("call:c1", "call", "posted", 0, 95), ("call:c1", "call", "committed", 70, 95),
    ]  # fmt: skip
    assert once.calls(NOW_S + 1e6, [of_call(1_200)]) == []


def test_calls_and_kinds_of_limits_have_their_own() -> None:
    once = ToldOnce(60.0)
    readings = [of_call(900), of_call(900, call="c2"), of_call(900, name="call-minute")]
    assert len(once.calls(NOW_S, readings)) == 6
    assert once.calls(NOW_S, readings) == []


def test_what_costs_nothing_is_near_no_limit() -> None:
    free = Reading("call:c1", Window("call", 900.0, NEVER_S), 0, 0, 0)
    assert ToldOnce(60.0).calls(NOW_S, [free]) == []


def test_counts_that_differ_are_told_again_after_the_cooldown() -> None:
    once = ToldOnce(60.0)
    [alert] = once.counts(NOW_S, "provider:p", "output_audio", 100, 130)
    assert alert == Alert(
        NOW_S, "provider:p", Window("output_audio", NOW_S, NOW_S), Measure.USAGE, 30, 0, 130, 100
    )
    assert alert.raised
    assert alert.text == ("provider:p counts 130 tokens of output audio, we count 100: 30 % apart")
    assert once.counts(NOW_S + 59, "provider:p", "output_audio", 100, 150) == []
    assert once.counts(NOW_S + 59, "provider:p", "input_audio", 0, 3)[0].percent == 300
    assert once.counts(NOW_S + 60, "provider:p", "output_audio", 100, 97)[0].percent == 3
    assert once.counts(NOW_S + 30, "provider:p", "output_audio", 100, 97)  # the clock was set


def test_what_was_told_before_a_restart_is_not_told_again() -> None:
    once = ToldOnce(60.0)
    once.calls(NOW_S, [of_call(1, call="gone")])
    once.restore(
        [("call:c1", "call", "posted", 90, NOW_S), ("call:c1", "call", "committed", 95, NOW_S),
         ("provider:p", "output_audio", "usage", 30, NOW_S)]
    )  # fmt: skip
    assert once.calls(NOW_S + 1, [of_call(940)]) == []
    assert told(once.calls(NOW_S + 1, [of_call(950)])) == [("call:c1", "call", "posted", 90, 95)]
    assert once.counts(NOW_S + 1, "provider:p", "output_audio", 100, 130) == []


def test_only_the_newest_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told_once, "MOST", 4)
    once = ToldOnce(60.0)
    for call in ("c1", "c2", "c1", "c3"):
        once.calls(NOW_S, [of_call(900 if call == "c1" else 960, call=call)])
    assert len(once._told) == 4
    assert len(once.calls(NOW_S, [of_call(900)])) == 2
