"""A call that can hold no more ends within its limit, whoever cuts in and however late bills
are: conversation and ledger together, with a provider that makes as much as it may."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reception.call import messages as m
from reception.call.conversation import Conversation
from reception.call.prompt import head_tokens
from reception.call.states import State
from reception.money.book import Book
from reception.money.bounds import CALLER_TOKENS, LEAST_TOKENS, MOST_TOKENS
from reception.money.case import RESPONSE, Bill, Terms
from reception.money.limits import LimitTable, make_limit
from reception.money.policy import Step
from reception.money.prices import parse_prices
from reception.money.savings.billing import Context
from reception.money.scopes import GLOBAL, OVERDRAFT, Owner
from reception.provider import base as p
from tests.unit.call.example import PHRASES, PROFILE, SPEC, buys
from tests.unit.call.test_conversation import Call, commands, kinds, only

NOON_S = 1_800_000_000.0
PRICES = parse_prices(
    {
        "version": "1",
        "models": {
            "m": [
                {
                    "valid_from": "2026-01-01",
                    "text": {"input": 0.6, "cached": 0.06, "output": 2.4},
                    "audio": {"input": 10, "cached": 0.3, "output": 20},
                    "hold_usd_per_minute": 0.08,
                }
            ]
        },
    }
)  # 40,000 and 20,000: a token is 20
TAIL_S = 9  # 12,000: enough for the goodbye and what it reads
HELD = 52_000
WORDS_TOKENS = CALLER_TOKENS // 3  # of the caller, each time
LONG = replace(PROFILE, limits=replace(PROFILE.limits, prompt_after_s=1e6, answer_s=1e6))


@dataclass
class Provider:
    """Obeys bounds, cancels what is being made when the caller speaks, and bills all that
    was made. Its cache works."""

    context: Context
    bound: int | None = None
    making: str = ""
    most: int = 0
    number: int = 0
    pending: list[m.ReportUsage] = field(default_factory=list)

    def begin(self, most: int | None = None) -> p.ResponseStarted:
        self.number += 1
        self.making, self.most = f"r{self.number}", most or self.bound or MOST_TOKENS
        return p.ResponseStarted(self.making)

    def end(self, percent: int, status: str = "completed") -> list[Any]:
        response_id, self.making = self.making, ""
        made = max(1, self.most * percent // 100)
        usage = self.context.respond(audio=made)
        heard = made if status == "completed" else min(made, WORDS_TOKENS)
        self.context.add(audio=heard)
        audio = m.AnswerAudio(response_id, 50 * made)
        return [audio, p.ResponseDone(response_id, status, usage=usage)]


class Story:
    """One call, its provider and the ledger, under a limit."""

    def __init__(self, limit: int) -> None:
        terms = Terms(PRICES, 30, TAIL_S, 1e6)
        self.book = Book(LimitTable([make_limit("global", "day", limit)]), {}, terms, NOON_S)
        self.book.sums.learn(GLOBAL, {})
        self.now_s, self.speeches, self.tools = 100.0, 0, 0
        hold = self.book.open(Owner(SPEC.session_id, "c", model="m"), NOON_S)
        assert hold.admitted
        self.call = Conversation(SPEC, LONG, "m", "pcmu", rng=random.Random(1), means=hold.means)
        [opening] = self.call.opening()
        assert isinstance(opening, p.Configure)
        self.provider = Provider(Context(head_tokens(opening), warm=True))
        self.provider.bound = opening.max_output_tokens
        self.listens = True
        self.call.start(self.now_s)
        self.tell(m.ProviderUp())

    def tell(self, *events: Any) -> None:
        for event in events:
            wrapped = event if isinstance(event, m.ConversationEvent) else m.FromProvider(event)
            self.now_s += 0.01
            self.carry_out(self.call.handle(wrapped, self.now_s))

    def carry_out(self, out: list[m.ConversationCommand]) -> None:
        provider, asked = self.provider, None
        for command in out:
            match command:
                case m.ReportUsage():
                    provider.pending.append(command)
                case m.Listen(on):
                    self.listens = on
                case m.RunTool(call_id=call_id):
                    self.tell(m.ToolFinished(call_id, "{}"))
                case m.ToProvider(p.Bound(most)):
                    provider.bound = most
                case m.ToProvider(p.AddText(text=text)):
                    provider.context.add(text=len(text) // 4)
                case m.ToProvider(p.ToolResult(output=text)):
                    provider.context.add(text=len(text) // 4)
                case m.ToProvider(p.CancelResponse()) if provider.making:
                    self.tell(*provider.end(100, "cancelled"))
                case m.ToProvider(p.Respond(most)):
                    asked = most, True
        if asked and not provider.making:
            self.tell(provider.begin(asked[0]))

    # ------------------------------------------------------------- what happens

    def cuts_in(self, percent: int, late: bool = False) -> None:
        """The caller speaks, whether something is being made or not; the provider answers.

        Args:
            late: it says only then how much it had made.
        """
        if not self.listens or self.call.finish:
            return
        self.speeches += 1
        item = f"u{self.speeches}"
        started = p.SpeechStarted(item, 0)
        done = self.provider.end(percent, "cancelled") if self.provider.making else []
        self.tell(started, *([] if late else done))
        if self.listens and not self.call.finish:
            self.provider.context.add(audio=WORDS_TOKENS)
            self.tell(p.SpeechStopped(item, 100 * WORDS_TOKENS), self.provider.begin())
        if late:
            self.tell(*done)

    def presses(self) -> None:
        if not self.call.finish:
            self.tell(m.CallerPressed("9#"))

    def made(self, percent: int) -> None:
        if self.provider.making:
            self.tell(*self.provider.end(percent))

    def calls_a_function(self) -> None:
        provider = self.provider
        if not provider.making or self.call.finish:
            return
        self.tools += 1
        tool = p.ToolCall(provider.making, "i", f"t{self.tools}", "get_opening_hours", "{}")
        self.tell(tool, *provider.end(5))

    def billed(self, which: int) -> None:
        """One of the bills comes to the ledger, and its answer to the call."""
        pending = self.provider.pending
        if not pending:
            return
        command = pending.pop(which % len(pending))
        cost = PRICES.cost(command.usage, "m", NOON_S)
        bill = Bill(RESPONSE, command.response_id, "m", command.usage, 0, cost)
        charge = self.book.use(SPEC.session_id, bill, NOON_S)
        self.tell(
            m.MoneyRunsOut(charge.due, charge.means, command.response_id), m.Billed(command.key)
        )

    def ends(self) -> None:
        """The caller hangs up, if the call goes on; every bill comes in."""
        if self.call.state is State.ENDING:
            self.made(100)
            while self.call.finish is None and (at_s := self.call.next_deadline_s()):
                self.now_s = at_s
                self.carry_out(self.call.handle_timer(at_s))
        if self.provider.making:
            self.tell(*self.provider.end(100, "cancelled"))
        if not self.call.finish:
            self.tell(m.CallerGone("normal_clearing"))
        while self.provider.pending:
            self.billed(0)


CUTS = [("cuts_in", percent, late) for percent in (10, 100, 100) for late in (False, True)]
BILLED = [("billed", which) for which in range(3)]
ACTS = st.sampled_from([*CUTS, ("presses",), ("made", 100), ("calls_a_function",), *BILLED])


@settings(max_examples=300)
@given(st.integers(HELD, 4 * HELD), st.lists(ACTS, min_size=15, max_size=40))
def test_no_story_passes_the_limit(limit: int, acts: list[tuple[Any, ...]]) -> None:
    story = Story(limit)
    for name, *args in acts:
        getattr(story, name)(*args)
    story.ends()
    overdraft = sum(
        each.entry.amount_micros
        for each in story.book.changes.postings
        if each.entry.credit == OVERDRAFT
    )
    [standing] = story.book.sums.of_scope(GLOBAL, NOON_S)
    assert (overdraft, story.call.finish is not None) == (0, True)
    assert standing.posted_micros <= limit


# ------------------------------------------------------------------ one step after another


def held(tokens: int) -> Call:
    """A call in which nobody speaks, with means for an answer of so many tokens."""
    call = Call()
    call.greeted()
    call.tell(m.MoneyRunsOut((), buys(tokens), "r0"))
    return call


def cut_in(call: Call, number: int, made: int) -> list[Any]:
    """The caller speaks into the answer before this one, and the provider answers."""
    used = p.Usage(output_audio=made)
    return [
        *call.tell(p.SpeechStarted(f"u{number}", 0)),
        *call.tell(p.ResponseDone(f"r{number - 1}", "cancelled", usage=used)),
        *call.tell(p.SpeechStopped(f"u{number}", 900), p.ResponseStarted(f"r{number}")),
    ]


def bounds(out: list[Any]) -> list[int | None]:
    return [each.max_output_tokens for each in commands(out) if isinstance(each, p.Bound)]


def test_the_first_answer_has_a_bound_too() -> None:
    call = Conversation(SPEC, PROFILE, "m", "pcmu", rng=random.Random(1), means=buys(600))
    [opening] = call.opening()
    assert isinstance(opening, p.Configure)
    assert opening.max_output_tokens == 512


def test_what_is_being_made_leaves_less_for_who_cuts_in() -> None:
    call = held(1_200)
    call.asked()
    assert bounds(call.tell(p.ResponseStarted("r1"))) == []  # nobody speaks
    assert bounds(call.tell(p.SpeechStarted("u2", 0))) == [1]
    used = p.Usage(output_audio=300)
    out = call.tell(p.ResponseDone("r1", "cancelled", usage=used))
    assert bounds(out) == [512]
    assert bounds(call.tell(m.MoneyRunsOut((), buys(1_200, 1), "r1"))) == [1_024]


def test_an_answer_that_nothing_is_left_for_waits_for_the_bills_before_it() -> None:
    call = held(600)
    call.asked(item="u1")
    call.tell(p.ResponseStarted("r1"))
    out = cut_in(call, 2, made=500)
    assert bounds(out) == [1]
    assert p.CancelResponse("r2") in commands(out)
    assert call.state is State.THINKING
    assert commands(call.tell(p.ResponseDone("r2", "cancelled"))) == []
    assert call.tell(m.MoneyRunsOut((), buys(100, 1), "r0")) == []
    out = call.tell(m.MoneyRunsOut((), buys(600, 2), "r1"))
    assert commands(out) == [p.Bound(512), p.Respond()]
    assert m.Listen(False) not in call.spoken("r3", "i3")


def test_it_does_not_wait_for_ever() -> None:
    call = held(600)
    call.asked(item="u1")
    call.tell(p.ResponseStarted("r1"))
    cut_in(call, 2, made=500)
    call.tell(p.ResponseDone("r2", "cancelled"))
    out = call.wait()
    assert only(out, m.TellBudget)[0].step is Step.WRAP_UP
    assert kinds(out).count(m.Listen) == 2  # and the goodbye
    assert call.state is State.ENDING


def test_with_all_bills_there_and_nothing_left_it_does_not_wait() -> None:
    call = held(600)
    call.asked(item="u1")
    call.tell(p.ResponseStarted("r1"))
    cut_in(call, 2, made=500)
    call.tell(p.ResponseDone("r2", "cancelled"))
    out = call.tell(m.MoneyRunsOut((), buys(100, 1), "r1"))
    assert only(out, m.TellBudget)[0].step is Step.WRAP_UP
    assert call.state is State.ENDING


def test_who_cuts_in_while_it_waits_has_used_all_up() -> None:
    call = held(600)
    call.asked(item="u1")
    call.tell(p.ResponseStarted("r1"))
    cut_in(call, 2, made=500)
    out = cut_in(call, 3, made=1)
    assert only(out, m.TellBudget)[0].step is Step.WRAP_UP
    assert call.state is State.ENDING


def test_who_speaks_as_the_bills_come_is_answered_without_being_asked_for() -> None:
    call = held(600)
    call.asked(item="u1")
    call.tell(p.ResponseStarted("r1"))
    cut_in(call, 2, made=500)
    call.tell(p.ResponseDone("r2", "cancelled"), p.SpeechStarted("u3", 0))
    out = call.tell(m.MoneyRunsOut((), buys(600, 2), "r1"))
    assert commands(out) == [p.Bound(512)]
    assert call.wait_for(5.0) == []


def test_who_presses_a_key_into_an_answer_waits_until_that_is_made() -> None:
    call = held(1_200)
    call.asked()
    call.tell(p.ResponseStarted("r1"))
    out = call.tell(m.CallerPressed("9#"))
    assert commands(out)[0] == p.CancelResponse("r1")
    assert p.Respond() not in commands(out)
    assert call.state is State.THINKING
    used = p.Usage(output_audio=300)
    out = call.tell(p.ResponseDone("r1", "cancelled", usage=used))  # billed later
    assert commands(out) == [p.Bound(512), p.Respond()]


def test_an_answer_that_takes_too_long_is_asked_for_again_once_it_is_cancelled() -> None:
    call = held(1_200)
    call.asked()
    call.tell(p.ResponseStarted("r1"))
    assert commands(call.wait()) == [p.CancelResponse("r1"), p.Bound(1)]
    out = call.tell(p.ResponseDone("r1", "cancelled"))  # nothing of it is billed
    assert commands(out) == [p.Bound(1_024), p.Respond()]
    assert m.Listen(False) not in call.spoken("r2", "i2")


def test_a_session_that_ends_no_cancelled_answer_is_dialled_anew() -> None:
    call = held(1_200)
    call.asked()
    call.tell(p.ResponseStarted("r1"))
    call.wait()
    assert len(only(call.wait(), m.Redial)) == 1
    assert call.state is State.CONNECTING
    assert p.Respond() in commands(call.tell(m.ProviderUp()))


def test_on_hold_nothing_waits() -> None:
    call = held(600)
    call.asked(item="u1")
    call.tell(p.ResponseStarted("r1"))
    cut_in(call, 2, made=500)
    call.tell(p.ResponseDone("r2", "cancelled"), m.CallerHold(True))
    assert commands(call.tell(m.MoneyRunsOut((), buys(600, 2), "r1"))) == []
    assert commands(call.wait_for(5.0)) == []


def test_after_a_function_the_answer_has_what_the_call_of_it_left() -> None:
    call = held(1_200)
    call.asked()
    tool = p.ToolCall("r1", "i", "t1", "get_opening_hours", "{}")
    used = p.Usage(output_audio=300)
    call.tell(p.ResponseStarted("r1"), tool, p.ResponseDone("r1", "completed", usage=used))
    out = call.tell(m.ToolFinished("t1", "{}"))
    assert commands(out)[-1] == p.Respond()
    assert call.talk._call.thrift.bound == 512


def test_without_a_bill_before_it_there_is_nothing_to_wait_for() -> None:
    call = held(LEAST_TOKENS - 1)
    call.asked()
    out = call.tell(p.ResponseStarted("r1"))
    assert only(out, m.TellBudget)[0].step is Step.WRAP_UP
    assert PHRASES.goodbye in str(commands(out))


def test_keys_too_are_answered_only_if_something_is_left() -> None:
    call = held(LEAST_TOKENS - 1)
    out = call.tell(m.CallerPressed("9#"))
    assert call.state is State.ENDING
    assert PHRASES.goodbye in str(commands(out))


def test_where_no_limit_is_left_there_is_no_bound() -> None:
    call = held(600)
    assert bounds(call.tell(m.MoneyRunsOut((), None, "r1"))) == [None]
    assert call.talk._call.bills.room is None
    assert bounds(call.tell(m.MoneyRunsOut((), buys(600), "r2"))) == [512]


def test_with_another_session_nothing_is_being_made() -> None:
    call = held(1_200)
    call.asked()
    call.tell(p.ResponseStarted("r1"))
    [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    assert redial.opening[0].max_output_tokens == 1_024
