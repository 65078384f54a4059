"""`reception load`: many callers at once, and what their calls were like."""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.app import FAULT, SERVER, Key, Server, app, console, fail

if TYPE_CHECKING:
    from cluster.load.arrivals import Pattern
    from cluster.load.fleet import Drivers
    from cluster.load.fleet import Progress as Counts
    from cluster.load.report import Report
    from cluster.load.scenario import Cast
    from cluster.load.schedule import Plan
    from cluster.load.watch import Watch

CALLERS_A_PROCESS = 75
_HOLD = "fixed:30"  # of callers who do nothing


@app.command()
def load(
    scenario: Annotated[
        Path | None, typer.Argument(help="YAML: who calls and what they do; silence if not given.")
    ] = None,
    server: Server = SERVER,
    key: Key = "",
    arrivals: Annotated[
        str,
        typer.Option(
            "--arrivals",
            "-a",
            help="constant:PER_S, ramp:FROM..TO, poisson:PER_S, burst:CALLS, "
            "burst:CALLS/EVERY_S or csv:FILE; none with --unary unless given.",
        ),
    ] = "",
    hold: Annotated[
        str,
        typer.Option(
            help="fixed:S, exponential:MEAN_S, lognormal:MEAN_S,SIGMA, uniform:FROM_S..TO_S; "
            "as long as the steps take if not given."
        ),
    ] = "",
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            "-d",
            min=0.1,
            max=86_400,
            help="Seconds of arrivals: 60 if not given, or all of a csv:FILE.",
        ),
    ] = None,
    calls: Annotated[int, typer.Option("--calls", min=1, help="At most so many.")] = 1_000_000,
    unary: Annotated[
        float, typer.Option(min=0, max=10_000, help="ListCalls and GetCall requests a second.")
    ] = 0.0,
    processes: Annotated[
        int, typer.Option(min=0, max=256, help="0: one for about 75 callers, up to the cores.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same calls.")] = 1,
    to: Annotated[str, typer.Option(help="Number that is called.")] = "+15550123",
    profile: Annotated[str, typer.Option(help="Receptionist; empty for the number's.")] = "",
    patience_s: Annotated[
        float, typer.Option("--patience", min=0.1, help="Seconds until a call counts as hung.")
    ] = 10.0,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help="Such as 'setup_p99_ms>25': exit status 1 then; repeat it for more."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Report for a script.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Report with plots.")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="An older --json report: shows ratios.")
    ] = None,
    watch_pid: Annotated[
        list[int] | None,
        typer.Option(help="Count CPU and memory of this process and all below it; repeat it."),
    ] = None,
    watch: Annotated[
        bool, typer.Option(help="Find the server's processes when it is on this machine.")
    ] = True,
    ray: Annotated[
        str, typer.Option(help="Drive from every node of this Ray cluster (host:port or auto).")
    ] = "",
) -> None:
    """Places calls at set times, whatever the server does, and measures each."""
    from cluster.load.arrivals import USUAL_S
    from cluster.load.measures import metric_names
    from cluster.load.report import compare as compared
    from cluster.load.run import run
    from cluster.load.schedule import Plan
    from cluster.load.thresholds import parse_threshold

    known = metric_names()
    thresholds = [parse_threshold(each, known) for each in fail_if or ()]
    old = _old(compare)
    casts = _casts(scenario)
    if not arrivals and not unary:
        arrivals = "constant:1"
    pattern = _pattern(arrivals)
    duration_s = duration or (pattern and pattern.length_s) or USUAL_S
    plan = Plan(
        server, casts, pattern, _holding(hold or ("" if scenario else _HOLD)),
        duration_s=duration_s, most_calls=calls, seed=seed, key=key, to=to, profile=profile,
        patience_s=patience_s, unary_per_s=unary,
    )  # fmt: skip
    total, at_once = _size(plan)
    processes = processes or max(
        1, min(os.cpu_count() or 1, math.ceil(at_once / CALLERS_A_PROCESS))
    )
    about = {"plan": {
        "server": server, "scenario": str(scenario or "silence"), "arrivals": arrivals or "none",
        "hold": hold or ("steps" if scenario else _HOLD), "duration_s": duration_s,
        "unary_per_s": unary, "calls": total, "processes": processes, "seed": seed,
        "step_s": plan.step_s,
    }}  # fmt: skip
    watching = _watch(server, watch_pid or [], find=watch)
    with _progress(total, plan) as tell:
        report = run(_drivers(plan, processes, ray), about, watching, tell)
    changes = compared(old, report) if old is not None else []
    breaches = [each for t in thresholds if (each := t.breach(report["metrics"]))]
    _write(report, changes, breaches, json_file, html_file)
    for breach in breaches:
        typer.echo(f"fail-if {breach}", err=True)
    if breaches or not any(report["metrics"][name] for name in ("accepted", "refused", "unary_ok")):
        raise typer.Exit(FAULT)


def _old(path: Path | None) -> Any:
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return fail(f"compare: {path} is no JSON: {error}")


def _casts(path: Path | None) -> "tuple[Cast, ...]":
    from cluster.load.scenario import SILENT, Sounds, cast_of, parse_scenario

    if path is None:
        return (SILENT,)
    form = parse_scenario(path.read_text(encoding="utf-8"), str(path))
    folder = path.parent  # recordings are named as seen from the scenario
    return cast_of(form, Sounds(_spoken, lambda name: _recorded(folder / name)))


def _spoken(text: str, voice: int) -> bytes:
    from cluster.wav import mulaw
    from voice.speech.callers import caller_speech

    return mulaw(caller_speech(text, voice))


def _recorded(path: Path) -> bytes:
    from cluster.wav import read_as_mulaw

    return read_as_mulaw(path)


def _pattern(text: str) -> "Pattern | None":
    from cluster.load.arrivals import parse_arrivals

    def read(name: str) -> list[str]:
        return Path(name).read_text(encoding="utf-8").splitlines()

    return parse_arrivals(text, read) if text else None


def _holding(text: str) -> Any:
    from cluster.load.holding import parse_holding

    return parse_holding(text) if text else None


def _size(plan: "Plan") -> tuple[int, float]:
    """How many calls there will be, and how many at once, about."""
    from cluster.load.schedule import schedule

    total, talking_s = 0, 0.0
    for call in schedule(plan):
        total += 1
        talking_s += call.hold_s or 30.0
    return total, min(total, talking_s / plan.duration_s)


def _watch(server: str, pids: list[int], *, find: bool) -> "Watch | None":
    from cluster.load.watch import Watch, server_roots

    local = server.rpartition(":")[0].strip("[]") in ("127.0.0.1", "localhost", "::1")
    roots = pids or (server_roots(server) if find and local else [])
    return Watch(roots) if roots else None


def _drivers(plan: "Plan", processes: int, ray: str) -> "Drivers":
    if ray:
        from cluster.load.ray_fleet import RayFleet

        return RayFleet(plan, processes, ray)
    from cluster.load.fleet import Fleet

    return Fleet(plan, processes)


@contextmanager
def _progress(total: int, plan: "Plan") -> "Iterator[Callable[[Counts, float], None]]":
    """A bar of calls placed, or of time when there are only requests."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("connecting", total=total or plan.duration_s)

        def tell(progress: "Counts", since_s: float) -> None:
            count = progress.get
            words = (
                f"{count('calls', 0)} of {total} calls, {count('live', 0)} live, "
                f"{count('accepted', 0)} accepted, {count('failed', 0)} failed"
            )
            if plan.unary_per_s:
                words += f", {count('unary', 0)} requests"
            done = count("calls", 0) if total else min(since_s, plan.duration_s)
            bar.update(task, completed=max(0.0, done), description=words)

        yield tell


def _write(
    report: "Report", changes: Any, breaches: list[str], json_file: Path | None,
    html_file: Path | None,
) -> None:  # fmt: skip
    from cluster.load.page import page
    from cluster.load.table import changes_table, tables

    out = console()
    for each in tables(report):
        out.print(each)
    if changes:
        out.print(changes_table(changes))
    for path, text in (
        (json_file, json.dumps(report, indent=1) + "\n"),
        (html_file, page(report, changes, breaches)),
    ):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            out.print(f"written: {path}", markup=False)
