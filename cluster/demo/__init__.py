"""`reception demo`: brings everything up and has four callers answered at once."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from rich.console import Console, RenderableType
from rich.live import Live

from cluster import loop
from cluster.bringup import ServeOptions, start
from cluster.caller import Caller, Outcome
from cluster.demo.scenes import Scene, scenes
from cluster.demo.view import Row, figures, figures_table, live, table
from cluster.deployment import Deployment
from cluster.wav import mulaw, write_stereo
from protos.reception.v1 import reception_pb2 as rv
from reception.call.record import CallRecord
from reception.errors import ReceptionError
from voice.speech.callers import caller_speech

CALL_TIMEOUT_S = 120.0
SNAPSHOT_S = 1.0
PICTURE_S, PICTURE_COLUMNS = 11.0, 110
RECORD_S = 10.0
APART_S = 0.25  # nobody dials in the same millisecond


def run(provider: str, out: Path, *, as_json: bool) -> int:
    """The whole demo. Returns the exit status: 0 when all four calls ended as
    they should."""
    console = Console(stderr=as_json)
    folder = out / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    options = ServeOptions(
        provider=provider, grpc_port=0, http_port=0, pool_size=4,
        database_url=f"sqlite:///{(folder / 'reception.db').resolve()}",
    )  # fmt: skip
    with console.status("starting") as status:
        deployment = start(options, progress=status.update)
    try:
        console.print(
            f"gRPC {deployment.grpc_address}   HTTP {deployment.http_url}\n"
            f"Ray dashboard {deployment.node.dashboard_url}"
        )
        key = deployment.create_key("demo", ["call", "read"])
        cast = scenes(lambda text, voice: mulaw(caller_speech(text, voice)))
        began_s = time.monotonic()
        picture = folder / "live-view.svg"
        rows = loop.run(_perform(deployment, cast, key, console, picture))
        elapsed_s = time.monotonic() - began_s
        for row in rows:
            _keep(folder, row, deployment)
    finally:
        with console.status("stopping"):
            deployment.stop()
    found = figures(rows)
    good = not any(row.verdict for row in rows)
    if as_json:
        print(json.dumps({"ok": good, "calls_s": elapsed_s, "figures": found,
                          "calls": [_summary(row) for row in rows]}))  # fmt: skip
    console.print(table(rows), figures_table(found))
    console.print(f"{elapsed_s:.0f} s of calls; recordings, transcripts and records: {folder}/")
    return 0 if good else 1


async def _perform(
    deployment: Deployment, cast: list[Scene], key: str, console: Console, picture: Path | None
) -> list[Row]:
    """All calls at once, under the live view, of which `picture` keeps one moment."""
    began_s = time.monotonic()
    callers = [
        Caller(
            deployment.grpc_address,
            scene.steps,
            key=key,
            start=_start(scene.number),
        )
        for scene in cast
    ]  # fmt: skip
    rows = [Row(scene.name, caller.outcome) for scene, caller in zip(cast, callers, strict=True)]

    async def place(number: int) -> Outcome:
        await asyncio.sleep(number * APART_S)
        return await asyncio.wait_for(callers[number].call(), CALL_TIMEOUT_S)

    calls = asyncio.gather(*(place(n) for n in range(len(callers))), return_exceptions=True)
    snapshot: dict[str, Any] = {}
    with Live(console=console, refresh_per_second=8, transient=True) as view:
        shown_s = 0.0
        while not calls.done():
            if time.monotonic() - shown_s > SNAPSHOT_S:
                with contextlib.suppress(RayError, ReceptionError):  # the view stays as it was
                    snapshot = await asyncio.to_thread(deployment.snapshot)
                shown_s = time.monotonic()
            view.update(live(rows, snapshot, time.monotonic() - began_s))
            await asyncio.wait([calls], timeout=0.1)
            if picture is not None and time.monotonic() - began_s > PICTURE_S:
                _draw(live(rows, snapshot, time.monotonic() - began_s), picture)
                picture = None
    console.print(live(rows, snapshot, time.monotonic() - began_s))
    messages = await asyncio.to_thread(deployment.messages)
    judged = []
    for scene, outcome, result in zip(cast, [c.outcome for c in callers], await calls, strict=True):
        verdict = scene.check(outcome, messages)
        if isinstance(result, BaseException):
            verdict = f"{type(result).__name__}: {result}"
        judged.append(Row(scene.name, outcome, verdict))
    return judged


def _draw(view: RenderableType, picture: Path) -> None:
    canvas = Console(record=True, width=PICTURE_COLUMNS, file=io.StringIO())
    canvas.print(view)
    drawn = canvas.export_svg(title="reception demo")
    picture.write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL))  # no downloads


def _start(number: str) -> rv.CallStart:
    start = rv.CallStart(to="+15550123", format=rv.LegFormat(codec=rv.CODEC_PCMU), sends_marks=True)
    setattr(start, "from", number)
    return start


def _keep(folder: Path, row: Row, deployment: Deployment) -> None:
    """The call's recording, transcript and record."""
    outcome: Outcome = row.outcome
    place = folder / row.name.replace(" ", "-")
    write_stereo(place / "call.wav", bytes(outcome.caller_audio), bytes(outcome.reception_audio))
    lines = [f"{who}: {text}" for who, text in outcome.transcript]
    (place / "transcript.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    record = _record(deployment, outcome.call_id) if outcome.call_id else None
    (place / "record.json").write_text(
        json.dumps(asdict(record) if record else {}, indent=2) + "\n", encoding="utf-8"
    )


def _record(deployment: Deployment, call_id: str) -> CallRecord | None:
    """A call's record, once its end is in it: the caller hears of that first."""
    until_s = time.monotonic() + RECORD_S
    while True:
        record = deployment.call_record(call_id)
        if record is None or record.state == "ended" or time.monotonic() > until_s:
            return record
        time.sleep(0.1)


def _summary(row: Row) -> dict[str, Any]:
    summary = row.outcome.summary or rv.Call()
    return {
        "name": row.name,
        "call_id": row.outcome.call_id,
        "end_reason": summary.end_reason,
        "fault": row.verdict,
        "barge_in_ms": [round(each) for each in row.outcome.barge_in_ms],
        "cost_micros": summary.cost_micros,
        "transcript": row.outcome.transcript,
    }
