"""The typer application, its ways to print, and its one-line errors."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from reception.errors import LimitReached, NotAuthenticated, NotPermitted, ReceptionError

FAULT, INTERRUPTED = 1, 130

_ADVICE = {
    NotAuthenticated: "pass --key or set RECEPTION_KEY; `reception keys create` makes one",
    NotPermitted: "make a key that may: `reception keys create NAME --scope ...`",
    LimitReached: "try again later, or raise the limit",
}


class OneLineErrors(TyperGroup):
    """What our code raises becomes one line on stderr and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ReceptionError as error:
            fail(in_one_line(error))
        except OSError as error:
            fail(f"{error.filename or 'the system'}: {error.strerror or error}")
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    name="reception",
    cls=OneLineErrors,
    help="An AI receptionist for telephone lines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Server = Annotated[
    str, typer.Option("--server", "-s", envvar="RECEPTION_SERVER", help="host:port of a server.")
]
Key = Annotated[
    str, typer.Option("--key", "-k", envvar="RECEPTION_KEY", help="API key.", show_envvar=True)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]

SERVER = "127.0.0.1:50051"


def fail(message: str) -> None:
    """Prints one line and ends the command."""
    typer.echo(f"reception: {message}", err=True)
    raise typer.Exit(FAULT) from None


def in_one_line(error: ReceptionError) -> str:
    """The error, and what to do where we know it."""
    text = "; ".join(line.strip() for line in error.message.splitlines())
    advice = _ADVICE.get(type(error), "")
    if not advice or "reception keys create" in text:
        return text
    return f"{text} ({advice})"


def console(*, stderr: bool = False) -> Console:
    """Where people read."""
    return Console(stderr=stderr, highlight=False)


def print_json(value: Any) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()
