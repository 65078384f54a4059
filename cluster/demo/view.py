"""The demo's live view and its table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cluster.caller import Outcome
from protos.reception.v1 import reception_pb2 as rv

_DOING = {
    rv.TurnEvent.KIND_SPEECH_STARTED: ("caller speaks", "cyan"),
    rv.TurnEvent.KIND_SPEECH_STOPPED: ("thinking", "yellow"),
    rv.TurnEvent.KIND_RESPONSE_STARTED: ("thinking", "yellow"),
    rv.TurnEvent.KIND_FIRST_AUDIO: ("reception speaks", "green"),
    rv.TurnEvent.KIND_DONE: ("listening", "blue"),
}
MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One call of the demo as it is now."""

    name: str
    outcome: Outcome
    verdict: str | None = None


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def live(rows: Sequence[Row], snapshot: dict[str, Any], elapsed_s: float) -> RenderableType:
    """Calls, turns, latencies, money and actors."""
    calls = Table(expand=True, border_style="dim", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column, width in (("call", 21), ("doing", 16), ("turns", 5), ("ms", 4)):
        calls.add_column(column, width=width, no_wrap=True)
    calls.add_column("last words", ratio=1, no_wrap=True, overflow="ellipsis")
    for row in rows:
        calls.add_row(
            row.name, _doing(row.outcome), str(_turns(row.outcome)), _latency(row.outcome),
            _words(row.outcome),
        )  # fmt: skip
    title = f"ai-reception  ·  {elapsed_s:4.0f} s"
    return Panel(Group(calls, _status(snapshot)), title=title, border_style="blue")


def _doing(outcome: Outcome) -> Text:
    if outcome.summary is not None:
        return Text(outcome.summary.end_reason, style="bold green")
    if outcome.status not in ("", "OK"):
        return Text(outcome.status, style="bold red")
    if not outcome.turns:
        return Text("ringing" if not outcome.call_id else "connecting", style="dim")
    text, style = _DOING[outcome.turns[-1].kind]
    return Text(text, style=style)


def _turns(outcome: Outcome) -> int:
    return max((turn.turn for turn in outcome.turns), default=0)


def _latency(outcome: Outcome) -> str:
    measured = [turn.latency_ms for turn in outcome.turns if turn.latency_ms]
    return str(measured[-1]) if measured else ""


def _words(outcome: Outcome) -> Text:
    if not outcome.transcript:
        return Text("")
    who, words = outcome.transcript[-1]
    style = "cyan" if who == "caller" else "green"
    return Text.assemble((f"{who[:1].upper()}: ", f"bold {style}"), words)


def _status(snapshot: dict[str, Any]) -> RenderableType:
    """A line of money and one of actors."""
    if not snapshot:
        return Text("")
    costs, pool, door = snapshot["costs"], snapshot["pool"], snapshot["door"]
    posted = costs.get("posted_micros", costs.get("spent_micros", 0))
    held = costs.get("held_micros", 0)
    money = Text.assemble(
        ("money   ", "bold"),
        f"spent ${posted / MICROS:.4f}   held ${held / MICROS:.4f}   ",
        ("setup   ", "bold"),
        f"p50 {door['setup_p50_ms']:.0f} ms   p95 {door['setup_p95_ms']:.0f} ms",
    )
    named = [actor["name"] for actor in snapshot["actors"] if actor["kind"] == actor["name"]]
    workers = [actor for actor in snapshot["actors"] if actor["kind"] == "worker"]
    actors = Text.assemble(
        ("actors  ", "bold"),
        f"{' '.join(named)}   {len(workers)} audio workers   ",
        f"sessions: {pool['leased']} in calls, {pool['ready']} ready",
    )
    return Group(Text(""), money, actors)


def table(rows: Sequence[Row]) -> RenderableType:
    """How the calls went."""
    calls = Table(
        title="Calls",
        title_justify="left",
        border_style="dim",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    calls.add_column("call", no_wrap=True)
    for column in ("ended", "turns", "cuts", "ms", "setup", "cost $"):
        calls.add_column(column, justify="right" if column != "ended" else "left", no_wrap=True)
    calls.add_column("good", overflow="fold")
    for row in rows:
        outcome, summary = row.outcome, row.outcome.summary or rv.Call()
        latencies = [time.latency_ms for time in _first_audio(outcome)]
        verdict = Text("yes", style="green") if not row.verdict else Text(row.verdict, style="red")
        calls.add_row(
            row.name, summary.end_reason or outcome.status, str(summary.turns),
            str(summary.interruptions), f"{quantile(latencies, 0.5):.0f}",
            f"{outcome.setup_ms:.0f}", f"{summary.cost_micros / MICROS:.4f}", verdict,
        )  # fmt: skip
    return calls


def _first_audio(outcome: Outcome) -> list[rv.TurnEvent]:
    kind = rv.TurnEvent.KIND_FIRST_AUDIO
    return [turn for turn in outcome.turns if turn.kind == kind and turn.latency_ms]


def figures(rows: Sequence[Row]) -> dict[str, float]:
    """Latency and setup over all calls. Times in ms."""
    firsts = [turn for row in rows for turn in _first_audio(row.outcome)]
    latencies = [float(turn.latency_ms) for turn in firsts]
    done = [
        turn.gateway_us / 1000
        for row in rows
        for turn in row.outcome.turns
        if turn.kind == rv.TurnEvent.KIND_DONE and turn.gateway_us
    ]
    setups = [row.outcome.setup_ms for row in rows if row.outcome.setup_ms]
    heard = [each for row in rows for each in row.outcome.answer_ms]
    return {
        "turns": len(latencies),
        "answer_p50_ms": quantile(latencies, 0.5),
        "answer_p95_ms": quantile(latencies, 0.95),
        "heard_p50_ms": quantile(heard, 0.5),
        "heard_p95_ms": quantile(heard, 0.95),
        "gateway_p50_ms": quantile(done, 0.5),
        "gateway_p95_ms": quantile(done, 0.95),
        "setup_p50_ms": quantile(setups, 0.5),
        "setup_p95_ms": quantile(setups, 0.95),
    }


def figures_table(found: dict[str, float]) -> RenderableType:
    rows = Table(
        title="Times",
        title_justify="left",
        border_style="dim",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    rows.add_column("from the caller's end of speech …")
    rows.add_column("p50 ms", justify="right")
    rows.add_column("p95 ms", justify="right")
    for text, name in (
        ("… noticed, to the first answer audio", "answer"),
        ("… itself, to the first answer audio heard", "heard"),
        ("of which in this gateway, both ways", "gateway"),
        ("stream opened to call accepted", "setup"),
    ):
        rows.add_row(text, f"{found[f'{name}_p50_ms']:.1f}", f"{found[f'{name}_p95_ms']:.1f}")
    return rows
