"""Receptionist profiles from a YAML file: checked by pydantic, then plain data."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from reception.call.hours import DAYS, OpeningHours, Span, SpecialDay
from reception.call.profile import ALL_TOOLS, Entry, Limits, Phrases, Profile, ProfileBook
from reception.errors import InvalidRequest
from reception.media.hearing import MAX_MIN_SPEECH_MS, BargeInBy, Hearing, Suppression
from reception.money.savings.levels import Level
from reception.provider.base import TurnDetection


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _a_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{name!r} is no IANA time zone") from error
    return name


def _span(text: str) -> Span:
    opens, _, closes = text.partition("-")
    try:
        span = Span(time.fromisoformat(opens.strip()), time.fromisoformat(closes.strip()))
    except ValueError as error:
        raise ValueError(f"{text!r} is not of the form 09:00-17:30") from error
    if span.opens >= span.closes:
        raise ValueError(f"{text!r} closes before it opens")
    return span


def _spans(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        _span(text)
    return texts


Spans = Annotated[tuple[str, ...], AfterValidator(_spans)]
Zone = Annotated[str, AfterValidator(_a_zone)]
Phrase = Annotated[str, Field(min_length=1, max_length=500)]


def _off_is_no_boolean(value: object) -> object:
    return "off" if value is False else value  # YAML reads a bare off as false


class _Special(_Strict):
    name: str
    open: Spans = ()


class _Hours(_Strict):
    timezone: Zone
    monday: Spans = ()
    tuesday: Spans = ()
    wednesday: Spans = ()
    thursday: Spans = ()
    friday: Spans = ()
    saturday: Spans = ()
    sunday: Spans = ()
    special: dict[date, _Special] = Field(default_factory=dict)

    def plain(self) -> OpeningHours:
        week = tuple(tuple(_span(text) for text in getattr(self, day.lower())) for day in DAYS)
        special = {
            day: SpecialDay(each.name, tuple(_span(text) for text in each.open))
            for day, each in self.special.items()
        }
        return OpeningHours(self.timezone, week, special)


class _Entry(_Strict):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    destination: Annotated[str, Field(pattern=r"^(\+?[0-9*#]{2,20}|sips?:\S{3,200}|tel:\S{3,60})$")]
    role: str = ""
    aliases: tuple[str, ...] = ()
    person: bool = False

    def plain(self) -> Entry:
        return Entry(self.name, self.destination, self.role, self.aliases, self.person)


class _Phrases(_Strict):
    greeting: Phrase
    goodbye: Phrase = "Thank you for calling. Goodbye."
    still_there: Phrase = "Are you still there?"
    silent_goodbye: Phrase = "I can't hear you, so I'll end the call now. Goodbye."
    time_is_up: Phrase = "I'm sorry, I have to end our call here. Please call again. Goodbye."
    transferring: Phrase = "One moment please, I'll put you through to {name}."
    transfer_failed: Phrase = (
        "I'm sorry, I couldn't reach them just now. Would you like to leave a message?"
    )
    trouble: Phrase = "I'm sorry, I'm having trouble just now. Please call again later. Goodbye."

    @field_validator("transferring")
    @classmethod
    def _names_somebody(cls, text: str) -> str:
        if text.count("{") != 1 or "{name}" not in text:
            raise ValueError("must have {name} in it, and no other brace")
        return text


Seconds = Annotated[float, Field(ge=1, le=86_400)]


class _Limits(_Strict):
    prompt_after_s: Seconds = 8.0
    end_after_s: Seconds = 8.0
    max_call_s: Seconds = 1800.0
    transfer_wait_s: Seconds = 30.0
    tool_s: Seconds = 15.0
    answer_s: Seconds = 20.0


class _Turns(_Strict):
    kind: Annotated[str, Field(pattern="^(server_vad|semantic_vad|local)$")] = "server_vad"
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5_000)] = 300
    silence_duration_ms: Annotated[int, Field(ge=100, le=5_000)] = 500
    eagerness: Annotated[str, Field(pattern="^(low|medium|high|auto)$")] = "auto"


class _Hearing(_Strict):
    barge_in: BargeInBy = "provider"
    min_speech_ms: Annotated[int, Field(ge=0, le=MAX_MIN_SPEECH_MS)] = 0
    noise_suppression: Suppression = "off"
    gain: bool = False
    dtmf_inband: bool = False

    @field_validator("noise_suppression", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return _off_is_no_boolean(value)


class _Profile(_Strict):
    company: Annotated[str, Field(min_length=1, max_length=200)]
    language: Annotated[str, Field(pattern="^[a-z]{2}$")] = "en"
    voice: str = ""
    model: str = ""
    transcription_model: str = "gpt-4o-mini-transcribe"
    instructions: Annotated[str, Field(max_length=20_000)] = ""
    phrases: _Phrases
    hours: _Hours
    directory: Annotated[tuple[_Entry, ...], Field(max_length=500)] = ()
    tools: tuple[str, ...] = ALL_TOOLS
    keys: dict[Annotated[str, Field(pattern="^[0-9*]{1,4}$")], str] = Field(default_factory=dict)
    limits: _Limits = _Limits()
    turn_detection: _Turns = _Turns()
    hearing: _Hearing = _Hearing()
    recording: Literal["off", "wav", "flac", "opus"] = "off"
    cheaper_model: Annotated[str, Field(max_length=128)] = ""
    transfer_to: str = ""
    savings: Literal["off", "quality", "balanced", "thrifty", "economy"] | None = None
    full_model: bool = False

    @field_validator("savings", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return _off_is_no_boolean(value)

    @field_validator("tools")
    @classmethod
    def _known(cls, tools: tuple[str, ...]) -> tuple[str, ...]:
        for tool in tools:
            if tool not in ALL_TOOLS:
                raise ValueError(f"{tool!r} is not one of {', '.join(ALL_TOOLS)}")
        return tools

    @model_validator(mode="after")
    def _keys_lead_somewhere(self) -> _Profile:
        names = {entry.name for entry in self.directory}
        for key, name in self.keys.items():
            if name not in names:
                raise ValueError(f"key {key!r} leads to {name!r}, who is not in the directory")
        if self.transfer_to and self.transfer_to not in names:
            raise ValueError(f"transfer_to is {self.transfer_to!r}, who is not in the directory")
        return self

    def plain(self, name: str) -> Profile:
        return Profile(
            name=name,
            company=self.company,
            phrases=Phrases(**self.phrases.model_dump()),
            hours=self.hours.plain(),
            directory=tuple(entry.plain() for entry in self.directory),
            language=self.language,
            voice=self.voice,
            model=self.model,
            transcription_model=self.transcription_model,
            instructions=self.instructions,
            tools=self.tools,
            keys=dict(self.keys),
            limits=Limits(**self.limits.model_dump()),
            turn_detection=TurnDetection(**self.turn_detection.model_dump()),
            hearing=Hearing(**self.hearing.model_dump()),
            recording=self.recording,
            cheaper_model=self.cheaper_model,
            transfer_to=self.transfer_to,
            savings=Level(self.savings) if self.savings else None,
            full_model=self.full_model,
        )


class _File(_Strict):
    default: str
    numbers: dict[str, str] = Field(default_factory=dict)
    emergency_numbers: Annotated[
        tuple[Annotated[str, Field(pattern=r"^\+?[0-9]{2,15}$")], ...], Field(max_length=100)
    ] = ()
    profiles: Annotated[dict[str, _Profile], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_exist(self) -> _File:
        for number, name in [("default", self.default), *self.numbers.items()]:
            if name not in self.profiles:
                raise ValueError(f"{number} names the profile {name!r}, which does not exist")
        return self


def load_profiles(path: Path) -> ProfileBook:
    """Reads and checks a profile file.

    Raises:
        InvalidRequest: naming the file and, a line each, every field at fault
            with its value and what is wrong.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        file = _File.model_validate(raw)
    except OSError as error:
        raise InvalidRequest(f"{path.name} can't be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InvalidRequest(f"{path.name} is no YAML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'file'}"
            f" = {str(fault['input'])[:80]!r}: {fault['msg']}"
            for fault in error.errors()
        )
        raise InvalidRequest(f"{path.name}: {faults}") from error
    plain = {name: profile.plain(name) for name, profile in file.profiles.items()}
    return ProfileBook(plain, file.numbers, file.default, file.emergency_numbers)
