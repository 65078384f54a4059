"""`reception`: the command line. Commands load what they need when they run."""

from cluster.cli.app import app

# Each module adds its commands to the app.
from cluster.cli import call, calls, demo, doctor, keys, serve  # noqa: E402, F401, I001

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the `reception` command."""
    app()
