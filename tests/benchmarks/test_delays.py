"""What is counted as delayed, lost and served; what kind a process is; the ratios."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.bridges import report
from benchmarks.bridges.delays import served, speaker_of, way
from benchmarks.bridges.tones import mark_number
from benchmarks.bridges.tree import kind_of

MS = 1_000_000


def test_a_delay_is_from_sending_to_hearing_of_what_was_sent_in_the_window() -> None:
    sent = [(1, 0, 5 * MS), (2, 0, 10 * MS), (3, 1, 19 * MS), (4, 1, 20 * MS)]
    heard = [(1, 7, 6 * MS), (3, 7, 22 * MS), (2, 7, 10 * MS + 500_000), (4, 7, 21 * MS)]
    found = way(sent, heard, 10 * MS, 20 * MS)
    assert found.delays_ms == [0.5, 3.0]
    assert found.sent == {0: 1, 1: 1}
    assert found.came == {0: 1, 1: 1}


def test_what_never_arrives_is_lost_and_not_a_delay() -> None:
    found = way([(1, 0, 0), (2, 0, 0)], [(2, 0, MS)], 0, 1)
    assert found.delays_ms == [1.0]
    assert found.sent[0] - found.came[0] == 1


@pytest.mark.parametrize(
    ("up_came", "down_came", "gone", "expected"),
    [
        (100, 50, [], 1),
        (98, 49, [], 1),
        (97, 50, [], 0),
        (100, 48, [], 0),
        (100, 50, [4], 0),
        (100, 50, [5], 1),
    ],
)
def test_a_call_is_served_when_it_is_heard_and_answered_throughout(
    up_came: int, down_came: int, gone: list[int], expected: int
) -> None:
    def rows(who: int, count: int) -> list[tuple[int, int, int]]:
        return [(who * 1_000 + number, who, 0) for number in range(count)]

    up = way(rows(4, 100), rows(4, up_came), 0, 1)
    down = way(rows(9, 50), rows(9, down_came), 0, 1)
    assert served(up, down, {4: 9}, gone) == expected


def test_a_call_that_is_never_answered_is_not_served() -> None:
    up = way([(1, 4, 0)], [(1, 0, 0)], 0, 1)
    assert served(up, way([], [], 0, 1), {4: 9}, []) == 0


def test_a_mark_tells_its_speaker() -> None:
    assert [speaker_of(mark_number(who, 4_095, 5)) for who in (0, 1, 255)] == [0, 1, 255]


@pytest.mark.parametrize(
    ("name", "command", "kind"),
    [
        ("ray::FrontDoor", ["ray::FrontDoor"], "FrontDoor"),
        ("ray::CallSession", ["ray::CallSession.call"], "CallSession"),
        ("ray::IDLE", ["ray::IDLE"], "IDLE"),
        ("raylet", ["/x/ray/core/src/ray/raylet/raylet", "--port=1"], "raylet"),
        ("gcs_server", ["/x/ray/core/src/ray/gcs/gcs_server"], "gcs_server"),
        ("python", ["python", "/x/ray/dashboard/dashboard.py", "-a"], "ray dashboard/dashboard"),
        ("python", ["ray-dashboard-NodeHead-0"], "ray dashboard/dashboard"),
        ("python", ["python", "/x/ray/dashboard/agent.py"], "ray dashboard/agent"),
        ("python", ["python", "/x/ray/_private/log_monitor.py"], "ray _private/log_monitor"),
        ("python", ["python", "-m", "benchmarks.bridges.minimal"], "bridge"),
    ],
)
def test_processes_are_told_apart(name: str, command: list[str], kind: str) -> None:
    assert kind_of(name, command) == kind


def figures(bridge: str, calls: int, value: float) -> dict[str, Any]:
    return {"bridge": bridge, "calls": calls} | dict.fromkeys(report.COMPARED.values(), value)


def test_ratios_are_to_the_peers_with_as_many_calls() -> None:
    measured = [figures("gateway", 5, 2.0), figures("echo", 5, 0.5), figures("echo", 9, 1.0)]
    measured[1]["down_p99_ms"] = None
    report.add_ratios(measured)
    assert set(measured[0]["ratios"]) == {"echo"}
    assert measured[0]["ratios"]["echo"]["cpu_pct_per_call"] == 4.0
    assert "down_p99_ms" not in measured[0]["ratios"]["echo"]
    assert measured[2]["ratios"] == {}
