"""`reception phrases`: recordings of what profiles say word for word."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli.app import AsJson, app, console, print_json
from cluster.loop import run
from reception.errors import InvalidRequest

if TYPE_CHECKING:
    from actors.settings import Settings
    from reception.call.profile import Profile

phrases = typer.Typer(help="Recordings of fixed phrases.", no_args_is_help=True)
app.add_typer(phrases, name="phrases")


@phrases.callback()
def _group() -> None:
    """Keeps `make` a subcommand while it is the only one."""


@phrases.command()
def make(
    profile: Annotated[str, typer.Option(help="Only this one's.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Those that there are, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Has the model say each profile's greeting, goodbye and other fixed phrases once, and
    keeps them below REALTIME_PHRASES_PATH for calls. Each is a billed answer."""
    from actors.profiles import load_profiles
    from actors.settings import load_settings

    settings = load_settings()
    if settings.provider == "embedded" and not settings.provider_base_url:
        raise InvalidRequest(
            "REALTIME_PROVIDER_BASE_URL is empty: the embedded engine runs inside of a server "
            "only; set REALTIME_PROVIDER=openai, or the URL of an engine",
            field="provider_base_url",
        )
    book = load_profiles(settings.receptionist_path)
    chosen = [book.choose(profile, "")] if profile else list(book.profiles.values())
    made = [path for each in chosen for path in run(_make(settings, each, again))]
    if as_json:
        print_json({"made": [str(path) for path in made]})
        return
    console().print(f"{len(made)} recordings made in {settings.phrases_path}", markup=False)


async def _make(settings: "Settings", profile: "Profile", again: bool) -> "list[Path]":
    from actors.phrase_files import recordings, write
    from actors.phrases import make
    from reception.call.phrases import file_name, fixed
    from reception.provider.base import DialPlan

    provider, voice = settings.provider, settings.voice
    known = {} if again else recordings(str(settings.phrases_path), provider, voice, profile)
    model = profile.model or settings.model
    plan = DialPlan(provider, settings.provider_base_url, model, "pcm24k")
    made = []
    for text in fixed(profile):
        if text in known:
            continue
        path = settings.phrases_path / file_name(provider, profile.voice or voice, text)
        write(path, await make(plan, profile, voice, text))
        made.append(path)
    return made
