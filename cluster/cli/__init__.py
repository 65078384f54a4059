"""`reception`: the command line. Commands load what they need when they run."""

from cluster.cli import (  # each adds its commands
    budget,
    call,
    calls,
    demo,
    doctor,
    keys,
    load,
    serve,
)
from cluster.cli.app import app

__all__ = ["app", "budget", "call", "calls", "demo", "doctor", "keys", "load", "main", "serve"]


def main() -> None:
    """Entry point of the `reception` command."""
    app()
