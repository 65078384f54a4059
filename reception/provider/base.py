"""What a voice provider says and is told, in words that fit every provider.

A provider (OpenAI Realtime, the embedded engine, later OpenAI Live) is spoken
to through a `ProviderCodec`: it turns the provider's messages into the events
below and the commands below into the provider's messages. Nothing above the
codec knows a provider's own names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one response, as the provider counts them.

    Cached tokens are a part of the input tokens, not beside them.
    """

    input_text: int = 0
    input_audio: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    output_text: int = 0
    output_audio: int = 0
    input_image: int = 0
    cached_image: int = 0

    @property
    def tokens(self) -> int:
        """All of them, in and out."""
        return self.input + self.output_text + self.output_audio

    @property
    def input(self) -> int:
        """All that was read."""
        return self.input_text + self.input_audio + self.input_image

    @property
    def cached(self) -> int:
        """What of it came from the provider's cache."""
        return self.cached_text + self.cached_audio + self.cached_image


@dataclass(frozen=True, slots=True)
class TranscriptionUsage:
    """What the transcription of the caller's words used; billed apart."""

    seconds: float = 0.0
    input_audio: int = 0
    input_text: int = 0
    output_text: int = 0


# ------------------------------------------------------------------ events


@dataclass(frozen=True, slots=True)
class SessionReady:
    """The provider opened a session."""

    session_id: str
    expires_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class SessionConfigured:
    """The provider took the configuration."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class AudioCommitted:
    """The caller's audio since the last time is an item now.

    bill_id, here and below: under which the provider bills it, where the audio worker gave
    it another name before (`reception.media.turns`); "" for item_id.
    """

    item_id: str
    bill_id: str = ""


@dataclass(frozen=True, slots=True)
class CallerTranscript:
    """What the caller said: the new part, or (final) the whole."""

    item_id: str
    text: str
    final: bool
    usage: TranscriptionUsage | None = None
    bill_id: str = ""


@dataclass(frozen=True, slots=True)
class CallerTranscriptFailed:
    item_id: str
    code: str
    message: str
    bill_id: str = ""


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    response_id: str


@dataclass(frozen=True, slots=True)
class AudioDelta:
    """A piece of the answer's sound, in the session's output format."""

    response_id: str
    item_id: str
    content_index: int
    audio: bytes


@dataclass(frozen=True, slots=True)
class AudioDone:
    response_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class AssistantTranscript:
    """What the receptionist says: the new part, or (final) the whole. written: it comes
    as text only, else with its sound."""

    response_id: str
    item_id: str
    text: str
    final: bool
    written: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    response_id: str
    item_id: str
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """A response ended. status: completed, cancelled, failed, incomplete. healable: another
    session could make it (`ProviderFault`)."""

    response_id: str
    status: str
    reason: str = ""
    usage: Usage | None = None
    error_code: str = ""
    error_message: str = ""
    healable: bool = True


@dataclass(frozen=True, slots=True)
class ItemCut:
    """The conversation has no more of an item's audio than this; 0: nor the item."""

    item_id: str
    audio_ms: int


@dataclass(frozen=True, slots=True)
class RateLimits:
    """(name, limit, remaining, reset_s) of each of the provider's limits."""

    limits: tuple[tuple[str, int, int, float], ...]


@dataclass(frozen=True, slots=True)
class ProviderFault:
    """An error event. `fatal` means the session is lost; `healable` that
    dialling again can help (spent quota or a refused key can't); `nothing_to_cancel`
    that no answer was being made when one was to be cancelled."""

    code: str
    message: str
    fatal: bool = False
    healable: bool = True
    nothing_to_cancel: bool = False


@dataclass(frozen=True, slots=True)
class Other:
    """Any event that needs nothing; counted by its type, never fatal."""

    type: str


ProviderEvent = (
    SessionReady
    | SessionConfigured
    | SpeechStarted
    | SpeechStopped
    | AudioCommitted
    | CallerTranscript
    | CallerTranscriptFailed
    | ResponseStarted
    | AudioDelta
    | AudioDone
    | AssistantTranscript
    | ToolCall
    | ResponseDone
    | ItemCut
    | RateLimits
    | ProviderFault
    | Other
)


# ---------------------------------------------------------------- commands


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A function the model may call; `parameters` is its JSON Schema."""

    name: str
    description: str
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """Voice activity detection: the provider's (kind "server_vad" or "semantic_vad"; times in
    ms, threshold 0 to 1), or the audio worker's own ("local").

    automatic: the provider itself stops its response when speech starts and makes
    the next one when it stops; where it is off, the conversation says so.
    """

    kind: str = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    eagerness: str = "auto"
    automatic: bool = True

    @property
    def local(self) -> bool:
        """The provider is told where a turn ends."""
        return self.kind == "local"


@dataclass(frozen=True, slots=True)
class Truncation:
    """The conversation, without instructions and tools, is cut back from its beginning to
    `retain_percent` of `token_limit` when it has more tokens than that."""

    token_limit: int
    retain_percent: int


@dataclass(frozen=True, slots=True)
class Configure:
    """How the session is to behave.

    audio_format is "pcmu", "pcma" or "pcm24k", the same both ways.
    transcription_prompt tells the recogniser what words to expect.
    truncation None: only at the end of the model's memory.
    text: answers come as text, not as sound.
    """

    instructions: str
    voice: str
    audio_format: str = "pcmu"
    tools: tuple[ToolSpec, ...] = ()
    turn_detection: TurnDetection | None = field(default_factory=TurnDetection)
    transcription_model: str = "gpt-4o-mini-transcribe"
    transcription_prompt: str = ""
    language: str = "en"
    noise_reduction: str = ""
    max_output_tokens: int | None = None
    speed: float = 1.0
    truncation: Truncation | None = None
    text: bool = False


@dataclass(frozen=True, slots=True)
class AppendAudio:
    """Caller audio, in the session's input format."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class CommitAudio:
    """The caller's turn is over: the audio since the last time is an item."""


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """The caller's audio since the last time was no turn, and is forgotten."""


@dataclass(frozen=True, slots=True)
class Bound:
    """No answer from now on may have more tokens than this; None: any number."""

    max_output_tokens: int | None


@dataclass(frozen=True, slots=True)
class Respond:
    """Make an answer now; `max_output_tokens`, where given, overrides the session's for
    it. Instructions can't be: what the provider has in its cache begins with them."""

    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class CancelResponse:
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class AddText:
    """A text item of the conversation. role: user, assistant or system."""

    role: str
    text: str
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class AddToolCall:
    """A function call made earlier (replay)."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class TruncateItem:
    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class DeleteItem:
    item_id: str


ProviderCommand = (
    Configure
    | Bound
    | AppendAudio
    | CommitAudio
    | ClearAudio
    | Respond
    | CancelResponse
    | AddText
    | AddToolCall
    | ToolResult
    | TruncateItem
    | DeleteItem
)


class ProviderCodec(Protocol):
    """One provider's wire form. Stateless; both the audio worker and the call
    session hold one."""

    name: str

    def decode(self, raw: bytes | str) -> ProviderEvent:
        """One server message. Malformed: `Other("malformed")`, never raises."""
        ...

    def encode(self, command: ProviderCommand) -> str:
        """One client message as text."""
        ...

    def said(self, event: SpeechStarted | SpeechStopped) -> bytes:
        """The message with which the provider itself would have told this event."""
        ...

    def renamed(self, raw: bytes, item_id: str, bill_id: str) -> bytes:
        """A message about an item of the caller's, with these ids."""
        ...


@dataclass(frozen=True, slots=True)
class DialPlan:
    """How the audio worker reaches the provider for one call.

    The key is never in it: the worker takes it from its own environment.
    `opening` are encoded client messages sent as soon as the session is ready
    (configuration, then replayed conversation).
    """

    provider: str
    base_url: str
    model: str
    audio_format: str
    opening: tuple[str, ...] = ()
    connect_timeout_s: float = 10.0
