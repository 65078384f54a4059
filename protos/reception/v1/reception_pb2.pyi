import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Codec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODEC_UNSPECIFIED: _ClassVar[Codec]
    CODEC_PCMU: _ClassVar[Codec]
    CODEC_PCMA: _ClassVar[Codec]
    CODEC_L16: _ClassVar[Codec]
    CODEC_OPUS: _ClassVar[Codec]

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIRECTION_UNSPECIFIED: _ClassVar[Direction]
    DIRECTION_INBOUND: _ClassVar[Direction]
    DIRECTION_OUTBOUND: _ClassVar[Direction]

class Speaker(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPEAKER_UNSPECIFIED: _ClassVar[Speaker]
    SPEAKER_CALLER: _ClassVar[Speaker]
    SPEAKER_RECEPTION: _ClassVar[Speaker]

class CallState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALL_STATE_UNSPECIFIED: _ClassVar[CallState]
    CALL_STATE_CONNECTING: _ClassVar[CallState]
    CALL_STATE_ACTIVE: _ClassVar[CallState]
    CALL_STATE_ENDING: _ClassVar[CallState]
    CALL_STATE_ENDED: _ClassVar[CallState]
CODEC_UNSPECIFIED: Codec
CODEC_PCMU: Codec
CODEC_PCMA: Codec
CODEC_L16: Codec
CODEC_OPUS: Codec
DIRECTION_UNSPECIFIED: Direction
DIRECTION_INBOUND: Direction
DIRECTION_OUTBOUND: Direction
SPEAKER_UNSPECIFIED: Speaker
SPEAKER_CALLER: Speaker
SPEAKER_RECEPTION: Speaker
CALL_STATE_UNSPECIFIED: CallState
CALL_STATE_CONNECTING: CallState
CALL_STATE_ACTIVE: CallState
CALL_STATE_ENDING: CallState
CALL_STATE_ENDED: CallState

class CallerMessage(_message.Message):
    __slots__ = ("start", "audio", "dtmf", "mark", "event", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    DTMF_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: CallStart
    audio: Audio
    dtmf: Dtmf
    mark: Mark
    event: CallEvent
    end: CallEnd
    def __init__(self, start: _Optional[_Union[CallStart, _Mapping]] = ..., audio: _Optional[_Union[Audio, _Mapping]] = ..., dtmf: _Optional[_Union[Dtmf, _Mapping]] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ..., event: _Optional[_Union[CallEvent, _Mapping]] = ..., end: _Optional[_Union[CallEnd, _Mapping]] = ...) -> None: ...

class LegFormat(_message.Message):
    __slots__ = ("codec", "rate_hz", "ptime_ms")
    CODEC_FIELD_NUMBER: _ClassVar[int]
    RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    PTIME_MS_FIELD_NUMBER: _ClassVar[int]
    codec: Codec
    rate_hz: int
    ptime_ms: int
    def __init__(self, codec: _Optional[_Union[Codec, str]] = ..., rate_hz: _Optional[int] = ..., ptime_ms: _Optional[int] = ...) -> None: ...

class CallStart(_message.Message):
    __slots__ = ("call_id", "to", "direction", "format", "profile", "metadata", "resume_token", "sends_marks", "here", "full_model")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SENDS_MARKS_FIELD_NUMBER: _ClassVar[int]
    HERE_FIELD_NUMBER: _ClassVar[int]
    FULL_MODEL_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    to: str
    direction: Direction
    format: LegFormat
    profile: str
    metadata: _containers.ScalarMap[str, str]
    resume_token: str
    sends_marks: bool
    here: bool
    full_model: bool
    def __init__(self, call_id: _Optional[str] = ..., to: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., format: _Optional[_Union[LegFormat, _Mapping]] = ..., profile: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., resume_token: _Optional[str] = ..., sends_marks: _Optional[bool] = ..., here: _Optional[bool] = ..., full_model: _Optional[bool] = ..., **kwargs) -> None: ...

class Audio(_message.Message):
    __slots__ = ("payload", "sequence", "timestamp_ms", "item_id")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    sequence: int
    timestamp_ms: int
    item_id: str
    def __init__(self, payload: _Optional[bytes] = ..., sequence: _Optional[int] = ..., timestamp_ms: _Optional[int] = ..., item_id: _Optional[str] = ...) -> None: ...

class Dtmf(_message.Message):
    __slots__ = ("digits", "duration_ms")
    DIGITS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    digits: str
    duration_ms: int
    def __init__(self, digits: _Optional[str] = ..., duration_ms: _Optional[int] = ...) -> None: ...

class Mark(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CallEvent(_message.Message):
    __slots__ = ("kind", "detail")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[CallEvent.Kind]
        KIND_HOLD: _ClassVar[CallEvent.Kind]
        KIND_UNHOLD: _ClassVar[CallEvent.Kind]
        KIND_TRANSFER_SUCCEEDED: _ClassVar[CallEvent.Kind]
        KIND_TRANSFER_FAILED: _ClassVar[CallEvent.Kind]
    KIND_UNSPECIFIED: CallEvent.Kind
    KIND_HOLD: CallEvent.Kind
    KIND_UNHOLD: CallEvent.Kind
    KIND_TRANSFER_SUCCEEDED: CallEvent.Kind
    KIND_TRANSFER_FAILED: CallEvent.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: CallEvent.Kind
    detail: str
    def __init__(self, kind: _Optional[_Union[CallEvent.Kind, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class CallEnd(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class ReceptionMessage(_message.Message):
    __slots__ = ("accepted", "audio", "clear_audio", "mark", "transcript", "turn", "transfer", "send_dtmf", "hangup", "draining", "summary", "queued", "budget")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    CLEAR_AUDIO_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    SEND_DTMF_FIELD_NUMBER: _ClassVar[int]
    HANGUP_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    accepted: CallAccepted
    audio: Audio
    clear_audio: ClearAudio
    mark: Mark
    transcript: Transcript
    turn: TurnEvent
    transfer: Transfer
    send_dtmf: SendDtmf
    hangup: Hangup
    draining: Draining
    summary: CallSummary
    queued: Queued
    budget: BudgetStep
    def __init__(self, accepted: _Optional[_Union[CallAccepted, _Mapping]] = ..., audio: _Optional[_Union[Audio, _Mapping]] = ..., clear_audio: _Optional[_Union[ClearAudio, _Mapping]] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ..., transcript: _Optional[_Union[Transcript, _Mapping]] = ..., turn: _Optional[_Union[TurnEvent, _Mapping]] = ..., transfer: _Optional[_Union[Transfer, _Mapping]] = ..., send_dtmf: _Optional[_Union[SendDtmf, _Mapping]] = ..., hangup: _Optional[_Union[Hangup, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ..., summary: _Optional[_Union[CallSummary, _Mapping]] = ..., queued: _Optional[_Union[Queued, _Mapping]] = ..., budget: _Optional[_Union[BudgetStep, _Mapping]] = ...) -> None: ...

class Queued(_message.Message):
    __slots__ = ("position", "expected_wait")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_WAIT_FIELD_NUMBER: _ClassVar[int]
    position: int
    expected_wait: _duration_pb2.Duration
    def __init__(self, position: _Optional[int] = ..., expected_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CallAccepted(_message.Message):
    __slots__ = ("call_id", "session_id", "format", "resume_token", "node_id", "profile")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    session_id: str
    format: LegFormat
    resume_token: str
    node_id: str
    profile: str
    def __init__(self, call_id: _Optional[str] = ..., session_id: _Optional[str] = ..., format: _Optional[_Union[LegFormat, _Mapping]] = ..., resume_token: _Optional[str] = ..., node_id: _Optional[str] = ..., profile: _Optional[str] = ...) -> None: ...

class ClearAudio(_message.Message):
    __slots__ = ("item_id", "heard_ms")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    HEARD_MS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    heard_ms: int
    def __init__(self, item_id: _Optional[str] = ..., heard_ms: _Optional[int] = ...) -> None: ...

class Transcript(_message.Message):
    __slots__ = ("speaker", "text", "final", "item_id")
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    speaker: Speaker
    text: str
    final: bool
    item_id: str
    def __init__(self, speaker: _Optional[_Union[Speaker, str]] = ..., text: _Optional[str] = ..., final: _Optional[bool] = ..., item_id: _Optional[str] = ...) -> None: ...

class TurnEvent(_message.Message):
    __slots__ = ("kind", "turn", "at_ms", "latency_ms", "gateway_us", "interrupted", "gateway_up_us")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[TurnEvent.Kind]
        KIND_SPEECH_STARTED: _ClassVar[TurnEvent.Kind]
        KIND_SPEECH_STOPPED: _ClassVar[TurnEvent.Kind]
        KIND_RESPONSE_STARTED: _ClassVar[TurnEvent.Kind]
        KIND_FIRST_AUDIO: _ClassVar[TurnEvent.Kind]
        KIND_DONE: _ClassVar[TurnEvent.Kind]
    KIND_UNSPECIFIED: TurnEvent.Kind
    KIND_SPEECH_STARTED: TurnEvent.Kind
    KIND_SPEECH_STOPPED: TurnEvent.Kind
    KIND_RESPONSE_STARTED: TurnEvent.Kind
    KIND_FIRST_AUDIO: TurnEvent.Kind
    KIND_DONE: TurnEvent.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_US_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTED_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_UP_US_FIELD_NUMBER: _ClassVar[int]
    kind: TurnEvent.Kind
    turn: int
    at_ms: int
    latency_ms: int
    gateway_us: int
    interrupted: bool
    gateway_up_us: int
    def __init__(self, kind: _Optional[_Union[TurnEvent.Kind, str]] = ..., turn: _Optional[int] = ..., at_ms: _Optional[int] = ..., latency_ms: _Optional[int] = ..., gateway_us: _Optional[int] = ..., interrupted: _Optional[bool] = ..., gateway_up_us: _Optional[int] = ...) -> None: ...

class Transfer(_message.Message):
    __slots__ = ("destination", "name", "reason")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    destination: str
    name: str
    reason: str
    def __init__(self, destination: _Optional[str] = ..., name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class BudgetStep(_message.Message):
    __slots__ = ("kind", "at_ms")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[BudgetStep.Kind]
        KIND_WARN: _ClassVar[BudgetStep.Kind]
        KIND_SHORTEN: _ClassVar[BudgetStep.Kind]
        KIND_CHEAPER: _ClassVar[BudgetStep.Kind]
        KIND_WRAP_UP: _ClassVar[BudgetStep.Kind]
        KIND_TRANSFER: _ClassVar[BudgetStep.Kind]
    KIND_UNSPECIFIED: BudgetStep.Kind
    KIND_WARN: BudgetStep.Kind
    KIND_SHORTEN: BudgetStep.Kind
    KIND_CHEAPER: BudgetStep.Kind
    KIND_WRAP_UP: BudgetStep.Kind
    KIND_TRANSFER: BudgetStep.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    kind: BudgetStep.Kind
    at_ms: int
    def __init__(self, kind: _Optional[_Union[BudgetStep.Kind, str]] = ..., at_ms: _Optional[int] = ...) -> None: ...

class SendDtmf(_message.Message):
    __slots__ = ("digits",)
    DIGITS_FIELD_NUMBER: _ClassVar[int]
    digits: str
    def __init__(self, digits: _Optional[str] = ...) -> None: ...

class Hangup(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("grace",)
    GRACE_FIELD_NUMBER: _ClassVar[int]
    grace: _duration_pb2.Duration
    def __init__(self, grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CallSummary(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: Call
    def __init__(self, call: _Optional[_Union[Call, _Mapping]] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("call_id", "session_id", "state", "to", "profile", "node_id", "started_at", "ended_at", "duration_ms", "end_reason", "transferred_to", "turns", "interruptions", "cost_micros", "model", "metadata", "phase", "budget_steps")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    END_REASON_FIELD_NUMBER: _ClassVar[int]
    TRANSFERRED_TO_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTIONS_FIELD_NUMBER: _ClassVar[int]
    COST_MICROS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_STEPS_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    session_id: str
    state: CallState
    to: str
    profile: str
    node_id: str
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    duration_ms: int
    end_reason: str
    transferred_to: str
    turns: int
    interruptions: int
    cost_micros: int
    model: str
    metadata: _containers.ScalarMap[str, str]
    phase: str
    budget_steps: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, call_id: _Optional[str] = ..., session_id: _Optional[str] = ..., state: _Optional[_Union[CallState, str]] = ..., to: _Optional[str] = ..., profile: _Optional[str] = ..., node_id: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration_ms: _Optional[int] = ..., end_reason: _Optional[str] = ..., transferred_to: _Optional[str] = ..., turns: _Optional[int] = ..., interruptions: _Optional[int] = ..., cost_micros: _Optional[int] = ..., model: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., phase: _Optional[str] = ..., budget_steps: _Optional[_Iterable[str]] = ..., **kwargs) -> None: ...

class GetCallRequest(_message.Message):
    __slots__ = ("call_id",)
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    def __init__(self, call_id: _Optional[str] = ...) -> None: ...

class ListCallsRequest(_message.Message):
    __slots__ = ("state", "page_size", "page_token")
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    state: CallState
    page_size: int
    page_token: str
    def __init__(self, state: _Optional[_Union[CallState, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCallsResponse(_message.Message):
    __slots__ = ("calls", "next_page_token")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[Call]
    next_page_token: str
    def __init__(self, calls: _Optional[_Iterable[_Union[Call, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class EndCallRequest(_message.Message):
    __slots__ = ("call_id", "reason")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    reason: str
    def __init__(self, call_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class WatchCallsRequest(_message.Message):
    __slots__ = ("call_id", "include_current")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CURRENT_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    include_current: bool
    def __init__(self, call_id: _Optional[str] = ..., include_current: _Optional[bool] = ...) -> None: ...

class CallUpdate(_message.Message):
    __slots__ = ("kind", "call", "at")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[CallUpdate.Kind]
        KIND_CURRENT: _ClassVar[CallUpdate.Kind]
        KIND_STARTED: _ClassVar[CallUpdate.Kind]
        KIND_CHANGED: _ClassVar[CallUpdate.Kind]
        KIND_ENDED: _ClassVar[CallUpdate.Kind]
    KIND_UNSPECIFIED: CallUpdate.Kind
    KIND_CURRENT: CallUpdate.Kind
    KIND_STARTED: CallUpdate.Kind
    KIND_CHANGED: CallUpdate.Kind
    KIND_ENDED: CallUpdate.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    kind: CallUpdate.Kind
    call: Call
    at: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[_Union[CallUpdate.Kind, str]] = ..., call: _Optional[_Union[Call, _Mapping]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LocateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LocateResponse(_message.Message):
    __slots__ = ("node_id", "address")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    address: str
    def __init__(self, node_id: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...
