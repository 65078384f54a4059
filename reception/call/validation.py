"""What a telephony system may send: bounds of the first message and order of the rest.

Pure values in, clear errors out; the messages' own types stay in the shells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reception.errors import InvalidRequest

MAX_URI_BYTES = 256
MAX_TEXT_BYTES = 256
MAX_MARK_BYTES = 64
MAX_METADATA_ENTRIES = 64
MAX_METADATA_BYTES = 16 * 1024
MAX_METADATA_KEY_BYTES = 128
MAX_METADATA_VALUE_BYTES = 4 * 1024
MAX_TOKEN_BYTES = 512
MAX_FRAME_MS = 1_000
MAX_OPUS_BYTES = 7_662  # 120 ms: 6 frames of 1,275 bytes and their lengths (RFC 6716, 3.2)
MAX_DIGITS = 64
PTIMES_MS = (10, 20, 30, 40, 60)
OPUS_PTIMES_MS = (10, 20, 40, 60)  # an Opus frame has no 30 ms (RFC 6716, 2.1.4)
RATES_HZ = {
    "pcmu": (8_000,),
    "pcma": (8_000,),
    "l16": (8_000, 16_000, 24_000, 48_000),
    "opus": (8_000, 16_000, 24_000, 48_000),
}
DIRECTIONS = ("inbound", "outbound")
CALL_EVENTS = range(1, 5)

_CALL_ID = re.compile(r"[A-Za-z0-9._:@-]{1,128}")
_DIGITS = re.compile(r"[0-9*#A-D]+")


@dataclass(frozen=True, slots=True)
class StartRequest:
    """The fields of CallStart. codec is "pcmu", "pcma", "l16", "opus" or "" (not
    set); rate_hz and ptime_ms 0 mean the default."""

    call_id: str = ""
    from_uri: str = ""
    to_uri: str = ""
    direction: str = "inbound"
    codec: str = ""
    rate_hz: int = 0
    ptime_ms: int = 0
    profile: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    sends_marks: bool = False
    full_model: bool = False


def check_token(token: str) -> None:
    """Of a CallStart that goes on with a call. Raises InvalidRequest."""
    _bound("start.resume_token", token, MAX_TOKEN_BYTES)


def check_start(start: StartRequest) -> StartRequest:
    """The request with its defaults filled in.

    Raises:
        InvalidRequest: a field is out of its bounds; `field` names it.
    """
    if start.call_id and not _CALL_ID.fullmatch(start.call_id):
        raise InvalidRequest(
            f"call_id {_shown(start.call_id)} must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -",
            field="start.call_id",
        )
    _bound("start.from", start.from_uri, MAX_URI_BYTES)
    _bound("start.to", start.to_uri, MAX_URI_BYTES)
    _bound("start.profile", start.profile, MAX_METADATA_KEY_BYTES)
    if start.direction not in DIRECTIONS:
        raise InvalidRequest(
            f"direction {_shown(start.direction)} is not one of {', '.join(DIRECTIONS)}",
            field="start.direction",
        )
    _check_metadata(start.metadata)
    return _check_format(start)


def _check_format(start: StartRequest) -> StartRequest:
    if start.codec not in RATES_HZ:
        raise InvalidRequest(
            f"codec {_shown(start.codec)} is not one of PCMU, PCMA, L16, OPUS",
            field="start.format.codec",
        )
    rates = RATES_HZ[start.codec]
    rate_hz = start.rate_hz or (rates[0] if len(rates) == 1 else 0)
    if rate_hz not in rates:
        allowed = ", ".join(str(rate) for rate in rates)
        raise InvalidRequest(
            f"rate_hz {rate_hz} is not one of {allowed} for codec {start.codec.upper()}",
            field="start.format.rate_hz",
        )
    ptime_ms = start.ptime_ms or 20
    ptimes_ms = OPUS_PTIMES_MS if start.codec == "opus" else PTIMES_MS
    if ptime_ms not in ptimes_ms:
        allowed = ", ".join(str(each) for each in ptimes_ms)
        raise InvalidRequest(
            f"ptime_ms {ptime_ms} is not one of {allowed} for codec {start.codec.upper()}",
            field="start.format.ptime_ms",
        )
    return replace(start, rate_hz=rate_hz, ptime_ms=ptime_ms)


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > MAX_METADATA_ENTRIES:
        raise InvalidRequest(
            f"metadata has {len(metadata)} entries, over {MAX_METADATA_ENTRIES}",
            field="start.metadata",
        )
    total = 0
    for key, value in metadata.items():
        _bound("start.metadata", key, MAX_METADATA_KEY_BYTES, "a key of metadata")
        _bound("start.metadata", value, MAX_METADATA_VALUE_BYTES, f"metadata[{_shown(key)}]")
        total += len(key.encode()) + len(value.encode())
    if total > MAX_METADATA_BYTES:
        raise InvalidRequest(
            f"metadata has {total} bytes, over {MAX_METADATA_BYTES}", field="start.metadata"
        )


def _bound(name: str, value: str, bound: int, called: str = "") -> None:
    size = len(value.encode())
    if size > bound:
        said = called or name.rpartition(".")[2]
        raise InvalidRequest(f"{said} has {size} bytes, over {bound}", field=name)


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")


class LegGuard:
    """Checks the messages of one leg after CallStart, in their order."""

    def __init__(self, codec: str, rate_hz: int) -> None:
        self._sample_bytes = 2 if codec == "l16" else 1
        self._max_bytes, self._long = rate_hz * self._sample_bytes * MAX_FRAME_MS // 1000, "1 s"
        if codec == "opus":
            self._max_bytes, self._long = MAX_OPUS_BYTES, "120 ms of Opus"
        self._over = False
        self._leg = codec, rate_hz

    def anew(self) -> LegGuard:
        """For another stream of the same leg."""
        return LegGuard(*self._leg)

    def audio(self, payload_bytes: int) -> None:
        """Checks a frame's size; its number is the jitter buffer's business."""
        self._not_over("audio")
        if payload_bytes == 0:
            raise InvalidRequest("audio.payload is empty", field="audio.payload")
        if payload_bytes % self._sample_bytes:
            raise InvalidRequest(
                f"audio.payload has {payload_bytes} bytes, an odd number; L16 has 2 per sample",
                field="audio.payload",
            )
        if payload_bytes > self._max_bytes:
            raise InvalidRequest(
                f"audio.payload has {payload_bytes} bytes, over {self._max_bytes} ({self._long})",
                field="audio.payload",
            )

    def dtmf(self, digits: str, duration_ms: int) -> None:
        self._not_over("dtmf")
        del duration_ms
        if len(digits) > MAX_DIGITS or not _DIGITS.fullmatch(digits):
            raise InvalidRequest(
                f"dtmf.digits {_shown(digits)} must be 1 to {MAX_DIGITS} of 0-9 * # A B C D",
                field="dtmf.digits",
            )

    def mark(self, name: str) -> None:
        self._not_over("mark")
        _bound("mark.name", name, MAX_MARK_BYTES, "mark.name")

    def event(self, kind: int, detail: str) -> None:
        self._not_over("event")
        if kind not in CALL_EVENTS:
            raise InvalidRequest(
                f"event.kind {kind} is not 1 to {CALL_EVENTS.stop - 1}", field="event.kind"
            )
        _bound("event.detail", detail, MAX_TEXT_BYTES, "event.detail")

    def start_again(self) -> None:
        """A second CallStart: always refused."""
        raise InvalidRequest("start may come only once, as the first message", field="start")

    def end(self, reason: str) -> None:
        self._not_over("end")
        _bound("end.reason", reason, MAX_TEXT_BYTES, "end.reason")
        self._over = True

    def _not_over(self, what: str) -> None:
        if self._over:
            raise InvalidRequest(f"{what} came after end; nothing may follow it", field=what)
