"""The bill of a call at a level of saving, by OpenAI's rules (`billing.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from reception.errors import InvalidRequest
from reception.money.prices import PriceTable
from reception.money.savings.billing import (
    VAD_AFTER_MS,
    VAD_BEFORE_MS,
    Context,
    answer_tokens,
    caller_tokens,
    text_tokens,
)
from reception.money.savings.calls import Call, Turn
from reception.money.savings.comparison import Answered
from reception.money.savings.levels import Decisions, route
from reception.provider.base import Usage

TRANSCRIPTION = "gpt-4o-mini-transcribe"
HANG_UP_TOKENS = 20
"""Of the function call that ends a conversation, with its last answer."""

_MS_PER_S, _MS_PER_MINUTE = 1_000, 60_000


@dataclass(frozen=True, slots=True)
class Provider:
    """What bills, and when.

    Attributes:
        model: of the profile. at_s: UNIX time at which prices are taken.
        cached: the prompt cache works; it is best effort.
        warm: another call of the profile was there minutes ago.
        full_asked: the profile insists on its model.
    """

    prices: PriceTable
    at_s: float
    model: str = "gpt-realtime-2.1"
    transcription: str = TRANSCRIPTION
    cached: bool = True
    warm: bool = True
    full_asked: bool = False


@dataclass(frozen=True, slots=True)
class Bill:
    """Of one call, or of several together.

    Attributes:
        usage: all responses' tokens. sent_ms: caller audio that was sent.
        answered: each response, and what was left out (`comparison.compare`).
    """

    micros: int
    transcription_micros: int
    duration_ms: int
    sent_ms: int
    responses: int
    usage: Usage
    answered: tuple[Answered, ...] = ()

    @property
    def cache_percent(self) -> float:
        """Of input tokens, those at the cached price."""
        tokens = self.usage.input_text + self.usage.input_audio
        cached = self.usage.cached_text + self.usage.cached_audio
        return 100 * cached / tokens if tokens else 0.0

    @property
    def micros_per_minute(self) -> int:
        return self.micros * _MS_PER_MINUTE // max(1, self.duration_ms)


def simulate(call: Call, decisions: Decisions, provider: Provider) -> Bill:
    """The bill of `call` when `decisions` are followed.

    Raises:
        InvalidRequest: a model has no price, or is billed by time.
    """
    run = _Run(call, decisions, provider)
    run.greet()
    for number, turn in enumerate(call.turns):
        if number == call.full_from:
            run.switch_to_full()
        if number < len(call.turns) - 1:
            run.turn(turn)
        else:
            run.last_turn(turn)
    return run.bill()


def together(bills: Sequence[Bill]) -> Bill:
    """The sum; without the single responses."""
    usage: Counter[str] = Counter()
    for bill in bills:
        usage.update(asdict(bill.usage))
    return Bill(
        micros=sum(bill.micros for bill in bills),
        transcription_micros=sum(bill.transcription_micros for bill in bills),
        duration_ms=sum(bill.duration_ms for bill in bills),
        sent_ms=sum(bill.sent_ms for bill in bills),
        responses=sum(bill.responses for bill in bills),
        usage=Usage(**usage),
    )


class _Run:
    """One call on its way."""

    def __init__(self, call: Call, decisions: Decisions, provider: Provider) -> None:
        self._call, self._does, self._provider = call, decisions, provider
        self._head = call.head_tokens + text_tokens(len(decisions.manner))
        self._model = route(provider.model, decisions, full_asked=provider.full_asked)
        self._context = self._open()
        self._said: list[int] = []  # text tokens of each item, should it be replayed
        self._answered: list[Answered] = []
        self._silence_ms = 0
        self._sent_ms = self._transcription_micros = self._duration_ms = 0

    def _open(self) -> Context:
        return Context(
            self._head,
            warm=self._provider.warm and self._does.stable_prompt,
            cached=self._provider.cached,
            truncate_at_tokens=self._does.truncate_at_tokens,
            retain_percent=self._does.retain_percent,
        )

    # ------------------------------------------------------------- what is said

    def greet(self) -> None:
        call = self._call
        if not call.greeting_ms:
            return
        self._duration_ms += call.greeting_ms
        words = text_tokens(call.greeting_chars)
        if self._does.premade_phrases:
            self._keep(words)
            self._note(Usage(), phrase_ms=call.greeting_ms, phrase_chars=call.greeting_chars)
        else:
            self._answer(call.greeting_ms, words)

    def turn(self, turn: Turn) -> None:
        self._listen(turn)
        for _ in range(turn.tools):
            tokens = text_tokens(turn.tool_chars)
            self._note(self._context.respond(text=tokens))
            self._keep(tokens)
        percent = self._does.answer_percent
        ms = turn.answer_ms * percent // 100
        heard_ms = min(turn.heard_ms, ms)
        self._duration_ms += heard_ms or ms
        self._answer(ms, text_tokens(turn.answer_chars) * percent // 100, heard_ms)

    def last_turn(self, turn: Turn) -> None:
        """Its answer is the model's last, with goodbye, and hangs up."""
        call, percent = self._call, self._does.answer_percent
        self._listen(turn)
        ms = turn.answer_ms * percent // 100
        words = HANG_UP_TOKENS + text_tokens(turn.answer_chars) * percent // 100
        self._duration_ms += ms + call.goodbye_ms
        if self._does.premade_phrases:
            phrase = {"phrase_ms": call.goodbye_ms, "phrase_chars": call.goodbye_chars}
            self._answer(ms, words, **phrase)
        else:
            self._answer(ms + call.goodbye_ms, words + text_tokens(call.goodbye_chars))

    def _listen(self, turn: Turn) -> None:
        """The caller's words go to the provider, with some silence around."""
        does = self._does
        around_ms = does.pre_roll_ms + VAD_AFTER_MS + does.hangover_ms
        cut_ms = max(0, turn.pause_ms - around_ms) if does.local_activity else 0
        spoken_ms = turn.caller_ms + turn.pause_ms - cut_ms
        kept_ms = spoken_ms + VAD_BEFORE_MS + VAD_AFTER_MS
        self._silence_ms = cut_ms
        # what isn't billed is sent all the same, when all is sent
        self._sent_ms += spoken_ms + around_ms if does.local_activity else kept_ms + turn.wait_ms
        self._context.add(audio=caller_tokens(kept_ms))
        self._said.append(text_tokens(turn.caller_chars))
        provider = self._provider
        self._transcription_micros += provider.prices.transcription_cost(
            provider.transcription, kept_ms / _MS_PER_S, 0, 0, provider.at_s
        )
        self._duration_ms += turn.caller_ms + turn.pause_ms + turn.wait_ms

    def _answer(self, ms: int, words: int, heard_ms: int = 0, **phrase: int) -> None:
        """All of an answer is billed, but only what was heard stays: audio that
        was cut keeps no words."""
        if self._does.text_answers:
            usage = self._context.respond(text=words)
            self._note(usage, spoken_ms=ms, heard_ms=heard_ms, **phrase)
            self._keep(words)
            return
        self._note(self._context.respond(text=words, audio=answer_tokens(ms)), **phrase)
        self._context.add(text=0 if heard_ms else words, audio=answer_tokens(heard_ms or ms))
        self._said.append(words)

    def _keep(self, text: int) -> None:
        self._context.add(text=text)
        self._said.append(text)

    def switch_to_full(self) -> None:
        """Another session with the full model gets what was said as text."""
        if self._model == self._provider.model:
            return
        self._model = self._provider.model
        self._context = self._open()
        for text in self._said:
            self._context.add(text=text)

    # ------------------------------------------------------------- what it costs

    def _note(self, usage: Usage, **left_out: int) -> None:
        self._answered.append(
            Answered(
                self._model, self._provider.model, usage, silence_ms=self._silence_ms, **left_out
            )
        )
        self._silence_ms = 0

    def bill(self) -> Bill:
        prices, at_s = self._provider.prices, self._provider.at_s
        micros = self._transcription_micros
        for model in {each.model for each in self._answered}:
            if prices.price(model, at_s).pico_per_ms:
                raise InvalidRequest(
                    f"model {model!r} is billed by time: no level of saving changes its bill",
                    field="model",
                )
        made = [each for each in self._answered if each.usage != Usage()]
        micros += sum(prices.cost(each.usage, each.model, at_s) for each in made)
        usage: Counter[str] = Counter()
        for each in made:
            usage.update(asdict(each.usage))
        return Bill(
            micros=micros,
            transcription_micros=self._transcription_micros,
            duration_ms=self._duration_ms,
            sent_ms=self._sent_ms,
            responses=len(made),
            usage=Usage(**usage),
            answered=tuple(self._answered),
        )
