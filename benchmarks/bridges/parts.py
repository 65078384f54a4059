"""The processes of a run: each says one line of JSON when it is ready.

A part is a Python program that prints `{"ready": ...}`, answers lines on its
standard input with lines of JSON, and ends when its input is closed.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
READY_S = 120.0
END_S = 40.0
CLOSE_S = 5.0


class Part:
    """One process. `ready` is what it said when it was.

    Args:
        module: one of ours, run as `python -m`; or the path of a program.
        arguments: for it.
        python: the interpreter; None for this one.
        variables: of its environment, beside ours.
        ready_s: how long it may take to be ready.

    Raises:
        RuntimeError: it ended, or said nothing for so long.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        python: str | None = None,
        variables: Mapping[str, str] | None = None,
        ready_s: float = READY_S,
    ) -> None:
        # -P: nothing of ours can be taken for one of its packages.
        program = ["-P", module] if module.endswith(".py") else ["-m", module]
        self._name = module
        self._process = subprocess.Popen(
            [python or sys.executable, *program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1", **(variables or {})},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.ready: Any = self.answer(ready_s)["ready"]
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def answer(self, timeout_s: float) -> Any:
        """The next line it says. Lines that are no JSON are shown and passed over."""
        while True:
            try:
                line = self._lines.get(timeout=timeout_s)
            except queue.Empty:
                raise RuntimeError(f"{self._name} said nothing for {timeout_s:.0f} s") from None
            if not line:
                raise RuntimeError(f"{self._name} ended: {self._process.wait()}")
            if line.startswith("{"):
                return json.loads(line)
            print(f"{self._name}: {line.rstrip()}", file=sys.stderr)

    def ask(self, word: str, timeout_s: float = END_S) -> Any:
        """Says a word to it and waits for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self.answer(timeout_s)

    def stop(self) -> None:
        """Ends it: by closing its input, and if that is not enough, by force."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(CLOSE_S)
        if not self._reader.is_alive():  # else a process that it left behind has it
            self._process.stdout.close()


def say(**fields: Any) -> None:
    """One line to whoever started this process."""
    print(json.dumps(fields), flush=True)
