"""What the commands of `reception budget` share. All but `simulate` read and write the
database themselves: the server need not run, and if it does it follows at once."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeVar

import typer

from cluster.cli.app import app
from cluster.loop import run

if TYPE_CHECKING:
    from rich.table import Table

    from actors.cost import CostController

budget = typer.Typer(
    help="Money: limits, reports, the forecast, verification, simulation.", no_args_is_help=True
)
app.add_typer(budget, name="budget")

BY = "command line"
MICROS = 1_000_000

T = TypeVar("T")

DatabaseUrl = Annotated[
    str, typer.Option("--database-url", help="Instead of REALTIME_DATABASE_URL.")
]


def with_cost(database_url: str, work: "Callable[[CostController], Coroutine[Any, Any, T]]") -> T:
    """What `work` does with the deployment's money."""
    from actors.cost import CostController
    from actors.settings import load_settings

    settings = load_settings(**({"database_url": database_url} if database_url else {}))
    cost = CostController(settings)
    try:
        return run(work(cost))
    finally:
        cost.close()


@contextmanager
def reading(path: Path, field: str) -> Iterator[TextIO]:
    """A text file; what is wrong in it is told with its name."""
    import csv

    from reception.errors import InvalidRequest

    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            yield file
        except (ValueError, csv.Error) as error:
            raise InvalidRequest(f"{path}: {error}", field=field) from error
        except InvalidRequest as error:
            raise InvalidRequest(f"{path}: {error.message}", field=error.field) from error


def usd(micros: int | None, digits: int = 2) -> str:
    """Dollars as people read them; "?" for what is unknown."""
    return "?" if micros is None else f"{micros / MICROS:,.{digits}f}"


def in_zone(at_s: float | None, zone: str) -> str:
    """A day and a time; "" for none."""
    from datetime import datetime

    from reception.money.windows import zone_of

    return "" if at_s is None else f"{datetime.fromtimestamp(at_s, zone_of(zone)):%m-%d %H:%M}"


def table(*columns: str, left: int = 1) -> "Table":
    """A table whose first `left` columns are text; the others are numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, padding=0)
    for number, column in enumerate(columns):
        if number < left:
            made.add_column(column, overflow="fold")
        else:
            made.add_column(column, justify="right", no_wrap=True)
    return made
