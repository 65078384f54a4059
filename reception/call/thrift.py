"""How a call saves: its model, the answers' length, the steps taken as its money runs out."""

from __future__ import annotations

from dataclasses import replace

from reception.call.profile import FULL_MODEL_TOOL
from reception.money.allowance import NONE
from reception.money.bounds import MOST_TOKENS, tokens_to_say
from reception.money.policy import Step
from reception.money.savings.comparison import Answered
from reception.money.savings.levels import MINI
from reception.provider.base import AddText, Configure, ProviderCommand, Usage

SHORT_ANSWER_S = 15

BRIEF = AddText(
    "system", "From now on answer in one short sentence, unless the caller asks for more."
)
_ORDER = tuple(Step)
_TRIES = 10  # to have another model: who speaks meanwhile puts it off
_MOST_ANSWERS = 500  # of which is said what they would have cost


def words_tokens(text: str) -> int:
    """A bound for an answer that is to be these very words: about three times what they
    take when spoken (20 tokens of audio a second, 15 characters a second)."""
    return min(MOST_TOKENS, 200 + 6 * len(text))


class Thrift:
    """Plain values only: a part of the call's checkpoint.

    Args:
        model: that speaks first.
        answer_s: of an answer at most, while there is money; 0 for any length.
        asked_model: that would speak first if nothing was saved; "" for the same.

    Attributes:
        text: answers come as text.
        taken: the steps so far, in order.
        model: of the provider's session that there is, or was last.
        bound: that the session knows, of an answer's tokens; None for any number.
        answered: each answer, and what would have made it.
    """

    def __init__(
        self, model: str, answer_s: int = 0, asked_model: str = "", *, text: bool = False
    ) -> None:
        self.taken: list[Step] = []
        self.model = self._next = self._dialled = model
        self._alone, self._tries = True, 0
        self._affordable = 0
        self.answered: list[Answered] = []
        self._full = asked_model or model
        self._asked = {model: self._full}
        self.text, self._longest_s = text, answer_s
        self.bound = self._then = self.max_output_tokens  # of this session, and the next

    def note(self, usage: Usage, spoken_ms: int = 0) -> None:
        """An answer of this model was billed.

        Args:
            spoken_ms: of one that came as text, about as long as it takes to speak.
        """
        if len(self.answered) < _MOST_ANSWERS:
            asked = self._asked.get(self.model, self.model)
            self.answered.append(Answered(self.model, asked, usage, spoken_ms=spoken_ms))

    def note_phrase(self, duration_ms: int, chars: int) -> None:
        """A recording was played instead of an answer."""
        if len(self.answered) < _MOST_ANSWERS:
            asked = self._asked.get(self.model, self.model)
            self.answered.append(
                Answered(self.model, asked, phrase_ms=duration_ms, phrase_chars=chars)
            )

    def take(self, due: tuple[Step, ...]) -> list[Step]:
        """Those steps that are further than any taken so far; taken now."""
        last = _ORDER.index(self.taken[-1]) if self.taken else 0
        new = [step for step in due if _ORDER.index(step) > last]
        self.taken += new
        return new

    @property
    def max_output_tokens(self) -> int | None:
        """Of an answer; None for any number."""
        short_s = SHORT_ANSWER_S if Step.SHORTEN in self.taken else 0
        by_length = (tokens_to_say(each, text=self.text) for each in (short_s, self._longest_s))
        bound = min(each or MOST_TOKENS for each in (*by_length, self._affordable))
        return bound if bound < MOST_TOKENS else None

    def bound_changes(self) -> bool:
        """Whether the session that there is knows another bound; it is told `bound` then."""
        before, self.bound = self.bound, self.max_output_tokens
        return self.bound != before

    @property
    def dry(self) -> bool:
        """What is held pays for no answer."""
        return self._affordable == NONE

    def afford(self, output_tokens: int) -> None:
        """What is held pays for an answer of so many tokens; 0 for any number."""
        self._affordable = output_tokens

    def opening(
        self, configuration: Configure, replay: list[ProviderCommand]
    ) -> tuple[ProviderCommand, ...]:
        """What another session is told."""
        told = self.configured(configuration, self._next)
        return (told, *replay, *((BRIEF,) if Step.SHORTEN in self.taken else ()))

    def configured(self, configuration: Configure, model: str = "") -> Configure:
        """The configuration of a session with this model, as answers are now.

        Args:
            model: "" for the session that there is.
        """
        tools = configuration.tools
        if (model or self.model) == self._full:
            tools = tuple(each for each in tools if each.name != FULL_MODEL_TOOL)
        self._then = bound = self.max_output_tokens
        return replace(configuration, tools=tools, max_output_tokens=bound, text=self.text)

    # ------------------------------------------------------------- the model

    def go_cheaper(self, cheaper_model: str) -> None:
        """From the next turn on. A model that has no cheaper one stays.

        Args:
            cheaper_model: the profile's; "" for the model's own small one.
        """
        self._next, self._tries = cheaper_model or MINI.get(self.model, self.model), 0

    def go_fuller(self) -> bool:
        """From the next pause on, the model that would speak if nothing was saved. False:
        it does, or the call had to go on with a cheaper one."""
        if self.model == self._full or Step.CHEAPER in self.taken:
            return False
        self._next, self._tries = self._full, 0
        return True

    @property
    def changes_model(self) -> bool:
        """Whether another model than that of now is to speak."""
        return self._next != self.model

    def dial(self) -> str:
        """The model of the next session."""
        self._dialled, self._alone = self._next, True
        return self._dialled

    def renewal(self) -> str:
        """The model of a session that is dialled beside the one that there is."""
        if self.changes_model:
            self._tries += 1
            if self._tries > _TRIES:
                self._next = self.model
        self._dialled, self._alone = self._next, False
        return self._dialled

    def up(self, model: str = "") -> None:
        """A session is there.

        Args:
            model: of it; "" for the one that was dialled last.
        """
        self.model, self.bound = model or self._dialled, self._then

    def give_up_change(self) -> bool:
        """A session is gone, or could not be had. True: it was the first one of the
        other model, and the call goes on with the model that it had."""
        if not self._alone or self._dialled == self.model:
            return False
        self._next = self._dialled = self.model
        return True
