"""`reception cluster` and `reception drain` against the real management API, whose actors
a test decides."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner

from cluster.cli import app
from cluster.management import create_app
from reception.errors import NotFound
from reception.placement.balancing.balancer import NodeView, State
from reception.security.admission import UNKNOWN_KEY, Admission

VIEW = NodeView("n1", "east", "0.1.0", State.READY, 30.0, 0.75, 12, 40, 0.3, 0.9)


class Actors:
    """What the management API asks."""

    def __init__(self) -> None:
        self.nodes = [VIEW, replace(VIEW, node_id="n2", zone="", share=0.25, state=State.FULL)]
        self.asked: list[tuple[Any, ...]] = []
        self.readiness = "ready"

    async def ask(self, role: str, method: str, *args: Any) -> Any:
        match role, method:
            case "security", "admit":
                return Admission(True, "t", "k1") if args[0] == "good" else UNKNOWN_KEY
            case "door", "nodes":
                return self.nodes
            case "door", "leave":
                if args[0] not in [node.node_id for node in self.nodes]:
                    raise NotFound(f"there is no node {args[0]!r}")
                self.asked.append(args)
                self.nodes = [node for node in self.nodes if node.node_id != args[0]]
            case "agent", "stats":
                return {"node_id": "n1"}
            case "agent", "readiness":
                return self.readiness
        return None


@pytest.fixture
def actors() -> Actors:
    return Actors()


@pytest.fixture
def http(actors: Actors) -> Iterator[str]:
    bound = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(actors.ask), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])))
    thread.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    server.should_exit = True
    thread.join(60)
    bound.close()


def run(*args: str) -> Any:
    return CliRunner().invoke(app, list(args))


def test_the_nodes_are_shown(http: str) -> None:
    shown = run("cluster", "--http", http, "--key", "good")
    assert shown.exit_code == 0, shown.output
    for text in ("n1", "east", "ready", "12", "40", "30%", "75%", "0.9 s", "full", "0.1.0"):
        assert text in shown.output
    told = json.loads(run("cluster", "--http", http, "--key", "good", "--json").output)
    assert [(each["node_id"], each["state"]) for each in told] == [("n1", "ready"), ("n2", "full")]


def test_a_node_is_told_to_leave_and_waited_for(http: str, actors: Actors) -> None:
    done = run("drain", "n2", "--http", http, "--key", "good", "--grace", "5")
    assert (done.exit_code, actors.asked) == (0, [("n2", 5.0, "k1")])
    assert "n2 has left" in done.output


def test_the_node_that_is_asked_leaves_if_none_is_named(http: str, actors: Actors) -> None:
    done = run("drain", "--http", http, "--key", "good")
    assert (done.exit_code, actors.asked) == (0, [("n1", None, "k1")])
    assert "n1 has left" in done.output


def test_what_cannot_be_done_is_said_in_one_line(http: str) -> None:
    for args, text in (
        (("drain", "n9", "--http", http, "--key", "good"), "there is no node 'n9'"),
        (("cluster", "--http", http, "--key", "bad"), "key"),
        (("cluster", "--http", "http://127.0.0.1:9"), "does not answer"),
    ):
        done = run(*args)
        assert (done.exit_code, done.output.count("\n")) == (1, 1), done.output
        assert text in done.output


@pytest.mark.parametrize(
    ("readiness", "status", "text"),
    [("ready", 200, "ok"), ("full", 503, "full"), ("draining", 503, "draining")],
)
async def test_a_node_that_takes_no_calls_is_not_ready(
    http: str, actors: Actors, readiness: str, status: int, text: str
) -> None:
    import httpx

    actors.readiness = readiness
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{http}/readyz")
    assert (answer.status_code, text in answer.text) == (status, True)
