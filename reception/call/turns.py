"""The turns of a call and how long the caller waited in each."""

from __future__ import annotations

from dataclasses import dataclass

from reception.call.messages import TellTurn, TurnStep
from reception.call.record import TurnTime


@dataclass(slots=True)
class _Turn:
    number: int = 0
    stopped_s: float | None = None
    latency_ms: int = 0
    gateway_us: int = 0
    gateway_up_us: int = 0
    answered: bool = False
    done: bool = False


class Turns:
    """Counts turns (the greeting is 0) and measures them."""

    def __init__(self, began_s: float) -> None:
        self.interruptions = 0
        self.times: list[TurnTime] = []
        self._began_s = began_s
        self._turn = _Turn()

    @property
    def number(self) -> int:
        return self._turn.number

    def at_ms(self, now_s: float) -> int:
        """Milliseconds since the call began."""
        return max(0, round((now_s - self._began_s) * 1000))

    def shift(self, later_s: float) -> None:
        """From now on by a clock that is ahead by so much."""
        self._began_s += later_s
        if self._turn.stopped_s is not None:
            self._turn.stopped_s += later_s

    def speech_started(self, now_s: float) -> TellTurn:
        return self._tell(TurnStep.SPEECH_STARTED, now_s)

    def speech_stopped(self, now_s: float) -> TellTurn:
        """A new turn: the caller waits from now on."""
        self._turn = _Turn(self._turn.number + 1, now_s)
        return self._tell(TurnStep.SPEECH_STOPPED, now_s)

    def response_started(self, now_s: float) -> TellTurn:
        return self._tell(TurnStep.RESPONSE_STARTED, now_s)

    def first_audio(self, now_s: float) -> TellTurn | None:
        """The answer is heard; None when this turn had its first audio."""
        turn = self._turn
        if turn.answered:
            return None
        turn.answered = True
        if turn.stopped_s is not None:
            turn.latency_ms = round((now_s - turn.stopped_s) * 1000)
        return self._tell(TurnStep.FIRST_AUDIO, now_s)

    def gateway(self, gateway_us: int, up_us: int) -> None:
        """The gateway's own share of this turn's latency, and its part on the way up."""
        if self._turn.gateway_us == 0:
            self._turn.gateway_us, self._turn.gateway_up_us = gateway_us, up_us

    def done(self, now_s: float, *, interrupted: bool) -> TellTurn | None:
        """The answer is over; None when it had none or was told already."""
        turn = self._turn
        if turn.done or not turn.answered:
            return None
        turn.done = True
        time = TurnTime(turn.number, turn.latency_ms, turn.gateway_us, interrupted)
        self.times.append(time)
        return self._tell(TurnStep.DONE, now_s, interrupted)

    def _tell(self, step: TurnStep, now_s: float, interrupted: bool = False) -> TellTurn:
        turn = self._turn
        measured = step in (TurnStep.FIRST_AUDIO, TurnStep.DONE)
        return TellTurn(
            step,
            turn.number,
            self.at_ms(now_s),
            turn.latency_ms if measured else 0,
            turn.gateway_us if measured else 0,
            interrupted,
            turn.gateway_up_us if measured else 0,
        )
