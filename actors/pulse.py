"""The heartbeat of all byte links of a process: one timer, however many links."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol
from weakref import WeakKeyDictionary

from reception.heartbeat import Heartbeat, Verdict


class Peer(Protocol):
    """A link as its heartbeat sees it."""

    beats: int  # since something was received, which sets it to 0

    def ask(self) -> None: ...

    def give_up(self) -> None: ...


class Pulse:
    """Watches links for silence, a few tens of ns per link and beat.

    A link costs nothing per frame but the setting of `beats`.
    """

    def __init__(self, dead_after_s: float | None = None) -> None:
        self._heartbeat = Heartbeat() if dead_after_s is None else Heartbeat(dead_after_s)
        self._peers: set[Peer] = set()
        self._timer: asyncio.TimerHandle | None = None

    @staticmethod
    def configure(dead_after_s: float) -> None:
        """How long a peer may be silent, for links that the running loop makes
        from now on; it is asked for a sign of life in half of that time."""
        _PULSES[asyncio.get_running_loop()] = Pulse(dead_after_s)

    @staticmethod
    def of_loop() -> Pulse:
        """The one of the running loop."""
        loop = asyncio.get_running_loop()
        pulse = _PULSES.get(loop)
        if pulse is None:
            pulse = _PULSES[loop] = Pulse()
        return pulse

    def held_up(self) -> bool:
        """Whether this process stood still just now (`Heartbeat.held_up`)."""
        return self._timer is not None and self._heartbeat.held_up(time.monotonic())

    def watch(self, peer: Peer) -> None:
        self._peers.add(peer)
        if self._timer is None:
            self._heartbeat.start(time.monotonic())
            self._again()

    def forget(self, peer: Peer) -> None:
        self._peers.discard(peer)
        if not self._peers and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _again(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._heartbeat.beat_s, self._beat)

    def _beat(self) -> None:
        self._again()
        fair = self._heartbeat.beat(time.monotonic())
        for peer in tuple(self._peers):
            peer.beats = peer.beats + 1 if fair else 0
            verdict = Heartbeat.judge(peer.beats)
            if verdict is Verdict.ASK:
                peer.ask()
            elif verdict is Verdict.DEAD:
                peer.give_up()


_PULSES: WeakKeyDictionary[asyncio.AbstractEventLoop, Pulse] = WeakKeyDictionary()
