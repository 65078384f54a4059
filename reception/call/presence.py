"""Whether a caller is still there: by what it sends, how fast, and whether it reads."""

from __future__ import annotations

from dataclasses import dataclass

LOOKS = 10  # in the idle time
MOST_MARKS = 1_000  # 100 s of speech
PACE = 0.5  # of real time: audio that comes slower comes too slowly


@dataclass(frozen=True, slots=True)
class Seen:
    """What the front door knows of a caller when it looks.

    heard_s: when its last message came. behind_s: for how long something has waited for it
    to read, 0 when nothing waits. unmarked_s: for how long marks have waited to be sent
    back, of a leg that sends marks back; 0: none waits. audio_bytes: of all its audio.
    media_s: of its last frame, by the leg's own stamps; 0: it stamps none. excused: it may
    be silent (on hold, or its end was told).
    """

    heard_s: float
    behind_s: float = 0.0
    unmarked_s: float = 0.0
    audio_bytes: int = 0
    media_s: float = 0.0
    excused: bool = False


class Marks:
    """The marks that a leg has not sent back yet. Only of one that has done so before: what
    says that it sends marks, and does not, is served by the clock."""

    def __init__(self) -> None:
        self._sent_s: dict[str, float] = {}
        self._echoes = False
        self._before_s = 0.0  # for so long it was waited in vain for those that were dropped

    def sent(self, name: str, now_s: float) -> None:
        """One is on its way to the leg."""
        if len(self._sent_s) < MOST_MARKS:
            self._sent_s[name] = now_s

    def came(self, name: str) -> None:
        """The leg has played what was before it, as far as that is still known."""
        self._before_s = 0.0
        if name not in self._sent_s:
            return
        self._echoes = True
        while next(iter(self._sent_s)) != name:
            del self._sent_s[next(iter(self._sent_s))]
        del self._sent_s[name]

    def dropped(self, now_s: float) -> None:
        """The leg was told to forget what it has not played: who talks into each answer
        may read none of them."""
        self._before_s = self.waits_s(now_s)
        self._sent_s.clear()

    def excuse(self) -> None:
        """The leg may play nothing."""
        self._before_s = 0.0
        self._sent_s.clear()

    def waits_s(self, now_s: float) -> float:
        """For how long there were some, and none came."""
        oldest_s = next(iter(self._sent_s.values()), now_s)
        return self._before_s + now_s - oldest_s if self._echoes else 0.0


class Presence:
    """Looks at one caller, `LOOKS` times in the idle time.

    A caller is gone that sent nothing for the idle time, or read nothing of what waits for
    it (which only a full connection shows, or a leg that sends no mark back any more), or
    whose audio came slower than `PACE` in each look of that time that saw any. A
    leg that sends no audio at all, but other messages, is muted and not slow; so is one
    whose stamps say that it was silent in between. What comes in a heap after a pause of
    the network makes up for the pause. A look that comes late judges nothing: the process
    stood still, and what was sent meanwhile is still to be read.

    Args:
        idle_s: the idle time.
        bytes_per_s: of the leg's audio; 0: it may send less by contract.
    """

    def __init__(self, idle_s: float, bytes_per_s: float, now_s: float) -> None:
        self._idle_s, self._bytes_per_s = idle_s, bytes_per_s
        self._period_s = idle_s / LOOKS
        self._looked_s = self._in_pace_s = self._audio_s = now_s
        self._due_s = now_s + self._period_s
        self._audio_bytes, self._media_s = 0, 0.0
        self._too_slow = 0  # looks since it was in pace

    def next_look_s(self) -> float:
        """When to look again."""
        return self._due_s

    def look(self, seen: Seen, now_s: float) -> str:
        """Why the caller counts as gone, "" when it does not."""
        late_s = now_s - self._due_s
        self._due_s = now_s + self._period_s
        stood_still = late_s > self._period_s
        if stood_still:
            self._in_pace_s += late_s
            self._audio_s += late_s
        slow = self._is_slow(seen, now_s)
        if stood_still:
            return ""
        bound = f"{self._idle_s:g} s"
        if seen.behind_s >= self._idle_s:
            return f"nothing read for {bound}"
        if seen.excused:
            return ""
        if seen.unmarked_s >= self._idle_s:
            return f"no mark sent back for {bound}"
        silent_s = now_s - seen.heard_s
        if silent_s >= self._idle_s:
            return f"nothing received for {bound}"
        left_s = self._idle_s - max(silent_s, seen.behind_s, seen.unmarked_s)
        self._due_s = min(self._due_s, now_s + left_s)
        return f"audio slower than real time for {bound}" if slow else ""

    def _is_slow(self, seen: Seen, now_s: float) -> bool:
        came, passed_s = seen.audio_bytes - self._audio_bytes, now_s - self._looked_s
        self._looked_s, self._audio_bytes = now_s, seen.audio_bytes
        if came and not seen.excused:
            media_s, since_s = seen.media_s - self._media_s, now_s - self._audio_s
            self._media_s, self._audio_s = seen.media_s, now_s
            if came < PACE * self._bytes_per_s * passed_s and media_s < PACE * since_s:
                self._too_slow += 1
                # one look may have seen no more than the beginning of speech
                return self._too_slow > 1 and now_s - self._in_pace_s >= self._idle_s
        elif now_s - self._audio_s < self._idle_s and not seen.excused:
            return False  # it may be slow, or muted
        self._in_pace_s, self._too_slow = now_s, 0
        return False
