"""What nodes of ours run as a Ray worker: a fork of a process that has imported all of it.

Importing Ray and a session costs each process a second of CPU and 43 MB. Here the first
worker of a raylet becomes its fork server: it imports once, and whoever comes after it asks
for a fork, which shares those pages with all others (copy on write), and ends. A fork does
what Ray's own `default_worker.py` does; where no fork is to be had a worker begins as
Ray's own do.

A script, run as `worker_path` of a raylet (`actors.forks.use`) with the arguments of Ray's
own. Linux.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ANSWER_S = 20.0  # for a fork, while the server imports
BACKLOG = 128
TITLE = "ray::ForkServer"
_RAYS = "ray._private.workers.default_worker"
# What every session has, and no more: not NumPy, gRPC or openai.
SHARED = (_RAYS, "uvloop", "actors.spawn", "actors.session")
_FORKED = b"1"
_MOST_NAME = 90  # the end of its path, with the time when its session began

Request = tuple[list[str], dict[str, str]]  # arguments, environment


def main() -> None:
    """As a worker of the raylet that started this."""
    sys.path[0] = str(ROOT)
    raylet = int(os.environ["RAY_RAYLET_PID"])
    [name] = [each for each in sys.argv if each.startswith("--raylet-name=")]
    address = f"\0forks:{name[-_MOST_NAME:]}"
    request: Request = sys.argv, dict(os.environ)
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(address)
        except OSError:
            if ask(address, request):
                return
        else:
            listener.listen(BACKLOG)
            request = serve(listener, raylet, request, SHARED)
    _work(request)


def ask(address: str, request: Request, answer_s: float = ANSWER_S) -> bool:
    """Whether the server at `address` made a fork for a request."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(answer_s)
        connection.connect(address)
        if _is_ours(connection):
            connection.sendall(json.dumps(request).encode())
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(1) == _FORKED
    return False


def serve(listener: socket.socket, raylet: int, own: Request, shared: Sequence[str]) -> Request:
    """Forks for each request, its own first, until the raylet ends. Comes back in the
    forks only, each with its request.

    Args:
        raylet: its process.
        shared: modules that are imported before.
    """
    children = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # none is waited for
    for name in shared:
        importlib.import_module(name)
    if ray := sys.modules.get("ray._raylet"):
        ray.setproctitle(TITLE)  # until Ray calls a fork something else
    gc.collect()
    gc.freeze()  # a collection in a fork would write to what is shared
    if _fork(children):
        return own
    life = os.pidfd_open(raylet)
    while life not in select.select([listener.fileno(), life], [], [])[0]:
        with listener.accept()[0] as connection:
            request = _asked(connection)
            if request is not None and _fork(children):
                os.close(life)
                with contextlib.suppress(OSError):
                    connection.sendall(_FORKED)
                    return request
                os._exit(0)  # who asked waits no more, and began by itself
    os._exit(0)


def _asked(connection: socket.socket) -> Request | None:
    with contextlib.suppress(OSError, ValueError):
        connection.settimeout(ANSWER_S)
        if _is_ours(connection):
            arguments, environment = json.load(connection.makefile("rb"))
            return arguments, environment
    return None


def _fork(children: Any) -> bool:
    """Whether this is the fork; in a process group of its own, as Ray's workers are."""
    if os.fork():
        return False
    signal.signal(signal.SIGCHLD, children)
    os.setpgid(0, 0)
    return True


def _is_ours(connection: socket.socket) -> bool:
    """Whether the other end is a process of the same user and container (of another one
    we are told no process id): any may take a name."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process, user, _ = struct.unpack("3i", told)
    return bool(process) and user == os.getuid()


def _work(request: Request) -> None:
    """What Ray's own worker does, in its place."""
    arguments, environment = request
    os.environ.clear()
    os.environ.update(environment)
    path = str(importlib.import_module(_RAYS).__file__)
    sys.argv = [path, *arguments[1:]]
    runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    main()
