"""`reception demo`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli.app import AsJson, app, fail


class Provider(StrEnum):
    """Who speaks and listens."""

    EMBEDDED = "embedded"
    OPENAI = "openai"


@app.command()
def demo(
    provider: Annotated[
        Provider, typer.Option(help="The voice; openai needs OPENAI_API_KEY.")
    ] = Provider.EMBEDDED,
    out: Annotated[Path, typer.Option(help="Where recordings and records go.")] = Path("out"),
    as_json: AsJson = False,
) -> None:
    """Starts everything here and has four spoken callers answered at once."""
    import os

    if provider is Provider.OPENAI and not os.environ.get("OPENAI_API_KEY"):
        fail("OPENAI_API_KEY is not set: export it, or leave --provider embedded")
    from cluster.demo import run

    raise typer.Exit(run(provider.value, out, as_json=as_json))
