"""The conversation of one call: events in, commands out, time as an argument.

One `Conversation` is one call. It never waits and never looks at a clock; its
shell (`actors.call_run`) executes the commands and feeds results back.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from reception.call import messages as m
from reception.call.phrases import PREFIX
from reception.call.profile import Profile
from reception.call.prompt import configuration, head_tokens, say_exactly
from reception.call.record import CallRecord, CallSpec, TakenMessage
from reception.call.states import State, check, public_state
from reception.call.thrift import Thrift, words_tokens
from reception.call.tool_uses import ToolUses
from reception.call.tools import Effect, EndCall, Message, Transfer, failed
from reception.call.transcript import Transcript
from reception.call.turns import Turns
from reception.money.own_count import OwnCount
from reception.money.policy import Step
from reception.money.savings.comparison import Answered
from reception.money.savings.levels import LEVELS, Decisions, Level
from reception.provider import base as p

DIAL_S = 15.0
DIAL_TRIES = 4
LAST_WORDS_S = 10.0
DIGIT_PAUSE_S = 1.5
DRAIN_MS = 1_000
RENEW_S = 3_000.0  # the provider ends a session after 3,600 s
RENEW_AGAIN_S = 20.0  # when the new session was not taken up
RENEW_LOOK_S = 1.0  # for a pause
CHANGE_AGAIN_S = 2.0  # when the other model's session was not taken up
BUDGET = "budget"
_REFUSED = frozenset({401, 402, 403, 404})
_BUSY = "conversation_already_has_active_response"
_GIVEN = ("_spec", "_profile", "_configuration", "_rng", "_recorded")  # to the next one as well
_TALKING = frozenset(
    {State.GREETING, State.LISTENING, State.CALLER_SPEAKING, State.THINKING, State.SPEAKING}
    | {State.TOOL_RUNNING}
)


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
    ) -> None:
        self.state = State.CONNECTING
        self._spec, self._profile = spec, profile
        self._configuration = configuration(profile, audio_format, voice, decisions)
        self._rng, self._recorded = rng, recorded
        self._now_s = 0.0
        self._out: list[m.ConversationCommand] = []
        self._story: deque[str] = deque(maxlen=30)
        self._deadlines: dict[str, float] = {}
        self._transcript = Transcript()
        self._turns = Turns(0.0)
        self._tools = ToolUses()
        self._thrift = Thrift(model, decisions.answer_tokens, asked_model)
        self._count = OwnCount(head_tokens(self._configuration))
        self._phrases = 0  # played from recordings
        self._unstarted = ""  # the item of one that is not heard yet
        self._stopping = ""  # a response that was cancelled, and may still say something
        self._speech: tuple[str, int] | None = None  # the caller's item, and where it began
        self._wrapping = False  # the money is gone: nothing new is begun
        self._taken_over = False  # by a person, or that was tried
        self._last_words, self._unsaid = "", False
        self._connected = self._greeted = False
        self._playing: tuple[str, float] | None = None  # the item, and since when
        self._prompted = self._retried = False
        self._healable = True
        self._dials = 1  # since the provider last answered
        self._response: str | None = None  # being made
        self._owed = False  # awaited, not begun
        self._spoke = False  # the last response had words
        self._effect: Transfer | EndCall | None = None
        self._transfer: Transfer | None = None
        self._digits = ""
        self._billed: set[str] = set()
        self._taken: list[TakenMessage] = []
        self._end_reason = self._transferred_to = ""
        self.finish: m.FinishCall | None = None  # once the call has ended

    # ------------------------------------------------------------- the shell's side

    def opening(self) -> tuple[p.ProviderCommand, ...]:
        """What the provider is told first when it is dialled."""
        return (self._configuration,)

    def start(self, now_s: float) -> list[m.ConversationCommand]:
        """The call begins: the provider is being dialled."""
        self._now_s = now_s
        self._turns = Turns(now_s)
        self._in("dial", DIAL_S)
        self._in("max", self._profile.limits.max_call_s)
        return []

    def handle(self, event: m.ConversationEvent, now_s: float) -> list[m.ConversationCommand]:
        """What follows from an event. After the call has ended: bills only."""
        self._now_s = now_s
        inner = event.event if isinstance(event, m.FromProvider) else event
        ended = self.state is State.ENDED
        handler = (_LATE if ended else _HANDLERS).get(type(inner))
        if handler is not None:
            self._story.append(type(inner).__name__)
            handler(self, inner)
            if not ended:
                self._settle()
        return self._take()

    def next_deadline_s(self) -> float | None:
        """When `handle_timer` is due; None once the call has ended."""
        return min(self._deadlines.values(), default=None)

    def handle_timer(self, now_s: float) -> list[m.ConversationCommand]:
        """What follows from the time."""
        self._now_s = now_s
        while (at_s := self.next_deadline_s()) is not None and at_s <= now_s:
            name = min(self._deadlines, key=lambda each: self._deadlines[each])
            del self._deadlines[name]
            self._story.append(f"timer {name}")
            _TIMERS[name](self)
            self._settle()
        return self._take()

    def checkpoint(self) -> dict[str, Any]:
        """All that the call has come to. Values of plain classes, to be kept as a copy."""
        return {name: value for name, value in vars(self).items() if name not in _GIVEN}

    def resume(self, checkpoint: Mapping[str, Any], later_s: float = 0.0) -> None:
        """Goes on where another conversation of the same call was; `start` has no part
        in it.

        Args:
            later_s: by how much this clock is ahead of the other one's.
        """
        vars(self).update(checkpoint)
        self._now_s += later_s
        self._deadlines = {name: at_s + later_s for name, at_s in self._deadlines.items()}
        self._turns.shift(later_s)
        if self._playing is not None:
            self._playing = self._playing[0], self._playing[1] + later_s

    @property
    def connected(self) -> bool:
        """The provider has a session for this call."""
        return self._connected

    def write_off(self) -> list[m.ConversationCommand]:
        """The bills of answers whose end will not be heard of any more: after the end."""
        for response_id in self._count.open():
            self._bill_by_own_count(response_id)
        return self._take()

    def usage_counts(self) -> dict[str, int]:
        """How often our own count was not the provider's, and was billed."""
        return {
            "usage_differs": self._count.differing,
            "usage_estimated": self._count.estimated,
        }

    def answered(self) -> tuple[tuple[Answered, ...], int]:
        """What was billed and what would have been, for `compare`; the tokens of
        instructions and tools."""
        return tuple(self._thrift.answered), head_tokens(self._configuration)

    def record(self) -> CallRecord:
        """The call record as it is now; costs and times of day are the shell's."""
        return recorded(self._spec, vars(self))

    # ------------------------------------------------------------- small steps

    def _take(self) -> list[m.ConversationCommand]:
        out, self._out = self._out, []
        return out

    def _tell(self, command: m.ConversationCommand | None) -> None:
        if command is not None:
            self._out.append(command)

    def _in(self, name: str, wait_s: float) -> None:
        self._deadlines[name] = self._now_s + wait_s

    def _no(self, *names: str) -> None:
        for name in names:
            self._deadlines.pop(name, None)

    def _go(self, state: State) -> None:
        check(self.state, state, list(self._story))
        self._story.append(f"-> {state}")
        self.state = state

    def _provider(self, command: p.ProviderCommand) -> None:
        self._tell(m.ToProvider(command))

    def _respond(self, exactly: str = "") -> None:
        """Asks the provider for an answer, or plays the recording of these words."""
        if exactly in self._recorded and not (self._stopping or self._owed):
            self._play(exactly)
            return
        self._await_answer()
        if exactly:
            self._provider(say_exactly(exactly))
        self._provider(p.Respond(words_tokens(exactly) if exactly else None))

    def _play(self, text: str) -> None:
        """The model is told what the caller hears."""
        self._phrases += 1
        item_id = self._unstarted = f"{PREFIX}{self._phrases}"
        self._provider(p.AddText("assistant", text, item_id))
        self._tell(m.PlayPhrase(item_id, text))
        self._transcript.add("reception", item_id, text, True, self._turns.at_ms(self._now_s))
        self._tell(m.TellTranscript(m.Who.RECEPTION, text, True, item_id))
        self._thrift.note_phrase(self._recorded[text], len(text))
        self._playing, self._spoke = (item_id, self._now_s), True
        self._no("answer", "silence")

    def _await_answer(self) -> None:
        """An answer is owed until it begins."""
        self._owed, self._spoke = True, False
        self._in("answer", self._profile.limits.answer_s)

    def _hush(self) -> None:
        """Stops what is being said and made."""
        if self._response is not None:
            self._provider(p.CancelResponse(self._response))
            self._stopping, self._response = self._response, None
        if self._playing is not None:
            self._playing, self._unstarted = None, ""
            self._tell(m.StopPlayout())

    def _listen(self) -> None:
        """Nobody speaks: how long is that all right?"""
        self._go(State.LISTENING)
        limits = self._profile.limits
        self._in("silence", limits.end_after_s if self._prompted else limits.prompt_after_s)
        if self._thrift.changes_model and self._connected:
            self._in("renew", 0.0)

    def _settle(self) -> None:
        """Goes on once it is quiet."""
        if self._wraps_up():
            self._wrap_up()
            return
        if not self._is_quiet():
            return
        if self.state is State.ENDING:
            self._finish(self._end_reason, hangup=True)
        elif self.state in _TALKING - {State.CALLER_SPEAKING, State.LISTENING}:
            self._tell(self._turns.done(self._now_s, interrupted=False))
            if self._effect is None:
                self._listen()
            else:
                self._carry_out(self._effect)

    def _is_quiet(self) -> bool:
        """Nothing is being made, awaited, played or run."""
        return self._playing is None and not self._is_busy()

    def _is_busy(self) -> bool:
        """Something is being made, awaited or run."""
        return self._response is not None or self._owed or bool(self._tools.running())

    def _carry_out(self, effect: Transfer | EndCall) -> None:
        self._effect = None
        self._no("silence", "answer")
        if isinstance(effect, EndCall):
            self._finish("completed", hangup=True)
            return
        self._transfer = effect
        self._go(State.TRANSFERRING)
        self._in("transfer", self._profile.limits.transfer_wait_s)
        self._tell(m.Listen(False))
        self._tell(m.TellTransfer(effect.destination, effect.name, effect.reason))

    # ------------------------------------------------------------- the provider's socket

    def _on_up(self, event: m.ProviderUp) -> None:
        self._connected = True
        self._thrift.up(event.model)
        self._count.changed()
        self._no("dial")
        self._in("renew", RENEW_S)
        if self.state is not State.CONNECTING:
            return
        if not self._greeted:
            self._greeted = True
            self._go(State.GREETING)
            self._respond(self._profile.phrases.greeting)
        elif self._tools.ready(None):
            self._go(State.THINKING)
            self._give_results()
        elif self._owed:
            self._go(State.THINKING)
            self._respond()
        else:
            self._listen()

    def _on_down(self, event: m.ProviderDown) -> None:
        self._connected, self._stopping = False, ""
        # An answer that was being made, or awaited, is owed by the next session.
        self._owed = self._owed or self._response is not None
        self._response = None
        self._no("answer", "silence", "renew")
        if self.state is State.ENDING:
            self._owed = False
        elif self._thrift.give_up_change():
            self._healable = True
            self._dial_again()
        elif event.code in _REFUSED or not self._healable or self._dials >= DIAL_TRIES:
            self._finish("provider_unavailable", hangup=True)
        else:
            self._dial_again()

    def _on_media_lost(self, _: m.MediaLost) -> None:
        """What the caller was just told ends in the middle: it is answered anew."""
        heard_ms = 0
        if self._playing is not None:
            item_id, since_s = self._playing
            heard_ms = round((self._now_s - since_s) * 1000)
            self._playing, self._unstarted = None, ""
            self._transcript.cut(item_id, heard_ms)
            self._owed = True
        if self._response is not None:
            self._on_answer_audio(m.AnswerAudio(self._response, heard_ms, lost=True))
        self._on_down(m.ProviderDown(0, "the audio worker is gone"))

    def _dial_again(self) -> None:
        self._tools.orphan()
        delay_s = self._rng.uniform(0.1, 0.3) * 2 ** (self._dials - 1)
        self._dials += 1
        if self.state in _TALKING:
            self._go(State.CONNECTING)
        self._dial(delay_s)

    def _dial(self, delay_s: float) -> None:
        self._in("dial", delay_s + DIAL_S)
        self._tell(m.Redial(delay_s, self._reopening(), self._thrift.dial()))

    def _reopening(self) -> tuple[p.ProviderCommand, ...]:
        """What a session is told first that goes on where another was."""
        return self._thrift.opening(self._configuration, self._transcript.replay())

    def _on_renew(self) -> None:
        """The session's time is nearly over, or another model is to go on: another
        session takes its place in a pause."""
        changes = self._thrift.changes_model
        if self.state in (State.LISTENING, State.ON_HOLD) and self._is_quiet():
            self._tell(m.Renew(self._reopening(), self._thrift.renewal()))
            self._in("renew", CHANGE_AGAIN_S if changes else RENEW_AGAIN_S)
        else:
            self._in("renew", RENEW_LOOK_S)

    def _on_fault(self, event: p.ProviderFault) -> None:
        self._healable = self._healable and (event.healable or not event.fatal)
        if event.code == _BUSY and self.state is State.ENDING:
            self._hush()  # what was being made comes before the last words
            self._await_answer()
            self._unsaid = True

    def _on_dial_timeout(self) -> None:
        self._finish("provider_unavailable", hangup=True)

    # ------------------------------------------------------------- the caller speaks

    def _on_speech_started(self, event: p.SpeechStarted) -> None:
        self._speech = event.item_id, event.audio_start_ms
        if self.state not in _TALKING:
            return
        self._transcript.began("caller", event.item_id, self._turns.at_ms(self._now_s))
        self._go(State.CALLER_SPEAKING)
        self._prompted = False
        self._no("silence")
        if self._profile.hearing.decides:
            self._hush()
        self._tell(self._turns.speech_started(self._now_s))

    def _on_speech_stopped(self, event: p.SpeechStopped) -> None:
        if self._speech is not None and self._speech[0] == event.item_id:
            self._count.caller(event.audio_end_ms - self._speech[1])
        self._speech = None
        if self.state is not State.CALLER_SPEAKING:
            return
        self._go(State.THINKING)
        self._retried = False
        if self._profile.hearing.decides:
            self._respond()
        else:
            self._await_answer()
        self._tell(self._turns.speech_stopped(self._now_s))

    def _on_caller_words(self, event: p.CallerTranscript) -> None:
        at_ms = self._turns.at_ms(self._now_s)
        self._transcript.add("caller", event.item_id, event.text, event.final, at_ms)
        self._tell(m.TellTranscript(m.Who.CALLER, event.text, event.final, event.item_id))
        self._bill_words(event)

    def _bill_words(self, event: p.CallerTranscript) -> None:
        usage = event.usage
        if usage is not None and self._bill_once(event.item_id):
            tokens_in = usage.input_audio + usage.input_text
            self._tell(
                m.ReportTranscription(event.item_id, usage.seconds, tokens_in, usage.output_text)
            )

    def _bill_once(self, key: str) -> bool:
        new = key not in self._billed
        self._billed.add(key)
        return new

    # ------------------------------------------------------------- the receptionist speaks

    def _on_response_started(self, event: p.ResponseStarted) -> None:
        self._response = event.response_id
        self._count.began(event.response_id)
        self._owed = False
        self._in("answer", self._profile.limits.answer_s)
        self._tell(self._turns.response_started(self._now_s))
        if self._profile.hearing.decides and self.state is State.CALLER_SPEAKING:
            self._hush()  # asked for before the caller went on

    def _on_words(self, event: p.AssistantTranscript) -> None:
        self._spoke = True
        if not event.final:
            self._count.words(event.response_id, len(event.text))
        at_ms = self._turns.at_ms(self._now_s)
        self._transcript.add("reception", event.item_id, event.text, event.final, at_ms)
        self._tell(m.TellTranscript(m.Who.RECEPTION, event.text, event.final, event.item_id))

    def _on_response_done(self, event: p.ResponseDone) -> None:
        self._bill(event)
        if event.response_id == self._stopping:
            self._stopping = ""
        if self._unsaid:
            self._unsaid = False
            self._respond(self._last_words)
            return
        if event.response_id != self._response:
            return
        self._response = None
        self._no("answer")
        if event.status == "failed":
            self._on_failure()
            return
        self._dials = 1
        if self._tools.ready(None):
            self._give_results()

    def _bill(self, event: p.ResponseDone) -> None:
        """As the provider counts. Where it says nothing of an answer that was made, as we
        do."""
        usage = event.usage
        if usage is None:
            if self._count.has(event.response_id):
                self._bill_by_own_count(event.response_id)
            self._count.forget(event.response_id)
            return
        if not self._bill_once(event.response_id):
            return
        known = not self._profile.hearing.decides  # of the caller's speech
        for difference in self._count.answered(event.response_id, usage, caller=known):
            self._tell(m.UsageDiffers(difference))
        self._thrift.note(usage)
        self._tell(m.ReportUsage(event.response_id, usage, self._thrift.model))

    def _bill_by_own_count(self, response_id: str) -> None:
        if self._bill_once(response_id):
            usage = self._count.estimate(response_id)
            self._thrift.note(usage)
            self._tell(m.ReportUsage(response_id, usage, self._thrift.model, estimated=True))

    def _on_late_answer(self, event: p.ResponseStarted) -> None:
        self._count.changed()  # what was said since the end is not counted
        self._count.began(event.response_id)

    def _on_answer_audio(self, event: m.AnswerAudio) -> None:
        self._count.audio(event.response_id, event.audio_ms)
        if event.lost:
            self._bill_by_own_count(event.response_id)

    def _on_failure(self) -> None:
        """An answer was not made: once more, then the apology."""
        if self.state is State.ENDING:
            self._owed = False
        elif not self._retried:
            self._retried = True
            self._respond()
        else:
            self._say_and_end(self._profile.phrases.trouble, "provider_unavailable")

    def _on_answer_timeout(self) -> None:
        """No answer began, or one takes too long to be made."""
        if self._response is not None and self._playing is not None:
            return
        self._hush()
        self._on_failure()

    def _on_playout_started(self, event: m.PlayoutStarted) -> None:
        if self._unstarted and event.item_id != self._unstarted:
            return  # of before it
        self._playing, self._unstarted = (event.item_id, self._now_s), ""
        self._no("silence")
        if self.state in (State.LISTENING, State.THINKING, State.TOOL_RUNNING):
            self._go(State.SPEAKING)
        self._tell(self._turns.first_audio(self._now_s))

    def _on_playout_drained(self, _: m.PlayoutDrained) -> None:
        if not self._unstarted:
            self._playing = None

    def _on_interrupted(self, event: m.PlayoutInterrupted) -> None:
        if self._unstarted in ("", event.item_id):
            self._playing, self._unstarted = None, ""
        if self._profile.hearing.decides:
            self._hush()
        self._count.changed()
        self._turns.interruptions += 1
        self._transcript.cut(event.item_id, event.heard_ms)
        self._tell(self._turns.done(self._now_s, interrupted=True))
        if isinstance(self._effect, EndCall):  # the caller has more to say
            self._effect = None

    def _on_gateway(self, event: m.GatewayMeasured) -> None:
        self._turns.gateway(event.gateway_us)

    # ------------------------------------------------------------- tools

    def _on_tool_call(self, event: p.ToolCall) -> None:
        if self.state not in _TALKING or not self._tools.add(event):
            return
        if self.state is State.THINKING:
            self._go(State.TOOL_RUNNING)
        self._in("tools", self._profile.limits.tool_s)
        self._tell(m.RunTool(event.call_id, event.name, event.arguments))

    def _on_tool_finished(self, event: m.ToolFinished) -> None:
        call = self._tools.finish(event.call_id, event.output)
        if call is None:
            return
        effect: Effect = event.effect
        if isinstance(effect, Message):
            self._taken.append(effect.message)
        elif effect is not None:
            self._effect = effect
        if self._tools.ready(self._response) and self._connected:
            self._give_results()

    def _on_tools_timeout(self) -> None:
        for call_id in self._tools.running():
            output = failed("the function took too long").output
            self._on_tool_finished(m.ToolFinished(call_id, output))

    def _give_results(self) -> None:
        """All functions have run: their results, and what comes of them."""
        self._no("tools")
        for use in self._tools.take():
            call = use.call
            self._transcript.tool(call.call_id, call.name, call.arguments, use.output or "")
            for command in use.commands():
                self._provider(command)
        if self.state in (State.TOOL_RUNNING, State.SPEAKING) and self._playing is None:
            self._go(State.THINKING)
        if self._effect is None:
            self._respond()
        elif not self._spoke:
            self._respond(self._announcement(self._effect))

    def _announcement(self, effect: Transfer | EndCall) -> str:
        if isinstance(effect, EndCall):
            return self._profile.phrases.goodbye
        return self._profile.phrases.transferring.format(name=effect.name)

    # ------------------------------------------------------------- keys, hold, transfer

    def _on_pressed(self, event: m.CallerPressed) -> None:
        if self.state not in _TALKING:
            return
        self._digits += event.digits
        self._prompted = False
        self._no("silence")
        if self._digits in self._profile.keys or "#" in event.digits:
            self._on_digits()
        else:
            self._in("digits", DIGIT_PAUSE_S)

    def _on_digits(self) -> None:
        """The caller has pressed what there was to press."""
        self._no("digits")
        digits, self._digits = self._digits, ""
        self._hush()
        entry = self._profile.entry(self._profile.keys.get(digits, ""))
        self._go(State.THINKING)
        if entry is None:
            self._provider(p.AddText("user", f"The caller pressed the keys {' '.join(digits)}."))
            self._respond()
            return
        self._effect = Transfer(entry.destination, entry.name, f"pressed {digits}")
        self._respond(self._announcement(self._effect))

    def _on_hold(self, event: m.CallerHold) -> None:
        if event.on and self.state in _TALKING:
            self._hush()
            self._owed, self._digits = False, ""
            self._no("silence", "answer", "digits")
            self._go(State.ON_HOLD)
            self._tell(m.Listen(False))
        elif not event.on and self.state is State.ON_HOLD:
            self._tell(m.Listen(True))
            self._listen()

    def _on_transfer_result(self, event: m.TransferResult) -> None:
        if self._transfer is None or self.state is not State.TRANSFERRING:
            return
        if event.ok:
            self._transferred_to = self._transfer.destination
            self._finish("transferred", hangup=False)
            return
        self._no("transfer")
        if self._wrapping:
            self._transfer = None
            self._go(State.THINKING)
            return
        self._tell(m.Listen(True))
        told = f"The transfer to {self._transfer.name} failed. {event.detail}".strip()
        self._transfer = None
        self._provider(p.AddText("system", told))
        self._go(State.THINKING)
        self._respond(self._profile.phrases.transfer_failed)

    def _on_transfer_timeout(self) -> None:
        self._on_transfer_result(m.TransferResult(False, "Nobody answered."))

    # ------------------------------------------------------------- the money runs out

    def _on_money(self, event: m.MoneyRunsOut) -> None:
        if self.state is State.ENDING:
            return
        before = self._thrift.max_output_tokens
        self._thrift.afford(event.output_tokens)
        new = self._thrift.take(event.due)
        if self._connected:
            for command in self._thrift.told(before, new):
                self._provider(command)
        for step in new:
            self._tell(m.TellBudget(step, self._turns.at_ms(self._now_s)))
            if step is Step.CHEAPER:
                self._thrift.go_cheaper(self._profile.cheaper_model)
                if self._thrift.changes_model and self._connected:
                    self._in("renew", 0.0)
            elif step.ends:
                self._wrapping, self._taken_over = True, step is not Step.TRANSFER
                self._tell(m.Listen(False))

    def _wraps_up(self) -> bool:
        """Whether the end is to begin. An answer that is made, and paid for, is played to
        its end; nothing else is waited for."""
        if not self._wrapping or self._effect is not None or not self._connected:
            return False
        playing = self._playing is not None and not self._is_busy()
        return self.state in _TALKING and (not playing or self.state is State.CALLER_SPEAKING)

    def _wrap_up(self) -> None:
        """Puts the caller through to a person, else says goodbye."""
        entry = None if self._taken_over else self._profile.person()
        if entry is None:
            self._say_and_end(self._profile.phrases.goodbye, BUDGET)
            return
        self._taken_over = True
        self._hush()
        self._tools.clear()
        self._no("silence", "tools")
        self._go(State.THINKING)
        self._effect = Transfer(entry.destination, entry.name, "the call's budget is used up")
        self._respond(self._announcement(self._effect))

    # ------------------------------------------------------------- the end

    def _on_silence(self) -> None:
        if self._prompted:
            self._say_and_end(self._profile.phrases.silent_goodbye, "caller_silent")
        else:
            self._prompted = True
            self._go(State.THINKING)
            self._respond(self._profile.phrases.still_there)

    def _on_max(self) -> None:
        self._say_and_end(self._profile.phrases.time_is_up, "max_duration")

    def _on_end_requested(self, event: m.EndRequested) -> None:
        if event.polite:
            self._say_and_end(self._profile.phrases.goodbye, event.reason)
        else:
            self._finish(event.reason, hangup=True)

    def _say_and_end(self, phrase: str, reason: str) -> None:
        """Last words, then the end; at once when nothing can be said."""
        if self.state is State.ENDING:
            return
        if not self._connected:
            self._finish(reason, hangup=True)
            return
        self._hush()
        self._tools.clear()
        self._effect = None
        self._wrapping, self._last_words = False, phrase
        self._end_reason = reason
        self._go(State.ENDING)
        self._deadlines.clear()
        self._in("ending", LAST_WORDS_S)
        self._tell(m.Listen(False))
        self._respond(phrase)

    def _on_last_words_timeout(self) -> None:
        self._finish(self._end_reason, hangup=True)

    def _on_gone(self, event: m.CallerGone) -> None:
        self._finish(event.reason, hangup=False)

    def _on_refused(self, _: m.LegRefused) -> None:
        self._finish("invalid_request", hangup=False)

    def _finish(self, reason: str, *, hangup: bool) -> None:
        self._tell(self._turns.done(self._now_s, interrupted=False))
        self._go(State.ENDED)
        self._deadlines.clear()
        self._end_reason = reason
        self.finish = m.FinishCall(reason, hangup, DRAIN_MS if hangup else 0)
        self._tell(self.finish)


def recorded(spec: CallSpec, checkpoint: Mapping[str, Any]) -> CallRecord:
    """The record of a call that had come to this checkpoint."""
    turns: Turns = checkpoint["_turns"]
    thrift: Thrift = checkpoint["_thrift"]
    return CallRecord(
        spec=spec,
        state=public_state(checkpoint["state"]),
        phase=str(checkpoint["state"]),
        model=thrift.model,
        end_reason=checkpoint["_end_reason"],
        transferred_to=checkpoint["_transferred_to"],
        turns=turns.number,
        interruptions=turns.interruptions,
        transcript=checkpoint["_transcript"].said(),
        turn_times=tuple(turns.times),
        messages=tuple(checkpoint["_taken"]),
        budget_steps=tuple(str(step) for step in thrift.taken),
    )


_HANDLERS: dict[type, Callable[[Conversation, Any], None]] = {
    m.ProviderUp: Conversation._on_up,
    m.ProviderDown: Conversation._on_down,
    m.MediaLost: Conversation._on_media_lost,
    m.PlayoutStarted: Conversation._on_playout_started,
    m.PlayoutDrained: Conversation._on_playout_drained,
    m.PlayoutInterrupted: Conversation._on_interrupted,
    m.AnswerAudio: Conversation._on_answer_audio,
    m.GatewayMeasured: Conversation._on_gateway,
    m.ToolFinished: Conversation._on_tool_finished,
    m.CallerPressed: Conversation._on_pressed,
    m.CallerHold: Conversation._on_hold,
    m.TransferResult: Conversation._on_transfer_result,
    m.EndRequested: Conversation._on_end_requested,
    m.MoneyRunsOut: Conversation._on_money,
    m.CallerGone: Conversation._on_gone,
    m.LegRefused: Conversation._on_refused,
    p.SpeechStarted: Conversation._on_speech_started,
    p.SpeechStopped: Conversation._on_speech_stopped,
    p.CallerTranscript: Conversation._on_caller_words,
    p.ResponseStarted: Conversation._on_response_started,
    p.AssistantTranscript: Conversation._on_words,
    p.ResponseDone: Conversation._on_response_done,
    p.ToolCall: Conversation._on_tool_call,
    p.ProviderFault: Conversation._on_fault,
}
_LATE: dict[type, Callable[[Conversation, Any], None]] = {
    p.ResponseStarted: Conversation._on_late_answer,
    m.AnswerAudio: Conversation._on_answer_audio,
    p.CallerTranscript: Conversation._bill_words,
    p.ResponseDone: Conversation._bill,
}
_TIMERS: dict[str, Callable[[Conversation], None]] = {
    "dial": Conversation._on_dial_timeout,
    "max": Conversation._on_max,
    "renew": Conversation._on_renew,
    "answer": Conversation._on_answer_timeout,
    "silence": Conversation._on_silence,
    "tools": Conversation._on_tools_timeout,
    "digits": Conversation._on_digits,
    "transfer": Conversation._on_transfer_timeout,
    "ending": Conversation._on_last_words_timeout,
}
