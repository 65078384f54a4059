"""The scenario file: which callers there are and what they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cluster.playback import FRAME_S, SILENCE
from cluster.script import (
    Garbage,
    HangUp,
    Interrupt,
    Listen,
    Mute,
    Press,
    Say,
    StayOn,
    Step,
    Vanish,
)
from reception.errors import InvalidRequest

VANISHED = "VANISHED"
GARBAGE_REFUSED = ("INVALID_ARGUMENT", "FAILED_PRECONDITION")
_STATUSES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
    "UNAUTHENTICATED", VANISHED,
)  # fmt: skip
_BARE: dict[str, Any] = {
    "listen": True, "stay_on": True, "hang_up": True, "vanish": "cut", "garbage": "bytes",
}  # fmt: skip

Seconds = Annotated[float, Field(ge=0.02, le=3_600)]


class Form(BaseModel):
    """Unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sound(Form):
    """Words to be spoken, or a recording (WAV, 16-bit)."""

    say: str = Field(default="", max_length=2_000)
    play: Path | None = None

    @model_validator(mode="after")
    def _one(self) -> Sound:
        if bool(self.say) == bool(self.play):
            raise ValueError("give either say or play")
        return self


class Interruption(Sound):
    """Speaks over the receptionist once it was heard for `after_s`."""

    after_s: Seconds = 1.0


class MidWord(Sound):
    """Hangs up `after_s` into saying something."""

    after_s: Seconds = 0.5


class StepForm(Form):
    """One step: exactly one of the fields."""

    say: str | None = Field(default=None, min_length=1, max_length=2_000)
    play: Path | None = None
    silence_s: Seconds | None = None  # frames of silence
    wait_s: Seconds | None = None  # no frames
    listen: Literal[True] | None = None
    press: str | None = Field(default=None, pattern=r"^[0-9*#A-D]{1,64}$")
    interrupt: Interruption | None = None
    hang_up: Literal[True] | MidWord | None = None
    vanish: Literal["cut", "silent"] | None = None
    garbage: Literal["bytes", "start", "backwards", "huge", "digits"] | None = None
    stay_on: Literal[True] | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_word(cls, value: Any) -> Any:
        if isinstance(value, str) and value in _BARE:
            return {value: _BARE[value]}
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> StepForm:
        if len(self.model_fields_set) != 1:
            fields = ", ".join(type(self).model_fields)
            raise ValueError(f"a step is exactly one of {fields}")
        return self

    @property
    def last(self) -> bool:
        """Whether nothing can follow."""
        return any((self.hang_up, self.vanish, self.stay_on, self.garbage))


class CallerForm(Form):
    """One kind of caller."""

    name: str = Field(pattern=r"^[\w .-]{1,40}$")
    weight: float = Field(default=1.0, ge=0, le=1_000_000)
    voice: int = Field(default=0, ge=0, le=3)
    steps: tuple[StepForm, ...] = Field(min_length=1, max_length=1_000)
    expect: tuple[str, ...] = ()

    @field_validator("expect")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - set(_STATUSES))
        if unknown:
            raise ValueError(f"no status {', '.join(unknown)}; use {', '.join(_STATUSES)}")
        return value

    @model_validator(mode="after")
    def _nothing_after_the_end(self) -> CallerForm:
        for number, step in enumerate(self.steps[:-1]):
            if step.last:
                raise ValueError(f"steps after steps.{number} are never reached")
        return self


class ScenarioForm(Form):
    """The file."""

    callers: tuple[CallerForm, ...] = Field(min_length=1, max_length=1_000)

    @model_validator(mode="after")
    def _consistent(self) -> ScenarioForm:
        names = [caller.name for caller in self.callers]
        if len(set(names)) < len(names):
            raise ValueError("two callers have the same name")
        if not sum(caller.weight for caller in self.callers):
            raise ValueError("every caller has the weight 0")
        return self


@dataclass(frozen=True, slots=True)
class Cast:
    """A caller ready to be played, with its sounds.

    again: its steps may be repeated until its time is up.
    expect: how its calls should end; any other status is a failure.
    """

    name: str
    weight: float
    steps: tuple[Step, ...]
    again: bool
    expect: frozenset[str]

    @property
    def vanish(self) -> bool:
        """Whether it needs a connection of its own, to break."""
        return any(isinstance(step, Vanish) for step in self.steps)


@dataclass(frozen=True, slots=True)
class Sounds:
    """Where sound comes from: mu-law of words in a voice, and of a file."""

    spoken: Callable[[str, int], bytes]
    recorded: Callable[[Path], bytes]

    def of(self, sound: Sound, voice: int) -> bytes:
        return self.recorded(sound.play) if sound.play else self.spoken(sound.say, voice)


SILENT = Cast("silent", 1.0, (StayOn(),), again=False, expect=frozenset({"OK"}))


def parse_scenario(text: str, name: str) -> ScenarioForm:
    """A scenario from YAML.

    Args:
        text: YAML.
        name: of the file, for errors.

    Raises:
        InvalidRequest: each mistake with the path to it.
    """
    try:
        return ScenarioForm.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InvalidRequest(f"{name} is no YAML: {error}") from None
    except ValidationError as error:
        lines = [
            f"{name}: {'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}"
            for each in error.errors()
        ]
        raise InvalidRequest("\n".join(lines), field="scenario") from None


def cast_of(form: ScenarioForm, sounds: Sounds) -> tuple[Cast, ...]:
    """The callers with their sounds."""
    return tuple(_cast(caller, sounds) for caller in form.callers)


def _cast(form: CallerForm, sounds: Sounds) -> Cast:
    steps: list[Step] = []
    for each in form.steps:
        steps += _steps(each, form.voice, sounds)
    expect = form.expect
    if not expect:
        vanish, garbage = form.steps[-1].vanish, form.steps[-1].garbage
        expect = (VANISHED,) if vanish else GARBAGE_REFUSED if garbage else ("OK",)
    return Cast(form.name, form.weight, tuple(steps), not form.steps[-1].last, frozenset(expect))


def _steps(form: StepForm, voice: int, sounds: Sounds) -> list[Step]:
    if form.say or form.play:
        return [Say(sounds.of(Sound(say=form.say or "", play=form.play), voice), form.say or "")]
    if form.silence_s:
        return [Say(SILENCE * round(form.silence_s / FRAME_S))]
    if form.wait_s:
        return [Mute(form.wait_s)]
    if form.press:
        return [Press(form.press)]
    if form.interrupt:
        cut_in = form.interrupt
        return [Interrupt(sounds.of(cut_in, voice), cut_in.after_s, cut_in.say)]
    if isinstance(form.hang_up, MidWord):
        audio = sounds.of(form.hang_up, voice)
        return [Say(audio[: len(SILENCE) * round(form.hang_up.after_s / FRAME_S)]), HangUp()]
    if form.vanish:
        return [Vanish(form.vanish)]
    if form.garbage:
        return [Garbage(form.garbage)]
    return [HangUp() if form.hang_up else StayOn() if form.stay_on else Listen()]
