"""`reception`: the command line. Commands load what they need when they run."""

from cluster.cli import call, calls, demo, doctor, keys, load, serve  # each adds its commands
from cluster.cli.app import app

__all__ = ["app", "call", "calls", "demo", "doctor", "keys", "load", "main", "serve"]


def main() -> None:
    """Entry point of the `reception` command."""
    app()
