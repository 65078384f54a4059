"""A receptionist: whom it works for, what it says, whom it knows."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from reception.call.hours import OpeningHours
from reception.errors import InvalidRequest
from reception.media.hearing import Hearing
from reception.money.savings.levels import LEVELS, Level, route
from reception.provider.base import TurnDetection

FULL_MODEL_TOOL = "use_full_model"
ALL_TOOLS = (
    "transfer_call",
    "take_message",
    "get_opening_hours",
    "find_person",
    "end_call",
    FULL_MODEL_TOOL,
)

_SCHEME = re.compile(r"^(tel|sips?):", re.IGNORECASE)
_SEPARATORS = re.compile(r"[-.() ]")


@dataclass(frozen=True, slots=True)
class Entry:
    """A person or department calls can be put through to.

    destination is a telephone number or SIP URI.
    """

    name: str
    destination: str
    role: str = ""
    aliases: tuple[str, ...] = ()
    is_person: bool = False

    def is_called(self, name: str) -> bool:
        wanted = name.strip().casefold()
        return wanted in {known.casefold() for known in (self.name, *self.aliases)}


@dataclass(frozen=True, slots=True)
class Phrases:
    """What the receptionist says at fixed points, word for word. `transferring`
    has {name} for whom the caller is put through to."""

    greeting: str
    goodbye: str
    still_there: str
    silent_goodbye: str
    time_is_up: str
    transferring: str
    transfer_failed: str
    trouble: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Times of a call in seconds."""

    prompt_after_s: float = 8.0
    end_after_s: float = 8.0
    max_call_s: float = 1800.0
    transfer_wait_s: float = 30.0
    tool_s: float = 15.0
    answer_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Profile:
    """One receptionist. "" for voice and model takes the deployment's; recording
    is "off", "wav", "flac" or "opus".

    cheaper_model: speaks as the money runs out; "" for the model's own small one.
    transfer_to: name of the directory's entry that takes a call whose money or provider is gone;
    "" for the first person in it.
    savings: how the bill is kept low; None for the deployment's level. full_model: its
    model answers at every level.
    """

    name: str
    company: str
    phrases: Phrases
    hours: OpeningHours
    directory: tuple[Entry, ...]
    language: str = "en"
    voice: str = ""
    model: str = ""
    transcription_model: str = "gpt-4o-mini-transcribe"
    instructions: str = ""
    tools: tuple[str, ...] = ALL_TOOLS
    keys: dict[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    turn_detection: TurnDetection = field(default_factory=TurnDetection)
    hearing: Hearing = field(default_factory=Hearing)
    recording: str = "off"
    cheaper_model: str = ""
    transfer_to: str = ""
    savings: Level | None = None
    full_model: bool = False

    def speaks(self, model: str, level: Level, *, full_asked: bool = False) -> str:
        """The model that speaks first in a call.

        Args:
            model: the deployment's.
            level: how the call saves.
            full_asked: the call asks for the full model.
        """
        full_asked = full_asked or self.full_model
        return route(self.model or model, LEVELS[level], full_asked=full_asked)

    @property
    def asks(self) -> bool:
        """Each answer is asked for: the provider begins none by itself, and stops none."""
        return self.hearing.decides or self.turn_detection.local

    def person(self) -> Entry | None:
        """Who takes a call whose money or provider is gone."""
        if self.transfer_to:
            return self.entry(self.transfer_to)
        return next((entry for entry in self.directory if entry.is_person), None)

    def entry(self, name: str) -> Entry | None:
        """The directory's entry of this name or alias."""
        for entry in self.directory:
            if entry.is_called(name):
                return entry
        return None


class ProfileBook:
    """All profiles of a deployment and who answers which number.

    Args:
        emergency: numbers at which every call is an emergency.
    """

    def __init__(
        self,
        profiles: dict[str, Profile],
        numbers: dict[str, str],
        default: str,
        emergency: Collection[str] = (),
    ) -> None:
        self.profiles = profiles
        self._numbers, self._default, self._emergency = numbers, default, frozenset(emergency)

    def is_emergency(self, to_uri: str) -> bool:
        """Whether the called number is one of emergencies: also as a URI (RFC 3261, 3966),
        or with separators in it."""
        user = _SCHEME.sub("", to_uri.strip()).partition("@")[0].partition(";")[0]
        return _SEPARATORS.sub("", user) in self._emergency

    def choose(self, profile: str, to_uri: str) -> Profile:
        """The profile asked for; else the one of the called number; else the
        default one. Raises InvalidRequest for an unknown name."""
        name = profile or self._numbers.get(to_uri, self._default)
        if name not in self.profiles:
            known = ", ".join(sorted(self.profiles))
            raise InvalidRequest(f"profile {name!r} is not one of {known}", field="profile")
        return self.profiles[name]
