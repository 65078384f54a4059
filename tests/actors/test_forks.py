"""The fork server of a raylet's workers, with real processes in the raylet's place."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.forks import worker
from actors.forks.worker import ask
from tests.waiting import PATIENCE_S, wait_until

ROOT = Path(__file__).resolve().parents[2]

# As a worker: the first serves, every fork says who it is.
SERVE = """
import json, os, signal, socket, sys
from actors.forks import worker
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print(os.getpid(), flush=True)
asked = worker.serve(listener, int(sys.argv[2]), (["first"], {}), ["decimal"])
told = {"asked": asked, "pid": os.getpid(), "group": os.getpgid(0), "parent": os.getppid()}
told["decimal"] = "decimal" in sys.modules
told["waits"] = signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
os.write(1, json.dumps(told).encode() + b"\\n")  # as one
"""


class Server:
    """A fork server whose raylet is a process that sleeps."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "forks")
        waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]  # ends with these tests
        self.raylet = subprocess.Popen(waits, stdin=subprocess.PIPE)
        command = [sys.executable, "-c", SERVE, self.address, str(self.raylet.pid)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self._lines = self.process.stdout
        assert int(self._lines.readline()) == self.process.pid

    def fork(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._lines.readline())
        return told

    def stop(self) -> None:
        for process in (self.raylet, self.process):
            process.kill()
            process.wait(PATIENCE_S)
        for each in (self.raylet.stdin, self._lines):
            assert each is not None
            each.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path)
    yield one
    one.stop()


def test_each_fork_has_its_own_request_and_what_was_imported(server: Server) -> None:
    first = server.fork()
    assert first["asked"] == [["first"], {}]
    assert ask(server.address, (["second", "two words"], {"NAME": "ä" * 100_000}))
    second = server.fork()
    assert second["asked"] == [["second", "two words"], {"NAME": "ä" * 100_000}]
    assert first["pid"] != second["pid"]
    for each in (first, second):
        assert each["parent"] == server.process.pid
        assert each["group"] == each["pid"]
        assert each["decimal"]
        assert each["waits"]


def test_many_ask_at_once(server: Server) -> None:
    server.fork()
    asking = [
        threading.Thread(target=ask, args=(server.address, ([str(number)], {})))
        for number in range(30)
    ]
    for each in asking:
        each.start()
    assert sorted(int(server.fork()["asked"][0][0]) for _ in asking) == list(range(30))
    for each in asking:
        each.join(PATIENCE_S)
    wait_until(lambda: psutil.Process(server.process.pid).children(), lambda left: not left)


def test_nonsense_and_who_asks_nothing_disturb_nobody(server: Server) -> None:
    server.fork()
    for nonsense in (b"", b"{", b"[1, 2, 3]", b"\xff"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(server.address)
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
    assert ask(server.address, (["next"], {}))
    assert server.fork()["asked"] == [["next"], {}]


def test_who_waits_no_more_gets_no_fork(server: Server) -> None:
    """Its worker begins by itself: there must not be two of it."""
    server.fork()
    server.process.send_signal(signal.SIGSTOP)
    assert not ask(server.address, (["late"], {}), answer_s=0.2)
    server.process.send_signal(signal.SIGCONT)
    assert ask(server.address, (["next"], {}))
    assert server.fork()["asked"] == [["next"], {}]


def test_it_ends_with_its_raylet(server: Server) -> None:
    server.fork()
    server.raylet.kill()
    assert server.process.wait(PATIENCE_S) == 0


def test_without_a_server_nobody_answers(tmp_path: Path) -> None:
    assert not ask(str(tmp_path / "nobody"), ([], {}))


def test_a_process_of_somebody_else_is_not_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fork()
    monkeypatch.setattr(worker, "os", _Stranger)
    assert not ask(server.address, (["stranger"], {}))


class _Stranger:
    """Another user."""

    @staticmethod
    def getuid() -> int:
        return os.getuid() + 1
