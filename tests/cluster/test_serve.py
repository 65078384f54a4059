"""`reception serve` as a process: comes up, answers, drains, leaves nothing behind."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.timeout(400)

READY_S = 120.0
STOP_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


class Server:
    """The command, and every process that descends from it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.mark = uuid.uuid4().hex
        self.errors = folder / "stderr.txt"
        command = [
            sys.executable, "-m", "cluster.cli", "serve", "--json", "--grpc-port", "0",
            "--http-port", "0", "--no-dashboard", "--pool-size", "2", "--workers", "1",
            "--database-url", f"sqlite:///{folder}/reception.db", *options,
        ]  # fmt: skip
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | {"RECEPTION_TEST_MARK": self.mark},
                stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip

    def ready(self) -> dict[str, str]:
        """What it says once it is up."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], READY_S)
        assert readable, self.errors.read_text()
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        found: dict[str, str] = json.loads(line)
        return found

    def descendants(self) -> dict[int, str]:
        """Processes that carry our mark."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (process / "environ").read_bytes():
                    found[int(process.name)] = (process / "cmdline").read_text()
            except OSError:
                continue  # it has just ended, or is not ours
        return found

    def end(self) -> None:
        """Whatever a failed test left."""
        for pid in self.descendants():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path, "--insecure-dev")
    yield found
    found.end()


def test_it_comes_up_and_sigterm_leaves_nothing_behind(server: Server) -> None:
    said = server.ready()
    with grpc.insecure_channel(said["grpc"]) as channel:
        request = health_pb2.HealthCheckRequest(service="reception.v1.Reception")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=PATIENCE_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with urllib.request.urlopen(f"{said['http']}/readyz", timeout=PATIENCE_S) as page:
        assert page.status == 200
    assert len(server.descendants()) > 5
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(STOP_S) == 0
    assert "draining" in server.errors.read_text()
    assert "stopped" in server.errors.read_text()
    wait_until(server.descendants, lambda left: not left)


def test_ctrl_c_while_it_comes_up_leaves_nothing_behind(server: Server) -> None:
    until_s = time.monotonic() + READY_S
    while not any("raylet" in line for line in server.descendants().values()):
        assert time.monotonic() < until_s
        time.sleep(0.05)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(STOP_S) == 0
    assert "stopped while starting" in server.errors.read_text()
    wait_until(server.descendants, lambda left: not left)
