"""What a conversation is told (events) and what it decides (commands).

Provider events and commands (`reception.provider.base`) travel inside these.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reception.call.tools import Effect
from reception.money.allowance import Means
from reception.money.own_count import Difference
from reception.money.policy import Step
from reception.provider.base import ProviderCommand, ProviderEvent, Usage

# ------------------------------------------------------------------ events


@dataclass(frozen=True, slots=True)
class FromProvider:
    event: ProviderEvent


@dataclass(frozen=True, slots=True)
class ProviderUp:
    """The provider's socket is open and its opening messages were sent. model: that it
    was dialled for; "" for the one that was asked for last."""

    model: str = ""


@dataclass(frozen=True, slots=True)
class ProviderDown:
    """The provider's socket is gone (close code or HTTP status)."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class MediaLost:
    """The audio worker is gone, and with it the provider's socket and all that
    had not been played."""


@dataclass(frozen=True, slots=True)
class CallerPressed:
    digits: str


@dataclass(frozen=True, slots=True)
class CallerHold:
    on: bool


@dataclass(frozen=True, slots=True)
class TransferResult:
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CallerGone:
    """reason: "caller_hangup" or "caller_vanished"."""

    reason: str


@dataclass(frozen=True, slots=True)
class LegRefused:
    """The leg broke the protocol; its stream was ended with an error."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class PlayoutStarted:
    """The first audio of an answer was sent to the caller."""

    item_id: str


@dataclass(frozen=True, slots=True)
class PlayoutDrained:
    """All audio made so far was played."""


@dataclass(frozen=True, slots=True)
class PlayoutInterrupted:
    """The answer was cut off by the caller; `heard_ms` of it were heard, in words `heard`
    (None: not known).

    The worker has already truncated the item at the provider.
    """

    item_id: str
    heard_ms: int
    heard: str | None = None


@dataclass(frozen=True, slots=True)
class Unspoken:
    """The words of an item can't be spoken at this node, and the caller hears nothing of
    it. The worker has already taken it out of the provider's conversation."""

    item_id: str


@dataclass(frozen=True, slots=True)
class AnswerAudio:
    """So much audio of an answer came from the provider; told before its `ResponseDone`,
    or (`lost`) when that will never come."""

    response_id: str
    audio_ms: int
    lost: bool = False


@dataclass(frozen=True, slots=True)
class GatewayMeasured:
    """The gateway's own share of the current turn's latency is known, and the part of
    that on the way up."""

    gateway_us: int
    up_us: int = 0


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool ran; `output` is JSON text for the model, `effect` what is to
    come of it (`reception.call.tools`)."""

    call_id: str
    output: str
    effect: Effect = None

    @property
    def key(self) -> str:
        return _tool(self.call_id)


@dataclass(frozen=True, slots=True)
class Billed:
    """A bill needs nothing more to be done: it was taken, or will be sent later. key: of
    its command."""

    key: str


@dataclass(frozen=True, slots=True)
class EndRequested:
    """Somebody else ends the call: reason "ended_by_operator", "budget" …"""

    reason: str
    polite: bool = True


@dataclass(frozen=True, slots=True)
class MoneyRunsOut:
    """The steps of the tenant's policy that are due, in order; some may be known.
    billed: of which answer that came; "" where nobody could say. means: what the next
    ones may cost; None: no limit is over the call."""

    due: tuple[Step, ...]
    means: Means | None = None
    billed: str = ""


ConversationEvent = (
    FromProvider
    | ProviderUp
    | ProviderDown
    | MediaLost
    | CallerPressed
    | CallerHold
    | TransferResult
    | CallerGone
    | LegRefused
    | PlayoutStarted
    | PlayoutDrained
    | PlayoutInterrupted
    | Unspoken
    | AnswerAudio
    | GatewayMeasured
    | ToolFinished
    | Billed
    | EndRequested
    | MoneyRunsOut
)


# ---------------------------------------------------------------- commands


@dataclass(frozen=True, slots=True)
class ToProvider:
    command: ProviderCommand


class Who(StrEnum):
    CALLER = "caller"
    RECEPTION = "reception"


@dataclass(frozen=True, slots=True)
class TellTranscript:
    """To the caller's side: what was said."""

    who: Who
    text: str
    final: bool
    item_id: str


class TurnStep(StrEnum):
    SPEECH_STARTED = "speech_started"
    SPEECH_STOPPED = "speech_stopped"
    RESPONSE_STARTED = "response_started"
    FIRST_AUDIO = "first_audio"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class TellTurn:
    """To the caller's side: a step of a turn (0 is the greeting)."""

    step: TurnStep
    turn: int
    at_ms: int
    latency_ms: int = 0
    gateway_us: int = 0
    interrupted: bool = False
    gateway_up_us: int = 0


@dataclass(frozen=True, slots=True)
class TellTransfer:
    destination: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class TellBudget:
    """To the caller's side: a step was taken because the money runs out."""

    step: Step
    at_ms: int


@dataclass(frozen=True, slots=True)
class TellDtmf:
    digits: str


@dataclass(frozen=True, slots=True)
class StopPlayout:
    """Stop speaking at once."""


@dataclass(frozen=True, slots=True)
class PlayPhrase:
    """Play the recording of these words."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Caller audio goes to the provider (on) or is dropped (off)."""

    on: bool


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a tool; feed `ToolFinished` back. `arguments` is parsed JSON text
    that was checked against the tool's schema. at_ms: since the call began."""

    call_id: str
    name: str
    arguments: str
    at_ms: int

    @property
    def key(self) -> str:
        return _tool(self.call_id)


def _tool(call_id: str) -> str:
    return f"tool {call_id}"


@dataclass(frozen=True, slots=True)
class ReportUsage:
    """Bill this response of `model`; feed `Billed` back. `estimated` by our own count."""

    response_id: str
    usage: Usage
    model: str
    estimated: bool = False

    @property
    def key(self) -> str:
        return f"usage {self.response_id}"


@dataclass(frozen=True, slots=True)
class UsageDiffers:
    """The provider's count and ours are too far apart: somebody is to know."""

    difference: Difference


@dataclass(frozen=True, slots=True)
class ReportTranscription:
    """Bill the transcription of one caller item; feed `Billed` back. `estimated` by our
    own count."""

    item_id: str
    seconds: float
    input_tokens: int
    output_tokens: int
    estimated: bool = False

    @property
    def key(self) -> str:
        return f"words {self.item_id}"


DIAL = "dial"


@dataclass(frozen=True, slots=True)
class Redial:
    """Dial `model` of the provider, in place of the session that there is or was (after
    `delay_s`, if it is still awaited then), and send `opening` commands; `ProviderUp` or
    `ProviderDown` comes of it."""

    delay_s: float
    opening: tuple[ProviderCommand, ...]
    model: str

    @property
    def key(self) -> str:
        return DIAL


Work = RunTool | ReportUsage | ReportTranscription | Redial
"""Is done elsewhere, and answered by an event. A newer one of the same key takes the place
of the one before."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Open another session of `model` with these commands; if nothing happened until
    it is there, it takes the place of the one that there is (`ProviderUp`)."""

    opening: tuple[ProviderCommand, ...]
    model: str


@dataclass(frozen=True, slots=True)
class FinishCall:
    """The call is over, exactly once; only bills may follow.

    `hangup` False when the caller is already gone. drain_ms: how long the
    audio made so far may still play.
    """

    reason: str
    hangup: bool
    drain_ms: int = 0


ConversationCommand = (
    ToProvider
    | TellTranscript
    | TellTurn
    | TellTransfer
    | TellBudget
    | TellDtmf
    | StopPlayout
    | PlayPhrase
    | Listen
    | RunTool
    | ReportUsage
    | UsageDiffers
    | ReportTranscription
    | Redial
    | Renew
    | FinishCall
)
