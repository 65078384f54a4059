"""`reception budget reconcile`: makes the ledger what a provider's itemised invoice says."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.app import FAULT, AsJson, console, print_json
from cluster.cli.budget.group import BY, DatabaseUrl, budget, reading, usd, with_cost

if TYPE_CHECKING:
    from reception.money.invoice import Item


@budget.command()
def reconcile(
    invoice: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or JSON (docs/money.md).")],
    provider: Annotated[
        str, typer.Option(help="Whose invoice it is; the deployment's if not given.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be corrected.")
    ] = False,
    database_url: DatabaseUrl = "",
    as_json: AsJson = False,
) -> None:
    """Corrects what was billed otherwise than an itemised invoice says, and bills what was not.

    Done again it changes nothing. Exit status 1 if something is billed and not in the
    invoice, or can't be corrected: each is named."""
    items = _read(invoice)
    found = with_cost(database_url, lambda cost: cost.reconcile(items, BY, provider, dry_run))
    if as_json:
        print_json(found)
    else:
        _show(found, dry_run=dry_run)
    if found["differences"]:
        raise typer.Exit(FAULT)


def _show(found: dict[str, Any], *, dry_run: bool) -> None:
    for line in (*found["corrections"], *found["differences"]):
        console().print(line, markup=False, soft_wrap=True)
    changed = found["corrected"] + found["added"]
    if changed > len(found["corrections"]):
        console().print(f"and {changed - len(found['corrections'])} more corrections")
    if not changed:
        console().print(f"{found['items']} items: nothing is to be corrected")
        return
    would = "would be " if dry_run else ""
    sign = "-" if found["micros"] < 0 else "+"
    console().print(
        f"{found['items']} items: {found['corrected']} {would}corrected, {found['added']} "
        f"{would}added, {sign}${usd(abs(found['micros']), 6)}",
        soft_wrap=True,
    )


def _read(path: Path) -> "tuple[Item, ...]":
    import csv
    import json

    from reception.errors import InvalidRequest
    from reception.money.invoice import parse_items

    with reading(path, "invoice") as file:
        if path.suffix.lower() == ".csv":
            return parse_items(csv.DictReader(file))
        found = json.load(file)
        if not isinstance(found, list):
            raise InvalidRequest("the invoice is no list of items", field="invoice")
        return parse_items(found)
