"""`reception calls`: looks at the calls of a server, and ends them."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.app import SERVER, AsJson, Key, Server, app, console, print_json
from cluster.loop import run

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import JustifyMethod

    from protos.reception.v1 import reception_pb2 as rv

calls = typer.Typer(help="Calls of a server: list, show, end, watch.", no_args_is_help=True)
app.add_typer(calls, name="calls")

CallId = Annotated[str, typer.Argument(help="The call's id.")]
_MICROS = 1_000_000


class State(StrEnum):
    """Where a call is in its life."""

    ALL = "all"
    CONNECTING = "connecting"
    ACTIVE = "active"
    ENDING = "ending"
    ENDED = "ended"


@calls.command("list")
def list_(
    server: Server = SERVER,
    key: Key = "",
    state: Annotated[State, typer.Option(help="Only calls in this state.")] = State.ALL,
    at_most: Annotated[int, typer.Option("--limit", min=1, max=100_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """Live and ended calls, newest first."""
    from cluster.client import Client

    wanted = "UNSPECIFIED" if state is State.ALL else state.value.upper()

    async def ask() -> "list[rv.Call]":
        async with Client(server, key) as client:
            return await client.list_calls(f"CALL_STATE_{wanted}", at_most)

    found = run(ask())
    if as_json:
        print_json([_plain(call) for call in found])
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("call", "began", "from", "doing", "turns", "s", "cost $"):
        justify: JustifyMethod = "right" if column in ("turns", "s", "cost $") else "left"
        table.add_column(column, justify=justify, no_wrap=column in ("call", "began"))
    for call in found:
        table.add_row(*_row(call))
    console().print(table if found else "there are no calls")


@calls.command()
def show(call_id: CallId, server: Server = SERVER, key: Key = "", as_json: AsJson = False) -> None:
    """One call, live or ended."""
    from cluster.client import Client

    async def ask() -> "rv.Call":
        async with Client(server, key) as client:
            return await client.get_call(call_id)

    _show(run(ask()), as_json=as_json)


@calls.command()
def end(
    call_id: CallId,
    reason: Annotated[str, typer.Option(help="Kept in the record and the audit trail.")] = "",
    server: Server = SERVER,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Ends a live call."""
    from cluster.client import Client

    async def ask() -> "rv.Call":
        async with Client(server, key) as client:
            return await client.end_call(call_id, reason)

    _show(run(ask()), as_json=as_json)


@calls.command()
def watch(
    call_id: Annotated[str, typer.Argument(help="Only this call; all if not given.")] = "",
    server: Server = SERVER,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """What happens to calls, as it happens, until Ctrl-C."""
    from cluster.client import Client
    from protos.reception.v1 import reception_pb2 as rv

    async def follow() -> None:
        async with Client(server, key) as client:
            async for update in client.watch_calls(call_id):
                kind = rv.CallUpdate.Kind.Name(update.kind).removeprefix("KIND_").lower()
                if as_json:
                    print_json(_plain(update))
                else:
                    call = update.call
                    console().print(
                        f"{update.at.ToDatetime():%H:%M:%S} {kind:8} {call.call_id} "
                        f"{call.phase or call.end_reason} turns {call.turns} "
                        f"${call.cost_micros / _MICROS:.4f}",
                        markup=False,
                    )

    run(follow())


def _plain(message: "Message") -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True)


def _row(call: "rv.Call") -> list[str]:
    from protos.reception.v1 import reception_pb2 as rv

    began = f"{call.started_at.ToDatetime():%m-%d %H:%M}" if call.HasField("started_at") else ""
    state = rv.CallState.Name(call.state).removeprefix("CALL_STATE_").lower()
    return [
        call.call_id,
        began,
        getattr(call, "from"),
        call.end_reason or call.phase or state,
        str(call.turns),
        f"{call.duration_ms / 1000:.1f}",
        f"{call.cost_micros / _MICROS:.4f}",
    ]


def _show(call: "rv.Call", *, as_json: bool) -> None:
    plain = _plain(call)
    if as_json:
        print_json(plain)
        return
    width = max(map(len, plain), default=0)
    for name, value in plain.items():
        console().print(f"{name:{width}}  {value}", markup=False)
