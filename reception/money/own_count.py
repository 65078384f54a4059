"""Our own count of a call's tokens, beside what the provider reports.

By OpenAI's rules (`savings/billing.py`) every answer is billed for the whole conversation
before it. So what can be compared is:

- of each answer its audio: tokens reported, and milliseconds that came;
- of the whole call the caller's audio: what the input of an answer has more than the
  input and the audio of the answer before it, and the milliseconds of speech that the
  provider took meanwhile. Where the conversation was cut or another session began, the
  input of the next two answers can't be compared: the cut may come to the provider
  after the first of them began.

What the provider says counts. Where it says nothing (its socket died, the caller is gone)
the answer is billed by this count, its input by `reception.money.own_input`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from reception.money.own_input import OwnInput
from reception.money.savings.billing import answer_tokens, caller_tokens, text_tokens
from reception.provider.base import ProviderCommand, Usage

TOLERANCE_PERCENT = 2
COUNTED = ("output_audio", "input_audio")
_MAX_ANSWERS = 100  # known at a time


@dataclass(frozen=True, slots=True)
class Difference:
    """Tokens of `what` ("output_audio" of an answer, "input_audio" of the call so far) by
    our count and by the provider's."""

    response_id: str
    what: str
    ours: int
    theirs: int


def agree(ours: int, theirs: int, answers: int = 1) -> bool:
    """Within 2 %, or a token for each answer (both round up)."""
    apart = abs(ours - theirs)
    return apart <= answers or 100 * apart <= TOLERANCE_PERCENT * theirs


class OwnCount:
    """Plain values only: a part of the call's checkpoint.

    Args:
        head_tokens: of instructions and tools, about.

    Attributes:
        differing: answers in which the counts differ. estimated: answers that were
            billed by this count.
    """

    def __init__(self, head_tokens: int) -> None:
        self.differing = self.estimated = 0
        self._input = OwnInput(head_tokens)
        self._audio_ms: dict[str, int] = {}
        self._chars: dict[str, int] = {}
        self._called: dict[str, int] = {}  # characters of function calls
        self._last: Usage | None = None
        self._unsure = 1  # answers whose input may not be the last one's, and more
        self._caller_tokens = 0  # since then
        self._begun: dict[str, tuple[int, bool]] = {}  # both, as each answer began
        self._sums = (0, 0, 0)  # compared so far: ours, theirs, answers
        self._warned = False

    def opens(self, opening: tuple[ProviderCommand, ...]) -> None:
        """So the next session begins, if there comes to be one."""
        self._input.opens(opening)

    def is_up(self) -> None:
        """The next session is there."""
        self.changed()
        self._input.is_up()

    def told(self, command: ProviderCommand) -> None:
        """The session was told something."""
        self._input.told(command)

    def caller(self, audio_ms: int) -> None:
        """The provider took so much of the caller's speech as one item."""
        self._input.caller(audio_ms)
        self._caller_tokens += caller_tokens(audio_ms)

    def began(self, response_id: str) -> None:
        """An answer began: the conversation up to now is its input."""
        self._input.began(response_id)
        self._begun[response_id] = self._caller_tokens, not self._unsure
        self._caller_tokens, self._unsure = 0, max(0, self._unsure - 1)

    def next_input(self) -> Usage:
        """What an answer should read that began now."""
        return self._input.next()

    def audio(self, response_id: str, audio_ms: int) -> None:
        """So much audio of an answer came in all."""
        self._audio_ms[response_id] = audio_ms

    def words(self, response_id: str, item_id: str, chars: int) -> None:
        """An item of an answer has so many characters more."""
        self._input.words(response_id, item_id, chars)
        self._chars[response_id] = self._chars.get(response_id, 0) + chars

    def called(self, response_id: str, chars: int) -> None:
        """An answer calls a function, in so many characters."""
        self._called[response_id] = self._called.get(response_id, 0) + chars

    def chars(self, response_id: str) -> int:
        """Of an answer's words, as far as they have come."""
        return self._chars.get(response_id, 0)

    def forget(self, response_id: str) -> None:
        """An answer came to nothing."""
        self._input.forget(response_id)
        self._begun.pop(response_id, None)

    def open(self) -> list[str]:
        """Answers that began, and of whose end nothing was heard."""
        return list(self._begun)

    def has(self, response_id: str) -> bool:
        """Whether something of an answer came."""
        return any(known.get(response_id) for known in (self._audio_ms, self._chars, self._called))

    def cut(self, item_id: str, audio_ms: int) -> None:
        """The provider has no more of an item's audio than this; without any, the item
        is gone."""
        self._input.cut(item_id, audio_ms)

    def changed(self) -> None:
        """The conversation was cut, or is another session's."""
        self._unsure = 2

    def answered(self, response_id: str, usage: Usage, *, caller: bool) -> list[Difference]:
        """The provider's count of an answer; where ours differs.

        Args:
            caller: all of the caller's speech that the provider took is known here.
        """
        found = []
        self._chars.pop(response_id, None)
        self._called.pop(response_id, None)
        audio_ms = self._audio_ms.pop(response_id, None)
        more_tokens, same = self._begun.pop(response_id, (0, False))
        if audio_ms is not None:
            ours = answer_tokens(audio_ms)
            if not agree(ours, usage.output_audio):
                found.append(Difference(response_id, "output_audio", ours, usage.output_audio))
        if caller and same and self._last is not None:
            new = usage.input_audio - self._last.input_audio - self._last.output_audio
            if new >= 0:  # else the conversation was cut: that came late
                found += self._compare_caller(response_id, more_tokens, new)
        self._goes_on_from(response_id, usage)
        self.differing += bool(found)
        return found

    def _compare_caller(self, response_id: str, more: int, new: int) -> list[Difference]:
        ours, theirs, answers = self._sums
        ours, theirs, answers = ours + more, theirs + new, answers + 1
        self._sums = ours, theirs, answers
        if self._warned or agree(ours, theirs, answers):
            return []
        self._warned = True
        return [Difference(response_id, "input_audio", ours, theirs)]

    def estimate(self, response_id: str) -> Usage:
        """An answer of which the provider said nothing."""
        self._begun.pop(response_id, None)
        usage = replace(
            self._input.expected(response_id),
            output_text=text_tokens(self._chars.pop(response_id, 0))
            + text_tokens(self._called.pop(response_id, 0)),
            output_audio=answer_tokens(self._audio_ms.pop(response_id, 0)),
        )
        self.estimated += 1
        self._goes_on_from(response_id, usage)
        return usage

    def _goes_on_from(self, response_id: str, usage: Usage) -> None:
        self._last = usage
        self._input.billed(response_id, usage)
        for known in (self._audio_ms, self._chars, self._called, self._begun):
            _bound(known)


def _bound(known: dict[str, Any]) -> None:
    """Forgets answers that nobody will ask for any more."""
    while len(known) > _MAX_ANSWERS:
        del known[next(iter(known))]
