"""The demo as a stranger runs it: four spoken callers at once, all answered."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(500)
ROOT = Path(__file__).resolve().parents[2]
CALLS = {
    "asks for sales": "transferred",
    "asks for the hours": "completed",
    "leaves a message": "completed",
    "talks over the answer": "completed",
}


def test_all_four_callers_are_answered_and_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cluster.cli", "demo", "--json", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=450)
    assert done.stdout, done.stderr[-3_000:]
    told = json.loads(done.stdout)
    assert {call["name"]: call["end_reason"] for call in told["calls"]} == CALLS, done.stderr
    assert [call["fault"] for call in told["calls"]] == [""] * 4
    assert done.returncode == 0
    assert told["ok"]
    assert told["figures"]["turns"] >= 8
    for call in told["calls"]:
        folder = tmp_path / "demo" / call["name"].replace(" ", "-")
        with wave.open(str(folder / "call.wav")) as sound:
            assert (sound.getnchannels(), sound.getframerate()) == (2, 8_000)
            assert sound.getnframes() > 8_000 * 3
        record = json.loads((folder / "record.json").read_text())
        assert record["state"] == "ended"
        assert record["cost_micros"] == call["cost_micros"] > 0
        assert "reception: Harbour Lane" in (folder / "transcript.txt").read_text()
    assert "<svg" in (tmp_path / "demo" / "live-view.svg").read_text()
