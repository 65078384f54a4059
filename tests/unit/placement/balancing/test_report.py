"""What nodes say: bounds and the wire form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.placement.balancing.report import NodeReport, decode, encode
from tests.unit.placement.balancing.nodes import report

SHARE = st.floats(0, 1)
CALLS = st.integers(0, 1_000_000)
RATE = st.floats(0, 1e9)
REPORTS = st.builds(
    NodeReport, st.text(min_size=1, max_size=128), st.text(max_size=128), st.floats(-1e6, 1e9),
    CALLS, CALLS, CALLS, SHARE, SHARE, RATE, RATE, RATE, RATE, st.booleans(), st.text(max_size=128),
)  # fmt: skip


@given(REPORTS)
def test_what_was_encoded_is_decoded(told: NodeReport) -> None:
    assert decode(encode(told)) == told


def test_a_stamp_is_put_on_our_clock() -> None:
    assert decode(encode(report(at_s=100.0)), ahead_s=30.0).at_s == 70.0
    assert decode(encode(report(at_s=10.0)), ahead_s=30.0).at_s == -20.0


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [
        ("node_id", "", "text of 1 to 128 characters"),
        ("node_id", "n" * 129, "text of 1 to 128 characters"),
        ("zone", "z" * 129, "text of 0 to 128 characters"),
        ("version", 3, "text of 0 to 128 characters"),
        ("capacity", -1, "0 to 1e+06"),
        ("live", 1_000_001, "0 to 1e+06"),
        ("reserved", -1, "0 to 1e+06"),
        ("cpu", 1.01, "0 to 1"),
        ("memory", float("nan"), "0 to 1"),
        ("lag_ms", -0.1, "0 or more"),
        ("misses_per_s", float("inf"), "0 or more"),
        ("calls_per_s", -1.0, "0 or more"),
        ("errors_per_s", -1.0, "0 or more"),
        ("at_s", float("inf"), "-1e+12 or more"),
        ("ready", 2, "0 to 1"),
    ],
)
def test_out_of_bounds_is_refused_by_name_value_and_bound(field, value, bound) -> None:
    told = {"node_id": "a", field: value}
    with pytest.raises(InvalidRequest) as refused:
        report(**told)
    assert refused.value.field == field
    assert str(value)[:60] in refused.value.message
    assert refused.value.message.endswith(f"must be {bound}")


def test_a_newer_version_may_say_more_but_not_less() -> None:
    told = json.loads(encode(report()))
    assert decode(json.dumps({**told, "mood": "good"}).encode()) == report()
    del told["lag_ms"]
    with pytest.raises(InvalidRequest, match="lag_ms"):
        decode(json.dumps(told).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b"[]", b"7", b'"report"', b"{}", b'{"at_s":"now"}'],
)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(data)
    assert refused.value.field == "report"


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [("ready", "false", "report"), ("live", "5", "report"), ("cpu", None, "report"),
     ("at_s", [1], "report"), ("node_id", ["a"], "node_id"), ("cpu", 7, "cpu")],
)  # fmt: skip
def test_wrong_values_on_the_wire_are_refused(field, value, named) -> None:
    told = json.loads(encode(report()))
    with pytest.raises(InvalidRequest) as refused:
        decode(json.dumps({**told, field: value}).encode())
    assert refused.value.field == named
