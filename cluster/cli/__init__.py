"""`reception`: the command line. Commands load what they need when they run."""

from cluster.cli import (  # noqa: F401 - each adds its commands
    budget,
    call,
    calls,
    chaos,
    cluster,
    demo,
    doctor,
    keys,
    load,
    phrases,
    ray,
    serve,
)
from cluster.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the `reception` command."""
    app()
