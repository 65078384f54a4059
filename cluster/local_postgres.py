"""A PostgreSQL server of this machine's own programs, in a folder: for tests, and for
trying out what its loss does."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from reception.errors import Unavailable

USER = "reception"
TIMEOUT_S = 60
_ROOTS = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt")
_SETTINGS = ("listen_addresses=", "shared_buffers=16MB")


def programs() -> Path:
    """The folder of the newest installed server's programs.

    Raises:
        Unavailable: there is none; says what to install.
    """
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = [path.parent for root in _ROOTS for path in Path(root).glob("*/bin/initdb")]
    if not folders:
        raise Unavailable(
            f"no PostgreSQL server is installed: no initdb on the PATH nor in "
            f"{', '.join(_ROOTS)} (Debian: apt-get install postgresql)"
        )
    return max(folders, key=lambda path: path.parent.name)


class LocalPostgres:
    """Listens on a Unix socket in its folder. Its methods block, and raise Unavailable
    with what the server's programs say. They refuse to run as root: then an ordinary user
    is taken, who must be able to reach the folder.

    Args:
        folder: is made; data, socket and log go there.
        binaries: `programs()`.
        settings: of the server, as "fsync=off".
    """

    def __init__(self, folder: Path, binaries: Path, settings: Sequence[str] = ()) -> None:
        self._folder, self._programs = folder, binaries
        self._settings = [*_SETTINGS, *settings, f"unix_socket_directories={folder}"]
        self._as_user: list[str] = []
        folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            who = pwd.getpwnam("nobody")
            os.chown(folder, who.pw_uid, who.pw_gid)
            # subprocess's own `user` makes it fork, which gRPC in this process may not outlive
            self._as_user = ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}",
                             "--clear-groups"]  # fmt: skip
        data = ["-D", str(self._data), "-A", "trust", "-U", USER, "-E", "UTF8"]
        self._run("initdb", *data, "--no-sync")

    def start(self) -> None:
        """Until it takes connections."""
        options = " ".join(f"-c {each}" for each in self._settings)
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self._folder / "postgres.log"), "-w",
                  "-t", str(TIMEOUT_S), "-o", options, "start")  # fmt: skip

    def stop(self) -> None:
        """At once, as if it had died: connections break, and its next start recovers."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def send(self, number: signal.Signals) -> None:
        """A signal to every process of it: SIGSTOP for standing still, SIGCONT for going on."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        for process in (postmaster, *postmaster.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # one of a connection has ended
                process.send_signal(number)

    @contextlib.contextmanager
    def _administrator(self) -> Iterator[psycopg.Connection]:
        address = f"host={self._folder} user={USER} dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            yield connection

    def create(self, name: str) -> str:
        """An empty database; its URL."""
        with self._administrator() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"postgresql://{USER}@/{name}?host={self._folder}"

    def drop(self, name: str) -> None:
        """A database, and who is connected to it."""
        with self._administrator() as connection:
            command = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(command.format(sql.Identifier(name)))

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, program: str, *args: str) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - the server's own programs
                [*self._as_user, self._programs / program, *args], cwd=self._folder,
                capture_output=True, text=True, timeout=TIMEOUT_S + 5, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{program} takes over {TIMEOUT_S} s") from None
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}".strip()[-2_000:]
            raise Unavailable(f"{program} ended with {done.returncode}: {said}")
