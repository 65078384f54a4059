"""`reception chaos`: faults on a local cluster under load."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.app import FAULT, app, console

if TYPE_CHECKING:
    from cluster.chaos.invariants import Violation
    from cluster.chaos.run import Judged
    from cluster.chaos.schedule import Try
    from cluster.chaos.summary import Report
    from cluster.chaos.trial import Tell

# The rest is in the report: a terminal has 80 columns.
_SHOWN = {
    "tries": "tries", "refused": "no", "calls": "calls", "went_on": "on", "ended_in_order": "ended",
    "cut_off": "cut", "lost": "lost", "billed_twice": "twice", "unbilled": "owed",
    "leases_leaked": "leaks", "silence_p50_ms": "p50", "silence_p99_ms": "p99",
    "driver_late_ms": "late",
}  # fmt: skip


class Kind(Enum):
    """Of database."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


@app.command()
def chaos(
    faults: Annotated[
        str, typer.Option("--faults", "-f", help="Names, with commas between them; all if none.")
    ] = "",
    tries: Annotated[int, typer.Option(min=1, max=1_000, help="Of each fault.")] = 20,
    first: Annotated[
        int, typer.Option(min=1, help="The first try of each: a long run can be made in parts.")
    ] = 1,
    calls: Annotated[int, typer.Option(min=1, max=40, help="Live at each try.")] = 30,
    nodes: Annotated[int, typer.Option(min=2, max=16, help="That take calls.")] = 3,
    every: Annotated[
        float,
        typer.Option(
            min=0,
            help="Callers come so many seconds apart, also while a fault goes on; "
            "whoever came first leaves.",
        ),
    ] = 0.0,
    near: Annotated[
        bool,
        typer.Option(
            "--near-limit",
            help="Doors lease budget, and money for three calls is left when the fault comes; "
            "callers come each second if --every says nothing else.",
        ),
    ] = False,
    database: Annotated[
        Kind, typer.Option(help="postgresql: a server of its own, from the installed programs.")
    ] = Kind.SQLITE,
    seed: Annotated[int, typer.Option(help="The same seed makes the same schedule.")] = 1,
    out: Annotated[Path, typer.Option(help="The report as JSON.")] = Path("out/chaos.json"),
    keep: Annotated[
        Path | None,
        typer.Option(
            help="A folder for history and logs of every try; without, those that broke a rule "
            "are kept beside the report.",
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--judge", help="Try nothing: judge all that --keep has of earlier runs."),
    ] = False,
    what: Annotated[bool, typer.Option("--list", help="Say which faults there are.")] = False,
) -> None:
    """Tries faults on a cluster of several nodes on this machine, and checks that every
    call goes on or ends in order. Exit status 1 when something is violated."""
    from cluster.chaos.faults import FAULTS, chosen
    from cluster.chaos.schedule import schedule

    if what:
        _list(FAULTS)
        return
    from cluster.chaos.run import pool_for, run
    from cluster.chaos.summary import Report
    from cluster.chaos.trial import Plan

    every = every or float(near)
    names = chosen(faults, database.value)
    planned = [each for each in schedule(names, tries, seed) if each.number >= first]
    plan = Plan(
        planned, keep=keep or out.with_suffix(""), keep_all=keep is not None, calls=calls,
        every_s=every, nodes=nodes, database=database.value, pool=pool_for(calls, nodes),
        near=near,
    )  # fmt: skip
    about = _machine() | {
        "seed": seed, "tries": tries, "calls": calls, "every_s": every, "nodes": nodes,
        "database": database.value, "near_limit": near,
    }  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)

    def write(report: Report) -> None:  # after each try: a long run may be stopped
        out.write_text(json.dumps(report.as_json(about), indent=1) + "\n", "utf-8")

    if again:
        report = Report.of(plan.keep)
        write(report)
    else:
        with _progress(len(planned), write) as (tell, judged):
            report = run(plan, tell, judged)
    _show(report, out)
    if not report.sound:
        raise typer.Exit(FAULT)


def _machine() -> dict[str, Any]:
    import os
    import platform
    import time

    return {"at": time.strftime("%Y-%m-%d %H:%M:%S %z"), "cores": os.cpu_count(),
            "python": platform.python_version()}  # fmt: skip


def _list(faults: Any) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("fault", "what happens", "how it heals", box=SIMPLE_HEAD)
    for each in faults.values():
        table.add_row(each.name, each.what, each.heals)
    console().print(table)


@contextmanager
def _progress(total: int, write: "Callable[[Report], None]") -> "Iterator[tuple[Tell, Judged]]":
    """A bar of tries, and a line for each that is over."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting the cluster", total=total)

        def tell(this: "Try", words: str) -> None:
            bar.update(task, description=f"{this.fault} {this.number}: {words}"[:90])

        def judged(this: "Try", broken: "list[Violation]", report: "Report") -> None:
            write(report)
            bar.advance(task)
            bar.console.print(f"{this.fault} {this.number}: {_tally(broken)}")

        yield tell, judged


def _tally(broken: "list[Violation]") -> str:
    from collections import Counter

    rules = Counter(each.rule for each in broken)
    return ", ".join(f"{count} {rule}" for rule, count in rules.items()) or "all in order"


def _show(report: "Report", out: Path) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)  # lines would take a column
    table.add_column("fault", no_wrap=True)
    for name in _SHOWN.values():
        table.add_column(name, justify="right", no_wrap=True)
    for fault, figures in report.figures.items():
        row = figures.row()
        shown = ("-" if row[name] is None else f"{row[name]:.0f}" for name in _SHOWN)
        table.add_row(fault, *shown)
    printed = console()
    printed.print(table)
    for fault, figures in report.figures.items():
        for number, each in figures.violations:
            where = each.call_id or f"{fault} {number}"
            printed.print(f"[red]{each.rule}[/red] {where}: {each.text}", soft_wrap=True)
    for (fault, number), folder in report.kept.items():
        printed.print(
            f"history and logs of {fault} {number}: {folder}", markup=False, soft_wrap=True
        )
    printed.print(
        "p50, p99: ms of silence added to the calls that were hit; late: p99 of the driver's own "
        "clock", style="dim",
    )  # fmt: skip
    printed.print(f"written: {out}", markup=False)
