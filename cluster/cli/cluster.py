"""`reception cluster` and `reception drain`: the nodes, and their leaving."""

import time
from typing import Annotated, Any

import typer

from cluster.cli.app import AsJson, Key, app, console, fail, print_json

Http = Annotated[
    str,
    typer.Option("--http", envvar="RECEPTION_HTTP", help="URL of a node's management API."),
]
HTTP = "http://127.0.0.1:8080"
PREFIX = "/api/v3/management"
TIMEOUT_S = 10.0
LOOK_S = 0.5
_STATES = {"ready": "green", "slow start": "cyan", "stale": "yellow", "full": "yellow"}


@app.command()
def cluster(http: Http = HTTP, key: Key = "", as_json: AsJson = False) -> None:
    """The nodes, and how calls are shared out to them."""
    found = _ask(http, key, "GET", "/cluster")["nodes"]
    if as_json:
        print_json(found)
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("node", "zone", "state", "calls", "of", "used", "share", "report", "version"):
        right = column in ("calls", "of", "used", "share", "report")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for node in found:
        colour = _STATES.get(node["state"], "red")
        table.add_row(
            node["node_id"], node["zone"] or "-", f"[{colour}]{node['state']}[/{colour}]",
            str(node["active"]), str(node["capacity"]), f"{node['utilisation']:.0%}",
            f"{node['share']:.0%}", f"{node['age_s']:.1f} s", node["version"],
        )  # fmt: skip
    console().print(table if found else "no node has reported yet")


@app.command()
def drain(
    node: Annotated[
        str,
        typer.Argument(
            help="Its id, as `reception cluster` shows it; the node that is asked if not given.",
            show_default=False,
        ),
    ] = "",
    http: Http = HTTP,
    key: Key = "",
    grace_s: Annotated[
        float | None,
        typer.Option("--grace", min=0.0, help="Seconds for live calls; the node's setting if not."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Until the node has left.")] = True,
) -> None:
    """Has a node finish its calls, hand over what is left, and leave the cluster."""
    node = node or str(_ask(http, key, "GET", "/cluster")["node_id"])
    _ask(http, key, "POST", f"/cluster/{node}/drain", {"grace_s": grace_s})
    out = console(stderr=True)
    out.print(f"{node} is draining")
    if not wait:
        return
    with out.status("") as status:
        while (left := _calls_of(http, key, node)) is not None:
            status.update(f"{node} has {left} calls")
            time.sleep(LOOK_S)
    out.print(f"{node} has left")


def _calls_of(http: str, key: str, node_id: str) -> int | None:
    """Live calls of a node; None when it is none any more. The node that is asked may be
    the one that leaves: then it is gone when it does not answer."""
    try:
        nodes = _answer(http, key, "GET", "/cluster")["nodes"]
    except _NoAnswer:
        return None
    known = {each["node_id"]: each for each in nodes}
    if node_id not in known or known[node_id]["state"] in ("unknown", "ejected"):
        return None
    return int(known[node_id]["active"])


class _NoAnswer(Exception):
    """The management API did not do it; says why."""


def _ask(http: str, key: str, method: str, path: str, body: Any = None) -> Any:
    try:
        return _answer(http, key, method, path, body)
    except _NoAnswer as error:
        fail(str(error))


def _answer(http: str, key: str, method: str, path: str, body: Any = None) -> Any:
    import httpx

    try:
        answer = httpx.request(
            method, http.rstrip("/") + PREFIX + path, json=body, timeout=TIMEOUT_S,
            headers={"x-api-key": key} if key else {},
        )  # fmt: skip
    except httpx.HTTPError as error:
        text = f"{http} does not answer: {error or type(error).__name__} (--http names another)"
        raise _NoAnswer(text) from error
    if answer.is_error:
        raise _NoAnswer(f"{http}: {answer.json().get('title', answer.reason_phrase)}")
    return answer.json()
