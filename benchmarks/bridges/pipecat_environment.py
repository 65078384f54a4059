"""Pipecat's own environment: made on first use from `pipecat.txt`, pinned and hashed.

Its packages would clash with ours (and are a lot), so they are no part of
`requirements/`. Made by pip, which takes package indexes from its own configuration.
Lock anew, beside `pipecat.in`, with:

    uv pip compile pipecat.in --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header -o pipecat.txt
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.bridges.parts import ROOT

LOCK = Path(__file__).with_name("pipecat.txt")
_ENVIRONMENT = "PIPECAT_VENV"


def python() -> str:
    """The environment's interpreter; makes the environment where it is missing or old.

    Raises:
        subprocess.CalledProcessError: it could not be made.
    """
    folder = Path(os.environ.get(_ENVIRONMENT, ROOT / ".venv-pipecat"))
    interpreter, stamp = folder / "bin" / "python", folder / ".lock-stamp"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = version + " " + hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if interpreter.exists() and stamp.exists() and stamp.read_text() == wanted:
        return str(interpreter)
    print(f"installing Pipecat into {folder} (about a minute)", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    options = ["-qq", "--require-hashes", "--no-deps", "--requirement", str(LOCK)]
    subprocess.run([str(interpreter), "-m", "pip", "install", *options], check=True)
    stamp.write_text(wanted)
    return str(interpreter)


if __name__ == "__main__":
    print(python())
