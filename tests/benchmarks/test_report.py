"""The tables of a side-by-side run."""

import pytest

from benchmarks.bridges import report


def _one(bridge, calls, cpu=None, **fields):
    kinds = {"bridge": 1.0} if cpu is None else cpu
    figures = {
        "bridge": bridge, "calls": calls, "served": calls, "failed": [], "others_cpu_pct": 0.0,
        "cpu_pct_per_call": sum(kinds.values()), "cpu_by_kind": kinds,
        "pss_mb_per_call": 2.0, "pss_mb_by_kind": {kind: 100 * v for kind, v in kinds.items()},
        "up_p50_ms": 1.0, "up_p99_ms": 2.0, "down_p50_ms": None, "down_p99_ms": 4.0,
        "callers_late_p99_ms": 0.5,
    }  # fmt: skip
    return figures | fields


KINDS = {"FrontDoor": 0.5, "AudioWorker": 0.8, "CallSession": 0.4, "raylet": 0.1,
         "ray dashboard/agent": 0.2, "CostController": 0.3, "bridge": 0.05}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        ("FrontDoor", "door"), ("AudioWorker", "worker"), ("CallSession", "session"),
        ("raylet", "ray"), ("gcs_server", "ray"), ("ray dashboard/agent", "ray"),
        ("CostController", "others"), ("bridge", "others"),
    ],
)  # fmt: skip
def test_processes_are_grouped_by_what_they_are_for(kind, group):
    assert report.group_of(kind) == group
    assert group in report.GROUPS


def test_what_a_bridge_could_not_carry_is_told_and_the_rest_is_shown(capsys):
    measured = [
        _one("minimal", 50),
        _one("gateway", 50, KINDS),
        {"bridge": "pipecat", "calls": 100, "could_not": "RuntimeError: callers ended: 1"},
        _one("gateway", 100, KINDS, served=97),
    ]
    report.add_ratios(measured)
    assert "ratios" not in measured[2]
    assert measured[1]["ratios"]["minimal"]["cpu_pct_per_call"] == 2.35
    assert measured[3]["ratios"] == {}
    report.show(measured)
    shown = [
        " ".join(line.replace("│", " ").split()) for line in capsys.readouterr().out.splitlines()
    ]
    assert "pipecat 100 could not" in shown
    assert "pipecat, 100 calls: could not: RuntimeError: callers ended: 1" in shown
    assert "gateway 50 2.35 0.5 0.8 0.4 0.3 0.35" in shown  # CPU
    assert "gateway 100 235 50 80 40 30 35" in shown  # PSS
    assert not any(line.startswith("minimal 50 1 ") for line in shown)  # of one kind only
    assert "gateway, 100 calls: 3 calls were not served" in shown


def test_nothing_but_failures_has_a_table_too(capsys):
    measured = [{"bridge": "gateway", "calls": 10, "could_not": "OSError: no memory"}]
    report.add_ratios(measured)
    report.show(measured)
    assert "could not" in capsys.readouterr().out
