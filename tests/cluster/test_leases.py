"""A cost singleton that is SIGKILLed and away for seconds, while all money is taken."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import ray

from actors.settings import load_settings
from cluster.bringup import ServeOptions, start
from cluster.caller import Caller, HangUp, Listen, Say
from cluster.deployment import Deployment
from protos.reception.v1 import reception_pb2 as rv
from reception.money.scopes import Owner
from tests.cluster.test_calls import SPEECH, ScriptedProvider, _processes
from voice.scripted import SCRIPTED_MODEL

pytestmark = pytest.mark.timeout(240)

HELD = 60_000  # for one call
LIMIT = 1_850_000
AWAY_S = 6.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("node")
    provider = ScriptedProvider()
    settings = load_settings(
        provider="embedded",
        provider_base_url=provider.start(),
        model=SCRIPTED_MODEL,
        grpc_port=0,
        http_port=0,
        pool_size=3,
        workers=1,
        database_url=f"sqlite:///{folder}/reception.db",
        cost_failure="lease",
        security_failure="known",
        cost_limit_daily=LIMIT / 1e6,
    )
    deployment = start(ServeOptions(dashboard=False), settings)
    yield deployment
    deployment.stop()
    provider.stop()


class Gone(threading.Thread):
    """Kills the cost singleton's process, and each that Ray begins in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.stopped = threading.Event(), threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.05):
            for process in _processes("CostController"):  # of this test's own cluster
                process.kill()
                self.began.set()


def test_calls_begin_on_leases_and_no_limit_is_passed(node: Deployment) -> None:
    key = node.create_key("tests", ["call", "read"])

    async def call(name: str, *between: Any) -> Any:
        steps = [Listen(), *between, HangUp()]
        start_call = rv.CallStart(call_id=name, format=rv.LegFormat(codec=rv.CODEC_PCMU))
        caller = Caller(node.grpc_address, steps, key=key, start=start_call)
        return await asyncio.wait_for(caller.call(), 60)

    async def calls(names: list[str], *between: Any) -> list[Any]:
        return await asyncio.gather(*(call(name, *between) for name in names))

    first = asyncio.run(calls(["a", "b", "c"]))
    assert [each.status for each in first] == ["OK"] * 3
    for _ in range(300):
        places = node.snapshot()["costs"]["leased_micros"] // HELD
        if places:
            break
        threading.Event().wait(0.1)
    assert 1 <= places <= 3
    taken = 0
    while node.call("cost", "open_call", Owner(f"other{taken}", model=SCRIPTED_MODEL)).admitted:
        taken += 1
    assert taken > 20
    assert 0 <= _left(node) < HELD

    gone = Gone()
    gone.start()
    assert gone.began.wait(30)

    async def scene() -> list[Any]:
        names = [f"away{number}" for number in range(places + 2)]
        placed = asyncio.ensure_future(calls(names, *[Say(SPEECH), Listen()] * 3))
        await asyncio.sleep(AWAY_S)
        gone.stopped.set()
        return await placed

    try:
        outcomes = asyncio.run(scene())
    finally:
        gone.stopped.set()
        gone.join()
    begun = [each for each in outcomes if each.status == "OK"]
    assert len(begun) == places, [(each.status, each.error) for each in outcomes]
    assert [each.status for each in outcomes if each not in begun] == ["UNAVAILABLE"] * 2
    totals = _settled(node)
    door = node.snapshot()["door"]
    assert door["without_ledger"] == places
    assert totals["calls"] == 3 + taken + places
    assert totals["overdraft_micros"] == 0
    assert _left(node) >= 0
    assert node.call("cost", "check") == []
    assert node.call("cost", "verify") == []
    for outcome in begun:
        record = node.call_record(outcome.call_id)
        assert record is not None
        cost = node.call("cost", "call_cost", record.spec.session_id)
        said = [text for who, text in outcome.transcript if who == "reception"]
        assert (cost.closed, cost.responses) == (True, len(said))
        assert cost.total_micros == record.cost_micros > 0
    report = node.call("cost", "report", "number", "1h")
    assert sum(row["cost_micros"] for row in report["rows"]) == totals["posted_micros"]


def _left(node: Deployment) -> int:
    [day] = [each for each in node.call("cost", "limits") if each["window"] == "day"]
    return int(day["left_micros"])


def _settled(node: Deployment) -> dict[str, Any]:
    """The totals, once every call is over and the singleton answers."""
    for _ in range(600):
        try:
            totals: dict[str, Any] = node.call("cost", "totals")
        except ray.exceptions.RayError:
            totals = {}
        if totals and not node.call("agent", "live_calls"):
            return totals
        threading.Event().wait(0.1)
    raise AssertionError("calls did not end")
