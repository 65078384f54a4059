"""The provider of a chaos run: on no node, with a count of its own of what it bills."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.local import ROOT
from reception.errors import Unavailable

ANSWER_MS = 60_000  # longer than a fault and what follows
STOP_S = 10.0


class Provider:
    """`python -m voice.alone`, answering in each caller's tone."""

    def __init__(self, folder: Path) -> None:
        self.bills = folder / "bills.jsonl"
        self._errors = folder / "provider.err"
        self._process: subprocess.Popen[str]
        self._read = 0  # bytes of the bills

    def start(self) -> str:
        """The base URL. Raises Unavailable."""
        script = json.dumps({"echo": True, "answer_ms": ANSWER_MS})
        command = [sys.executable, "-m", "voice.alone", "--script", script]
        command += ["--bills", str(self.bills), "--told"]
        with self._errors.open("w") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                text=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            complaint = self._errors.read_text(encoding="utf-8")[-1_000:]
            raise Unavailable(f"the provider did not start: {complaint}")
        return str(json.loads(line)["url"])

    def tell(self, order: str) -> None:
        """One of `voice.alone.ORDERS`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()

    def billed(self) -> Iterator[dict[str, Any]]:
        """What was billed since the last time."""
        with self.bills.open("rb") as file:
            file.seek(self._read)
            for line in file:
                self._read += len(line)
                yield json.loads(line)

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
