"""What the cluster's processes wrote during a try, kept where it outlives the cluster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

MOST_FILE_BYTES = 1024 * 1024
MOST_BYTES = 16 * 1024 * 1024  # of one try
_LEAST_SHARE_BYTES = 1024
_SUFFIXES = frozenset({".err", ".log"})
_FIRST = ("worker-", "raylet", "gcs_server")  # of Ray's: our actors' words come in the first


class Logs:
    """Of one cluster: what its processes complain of, and Ray's logs of its session.

    Args:
        folder: the cluster's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._had: dict[Path, int] = {}  # bytes, when the try began

    def begin(self) -> None:
        """What is there by now is not of the next try."""
        self._had = dict(self._files())

    def keep(self, folder: Path) -> Path:
        """Copies what came since `begin`: the end of each file, and of all together
        MOST_BYTES at the most. Returns the folder."""
        left = MOST_BYTES
        for path, size in self._files():
            had = self._had.get(path, 0)
            came = size - (had if had <= size else 0)  # it was begun anew
            share = min(came, MOST_FILE_BYTES, left)
            if came == 0 or share < min(came, _LEAST_SHARE_BYTES):
                continue
            left -= share
            with contextlib.suppress(OSError):  # Ray takes some away
                _copy(path, size - share, share, folder / self._name(path))
        return folder

    def _files(self) -> Iterator[tuple[Path, int]]:
        """All logs with their sizes, the ones that tell most first."""
        found = []
        for name, _, files in os.walk(self._folder):
            here = Path(name)
            of_ray = "logs" in here.relative_to(self._folder).parts
            if of_ray or self._folder in (here, here.parent):
                found += [here / each for each in files if of_ray or Path(each).suffix in _SUFFIXES]
        for path in sorted(found, key=self._rank):
            with contextlib.suppress(OSError):
                yield path, path.stat().st_size

    def _rank(self, path: Path) -> tuple[int, str]:
        if "logs" not in path.relative_to(self._folder).parts:
            return 0, path.name
        return (1 if path.name.startswith(_FIRST) else 2), str(path)

    def _name(self, path: Path) -> Path:
        """Where it goes: Ray's logs by their name in the session's own folder."""
        parts = path.relative_to(self._folder).parts
        return Path(*parts[parts.index("logs") + 1 :]) if "logs" in parts else Path(path.name)


def _copy(path: Path, at: int, size: int, to: Path) -> None:
    with path.open("rb") as file:
        file.seek(at)
        data = file.read(size)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(data)
