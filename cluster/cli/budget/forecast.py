"""`reception budget forecast`: what will be spent, and when a limit is hit."""

from typing import Annotated, Any

import typer

from cluster.cli.app import AsJson, console, print_json
from cluster.cli.budget.group import DatabaseUrl, budget, in_zone, table, usd, with_cost


@budget.command()
def forecast(
    scope: Annotated[str, typer.Argument(help="global, or as tenant:acme.")] = "global",
    database_url: DatabaseUrl = "",
    as_json: AsJson = False,
) -> None:
    """What is spent at each window's end (of a rolling one, after one length of it from
    now), when its limit is hit, what one more call costs."""
    found = with_cost(database_url, lambda cost: cost.forecast(scope))
    if as_json:
        print_json(found)
        return
    windows, zone = found["windows"], found["zone"]
    if not windows:
        console().print(f"{scope} has no limit over a time", markup=False)
        return
    shown = table("window", "spent", "at its end", f"{found['coverage']:.0%} within", "limit $",
                  "hit", "one more")  # fmt: skip
    for each in windows:
        shown.add_row(
            each["window"],
            usd(each["posted_micros"]),
            usd(each["expected_micros"]),
            _within(each),
            usd(each["limit_micros"]),
            _hit(each, zone),
            "?" if each["one_more"] is None else f"+{usd(each['one_more']['micros'])}",
        )
    console().print(shown)
    hour = found["micros_per_call_hour"]
    talk = "?" if hour is None else f"${usd(hour)}"
    lines = [
        f" {scope}, times in {zone}, method: {found['method']}; ?: not enough is known yet",
        f" one more: a call from now to the window's end; an hour of talk costs {talk}",
    ]
    if any(each["course"] for each in windows):
        lines.append(" a rolling window: as it is after one length of it from now")
    for line in lines:
        console().print(line, style="dim", markup=False)


def _within(window: dict[str, Any]) -> str:
    if window["low_micros"] is None:
        return "?"
    return f"{usd(window['low_micros'])} - {usd(window['high_micros'])}"


def _hit(window: dict[str, Any], zone: str) -> str:
    if window["expected_micros"] is None:
        return "?"
    if window["hit_at_s"] is not None:
        return in_zone(window["hit_at_s"], zone)
    if window["hit_earliest_s"] is not None:
        return f"maybe {in_zone(window['hit_earliest_s'], zone)}"
    return "-"
