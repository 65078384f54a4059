"""Whether a node has to speak for the model (savings: economy), and whether it can."""

from __future__ import annotations

import importlib.util

from actors.profiles import load_profiles
from actors.settings import Settings
from reception.errors import InvalidRequest
from reception.money.savings.levels import LEVELS, Level

_SYNTHESIS = "py_nanotts"  # the extra `embedded`


def speaks_here(settings: Settings) -> bool:
    """Some of the deployment's calls have answers that come as text.

    Raises:
        InvalidRequest: nothing on this machine can speak them, or not in a profile's
            language.
    """
    deployment = Level(settings.savings)
    profiles = load_profiles(settings.receptionist_path).profiles.values()
    spoken = [each for each in profiles if LEVELS[each.savings or deployment].text_answers]
    for profile in spoken:
        name = f"savings of profile {profile.name!r}" if profile.savings else "REALTIME_SAVINGS"
        _check_language(name, profile.name, profile.language)
    return bool(spoken)


def _check_language(setting: str, profile: str, language: str) -> None:
    if importlib.util.find_spec(_SYNTHESIS) is None:
        raise InvalidRequest(
            f"{setting} is 'economy': there is no speech synthesis (package {_SYNTHESIS}) on "
            "this machine; install the extra 'embedded', or choose 'thrifty'",
            field=setting,
        )
    from voice.speech.synthesizer import LANGUAGES  # noqa: PLC0415 - the extra `embedded`

    if language not in LANGUAGES:
        raise InvalidRequest(
            f"{setting} is 'economy': the speech synthesis has no {language!r}, the language of "
            f"profile {profile!r}, but {', '.join(sorted(LANGUAGES))}; choose 'thrifty'",
            field=setting,
        )
