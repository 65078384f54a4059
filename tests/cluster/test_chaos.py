"""The short schedule of chaos, on real nodes; `make chaos` has the long one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster import local_postgres
from cluster.chaos import history as h
from cluster.cli import app

pytestmark = pytest.mark.timeout(240)


def test_calls_outlive_a_short_schedule_of_faults(tmp_path: Path) -> None:
    out, keep = tmp_path / "chaos.json", tmp_path / "histories"
    faults = ["session", "front_door", "node_lost"]
    done = CliRunner().invoke(
        app,
        ["chaos", "--faults", ",".join(faults), "--tries", "1", "--calls", "6", "--seed", "3",
         "--out", str(out), "--keep", str(keep)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    report = json.loads(out.read_text())
    assert report["violations"] == []
    assert set(report["faults"]) == set(faults)
    for name, row in report["faults"].items():
        assert (row["tries"], row["calls"], row["went_on"]) == (1, 6, 6), name
        assert row["hit"] >= 1
        assert row["billed"] >= 12, "the greeting and an answer each"
        kept = keep / f"{name}-1"
        assert '"Injected"' in (kept / "history.jsonl").read_text()
        assert "raylet.out" in {path.name for path in (kept / "logs").iterdir()}
    judged = CliRunner().invoke(app, ["chaos", "--judge", "--out", str(out), "--keep", str(keep)])
    assert judged.exit_code == 0, judged.output
    assert json.loads(out.read_text())["faults"] == report["faults"]


def test_a_history_that_breaks_a_rule_is_judged_so_again(tmp_path: Path) -> None:
    began = h.Began("session", 7, 1, 23.0)
    offered = h.Offered("c1", 850, True, 1.0)
    accepted = h.Accepted("c1", "s1", "n1", False, 1.1)
    folder = tmp_path / "kept" / "session-7"
    folder.mkdir(parents=True)
    lines = "".join(h.to_line(each) + "\n" for each in (began, offered, accepted))
    (folder / "history.jsonl").write_text(lines)
    out = tmp_path / "chaos.json"
    judge = ["chaos", "--judge", "--out", str(out), "--keep"]
    assert CliRunner().invoke(app, [*judge, str(folder.parent)]).exit_code == 1
    found = json.loads(out.read_text())["violations"]
    assert {each["kept"] for each in found} == {str(folder)}
    assert ("lost", 7) in {(each["rule"], each["try"]) for each in found}
    nothing = CliRunner().invoke(app, [*judge, str(folder / "logs")])
    assert nothing.exit_code == 1
    assert "no history of a try" in " ".join(nothing.output.split())


def test_faults_are_listed_and_an_unknown_one_is_refused() -> None:
    listed = CliRunner().invoke(app, ["chaos", "--list"])
    assert "node_frozen" in listed.output
    refused = CliRunner().invoke(app, ["chaos", "--faults", "quake"])
    assert refused.exit_code == 1


def test_without_postgresql_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(local_postgres, "_ROOTS", (str(tmp_path / "postgresql"),))
    done = CliRunner().invoke(
        app, ["chaos", "--database", "postgresql", "--out", str(tmp_path / "chaos.json")]
    )
    assert done.exit_code == 1
    assert "apt-get install postgresql" in " ".join(done.output.split())
