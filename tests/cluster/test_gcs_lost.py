"""Ray's GCS is gone for good: where it keeps nothing, the cluster ends with it."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cluster.caller import Caller, Listen, StayOn
from cluster.local import LocalCluster
from protos.reception.v1 import reception_pb2 as rv
from tests.cluster.patient import SCENE_S, placed, receptionist
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a name that is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="g-") as name:
        yield Path(name)


def test_without_fault_tolerance_calls_end_cleanly_and_a_new_cluster_settles_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "10")  # a minute by default
    settings = {
        "receptionist_path": str(receptionist(folder)), "provider": "embedded",
        "model": "scripted", "insecure_dev": "true", "workers": "1", "pool_size": "1",
    }  # fmt: skip
    outcome = _of_a_call_that_loses_its_cluster(folder, settings)
    assert (outcome.status, outcome.summary) == ("UNAVAILABLE", None)
    after = LocalCluster(folder, settings)
    try:
        after.start(1)
        wait_until(lambda: _left(folder), lambda left: left == (0, 0, ["ended"]))
    finally:
        after.stop()


def _of_a_call_that_loses_its_cluster(folder: Path, settings: dict[str, str]) -> Any:
    cluster = LocalCluster(folder, settings, ray_apart=True)
    try:
        cluster.start(1)
        [node] = cluster.nodes

        async def scene() -> Any:
            greeted = asyncio.Event()

            def caller() -> Caller:
                return Caller(
                    node.grpc_address, [Listen(), StayOn()],
                    start=rv.CallStart(call_id="c", format=rv.LegFormat(codec=rv.CODEC_PCMU)),
                    on_change=lambda outcome: greeted.set() if outcome.transcript else None,
                )  # fmt: skip

            call = asyncio.create_task(placed(caller))
            await greeted.wait()
            (gcs,) = cluster.gcs()
            gcs.kill()
            return await call

        outcome = asyncio.run(asyncio.wait_for(scene(), SCENE_S))
        for member in (node, cluster.head):
            assert member.process.wait(PATIENCE_S) == 1
        return outcome
    finally:
        cluster.stop()


def _left(folder: Path) -> tuple[int, int, list[str]]:
    """Live calls, money held for calls, and the states of what is recorded."""
    with closing(sqlite3.connect(folder / "reception.db", timeout=PATIENCE_S)) as connection:
        [[live]] = connection.execute("SELECT count(*) FROM live_calls")
        [[held]] = connection.execute(
            "SELECT coalesce(sum(held_micros), 0) FROM accounts WHERE session_id NOT LIKE 'lease:%'"
        )
        states = [row[0] for row in connection.execute("SELECT state FROM calls")]
    return live, held, states
