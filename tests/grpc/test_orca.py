"""ORCA load reports, as a stock gRPC client takes them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2

from cluster.door_config import DoorConfig
from cluster.front_door import FrontDoor
from cluster.front_door.orca import SERVICE, load_of
from protos.orca.v1 import orca_pb2 as orca
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from reception.placement.balancing.report import NodeReport
from tests.fakes.backends import FakeBackends
from tests.waiting import patience

POLICY = {
    "enableOobLoadReport": True,
    "oobReportingPeriod": "0.1s",
    "blackoutPeriod": "0s",
    "weightUpdatePeriod": "0.1s",
    "weightExpirationPeriod": "60s",
}


def report(node_id: str, live: int, **fields: Any) -> NodeReport:
    values: dict[str, Any] = {
        "node_id": node_id, "zone": "", "at_s": 0.0, "capacity": 100, "live": live, "reserved": 0,
        "cpu": 0.1, "memory": 0.2, "lag_ms": 0.0, "misses_per_s": 0.0, "calls_per_s": 4.0,
        "errors_per_s": 0.5, "ready": True, "version": "1",
    }  # fmt: skip
    return NodeReport(**(values | fields))


@pytest.fixture
async def doors() -> AsyncIterator[Sequence[tuple[FakeBackends, str]]]:
    """Two front doors, of a node at a quarter and one at three quarters."""
    made = []
    for node_id, live in (("idle", 25), ("busy", 75)):
        backends = FakeBackends("", "")
        backends.report = report(node_id, live)
        door = FrontDoor(DoorConfig("127.0.0.1", 0, node_id), backends)
        made.append((door, backends, await door.start()))
    yield [(backends, address) for _, backends, address in made]
    for door, _, _ in made:
        await door.stop()


async def test_a_report_says_how_full_the_node_is(
    doors: Sequence[tuple[FakeBackends, str]],
) -> None:
    backends, address = doors[1]
    async with grpc.aio.insecure_channel(address) as channel:
        ask = channel.unary_stream(
            f"/{SERVICE}/StreamCoreMetrics",
            request_serializer=orca.LoadReportRequest.SerializeToString,
            response_deserializer=orca.LoadReport.FromString,
        )
        soon = duration_pb2.Duration(nanos=100_000_000)
        stream: Any = ask(orca.LoadReportRequest(report_interval=soon))
        first = await stream.read()
        assert first == load_of(report("busy", 75))
        assert (first.application_utilization, first.rps_fractional) == (0.75, 4.0)
        backends.report = report("busy", 75, ready=False)
        async with patience():
            while (await stream.read()).application_utilization != 1.0:
                pass
        stream.cancel()


async def test_grpcs_own_weighted_round_robin_weighs_doors_by_their_load(
    doors: Sequence[tuple[FakeBackends, str]],
) -> None:
    """Three to one: calls a second over utilisation (gRPC proposal A58)."""
    target = "ipv4:" + ",".join(address for _, address in doors)
    config = {"loadBalancingConfig": [{"weighted_round_robin": POLICY}]}
    options = [("grpc.service_config", json.dumps(config)), ("grpc.enable_retries", 0)]
    nodes = {address: backends.report for backends, address in doors}
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        stub = rpc.ReceptionStub(channel)

        async def share() -> float:
            asked = [await stub.Locate(rv.LocateRequest()) for _ in range(100)]
            found = [nodes[each.address] for each in asked]
            return sum(1 for each in found if each and each.node_id == "idle") / len(found)

        async with patience():
            while not 0.65 < await share() < 0.85:
                pass
