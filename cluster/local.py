"""Several nodes on this machine: each a `reception serve` with a raylet, a front door and
pools of its own. For tests, and for trying out what faults do."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from reception.errors import Unavailable

READY_S = 240.0
STOP_S = 30.0
LOOK_S = 0.1
ROOT = Path(__file__).resolve().parents[1]
_AS_WITH_RAY_UP = {
    "RAY_worker_niceness": "5",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
}


@dataclass(slots=True)
class Member:
    """One `reception serve` and all that descends from it."""

    number: int
    process: subprocess.Popen[str]
    errors: Path
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def node_id(self) -> str:
        return str(self.said["node_id"])

    @property
    def grpc_address(self) -> str:
        return str(self.said["grpc"])

    def wait(self) -> None:
        """Until it takes calls. Raises Unavailable with what it complained of."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], READY_S)
        line = self.process.stdout.readline() if readable else ""
        if not line:
            complaint = self.errors.read_text(encoding="utf-8", errors="replace")[-2_000:]
            raise Unavailable(f"node {self.number} did not come up: {complaint}")
        self.said = json.loads(line)

    def processes(self, kind: str = "") -> list[psutil.Process]:
        """Its own, or only those of actors of this class."""
        found = []
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    title = (process.cmdline() or [""])[0]
                    if not kind or title.startswith(f"ray::{kind}"):
                        found.append(process)
            if not kind:
                found.append(psutil.Process(self.process.pid))
        return found

    def send(self, number: signal.Signals) -> None:
        """A signal to every process of the node, as if its machine did so: SIGKILL for
        loss, SIGSTOP for standing still, SIGCONT for waking up."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def lose(self) -> None:
        """Every process is gone at once."""
        self.send(signal.SIGSTOP)  # or some would see the others die
        self.send(signal.SIGKILL)
        self.process.wait(STOP_S)

    def leave(self) -> None:
        """As SIGTERM does: drains, hands over, stops."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_S + 120.0)


class LocalCluster:
    """A head, which has the singletons, and nodes that take calls.

    Args:
        folder: for the database, recordings and what nodes complain of.
        settings: REALTIME_* variables of every process, without the prefix.
        database_url: a file in the folder if it is empty. With a server singletons may
            start anew on any node.
        ray_apart: Ray's own head is a `ray start`, as `ray-cluster.yaml` has it, whose GCS
            is lost with it; None: with a database server.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, str],
        database_url: str = "",
        ray_apart: bool | None = None,
    ) -> None:
        self.folder = folder
        database_url = database_url or f"sqlite:///{folder}/reception.db"
        has_server = not database_url.startswith("sqlite")
        self._ray_apart = has_server if ray_apart is None else ray_apart
        self.head: Member
        self.nodes: list[Member] = []
        self._ray: list[Member] = []
        self._options = [
            "--json", "--no-dashboard", "--grpc-port", "0", "--http-port", "0",
            "--database-url", database_url,
            "--recordings-dir", str(folder / "recordings"),
        ]  # fmt: skip
        named = {f"REALTIME_{name.upper()}": value for name, value in settings.items()}
        own = {"TMPDIR": str(folder), "REALTIME_OUTBOX_PATH": str(folder / "outbox")}
        self._environment = os.environ | named | own | _AS_WITH_RAY_UP
        self._started = 0

    def start(self, count: int) -> None:
        """The head, and so many nodes side by side."""
        address = ["--address", self._start_ray()] if self._ray_apart else []
        self.head = self._begin(["--no-calls", *address])
        self.head.wait()
        self.add(count)

    def add(self, count: int = 1) -> Sequence[Member]:
        """More nodes."""
        address = ["--address", str(self.head.said["ray"])]
        added = [self._begin(address) for _ in range(count)]
        self.nodes += added
        for member in added:
            member.wait()
        return added

    def members(self) -> list[Member]:
        """All that live: Ray's own head, where it is apart, ours, and the nodes."""
        every = (*self._ray, self.head, *self.nodes)
        return [each for each in every if each.process.poll() is None]

    def has_gcs(self, member: Member) -> bool:
        """Whether Ray's GCS dies with it."""
        return member in (self._ray or [self.head])

    def gcs(self) -> list[psutil.Process]:
        """The process of Ray's GCS, where it runs."""
        return [process for member in self.members() if self.has_gcs(member)
                for process in member.processes() if process.name() == "gcs_server"]  # fmt: skip

    def _begin(self, options: Sequence[str]) -> Member:
        self._started += 1
        node_ip = f"127.0.0.{100 + self._started % 100}"
        serve = ["cluster.cli", "serve", *self._options, *options, "--node-ip", node_ip]
        return self._run(f"node{self._started}.err", serve)

    def _start_ray(self) -> str:
        """The address of a Ray cluster that has only its head. Raises Unavailable."""
        folder, ip = self.folder / "ray", "127.0.0.99"
        start = ["cluster.cli", "ray", "start", "--head", "--block", "--port=0", "--num-cpus=0"]
        start += [f"--node-ip-address={ip}", f"--temp-dir={folder}", "--disable-usage-stats"]
        start += ["--include-dashboard=false", "--include-log-monitor=false"]
        head = self._run("ray.err", start)
        self._ray.append(head)
        told = folder / "ray_current_cluster"
        until_s = time.monotonic() + READY_S
        while not (told.exists() and (address := told.read_text().strip())):
            if head.process.poll() is not None or time.monotonic() > until_s:
                raise Unavailable(f"Ray's head did not come up: {head.errors.read_text()[-2_000:]}")
            time.sleep(LOOK_S)
        return address

    def _run(self, errors_name: str, module: Sequence[str]) -> Member:
        errors = self.folder / errors_name
        with errors.open("w") as stderr:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", *module], cwd=ROOT, env=self._environment,
                stdout=subprocess.PIPE, stderr=stderr, text=True,
            )  # fmt: skip
        return Member(self._started, process, errors)

    def stop(self) -> None:
        """Ends all nodes, dead or alive, and leaves nothing behind."""
        members = [*self.nodes, *([self.head] if hasattr(self, "head") else []), *self._ray]
        for member in members:
            member.send(signal.SIGCONT)
        for member in self.nodes:
            member.process.terminate()
        until_s = time.monotonic() + STOP_S
        for member in members:
            processes = member.processes()
            if member.process.poll() is None:
                member.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    member.process.wait(max(0.1, until_s - time.monotonic()))
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            member.process.wait()
            if member.process.stdout is not None:
                member.process.stdout.close()


@contextlib.contextmanager
def local_cluster(count: int, **settings: str) -> Iterator[LocalCluster]:
    """A cluster in a folder of its own, stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="r-") as folder:
        cluster = LocalCluster(Path(folder), settings)
        try:
            cluster.start(count)
            yield cluster
        finally:
            cluster.stop()
