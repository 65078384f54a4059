"""ray-cluster.yaml, by Ray's own schema, and started by Ray's provider for one machine."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from actors.settings import load_settings
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).resolve().parents[2]
HEAD = "ray.head.default"  # as Ray calls it by itself
COUNT = """
import sys, time, ray
while True:
    try:
        ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
        break
    except (ConnectionError, RuntimeError):
        time.sleep(0.5)
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]):
    time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    return loaded


def test_it_is_valid_by_rays_own_schema(config: dict[str, Any]) -> None:
    prepared = prepare_config(config)
    validate_config(prepared)
    assert prepared["max_workers"] == len(config["provider"]["worker_ips"])


def test_it_asks_for_tokens_and_shows_no_dashboard_to_the_world(config: dict[str, Any]) -> None:
    commands = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    for command in commands:
        assert "ray start" not in command or "RAY_AUTH_MODE=token" in command
    head = next(each for each in commands if "--head" in each)
    assert "--dashboard-host=127.0.0.1" in head
    assert "~/.ray/auth_token" in config["file_mounts"]


def test_what_it_starts_is_there(config: dict[str, Any]) -> None:
    """Every file and every option of `reception serve` that its commands name."""
    help_text = subprocess.run(
        [sys.executable, "-m", "cluster.cli", "serve", "--help"],
        cwd=ROOT, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for command in config["head_start_ray_commands"] + config["worker_start_ray_commands"]:
        if "reception serve" in command and "nohup" in command:
            options = re.findall(r"--[a-z-]+", command.partition("reception serve")[2])
            assert options
            assert all(option in help_text for option in options)
            assert (ROOT / "deploy" / "ray-cluster.env").is_file()


def test_a_node_that_is_started_anew_may_drain_before(config: dict[str, Any]) -> None:
    env = (ROOT / "deploy" / "ray-cluster.env").read_text()
    named = dict(re.findall(r"REALTIME_(\w+)=([\d.]+)$", env, re.MULTILINE))
    given_s = float(named["TERMINATION_GRACE_S"])
    settings = load_settings(
        drain_grace_s=float(named["DRAIN_GRACE_S"]), termination_grace_s=given_s
    )
    assert settings.drain_grace_s <= settings.most_grace_s
    [leave] = [each for each in config["worker_start_ray_commands"] if "pkill" in each]
    assert f"timeout {given_s:g} " in leave


def test_it_waits_until_the_node_has_drained(config: dict[str, Any], tmp_path: Path) -> None:
    """With a process of this test in the place of `reception serve`."""
    [leave] = [each for each in config["worker_start_ray_commands"] if "pkill" in each]
    mark = uuid.uuid4().hex
    command = leave.replace("[r]eception serve", f"[{mark[0]}]{mark[1:]}")
    assert "reception" not in command
    drained = tmp_path / "drained"
    code = (
        "import pathlib, signal, sys, time\n"
        "def leave(*_): time.sleep(1); pathlib.Path(sys.argv[1]).touch(); sys.exit()\n"
        "signal.signal(signal.SIGTERM, leave); print(flush=True); signal.pause()"
    )
    serving = subprocess.Popen(
        [sys.executable, "-c", code, str(drained), mark], stdout=subprocess.PIPE
    )
    reaping = threading.Thread(target=serving.wait)
    reaping.start()
    with serving.stdout or contextlib.nullcontext() as said:
        assert said is not None
        said.readline()
        environment = os.environ | {"USER": getpass.getuser()}
        for _ in range(2):  # then there is none, which is no fault
            subprocess.run(["bash", "-c", command], env=environment, check=True, timeout=120)
            assert drained.exists()
    reaping.join(PATIENCE_S)


@pytest.fixture
def folder() -> Iterator[Path]:
    name = tempfile.mkdtemp(prefix="rc-")  # short: Ray's sockets have to fit into 107 bytes
    yield Path(name)
    shutil.rmtree(name, ignore_errors=True)


def free_port() -> int:
    """One that the system gives to nobody else before Ray takes it: below its own."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port


def test_rays_provider_for_one_machine_starts_as_many_nodes(
    config: dict[str, Any], folder: Path
) -> None:
    workers = len(config["provider"]["worker_ips"])
    port = free_port()
    address = f"{ray.util.get_node_ip_address()}:{port}"
    node = {"node_config": {}, "resources": {"CPU": 1, "object_store_memory": 10**8}}
    made = prepare_config(config) | {
        "file_mounts": {},
        "provider": {"type": "fake_multinode", "gcs_address": address},
        "available_node_types": {
            HEAD: {"node_config": {}, "resources": {"CPU": 0}, "max_workers": 0},
            "node": node | {"min_workers": workers, "max_workers": workers},
        },
        "head_node_type": HEAD,
        "max_workers": workers,
    }
    made |= {name: [] for name in made if name.endswith("_commands")}
    (folder / "fake.yaml").write_text(json.dumps(made))
    environment = os.environ | {"RAY_FAKE_CLUSTER": "1", "RAY_AUTH_MODE": "token"}
    environment["AUTOSCALER_UPDATE_INTERVAL_S"] = "1"
    command = [
        sys.executable, "-m", "cluster.cli", "ray", "start", "--head", "--block", "--num-cpus=0",
        f"--port={port}", "--include-dashboard=false", "--disable-usage-stats",
        f"--temp-dir={folder}/ray", f"--autoscaling-config={folder}/fake.yaml",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        head = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        done = subprocess.run(
            [sys.executable, "-c", COUNT, address, str(1 + workers)],
            env=environment, timeout=300, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + (folder / "log").read_text()
    finally:
        started = psutil.Process(head.pid).children(recursive=True)
        head.terminate()
        _, left = psutil.wait_procs(started, timeout=10)
        for process in left:
            process.kill()
        head.wait(PATIENCE_S)
