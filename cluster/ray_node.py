"""This machine as a node of a Ray cluster: Ray's own processes, and their end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import ray
import structlog
from ray._private import worker as ray_worker

from actors.forks.use import use_forks
from actors.spawn import NAMESPACE, SOON
from cluster.loop import warn_of_slow_actors
from reception.errors import Unavailable

STOP_TIMEOUT_S = 10.0
JOIN_TIMEOUT_S = 60.0
AFTER_RAY_S = 1.0
_GCS = "gcs_server"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RayNode:
    """A node that this process is connected to.

    joined: the cluster was there before, and outlives this node.
    folder: the node's own, for sockets.
    """

    node_id: str
    address: str
    dashboard_url: str
    joined: bool
    folder: str
    _raylet: subprocess.Popen[bytes] | None
    _stopping: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Ends what was started here; the folder goes too."""
        self._stopping.set()
        _stop_ray()
        if self._raylet is not None:
            self._raylet.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._raylet.wait(STOP_TIMEOUT_S)
        shutil.rmtree(self.folder, ignore_errors=True)


def start(address: str | None, node_ip: str | None, *, dashboard: bool) -> RayNode:
    """Ray on this machine, and a connection to it.

    Args:
        address: of a Ray cluster to join; None starts a local one.
        node_ip: by which other nodes reach this one; None leaves that to Ray.

    Raises:
        Unavailable: there is no such cluster, or no node of it here in time.
    """
    warn_of_slow_actors()
    try:
        return _start(address, node_ip, dashboard)
    except BaseException:
        _stop_ray()
        raise


def own_ip() -> str:
    """By which other nodes reach this one."""
    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]  # Ray's own


def own_raylet() -> psutil.Process:
    """The process of the node that this one is connected to."""
    node: Any = ray_worker._global_node
    told = f"--raylet_socket_name={node.raylet_socket_name}"
    return next(
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "raylet" and told in (process.info["cmdline"] or ())
    )


def _start(address: str | None, node_ip: str | None, dashboard: bool) -> RayNode:
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_worker_niceness", str(SOON))  # while they start
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # of numpy, in every actor
        os.environ.setdefault(name, "1")
    # Sessions are started one at a time by the node agent; at bring-up all at once.
    os.environ.setdefault("RAY_worker_maximum_startup_concurrency", "32")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # A node that does not answer is dead after some 6 s; singletons of it start elsewhere.
    for name, value in (("period_ms", "1000"), ("timeout_ms", "1000"), ("failure_threshold", "5")):
        os.environ.setdefault(f"RAY_health_check_{name}", value)
    use_forks()
    raylet, folder = None, tempfile.mkdtemp(prefix="rec-")
    common: dict[str, Any] = {
        "namespace": NAMESPACE,
        "log_to_driver": False,
        "logging_level": "ERROR",
    }
    if node_ip is not None:
        common["_node_ip_address"] = node_ip
    if address is None:
        common |= {"include_dashboard": dashboard, "dashboard_host": "127.0.0.1"}
        if "RAY_gcs_storage" not in os.environ:
            on_disk = {"gcs_storage": "rocksdb", "gcs_storage_path": f"{folder}/gcs"}
            common["_system_config"] = on_disk
        with _signals_held():
            context = ray.init(address="local", **common)
    else:
        if not _has_raylet(address, node_ip):
            raylet = _start_raylet(address, node_ip, folder)
        context = _join(address, common, raylet)
    here, url = ray.get_runtime_context(), context.dashboard_url or ""
    node = RayNode(
        node_id=here.get_node_id()[:12],
        address=here.gcs_address,
        dashboard_url=f"http://{url}" if url else "",
        joined=address is not None,
        folder=folder,
        _raylet=raylet,
    )
    if address is None:
        keep = threading.Thread(target=_keep_gcs, args=(node._stopping,), daemon=True, name="gcs")
        keep.start()
    return node


def _keep_gcs(stopping: threading.Event) -> None:
    """Starts the cluster's GCS again when it dies, at its port, from what it has on
    disk; nodes and actors wait for it for a minute. Ray has no public way for this."""
    node: Any = ray_worker._global_node
    while True:
        node.all_processes[_GCS][0].process.wait()
        if stopping.is_set():
            return
        log.error("GCS lost")
        node.kill_gcs_server(check_alive=False)  # forgets it
        node.start_gcs_server()
        log.warning("GCS is back")


def _join(address: str, options: dict[str, Any], raylet: subprocess.Popen[bytes] | None) -> Any:
    """Connects to this machine's node of the cluster.

    Raises:
        Unavailable: there is no such cluster, or no node of it here in time.
    """
    until_s = time.monotonic() + JOIN_TIMEOUT_S
    try:
        while True:  # ray start has no ready signal while it blocks
            try:
                with _signals_held():
                    return ray.init(address=address, **options)
            except (ConnectionError, RuntimeError, ValueError) as error:
                ended = raylet is None or raylet.poll() is not None
                if ended or time.monotonic() > until_s:
                    text = (
                        f"there is no Ray cluster to join at {address}: {error.__cause__ or error}"
                    )
                    raise Unavailable(text[:300]) from error
                time.sleep(0.2)
    except BaseException:
        if raylet is not None:
            raylet.terminate()
        raise


def _has_raylet(address: str, node_ip: str | None) -> bool:
    """Whether this machine is a node of the cluster already, at that address of its own."""
    wanted = {f"--gcs-address={address}"}
    if node_ip is not None:
        wanted.add(f"--node_ip_address={node_ip}")
    return any(
        process.info["name"] == "raylet" and wanted <= set(process.info["cmdline"] or ())
        for process in psutil.process_iter(["name", "cmdline"])
    )


def _start_raylet(address: str, node_ip: str | None, folder: str) -> subprocess.Popen[bytes]:
    """This machine becomes a node of the cluster at `address`. The folder is the node's
    own: raylets that start at once on one machine take each other's sockets otherwise."""
    command = [sys.executable, "-m", "cluster.cli", "ray", "start", "--block"]
    command += [f"--address={address}", "--disable-usage-stats", f"--temp-dir={folder}"]
    command += ["--include-log-monitor=False"]  # it sends to drivers what none of ours reads
    if node_ip is not None:
        command.append(f"--node-ip-address={node_ip}")
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@contextmanager
def _signals_held() -> Iterator[None]:
    """A signal that comes meanwhile is raised afterwards: Ray can't stop what it
    has half started, and puts in handlers of its own."""
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for each in (signal.SIGTERM, signal.SIGINT):
            before[each] = signal.signal(each, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    for number in came[:1]:
        signal.raise_signal(number)


def _stop_ray() -> None:
    """Ends Ray and what Ray leaves behind: it allows a raylet a second, and the
    agents of one that it had to kill may wait for its GCS for a minute."""
    raylets = [child for child in psutil.Process().children() if child.name() == "raylet"]
    descendants = [each for raylet in raylets for each in raylet.children(recursive=True)]
    ray.shutdown()
    _, left = psutil.wait_procs(descendants, timeout=AFTER_RAY_S)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
