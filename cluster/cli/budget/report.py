"""`reception budget report`: what calls cost and used."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.app import AsJson, console, print_json
from cluster.cli.budget.group import DatabaseUrl, budget, table, usd, with_cost
from reception.errors import InvalidRequest

if TYPE_CHECKING:
    from rich.text import Text

    from actors.cost import CostController


class By(StrEnum):
    """What a row of a report is."""

    CALL = "call"
    TENANT = "tenant"
    KEY = "key"
    NUMBER = "number"
    PROFILE = "profile"
    PROVIDER = "provider"
    HOUR = "hour"
    DAY = "day"


_THOUSAND = 1_000
_MINUTE = len("2026-11-24T12:00")


@budget.command()
def report(
    by: Annotated[By, typer.Option(help="What a row is.")] = By.DAY,
    since: Annotated[
        str, typer.Option(help="2026-11-01, 2026-11-01T12:00, or ago: 12h, 7d, 4w.")
    ] = "",
    until: Annotated[str, typer.Option(help="As --since; now if not given.")] = "",
    at_most: Annotated[
        int, typer.Option("--limit", min=1, help="Rows of the table; files have all.")
    ] = 50,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            help="Write a page with figures, by hour or day, that needs no other file.",
        ),
    ] = None,
    database_url: DatabaseUrl = "",
    as_json: AsJson = False,
) -> None:
    """What calls that began in a span have cost and used until now."""
    if as_csv + as_json + (html is not None) > 1:
        raise InvalidRequest("--csv, --json and --html: one of them")
    if html is not None:
        _write(html, by, since, until, database_url)
        return

    async def ask(cost: "CostController") -> dict[str, Any]:
        found = await cost.report(by.value, since, until)
        if not (as_csv or as_json):
            return found
        while token := found["next_page_token"]:
            page = await cost.report(by.value, page_token=token)
            found["rows"] += page["rows"]
            found["next_page_token"] = page["next_page_token"]
        return found

    found = with_cost(database_url, ask)
    if as_json:
        del found["next_page_token"]
        print_json(found)
    elif as_csv:
        from reception.money.reports import to_csv

        sys.stdout.write(to_csv(found["rows"]))
    else:
        _show(found, at_most)


def _write(path: Path, by: By, since: str, until: str, database_url: str) -> None:
    from cluster.money.page import page

    found = with_cost(database_url, lambda cost: cost.overview(by.value, since, until))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(found), encoding="utf-8")
    console().print(f"written: {path}", markup=False)


def _show(found: dict[str, Any], at_most: int) -> None:
    rows, by = found["rows"], found["by"]
    out = console()
    if not rows:
        out.print(f"no calls began from {found['since']} to {found['until']}", markup=False)
        return
    many = by != "call"
    counts = ("calls", "done") if many else ("done",)
    shown = table(by, *counts, "min", "cost $", "saved $", "$/min", *(("$/done",) if many else ()),
                  "cache", "tokens")  # fmt: skip
    for row in rows[:at_most]:
        shown.add_row(*_row(_name(by, row), row, many=many))
    if many or len(rows) > 1:
        shown.add_section()
        shown.add_row(*_row("all", found["total"], many=many), style="bold")
    out.print(shown)
    more = len(rows) - at_most + found["left_out"]
    if more > 0 or found["next_page_token"]:
        count = "many" if found["next_page_token"] else str(more)
        out.print(f" {count} more rows: --limit, --csv or --json show them", style="dim")
    span = f" began {found['since']} to {found['until']}; tokens in/out"
    span += f"; {by}s of {found['zone']}" if by in ("hour", "day") else ""
    out.print(span, style="dim", markup=False)


def _name(by: str, row: dict[str, Any]) -> str:
    name: str = row["call_id" if by == "call" else by]
    return name[:_MINUTE].replace("T", " ") if by == "hour" else name


def _tokens(row: dict[str, Any], direction: str) -> str:
    return f"{(row[f'{direction}_text'] + row[f'{direction}_audio']) / _THOUSAND:,.0f}k"


def _row(name: str, row: dict[str, Any], *, many: bool) -> "tuple[Text | str, ...]":
    from rich.text import Text

    cached = row["cache_percent"]
    done = str(row["completed"]) if many or name == "all" else ("yes" if row["completed"] else "no")
    return (
        Text(name or "-"),
        *((str(row["calls"]),) if many else ()),
        done,
        f"{row['talk_ms'] / 60_000:,.1f}",
        usd(row["cost_micros"], 4),
        usd(row["saved_micros"], 4),
        usd(row["micros_per_minute"], 4),
        *((usd(row["micros_per_completed"], 4),) if many else ()),
        "" if cached is None else f"{cached:.0f}%",
        f"{_tokens(row, 'input')}/{_tokens(row, 'output')}",
    )
