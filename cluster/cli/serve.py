"""`reception serve`: brings a node up, and down again in order."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster import ray_token
from cluster.cli.app import AsJson, app, console, print_json
from cluster.cli.demo import Provider

if TYPE_CHECKING:
    from cluster.deployment import Deployment

_POLL_S = 0.5


class Stopped(BaseException):
    """A signal came while the node was coming up."""


@app.command()
def serve(
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join (host:port); a local one if not given.")
    ] = None,
    node_ip: Annotated[
        str | None, typer.Option(help="Where other nodes reach this one; Ray finds it itself.")
    ] = None,
    provider: Annotated[Provider | None, typer.Option(help="The voice.")] = None,
    grpc_port: Annotated[int | None, typer.Option(min=0, max=65_535, help="0: any.")] = None,
    http_port: Annotated[int | None, typer.Option(min=0, max=65_535, help="0: any.")] = None,
    profile: Annotated[Path | None, typer.Option(help="The receptionist's YAML file.")] = None,
    database_url: Annotated[str | None, typer.Option(help="sqlite:/// or postgresql://")] = None,
    recordings_dir: Annotated[Path | None, typer.Option(help="Where recordings go.")] = None,
    pool_size: Annotated[int | None, typer.Option(min=1, help="Warm sessions.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Audio workers.")] = None,
    insecure_dev: Annotated[
        bool, typer.Option("--insecure-dev", help="Callers on this machine need no key.")
    ] = False,
    dashboard: Annotated[bool, typer.Option(help="Ray's dashboard.")] = True,
    calls: Annotated[
        bool, typer.Option(help="Take calls; without, the singletons live here and that is all.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Answers calls until Ctrl-C or SIGTERM, then finishes the live ones.

    A second Ctrl-C does not wait for them.
    """
    began_s = time.monotonic()
    if address is not None:
        ray_token.bring()
    from cluster.bringup import ServeOptions, start

    options = ServeOptions(
        provider=provider.value if provider else None,
        grpc_port=grpc_port,
        http_port=http_port,
        address=address,
        node_ip=node_ip,
        insecure_dev=insecure_dev or os.environ.get("REALTIME_INSECURE_DEV", "") in ("1", "true"),
        database_url=database_url,
        recordings_dir=str(recordings_dir) if recordings_dir else None,
        profile_path=str(profile) if profile else None,
        pool_size=pool_size,
        workers=workers,
        dashboard=dashboard,
        calls=calls,
    )
    settings = options.settings()
    out = console(stderr=True)
    try:
        with _signals_raise(), out.status("starting") as status:
            deployment = start(options, settings, status.update)
    except Stopped:
        out.print("stopped while starting")
        return
    asked, again = _signals_set()
    _announce(deployment, time.monotonic() - began_s, as_json=as_json)
    while not (asked.wait(_POLL_S) or deployment.lost.is_set() or deployment.leave.is_set()):
        pass
    if deployment.lost.is_set():
        out.print("this node is lost, its agent or Ray's: stopping, to be started anew")
        deployment.stop()
        raise typer.Exit(1)
    grace_s = deployment.grace_s if deployment.leave.is_set() else settings.drain_grace_s
    _leave(deployment, grace_s, again)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """While starting: what has started is stopped again on the way out, which a
    second signal does not interrupt."""

    def stop(_number: int, _frame: Any) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped

    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _signals_set() -> tuple[threading.Event, threading.Event]:
    """While serving: events that the first signal sets, and the second. (Ray has put in
    its own handlers by now.)"""
    asked, again = threading.Event(), threading.Event()

    def heard(_number: int, _frame: Any) -> None:
        (again if asked.is_set() else asked).set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, heard)
    return asked, again


def _announce(deployment: "Deployment", took_s: float, *, as_json: bool) -> None:
    found = {
        "grpc": deployment.grpc_address,
        "http": deployment.http_url,
        "ray_dashboard": deployment.node.dashboard_url,
        "provider": deployment.provider_url or deployment.settings.provider,
        "node_id": deployment.node_id,
        "ray": deployment.node.address,
        "ready_s": round(took_s, 1),
    }
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(f"ready after {took_s:.1f} s")
    for name, value in (
        ("gRPC", found["grpc"] or "none: takes no calls"),
        ("HTTP", found["http"] or "none"),
        ("Ray", found["ray"]),
        ("Ray dashboard", found["ray_dashboard"] or "off"),
        ("voice", found["provider"]),
    ):
        out.print(f"  {name:14} {value}", markup=False)
    if deployment.settings.insecure_dev:
        out.print("[yellow]callers on this machine need no key (--insecure-dev)[/yellow]")


def _leave(deployment: "Deployment", grace_s: float, again: threading.Event) -> None:
    """Drains, and stops; at once when a second signal comes. The first one after
    `reception drain` or a notice of Ray's only says the same again."""
    out = console(stderr=True)
    out.print(f"draining: live calls have {grace_s:g} s to finish; a second signal stops at once")
    left: list[int] = []
    draining = threading.Thread(
        target=lambda: left.append(deployment.drain(grace_s)), name="drain", daemon=True
    )
    draining.start()
    while draining.is_alive() and not again.is_set():
        draining.join(_POLL_S)
    if left != [0]:
        out.print(f"{left[0] if left else 'some'} calls were cut off")
    deployment.stop()
    out.print("stopped")
