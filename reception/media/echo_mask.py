"""Which frames of the caller's side the provider is not to hear: the receptionist's echo.

An echo cuts no answer (`barge_in`), but the provider would take it for a turn all the same,
and answer it. A frame is covered where nothing but echo is in it, by its level and by what
is left of it once the echo is taken out; not while the caller may be speaking, nor for a
moment after that.
"""

from __future__ import annotations

LEFT_DB = 12.0  # what is left of a frame that is echo is at least so much quieter
_AFTER_MS = 200  # a word's quiet parts are not covered


class EchoMask:
    """One call's."""

    def __init__(self) -> None:
        self._open_ms = 0

    def covers(self, *, sound: bool, foreseen: bool, left_db: float, duration_ms: int) -> bool:
        """Whether the provider gets noise in place of this frame.

        Args:
            sound: there is some in it; silence may be heard by everybody.
            foreseen: its level can be that of an echo (`EchoGuard.foresees`).
            left_db: how far what is left without its echo is below it.
        """
        if sound and not (foreseen and left_db >= LEFT_DB):
            self._open_ms = _AFTER_MS
            return False
        still_open = self._open_ms > 0
        self._open_ms = max(0, self._open_ms - duration_ms)
        return sound and not still_open
