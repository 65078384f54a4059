"""`reception budget verify`: proves the ledger, and compares with what others counted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli.app import FAULT, AsJson, console, print_json
from cluster.cli.budget.group import DatabaseUrl, budget, reading, with_cost

if TYPE_CHECKING:
    from actors.cost import CostController
    from reception.money.usage_export import Export

OPENAI = "openai"


@budget.command()
def verify(
    usage_export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A provider's count of tokens (see docs/money.md)."),
    ] = None,
    provider: Annotated[
        str, typer.Option(help="Compare the export with calls of this provider only.")
    ] = "",
    database_url: DatabaseUrl = "",
    as_json: AsJson = False,
) -> None:
    """Proves the ledger; compares call records, and a provider's count, with it.

    Exit status 1 if anything differs: each difference is named."""
    export, whose = _read(usage_export) if usage_export else (None, "")

    async def ask(cost: "CostController") -> tuple[list[str], list[str]]:
        found = await cost.verify()
        if export is None:
            return found, []
        return found, await cost.against_export(export, provider or whose)

    ours, theirs = with_cost(database_url, ask)
    if as_json:
        print_json({"differences": ours} | ({} if export is None else {"usage_export": theirs}))
    else:
        for difference in (*ours, *theirs):
            console().print(difference, markup=False, soft_wrap=True)
        if not ours:
            console().print("the ledger adds up, and call records agree with it")
        if export is not None and not theirs:
            console().print("the provider counts the same tokens")
    if ours or theirs:
        raise typer.Exit(FAULT)


def _read(path: Path) -> "tuple[Export, str]":
    """An export, and the provider that its form is of."""
    import csv
    import json

    from reception.money.usage_export import parse_openai, parse_rows

    with reading(path, "usage_export") as file:
        if path.suffix.lower() == ".csv":
            return parse_rows(csv.DictReader(file)), ""
        found = json.load(file)
        first = found[0] if isinstance(found, list) and found else None
        if isinstance(first, dict) and "day" in first:
            return parse_rows(found), ""
        return parse_openai(found), OPENAI
