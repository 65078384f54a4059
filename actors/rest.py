"""Rest for the main threads of processes that seldom get an actor call.

The main thread of a Ray worker wakes 100 times a second to look for signals: 0.7 % of
a core for each process here, a call's session at rest included, and no setting changes
it. At each look it asks `sys.is_finalizing()`. Here the answer comes half a second
later, or as soon as somebody announces an actor call; the event loop, which has a thread
of its own, goes on meanwhile. A call that nobody announced waits half a second at most.
Where Ray does not ask, nothing rests and nothing is lost.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time

from actors.gossip import tell

REST_S = 0.5
AWAKE_S = 0.3  # for the call that was announced to come
FIRST_AWAKE_S = 5.0  # an actor's first calls were sent before it was there


class Rest:
    """Lets this process's main thread rest from now on. Linux only; elsewhere it
    does nothing.

    Args:
        name: of the process, for `announce`; unique on its machine.
    """

    def __init__(self, name: str) -> None:
        self._main = threading.main_thread().ident
        self._awake_until_s = time.monotonic() + FIRST_AWAKE_S
        self._answer = sys.is_finalizing
        if sys.platform == "linux":
            self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._bell.bind(f"\0{name}")
            self._bell.settimeout(REST_S)
            sys.is_finalizing = self._asked

    def _asked(self) -> bool:
        if threading.get_ident() == self._main and time.monotonic() >= self._awake_until_s:
            with contextlib.suppress(TimeoutError):
                self._bell.recv(1)
                self._awake_until_s = time.monotonic() + AWAKE_S
        return self._answer()


def announce(name: str) -> None:
    """An actor call to this process follows. Costs 3 µs; whether anybody hears it
    makes no difference to who sends it."""
    tell(f"\0{name}", b"1")
