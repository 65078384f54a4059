"""`reception load --ray`: drivers on every node of a cluster of two."""

from __future__ import annotations

import asyncio
import time

import pytest
import ray
from ray.cluster_utils import Cluster

from cluster.load.arrivals import parse_arrivals
from cluster.load.ray_fleet import RayFleet
from cluster.load.scenario import Sounds, cast_of, parse_scenario
from cluster.load.schedule import Plan
from reception.errors import Unavailable
from tests.fakes.door import FakeDoor
from tests.fakes.receptionist import Receptionist
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def two_nodes():
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made.address
    ray.shutdown()
    made.shutdown()


async def test_both_nodes_place_their_calls(two_nodes):
    door = FakeDoor()
    door.conversation = house = Receptionist()
    form = parse_scenario("callers: [{name: x, steps: [{silence_s: 0.2}]}]", "test")
    pattern = parse_arrivals("constant:10", lambda _: ())
    plan = Plan(
        await door.start(),
        cast_of(form, Sounds(lambda *_: b"", lambda _: b"")),
        pattern,
        duration_s=1.0,
        patience_s=PATIENCE_S,
    )

    def work():
        fleet = RayFleet(plan, 1, two_nodes)
        try:
            fleet.start()
            fleet.go(time.time() + 0.5)
            over = False
            while not over:
                progress, over = fleet.poll(0.2)
            return fleet.nodes, progress, fleet.result()
        finally:
            fleet.close()

    nodes, progress, result = await asyncio.wait_for(asyncio.to_thread(work), 200)
    await door.stop()
    assert nodes == 2
    assert result["counts"]["calls"] == 10
    assert result["statuses"] == {"OK": 10}
    assert progress["live"] <= 10
    assert len(house.starts) == 10
    assert not ray.is_initialized()


def test_no_cluster_there(unused_tcp_port):
    plan = Plan("127.0.0.1:1", (), None)
    with pytest.raises(Unavailable, match="no Ray cluster"):
        RayFleet(plan, 1, f"127.0.0.1:{unused_tcp_port}")
