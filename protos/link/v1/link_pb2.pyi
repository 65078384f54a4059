from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DoorToWorker(_message.Message):
    __slots__ = ("attach", "first_audio_sent", "leg_gone")
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    FIRST_AUDIO_SENT_FIELD_NUMBER: _ClassVar[int]
    LEG_GONE_FIELD_NUMBER: _ClassVar[int]
    attach: DoorAttach
    first_audio_sent: FirstAudioSent
    leg_gone: LegGone
    def __init__(self, attach: _Optional[_Union[DoorAttach, _Mapping]] = ..., first_audio_sent: _Optional[_Union[FirstAudioSent, _Mapping]] = ..., leg_gone: _Optional[_Union[LegGone, _Mapping]] = ...) -> None: ...

class DoorAttach(_message.Message):
    __slots__ = ("call_id", "lease_id")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    lease_id: str
    def __init__(self, call_id: _Optional[str] = ..., lease_id: _Optional[str] = ...) -> None: ...

class FirstAudioSent(_message.Message):
    __slots__ = ("down_us",)
    DOWN_US_FIELD_NUMBER: _ClassVar[int]
    down_us: int
    def __init__(self, down_us: _Optional[int] = ...) -> None: ...

class LegGone(_message.Message):
    __slots__ = ("reason", "may_return")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MAY_RETURN_FIELD_NUMBER: _ClassVar[int]
    reason: str
    may_return: bool
    def __init__(self, reason: _Optional[str] = ..., may_return: _Optional[bool] = ...) -> None: ...

class WorkerToDoor(_message.Message):
    __slots__ = ("attached", "abort", "finished", "checkpoint", "hand_over")
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    ABORT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    HAND_OVER_FIELD_NUMBER: _ClassVar[int]
    attached: Attached
    abort: Abort
    finished: Finished
    checkpoint: bytes
    hand_over: HandOver
    def __init__(self, attached: _Optional[_Union[Attached, _Mapping]] = ..., abort: _Optional[_Union[Abort, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., checkpoint: _Optional[bytes] = ..., hand_over: _Optional[_Union[HandOver, _Mapping]] = ...) -> None: ...

class HandOver(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Attached(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Abort(_message.Message):
    __slots__ = ("code", "message", "field", "retry_after_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    field: str
    retry_after_ms: int
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SessionToWorker(_message.Message):
    __slots__ = ("attach", "provider_event", "to_caller", "stop_playout", "finish", "listen", "step", "over", "renew", "play")
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_EVENT_FIELD_NUMBER: _ClassVar[int]
    TO_CALLER_FIELD_NUMBER: _ClassVar[int]
    STOP_PLAYOUT_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    PLAY_FIELD_NUMBER: _ClassVar[int]
    attach: SessionAttach
    provider_event: bytes
    to_caller: bytes
    stop_playout: StopPlayout
    finish: Finish
    listen: Listen
    step: Step
    over: Over
    renew: Renew
    play: Play
    def __init__(self, attach: _Optional[_Union[SessionAttach, _Mapping]] = ..., provider_event: _Optional[bytes] = ..., to_caller: _Optional[bytes] = ..., stop_playout: _Optional[_Union[StopPlayout, _Mapping]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ..., listen: _Optional[_Union[Listen, _Mapping]] = ..., step: _Optional[_Union[Step, _Mapping]] = ..., over: _Optional[_Union[Over, _Mapping]] = ..., renew: _Optional[_Union[Renew, _Mapping]] = ..., play: _Optional[_Union[Play, _Mapping]] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("messages", "checkpoint", "events")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[SessionToWorker]
    checkpoint: bytes
    events: int
    def __init__(self, messages: _Optional[_Iterable[_Union[SessionToWorker, _Mapping]]] = ..., checkpoint: _Optional[bytes] = ..., events: _Optional[int] = ...) -> None: ...

class Over(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SessionAttach(_message.Message):
    __slots__ = ("call_id", "lease_id", "checkpoint", "session", "session_id", "takes_over", "dial_plan", "leg_config")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TAKES_OVER_FIELD_NUMBER: _ClassVar[int]
    DIAL_PLAN_FIELD_NUMBER: _ClassVar[int]
    LEG_CONFIG_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    lease_id: str
    checkpoint: bytes
    session: str
    session_id: str
    takes_over: bool
    dial_plan: bytes
    leg_config: bytes
    def __init__(self, call_id: _Optional[str] = ..., lease_id: _Optional[str] = ..., checkpoint: _Optional[bytes] = ..., session: _Optional[str] = ..., session_id: _Optional[str] = ..., takes_over: _Optional[bool] = ..., dial_plan: _Optional[bytes] = ..., leg_config: _Optional[bytes] = ...) -> None: ...

class Renew(_message.Message):
    __slots__ = ("dial_plan",)
    DIAL_PLAN_FIELD_NUMBER: _ClassVar[int]
    dial_plan: bytes
    def __init__(self, dial_plan: _Optional[bytes] = ...) -> None: ...

class StopPlayout(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Play(_message.Message):
    __slots__ = ("item_id", "path", "text")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    path: str
    text: str
    def __init__(self, item_id: _Optional[str] = ..., path: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Listen(_message.Message):
    __slots__ = ("on",)
    ON_FIELD_NUMBER: _ClassVar[int]
    on: bool
    def __init__(self, on: _Optional[bool] = ...) -> None: ...

class Finish(_message.Message):
    __slots__ = ("drain_ms",)
    DRAIN_MS_FIELD_NUMBER: _ClassVar[int]
    drain_ms: int
    def __init__(self, drain_ms: _Optional[int] = ...) -> None: ...

class WorkerToSession(_message.Message):
    __slots__ = ("attached", "provider_event", "provider_state", "from_caller", "playout", "leg_gone", "leg_refused", "stats", "resume", "answer_audio", "so_far")
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_EVENT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_STATE_FIELD_NUMBER: _ClassVar[int]
    FROM_CALLER_FIELD_NUMBER: _ClassVar[int]
    PLAYOUT_FIELD_NUMBER: _ClassVar[int]
    LEG_GONE_FIELD_NUMBER: _ClassVar[int]
    LEG_REFUSED_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    ANSWER_AUDIO_FIELD_NUMBER: _ClassVar[int]
    SO_FAR_FIELD_NUMBER: _ClassVar[int]
    attached: Attached
    provider_event: bytes
    provider_state: ProviderState
    from_caller: bytes
    playout: Playout
    leg_gone: LegGone
    leg_refused: LegRefused
    stats: LegStats
    resume: Resume
    answer_audio: AnswerAudio
    so_far: LegStats
    def __init__(self, attached: _Optional[_Union[Attached, _Mapping]] = ..., provider_event: _Optional[bytes] = ..., provider_state: _Optional[_Union[ProviderState, _Mapping]] = ..., from_caller: _Optional[bytes] = ..., playout: _Optional[_Union[Playout, _Mapping]] = ..., leg_gone: _Optional[_Union[LegGone, _Mapping]] = ..., leg_refused: _Optional[_Union[LegRefused, _Mapping]] = ..., stats: _Optional[_Union[LegStats, _Mapping]] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ..., answer_audio: _Optional[_Union[AnswerAudio, _Mapping]] = ..., so_far: _Optional[_Union[LegStats, _Mapping]] = ...) -> None: ...

class AnswerAudio(_message.Message):
    __slots__ = ("response_id", "audio_ms", "lost")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIO_MS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    audio_ms: int
    lost: bool
    def __init__(self, response_id: _Optional[str] = ..., audio_ms: _Optional[int] = ..., lost: _Optional[bool] = ...) -> None: ...

class Resume(_message.Message):
    __slots__ = ("checkpoint", "events")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    checkpoint: bytes
    events: int
    def __init__(self, checkpoint: _Optional[bytes] = ..., events: _Optional[int] = ...) -> None: ...

class LegRefused(_message.Message):
    __slots__ = ("field", "message")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    field: str
    message: str
    def __init__(self, field: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ProviderState(_message.Message):
    __slots__ = ("up", "code", "reason", "dial_ms", "model", "audio_format")
    UP_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DIAL_MS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FORMAT_FIELD_NUMBER: _ClassVar[int]
    up: bool
    code: int
    reason: str
    dial_ms: int
    model: str
    audio_format: str
    def __init__(self, up: _Optional[bool] = ..., code: _Optional[int] = ..., reason: _Optional[str] = ..., dial_ms: _Optional[int] = ..., model: _Optional[str] = ..., audio_format: _Optional[str] = ...) -> None: ...

class Playout(_message.Message):
    __slots__ = ("kind", "item_id", "heard_ms", "gateway_us", "at_ns", "heard", "gateway_up_us")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Playout.Kind]
        STARTED: _ClassVar[Playout.Kind]
        DRAINED: _ClassVar[Playout.Kind]
        INTERRUPTED: _ClassVar[Playout.Kind]
        MEASURED: _ClassVar[Playout.Kind]
        UNSPOKEN: _ClassVar[Playout.Kind]
    KIND_UNSPECIFIED: Playout.Kind
    STARTED: Playout.Kind
    DRAINED: Playout.Kind
    INTERRUPTED: Playout.Kind
    MEASURED: Playout.Kind
    UNSPOKEN: Playout.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    HEARD_MS_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_US_FIELD_NUMBER: _ClassVar[int]
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_UP_US_FIELD_NUMBER: _ClassVar[int]
    kind: Playout.Kind
    item_id: str
    heard_ms: int
    gateway_us: int
    at_ns: int
    heard: str
    gateway_up_us: int
    def __init__(self, kind: _Optional[_Union[Playout.Kind, str]] = ..., item_id: _Optional[str] = ..., heard_ms: _Optional[int] = ..., gateway_us: _Optional[int] = ..., at_ns: _Optional[int] = ..., heard: _Optional[str] = ..., gateway_up_us: _Optional[int] = ...) -> None: ...

class LegStats(_message.Message):
    __slots__ = ("frames_in", "frames_out", "frames_lost", "frames_dropped", "caller_audio_ms", "reception_audio_ms", "recording", "frames_late", "frames_duplicate", "frames_reordered", "caller_mos_milli", "silence_ms", "caller_clipped_ppm", "caller_silent_milli", "caller_level_dbov")
    FRAMES_IN_FIELD_NUMBER: _ClassVar[int]
    FRAMES_OUT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_LOST_FIELD_NUMBER: _ClassVar[int]
    FRAMES_DROPPED_FIELD_NUMBER: _ClassVar[int]
    CALLER_AUDIO_MS_FIELD_NUMBER: _ClassVar[int]
    RECEPTION_AUDIO_MS_FIELD_NUMBER: _ClassVar[int]
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    FRAMES_LATE_FIELD_NUMBER: _ClassVar[int]
    FRAMES_DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    FRAMES_REORDERED_FIELD_NUMBER: _ClassVar[int]
    CALLER_MOS_MILLI_FIELD_NUMBER: _ClassVar[int]
    SILENCE_MS_FIELD_NUMBER: _ClassVar[int]
    CALLER_CLIPPED_PPM_FIELD_NUMBER: _ClassVar[int]
    CALLER_SILENT_MILLI_FIELD_NUMBER: _ClassVar[int]
    CALLER_LEVEL_DBOV_FIELD_NUMBER: _ClassVar[int]
    frames_in: int
    frames_out: int
    frames_lost: int
    frames_dropped: int
    caller_audio_ms: int
    reception_audio_ms: int
    recording: str
    frames_late: int
    frames_duplicate: int
    frames_reordered: int
    caller_mos_milli: int
    silence_ms: int
    caller_clipped_ppm: int
    caller_silent_milli: int
    caller_level_dbov: int
    def __init__(self, frames_in: _Optional[int] = ..., frames_out: _Optional[int] = ..., frames_lost: _Optional[int] = ..., frames_dropped: _Optional[int] = ..., caller_audio_ms: _Optional[int] = ..., reception_audio_ms: _Optional[int] = ..., recording: _Optional[str] = ..., frames_late: _Optional[int] = ..., frames_duplicate: _Optional[int] = ..., frames_reordered: _Optional[int] = ..., caller_mos_milli: _Optional[int] = ..., silence_ms: _Optional[int] = ..., caller_clipped_ppm: _Optional[int] = ..., caller_silent_milli: _Optional[int] = ..., caller_level_dbov: _Optional[int] = ...) -> None: ...
