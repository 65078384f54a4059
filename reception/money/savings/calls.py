"""Calls to make bills of: the model call, recorded ones, and generated ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Any

from reception.errors import InvalidRequest

MAX_MS = 24 * 3_600_000
MAX_TURNS = 10_000

_CHARS_PER_S = 14  # of English speech: 150 words a minute, with their spaces


@dataclass(frozen=True, slots=True)
class Turn:
    """The caller's words and the answer, as they would be if nothing was saved.
    A call's last one is neither interrupted nor needs functions: it says goodbye.

    Attributes:
        caller_ms: of speech; pauses within it are `pause_ms` besides.
        wait_ms: silence before it, which nobody bills.
        answer_ms: of the whole answer. `heard_ms`: until the caller spoke into
            it; the whole if 0.
        tools: functions called before it; each is a response of its own.
        tool_chars: of the arguments and the result of each.
    """

    caller_ms: int
    answer_ms: int
    caller_chars: int = 0
    answer_chars: int = 0
    pause_ms: int = 0
    wait_ms: int = 0
    heard_ms: int = 0
    tools: int = 0
    tool_chars: int = 120


@dataclass(frozen=True, slots=True)
class Call:
    """A conversation. Times and lengths as spoken by the model.

    Attributes:
        head_tokens: of instructions and tools.
        full_from: the turn (from 0) at which the call needs the full model;
            None is never.
    """

    turns: tuple[Turn, ...]
    greeting_ms: int = 4_500
    greeting_chars: int = 60
    goodbye_ms: int = 4_000
    goodbye_chars: int = 55
    head_tokens: int = 1_500
    full_from: int | None = None

    @property
    def duration_ms(self) -> int:
        """How long it takes, and is heard."""
        turns = sum(
            each.caller_ms + each.pause_ms + each.wait_ms + (each.heard_ms or each.answer_ms)
            for each in self.turns
        )
        return self.greeting_ms + turns + self.goodbye_ms


def spoken_ms(chars: int) -> int:
    """How long so many characters take to say."""
    return chars * 1_000 // _CHARS_PER_S


def turn(caller_ms: int, answer_ms: int, **more: int) -> Turn:
    """With as many characters as speech of that length has."""
    return Turn(
        caller_ms,
        answer_ms,
        caller_chars=caller_ms * _CHARS_PER_S // 1_000,
        answer_chars=answer_ms * _CHARS_PER_S // 1_000,
        **more,
    )


MODEL_CALL = Call(
    turns=(*(turn(7_000, 9_100, wait_ms=4_000) for _ in range(5)), turn(7_000, 0, wait_ms=4_000)),
)
"""Two minutes: greeting and six turns, 42 s of the caller, 54 s of the model,
1,500 tokens of instructions; the last answer is goodbye."""


def generate(random: Random, count: int, mean_s: float = 120.0) -> tuple[Call, ...]:
    """Calls as receptions have them: mostly short, some long; functions in every
    third turn, one answer in eight interrupted, one call in ten that needs the
    full model at some time.

    Args:
        mean_s: how long they last on average, about.
    """
    return tuple(_generated(random, mean_s) for _ in range(count))


def _generated(random: Random, mean_s: float) -> Call:
    # about 19 s a turn, and 10 s of greeting and goodbye
    mean_turns = max(1.0, (mean_s - 10) / 19)
    count = min(MAX_TURNS, 1 + int(random.expovariate(1 / mean_turns)))
    turns = []
    for _ in range(count):
        answer_ms = int(1_000 * random.lognormvariate(2.0, 0.45))
        heard_ms = int(answer_ms * random.uniform(0.2, 0.8)) if random.random() < 1 / 8 else 0
        turns.append(
            turn(
                int(1_000 * random.lognormvariate(1.7, 0.6)),
                answer_ms,
                pause_ms=int(random.expovariate(1 / 600)),
                wait_ms=int(random.expovariate(1 / 3_000)),
                heard_ms=heard_ms,
                tools=int(random.random() < 1 / 3),
                tool_chars=random.randint(60, 400),
            )
        )
    full_from = random.randrange(count) if random.random() < 0.1 else None
    return Call(tuple(turns), full_from=full_from)


# ------------------------------------------------------------------ recorded


def parse_calls(records: Any) -> tuple[Call, ...]:
    """Calls from JSON: a list of objects with the fields of `Call`, of which
    `turns` is a list of objects with the fields of `Turn`.

    Raises:
        InvalidRequest: names the field, its value and its bound.
    """
    if not isinstance(records, list) or not records:
        raise InvalidRequest("calls must be a list of one call at least", field="calls")
    return tuple(_call(record, f"calls[{index}]") for index, record in enumerate(records))


def parse_rows(rows: Iterable[Mapping[str, str]]) -> tuple[Call, ...]:
    """Calls from CSV: a row for each turn, with a column `call` that says whose
    it is, and the fields of `Turn`; an empty cell is left out.

    Raises:
        InvalidRequest: as `parse_calls`; or there is no row.
    """
    calls: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        cells = {name: text for name, text in row.items() if name != "call" and text}
        numbers = {name: int(t) if t.isdecimal() else t for name, t in cells.items()}
        calls.setdefault(row.get("call", ""), []).append(numbers)
    return parse_calls([{"turns": turns} for turns in calls.values()])


def _call(record: Any, where: str) -> Call:
    given = _fields(record, Call, where)
    turns = given.pop("turns", None)
    if not isinstance(turns, list) or not 1 <= len(turns) <= MAX_TURNS:
        raise InvalidRequest(
            f"{where}.turns must be a list of 1 to {MAX_TURNS} turns", field=f"{where}.turns"
        )
    numbers = {name: _number(value, f"{where}.{name}") for name, value in given.items()}
    made = tuple(_turn(each, f"{where}.turns[{index}]") for index, each in enumerate(turns))
    return Call(made, **numbers)


def _turn(record: Any, where: str) -> Turn:
    given = _fields(record, Turn, where)
    for name in ("caller_ms", "answer_ms"):
        if name not in given:
            raise InvalidRequest(f"{where}.{name} is missing", field=f"{where}.{name}")
    numbers = {name: _number(value, f"{where}.{name}") for name, value in given.items()}
    spoken = turn(numbers["caller_ms"], numbers["answer_ms"])
    said = {"caller_chars": spoken.caller_chars, "answer_chars": spoken.answer_chars}
    return Turn(**(said | numbers))


def _fields(record: Any, of: type[Call | Turn], where: str) -> dict[str, Any]:
    if not isinstance(record, Mapping):
        raise InvalidRequest(f"{where} must be an object", field=where)
    known = {field.name for field in fields(of)}
    others = sorted(str(name) for name in record if name not in known)
    if others:
        raise InvalidRequest(
            f"{where} has {', '.join(others)}: must be of {', '.join(sorted(known))}", field=where
        )
    return dict(record)


def _number(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_MS:
        raise InvalidRequest(
            f"{where} is {value!r}: must be a whole number from 0 to {MAX_MS}", field=where
        )
    return value
