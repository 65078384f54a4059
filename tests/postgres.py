"""A throw-away PostgreSQL server for tests, from the installed binaries."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

_ROOTS = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt")
_SETTINGS = ("fsync=off", "listen_addresses=", "max_connections=50", "shared_buffers=16MB")
START_TIMEOUT_S = 60


def binaries() -> Path | None:
    """The folder of the newest installed server's programs."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = [path.parent for root in _ROOTS for path in Path(root).glob("*/bin/initdb")]
    return max(folders, key=lambda path: path.parent.name, default=None)


@contextlib.contextmanager
def server(programs: Path) -> Iterator[str]:
    """Runs a server on a Unix socket; yields its folder. initdb refuses to run
    as root, so an ordinary user is taken then."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"

    def run(program: str, *args: str) -> None:
        done = subprocess.run(
            [programs / program, *args],
            user=user,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    try:
        run("initdb", "-D", str(data), "-A", "trust", "-U", "tester", "-N", "-E", "UTF8")
        options = " ".join(f"-c {setting}" for setting in _SETTINGS)
        log = str(folder / "log")
        socket = f"-c unix_socket_directories={folder}"
        run("pg_ctl", "-D", str(data), "-l", log, "-w", "-o", f"{options} {socket}", "start")
        try:
            yield str(folder)
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def database(folder: str, name: str) -> Iterator[str]:
    """A fresh database; yields its URL."""
    address = f"host={folder} user=tester dbname=postgres"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    try:
        yield f"postgresql://tester@/{name}?host={folder}"
    finally:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
