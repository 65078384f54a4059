"""The scripted provider keeps to the protocol, and a whole measurement finds what is there."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from benchmarks.bridges import pipecat_environment, run
from benchmarks.bridges.__main__ import measure
from benchmarks.bridges.parts import Part
from benchmarks.bridges.run import Plan
from benchmarks.bridges.tones import PCMU, Ear, Voice
from benchmarks.bridges.tree import Tree
from tests.voice.client import Client, audio_of
from tests.waiting import PATIENCE_S

PACE = ["--answer-ms", "700", "--every-ms", "1600"]
CONFIG = {"format": {"type": PCMU}}


@pytest.mark.parametrize("answers", ["paced", "burst"])
async def test_the_provider_sends_what_openais_package_describes(answers: str) -> None:
    provider = Part("benchmarks.bridges.provider", [*PACE, "--answers", answers])
    try:
        port = int(provider.ready["base_url"].split(":")[2].split("/")[0])
        client = await Client.open(port)  # checks every event
        await client.configure(audio={"input": CONFIG, "output": CONFIG})
        frames = [frame for frame, _ in Voice(PCMU, 77).word()]
        await client.hear(b"".join(frames), 160)
        await client.send("response.create")
        greeting, answer = await client.turn(), await client.turn()
        await client.close()
        records = provider.ask("records")
    finally:
        provider.stop()
    ear = Ear(PCMU)
    heard = [mark for turn in (greeting, answer) for mark, _ in ear.hear(audio_of(turn), 0)]
    sent = [mark for mark, session, _ in records["sent"] if session == 0]
    assert [len(audio_of(turn)) for turn in (greeting, answer)] == [5_600, 5_600]
    assert sent == (heard if answers == "paced" else heard[::6])
    assert len(records["heard"]) == 6
    types = [event["type"] for event in answer]
    for kind in ("speech_started", "speech_stopped", "committed"):
        assert f"input_audio_buffer.{kind}" in types


async def test_a_bridge_that_ends_while_it_is_measured_could_not_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dies(tree: Tree, settle_s: float) -> None:
        del settle_s
        psutil.Process(tree.pid).kill()
        psutil.Process(tree.pid).wait(PATIENCE_S)

    said: list[str] = []
    monkeypatch.setattr(run, "_until_steady", dies)
    plan = Plan(("echo",), calls=(1, 2), settle_s=0.0, seconds=1.0)
    measured = await asyncio.to_thread(lambda: list(run.measure_all(plan, said.append)))
    assert [(one["calls"], "could_not" in one) for one in measured] == [(1, True), (2, True)]
    assert sum("could not" in line for line in said) == 2


async def test_what_ends_before_it_is_ready_is_told() -> None:
    with pytest.raises(RuntimeError, match=r"benchmarks\.bridges\.provider ended: 2"):
        Part("benchmarks.bridges.provider", ["--answers", "never"])


@pytest.mark.timeout(600)
def test_calls_through_two_bridges_are_measured_and_a_third_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cannot_be_made() -> str:
        raise subprocess.CalledProcessError(1, ["pip"])

    monkeypatch.setattr(pipecat_environment, "python", cannot_be_made)
    plan = Plan(("pipecat", "echo", "minimal"), calls=(2,), settle_s=4.0, seconds=6.0)
    for _ in range(3):  # of a machine that stands still in the window there is no measurement
        measure(plan, tmp_path / "out" / "bench.json")
        pipecat, echo, minimal = json.loads((tmp_path / "out" / "bench.json").read_text())
        if echo["served"] == minimal["served"] == 2:
            break
    assert (pipecat["bridge"], pipecat["calls"]) == ("pipecat", 2)
    assert "CalledProcessError" in pipecat["could_not"]
    assert re.search(r"pipecat\W+2\W+could not", capsys.readouterr().out)
    for one in (echo, minimal):
        assert one["calls"] == one["served"] == 2, one
        assert one["up_marks"] > 50
        assert 0 < one["up_p50_ms"] <= one["up_p99_ms"]
        assert 0 < one["down_p50_ms"] <= one["down_p99_ms"]
        assert one["cpu_pct_per_call"] > 0
        assert one["pss_mb_per_call"] > 1
        assert list(one["cpu_by_kind"]) == ["bridge"]
    assert minimal["ratios"]["echo"]["up_p50_ms"] == pytest.approx(
        minimal["up_p50_ms"] / echo["up_p50_ms"], abs=0.001
    )
