"""`reception keys`: API keys, straight in the database (the server need not run)."""

import re
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cluster.cli.app import AsJson, app, console, print_json
from cluster.loop import run
from reception.errors import InvalidRequest

if TYPE_CHECKING:
    from actors.security import SecurityGuard

keys = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)
app.add_typer(keys, name="keys")

T = TypeVar("T")

_BY = "command line"
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

DatabaseUrl = Annotated[
    str, typer.Option("--database-url", help="Instead of REALTIME_DATABASE_URL.")
]


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="call, read or manage; may be repeated.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose calls it opens.")] = "default",
    expires_in: Annotated[str, typer.Option(help="Such as 12h, 30d or 8w; never if empty.")] = "",
    database_url: DatabaseUrl = "",
    as_json: AsJson = False,
) -> None:
    """Makes a key and shows it, this once."""
    scopes = scope or ["call", "read"]
    expires_at_s = time.time() + _span_s(expires_in) if expires_in else None
    key_id, key = _with_guard(
        database_url, lambda guard: guard.create_key(name, tenant, scopes, expires_at_s, _BY)
    )
    if as_json:
        print_json({"key_id": key_id, "key": key, "scopes": scopes})
        return
    typer.echo(key)
    console(stderr=True).print(
        f"[dim]key {key_id} for {', '.join(scopes)}: keep it, it is not shown again[/dim]"
    )


@keys.command("list")
def list_(database_url: DatabaseUrl = "", as_json: AsJson = False) -> None:
    """All keys, without their secrets."""
    found = _with_guard(database_url, lambda guard: guard.list_keys())
    if as_json:
        print_json(found)
        return
    from rich.table import Table

    table = Table("id", "name", "tenant", "scopes", "created", "state")
    for key in found:
        table.add_row(
            key["key_id"], key["name"], key["tenant"], " ".join(key["scopes"]),
            _day(key["created_at_s"]), _state(key),
        )  # fmt: skip
    console().print(table if found else "there are no keys: `reception keys create NAME`")


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `reception keys list` shows it.")],
    database_url: DatabaseUrl = "",
    as_json: AsJson = False,
) -> None:
    """Ends a key at once."""
    _with_guard(database_url, lambda guard: guard.revoke_key(key_id, _BY))
    if as_json:
        print_json({"key_id": key_id, "revoked": True})
    else:
        typer.echo(f"{key_id} is revoked")


def _with_guard(database_url: str, work: "Callable[[SecurityGuard], Coroutine[Any, Any, T]]") -> T:
    from actors.security import SecurityGuard
    from actors.settings import load_settings

    settings = load_settings(**({"database_url": database_url} if database_url else {}))
    guard = SecurityGuard(settings)
    try:
        return run(work(guard))
    finally:
        guard.close()


def _span_s(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6})([mhdw])", text)
    if found is None:
        raise InvalidRequest(f"--expires-in is {text!r}: must be like 90m, 12h, 30d or 8w")
    return int(found[1]) * _SECONDS[found[2]]


def _day(at_s: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s)) if at_s else ""


def _state(key: dict[str, Any]) -> str:
    if key["revoked_at_s"]:
        return f"revoked {_day(key['revoked_at_s'])}"
    if key["expires_at_s"] is None:
        return "valid"
    expired = key["expires_at_s"] <= time.time()
    return f"{'expired' if expired else 'valid until'} {_day(key['expires_at_s'])}"
