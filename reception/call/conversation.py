"""The conversation of one call: events in, commands out, time as an argument.

One `Conversation` is one call. It never waits and never looks at a clock; its
shell (`actors.call_run`) feeds it and has its commands carried out. What follows
from each event is in `reception.call.talk`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from reception.call import messages as m
from reception.call.profile import Profile
from reception.call.prompt import configuration, head_tokens
from reception.call.record import CallRecord, CallSpec
from reception.call.states import TALKING, State, public_state
from reception.call.talk import (
    answers,
    caller,
    effects,
    ending,
    fallback,
    money,
    provider,
    room,
    speaking,
    tool_calls,
    voice,
)
from reception.call.talk.course import Course, Given
from reception.call.thrift import Thrift
from reception.call.turns import Turns
from reception.money.allowance import Means
from reception.money.savings.comparison import Answered
from reception.money.savings.levels import LEVELS, Decisions, Level
from reception.provider import base as p

_GIVEN = "given"  # to the next one as well


class Conversation:
    """The state machine of one call.

    Args:
        spec: the call.
        profile: its receptionist.
        model: the model that speaks first.
        audio_format: the provider's audio format (`reception.provider.base`).
        voice: the deployment's voice, where the profile has none.
        rng: for the jitter of back-off.
        decisions: how the call saves.
        recorded: texts that there are recordings of, and their length in ms.
        asked_model: that would speak first if nothing was saved; "" for the same.
        means: what its first answers may cost; None where no limit is over the call.
    """

    def __init__(
        self,
        spec: CallSpec,
        profile: Profile,
        model: str,
        audio_format: str,
        *,
        voice: str = "",
        rng: random.Random,
        decisions: Decisions = LEVELS[Level.OFF],
        recorded: Mapping[str, int] = MappingProxyType({}),
        asked_model: str = "",
        means: Means | None = None,
    ) -> None:
        may_ask = asked_model not in ("", model)
        configured = configuration(profile, audio_format, voice, decisions, may_ask=may_ask)
        self._given = Given(spec, profile, configured, rng, recorded, means)
        thrift = Thrift(model, decisions.answer_s, asked_model, text=decisions.text_answers)
        self._call = Course(self._given, thrift)

    def opening(self) -> tuple[p.ProviderCommand, ...]:
        """What the provider is told first when it is dialled."""
        room.measure(self._call)
        return (self._call.thrift.configured(self._given.configuration),)

    def start(self, now_s: float) -> list[m.ConversationCommand]:
        """The call begins: the provider is being dialled."""
        call = self._call
        call.now_s = now_s
        call.turns = Turns(now_s)
        call.later("dial", provider.DIAL_S)
        call.later("max", call.profile.limits.max_call_s)
        return []

    def handle(self, event: m.ConversationEvent, now_s: float) -> list[m.ConversationCommand]:
        """What follows from an event. After the call has ended: bills only."""
        call = self._call
        call.now_s = now_s
        inner = event.event if isinstance(event, m.FromProvider) else event
        ended = call.state is State.ENDED
        handler = (_LATE if ended else _HANDLERS).get(type(inner))
        if handler is not None:
            call.story.append(type(inner).__name__)
            handler(call, inner)
            if not ended:
                _settle(call)
                room.keep(call)
        return call.take()

    def next_deadline_s(self) -> float | None:
        """When `handle_timer` is due; None once the call has ended."""
        return min(self._call.deadlines.values(), default=None)

    def handle_timer(self, now_s: float) -> list[m.ConversationCommand]:
        """What follows from the time."""
        call = self._call
        call.now_s = now_s
        while (at_s := self.next_deadline_s()) is not None and at_s <= now_s:
            name = min(call.deadlines, key=call.deadlines.__getitem__)
            del call.deadlines[name]
            call.story.append(f"timer {name}")
            _TIMERS[name](call)
            _settle(call)
            room.keep(call)
        return call.take()

    def write_off(self) -> list[m.ConversationCommand]:
        """The bills of all that nothing more will be heard of: after the end."""
        money.write_off(self._call)
        return self._call.take()

    def checkpoint(self) -> dict[str, Any]:
        """All that the call has come to. Values of plain classes, to be kept as a copy."""
        return {name: value for name, value in vars(self._call).items() if name != _GIVEN}

    def resume(self, checkpoint: Mapping[str, Any], later_s: float = 0.0) -> list[m.Work]:
        """Goes on where another conversation of the same call was; `start` has no part
        in it.

        Args:
            later_s: by how much this clock is ahead of the other one's.

        Returns:
            What was under way elsewhere, to be begun again.
        """
        call = self._call
        vars(call).update(checkpoint)
        if "voice" not in call.deadlines:  # the other node may have had none
            call.thrift.text = self._given.configuration.text
        call.now_s += later_s
        call.deadlines = {name: at_s + later_s for name, at_s in call.deadlines.items()}
        call.turns.shift(later_s)
        if call.floor.playing is not None:
            call.floor.playing.since_s += later_s
        return under_way(checkpoint)

    def awaits(self, work: m.Work) -> bool:
        """Whether this is still to be done."""
        return self._call.under_way.get(work.key) == work

    @property
    def state(self) -> State:
        return self._call.state

    @property
    def finish(self) -> m.FinishCall | None:
        """Once the call has ended."""
        return self._call.finish

    def usage_counts(self) -> dict[str, int]:
        """How often our own count was not the provider's, and was billed."""
        count = self._call.bills.count
        return {"usage_differs": count.differing, "usage_estimated": count.estimated}

    def answered(self) -> tuple[tuple[Answered, ...], int]:
        """What was billed and what would have been, for `compare`; the tokens of
        instructions and tools."""
        return tuple(self._call.thrift.answered), head_tokens(self._given.configuration)

    def record(self) -> CallRecord:
        """The call record as it is now; costs and times of day are the shell's."""
        return recorded(self._given.spec, vars(self._call))


def _answered(call: Course, event: m.Billed | m.ToolFinished) -> None:
    """Nothing else follows from it."""
    call.answered(event.key)


def _settle(call: Course) -> None:
    """After each event: goes on once it is quiet."""
    if call.connection.given_up:
        fallback.go_on(call)
    elif money.wraps_up(call):
        money.wrap_up(call)
    elif not speaking.is_quiet(call):
        return
    elif call.state is State.ENDING:
        ending.words_are_over(call)
    elif call.state in TALKING - {State.CALLER_SPEAKING, State.LISTENING}:
        call.tell(call.turns.done(call.now_s, interrupted=False))
        if call.effect is None:
            speaking.listen(call)
        else:
            effects.carry_out(call, call.effect)


def recorded(spec: CallSpec, checkpoint: Mapping[str, Any]) -> CallRecord:
    """The record of a call that had come to this checkpoint."""
    turns: Turns = checkpoint["turns"]
    thrift: Thrift = checkpoint["thrift"]
    return CallRecord(
        spec=spec,
        state=public_state(checkpoint["state"]),
        phase=str(checkpoint["state"]),
        model=thrift.model,
        end_reason=checkpoint["end_reason"],
        transferred_to=checkpoint["transferred_to"],
        turns=turns.number,
        interruptions=turns.interruptions,
        transcript=checkpoint["transcript"].said(),
        turn_times=tuple(turns.times),
        messages=tuple(checkpoint["taken"]),
        budget_steps=tuple(str(step) for step in thrift.taken),
    )


def under_way(checkpoint: Mapping[str, Any]) -> list[m.Work]:
    """What was done elsewhere, and not answered, when a call had come to this checkpoint."""
    return list(checkpoint["under_way"].values())


_HANDLERS: dict[type, Callable[[Course, Any], None]] = {
    m.ProviderUp: provider.up,
    m.ProviderDown: provider.down,
    m.MediaLost: provider.media_lost,
    p.ProviderFault: provider.fault,
    p.ResponseStarted: answers.started,
    p.AssistantTranscript: answers.words,
    p.ResponseDone: answers.done,
    m.PlayoutStarted: answers.playout_started,
    m.PlayoutDrained: answers.playout_drained,
    m.PlayoutInterrupted: answers.interrupted,
    m.Unspoken: voice.unspoken,
    m.GatewayMeasured: answers.gateway_measured,
    p.ToolCall: tool_calls.made,
    m.ToolFinished: tool_calls.finished,
    p.ItemCut: money.item_cut,
    p.SpeechStarted: caller.speech_started,
    p.SpeechStopped: caller.speech_stopped,
    p.AudioCommitted: money.committed,
    p.CallerTranscript: caller.words,
    p.CallerTranscriptFailed: money.words_failed,
    m.CallerPressed: caller.pressed,
    m.CallerHold: caller.hold,
    m.CallerGone: caller.gone,
    m.LegRefused: caller.refused,
    m.TransferResult: effects.transfer_result,
    m.AnswerAudio: money.answer_audio,
    m.Billed: _answered,
    m.MoneyRunsOut: money.runs_out,
    m.EndRequested: ending.requested,
}
_LATE: dict[type, Callable[[Course, Any], None]] = {
    p.ResponseStarted: money.late_answer,
    p.AssistantTranscript: money.answer_words,
    p.ToolCall: money.called,
    m.AnswerAudio: money.answer_audio,
    m.Billed: _answered,
    m.ToolFinished: _answered,
    p.ItemCut: money.item_cut,
    p.SpeechStarted: money.speaks,
    p.SpeechStopped: money.spoken,
    p.AudioCommitted: money.committed,
    p.CallerTranscript: money.bill_words,
    p.CallerTranscriptFailed: money.words_failed,
    p.ResponseDone: money.bill_answer,
}
_TIMERS: dict[str, Callable[[Course], None]] = {
    "dial": provider.dial_timeout,
    "renew": provider.renew,
    "answer": answers.timeout,
    "tools": tool_calls.timeout,
    "digits": caller.act_on_digits,
    "transfer": effects.transfer_timeout,
    "silence": ending.silence,
    "missed": speaking.ask_again,
    "voice": voice.again,
    "bills": provider.bills_late,
    "max": ending.time_is_up,
    "fallback": fallback.timeout,
    "ending": ending.words_are_over,
}
