"""`reception budget`, without a server."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from cluster.cli import app


def _run(*args, **env):
    return CliRunner().invoke(app, ["budget", *args], env={"COLUMNS": "80"} | env)


def _json(*args):
    result = _run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_model_call_at_every_level():
    found = _json("simulate", "--model-call", "--full")
    assert list(found["levels"]) == ["off", "quality", "balanced", "thrifty", "economy"]
    micros = {name: level["micros"] for name, level in found["levels"].items()}
    assert micros["balanced"] <= 100_000
    assert micros["economy"] <= 50_000
    economy = found["levels"]["economy"]
    assert economy["saved_percent"] > 60
    assert sum(economy["saved_by"].values()) == micros["off"] - micros["economy"]


def test_the_same_seed_makes_the_same_bills():
    first, again = (_json("simulate", "--calls", "5", "--seed", "7") for _ in range(2))
    assert first == again != _json("simulate", "--calls", "5", "--seed", "8")


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_tables_fit_the_terminal(columns):
    result = _run("simulate", "--calls", "5", COLUMNS=columns)
    assert result.exit_code == 0
    for word in ("$/call", "$/min", "saved", "cached", "balanced", "another voice"):
        assert word in result.output
    assert "…" not in result.output
    assert max(map(len, result.output.splitlines())) <= int(columns)


def test_recorded_calls_from_json_and_csv(tmp_path):
    turns = [{"caller_ms": 3_000, "answer_ms": 5_000, "tools": 1}] * 2
    by_json, by_csv = tmp_path / "calls.json", tmp_path / "calls.csv"
    by_json.write_text(json.dumps([{"turns": turns}]))
    by_csv.write_text("call,caller_ms,answer_ms,tools\na,3000,5000,1\na,3000,5000,1\n")
    assert _json("simulate", str(by_json)) == _json("simulate", str(by_csv))
    assert "1 call of" in _run("simulate", str(by_csv)).output


def test_our_own_records(tmp_path):
    """What the management API gives of one call."""
    said = [{"who": "reception", "text": "Hello, how can I help?", "at_ms": 0, "item_id": "a"},
            {"who": "caller", "text": "When are you open?", "at_ms": 2_500, "item_id": "b"},
            {"who": "reception", "text": "From nine to five.", "at_ms": 5_000}]  # fmt: skip
    path = tmp_path / "call.json"
    path.write_text(json.dumps({"model": "m", "transcript": said}))
    levels = _json("simulate", str(path))["levels"]
    assert 0 < levels["economy"]["micros"] < levels["off"]["micros"]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("calls.json", "[", "Expecting value"),
        ("calls.json", "[{}]", "turns must be a list"),
        ("calls.csv", "call\n", "list of one call at least"),
        ("calls.csv", "caller_ms,answer_ms\nx,1\n", "caller_ms is 'x'"),
    ],
)
def test_a_fault_in_a_file_is_one_line_that_names_it(tmp_path, name, text, fault):
    path = tmp_path / name
    path.write_text(text)
    result = _run("simulate", str(path))
    assert result.exit_code == 1
    assert name in result.stderr
    assert fault in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_does_not_exist_is_one_line():
    missing = _run("simulate", "no-such-file.json")
    assert (missing.exit_code, missing.stderr.count("\n")) == (1, 1)
    unpriced = _run("simulate", "--model-call", "--model", "gpt-unheard-of")
    assert unpriced.exit_code == 1
    assert "has no price" in unpriced.stderr
