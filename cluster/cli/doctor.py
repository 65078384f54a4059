"""`reception doctor`."""

from dataclasses import asdict
from typing import Annotated

import typer

from cluster.cli.app import FAULT, AsJson, app, console, print_json

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "bold red"}


@app.command()
def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Also try the provider's key over the network.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Checks installation, ports, models, database and key; says what to do."""
    from cluster.doctor import examine

    findings = examine(online=online)
    faults = sum(finding.state == "fault" for finding in findings)
    if as_json:
        print_json({"ok": not faults, "findings": [asdict(finding) for finding in findings]})
    else:
        out = console()
        for finding in findings:
            out.print(f"[{_COLOURS[finding.state]}]{finding.state:8}[/] ", end="")
            out.print(f"{finding.what:14} {finding.detail}", markup=False, soft_wrap=True)
            if finding.remedy:
                out.print(f"{'':24}→ {finding.remedy}", markup=False, soft_wrap=True)
        out.print("all is well" if not faults else f"{faults} faults")
    if faults:
        raise typer.Exit(FAULT)
