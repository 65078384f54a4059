"""`reception budget show` and `set`: limits and policies."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.app import AsJson, console, print_json
from cluster.cli.budget.group import BY, MICROS, DatabaseUrl, budget, usd, with_cost
from reception.errors import InvalidRequest

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from actors.cost import CostController

POLICY = "policy"
_BAR = 18
_WIDTHS = (16, _BAR, 4, 8, 7, 9, 9)
_LEVELS = ((95, "red"), (70, "yellow"), (0, "green"))


@budget.command()
def show(database_url: DatabaseUrl = "", as_json: AsJson = False) -> None:
    """Every limit with what is spent, held and left in it, and the policies."""

    async def ask(cost: "CostController") -> tuple[list[dict[str, Any]], dict[str, Any]]:
        return await cost.limits(), await cost.policies()

    limits, policies = with_cost(database_url, ask)
    if as_json:
        print_json({"limits": limits, "policies": policies})
        return
    _show(limits)
    if policies:
        console().print()
    for tenant, steps in policies.items():
        text = ", ".join(f"{step} at {percent} %" for step, percent in steps.items())
        console().print(f"policy of {_whose(tenant)}: {text}", markup=False)


def _show(limits: list[dict[str, Any]]) -> None:
    """The limits of each scope beneath its name."""
    from rich.text import Text

    scopes: dict[str, list[dict[str, Any]]] = {}
    for limit in limits:
        scopes.setdefault(limit.get("of", limit["scope"]), []).append(limit)
    head = _grid()
    head.add_row("", "", "%", "spent", "held", "left", "of $")
    console().print(head, style="dim")
    for scope, found in scopes.items():
        console().print(Text(scope, "bold"))
        rows = _grid()
        for limit in found:
            rows.add_row(*_row(limit))
        console().print(rows)


def _grid() -> "Table":
    from rich.table import Table

    grid = Table.grid(padding=(0, 1, 0, 0))
    for width in _WIDTHS[:2]:
        grid.add_column(width=width, no_wrap=True)
    for width in _WIDTHS[2:]:
        grid.add_column(min_width=width, justify="right", no_wrap=True)
    return grid


def _row(limit: dict[str, Any]) -> "tuple[Text | str, ...]":
    name = f"  {limit['window']}"
    if "posted_micros" not in limit:
        return name, "", "", "", "", "", usd(limit["limit_micros"])
    return (
        name,
        _bar(limit),
        f"{limit['percent']:.0f}",
        *(usd(limit[f"{name}_micros"]) for name in ("posted", "held", "left", "limit")),
    )


def _bar(limit: dict[str, Any]) -> "Text":
    """What is spent is solid, what is held is lighter."""
    from rich.text import Text

    of = limit["limit_micros"]
    used = limit["posted_micros"] + limit["held_micros"]
    both = min(_BAR, -(-used * _BAR // of)) if of else _BAR
    solid = min(both, -(-limit["posted_micros"] * _BAR // of)) if of else _BAR
    colour = next(colour for level, colour in _LEVELS if limit["percent"] >= level)
    parts = (("█" * solid, colour), ("▒" * (both - solid), colour), ("·" * (_BAR - both), "dim"))
    return Text.assemble(*parts)


@budget.command("set")
def set_(
    scope: Annotated[
        str, typer.Argument(help="global, or as tenant:acme; tenant:* is each tenant.")
    ],
    window: Annotated[
        str,
        typer.Argument(help="hour, day, week, month, rolling-day …, call, call-minute; or policy."),
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DOLLARS | STEP=PERCENT …]", help="50, or warn=20 wrap_up=0."),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the limit away; a default one is back then.")
    ] = False,
    zone: Annotated[
        str, typer.Option(help="Of a calendar window; the deployment's if not given.")
    ] = "",
    database_url: DatabaseUrl = "",
    as_json: AsJson = False,
) -> None:
    """Sets or removes a limit, or sets a tenant's policy. It counts from the next hold on."""
    given = values or []
    if window == POLICY:
        _set_policy(database_url, scope, given, remove=remove, as_json=as_json)
        return
    micros = _dollars(given, remove=remove)
    with_cost(database_url, lambda cost: cost.set_limit(scope, window, micros, BY, zone))
    if as_json:
        print_json({"scope": scope, "window": window, "micros": micros})
    elif micros is None:
        console().print(f"{scope} has no {window} limit of its own any more", markup=False)
    else:
        console().print(f"{scope} may spend ${usd(micros)} in each {window}", markup=False)


def _set_policy(
    database_url: str, scope: str, given: list[str], *, remove: bool, as_json: bool
) -> None:
    kind, _, tenant = scope.partition(":")
    if kind != "tenant" or not tenant:
        raise InvalidRequest(f"scope is {scope!r}: a policy is for tenant:acme, or tenant:*")
    if remove:
        raise InvalidRequest("a policy is not removed: set another")
    steps = dict(map(_step, given))
    with_cost(database_url, lambda cost: cost.set_policy(tenant, steps, BY))
    if as_json:
        print_json({"tenant": tenant, "steps": steps})
    else:
        console().print(f"the policy of {_whose(tenant)} is set", markup=False)


def _whose(tenant: str) -> str:
    return "tenants without their own" if tenant == "*" else tenant


def _step(text: str) -> tuple[str, int]:
    name, _, percent = text.partition("=")
    try:
        return name, int(percent)
    except ValueError:
        raise InvalidRequest(f"step is {text!r}: must be like warn=20") from None


def _dollars(given: list[str], *, remove: bool) -> int | None:
    from decimal import Decimal, InvalidOperation

    if remove != (not given) or len(given) > 1:
        raise InvalidRequest("a limit is one amount of dollars, or --remove")
    if remove:
        return None
    try:
        micros = Decimal(given[0].removeprefix("$")) * MICROS
        if micros == int(micros):
            return int(micros)
    except (InvalidOperation, ValueError, OverflowError):
        pass
    raise InvalidRequest(f"limit is {given[0]!r}: must be dollars as 50 or 0.25, to 6 digits")
