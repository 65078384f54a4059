"""Playout of the receptionist's voice: paced by the leg's clock, cut at will.

Audio arrives from the provider faster than it can be played. `Playout` hands
it out frame by frame, at most `lead_ms` ahead of the leg's clock, and knows at
every moment how much of each item the caller has heard: from the marks that
the leg sent back where it does so, else from the clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from reception.media.codecs import AudioFormat

MAX_BUFFERED_MS = 600_000
MARK_EVERY_MS = 100
MARK_PATIENCE_S = 2.0
_REMEMBERED_CUTS = 64
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class FrameOut:
    """One frame for the leg. `first` is True for an item's first frame; `starts_s`
    is when the leg plays it, on the clock given to `due`."""

    audio: bytes
    item_id: str
    sequence: int
    timestamp_ms: int
    first: bool
    starts_s: float


@dataclass(frozen=True, slots=True)
class MarkOut:
    """A mark for the leg to send back once the audio before it was played."""

    name: str


@dataclass(frozen=True, slots=True)
class CutItem:
    """An item that was cut off; heard_ms 0 means none of it was heard."""

    item_id: str
    content_index: int
    heard_ms: int


@dataclass(slots=True)
class _Item:
    item_id: str
    content_index: int
    waiting: bytearray = field(default_factory=bytearray)
    received_bytes: int = 0
    sent_ms: int = 0
    acked_ms: int = 0
    acked_at_s: float = 0.0
    marked_ms: int = 0
    complete: bool = False


@dataclass(slots=True)
class _Sent:
    item: _Item
    begins_ms: int
    end_ms: int
    starts_s: float
    ends_s: float


class Playout:
    """The receptionist's side of one leg.

    Args:
        format: coding of the audio given to `add` and handed out.
        ptime_ms: length of a frame.
        lead_ms: how far ahead of the leg's clock frames may be sent.
        sends_marks: the leg sends every mark back when it reached it.
        frames_before: numbers that the leg's frames had before this playout.
        generation: names its marks apart from those of the leg's earlier ones.
    """

    def __init__(
        self,
        format: AudioFormat,
        ptime_ms: int,
        *,
        lead_ms: int = 120,
        sends_marks: bool = False,
        frames_before: int = 0,
        generation: int = 0,
    ) -> None:
        self.dropped_ms = 0
        self.frames_out = 0
        self._before = frames_before
        self._generation = generation
        self._format = format
        self._ptime_ms = ptime_ms
        self._frame_bytes = format.bytes_per_ms * ptime_ms
        self._lead_s = lead_ms / 1000
        self._sends_marks = sends_marks
        self._items: deque[_Item] = deque()
        self._in_flight: deque[_Sent] = deque()
        self._marks: deque[tuple[str, _Item, int]] = deque()
        self._mark_number = 0
        self._edge_s = 0.0
        self._origin_s: float | None = None
        self._cut: deque[str] = deque(maxlen=_REMEMBERED_CUTS)
        self._told_drained = True

    # ------------------------------------------------------------- filling

    def add(self, item_id: str, content_index: int, audio: bytes) -> None:
        """Audio of an item, in order. Audio of an item that was cut is ignored;
        audio past `MAX_BUFFERED_MS` is dropped and counted."""
        if item_id in self._cut:
            return
        item = self._item(item_id, content_index)
        buffered_ms = self._format.duration_ms(sum(len(each.waiting) for each in self._items))
        if buffered_ms > MAX_BUFFERED_MS:
            self.dropped_ms += self._format.duration_ms(len(audio))
            return
        item.waiting += audio
        item.received_bytes += len(audio)
        self._told_drained = False

    def complete(self, item_id: str) -> None:
        """No more audio will come for this item."""
        for item in self._items:
            item.complete = item.complete or item.item_id == item_id

    def complete_all(self) -> None:
        """No more audio will come for any item (its response is over)."""
        for item in self._items:
            item.complete = True

    def _item(self, item_id: str, content_index: int) -> _Item:
        for item in self._items:
            if item.item_id == item_id:
                return item
        for earlier in self._items:
            earlier.complete = True
        item = _Item(item_id, content_index)
        self._items.append(item)
        return item

    # ------------------------------------------------------------- handing out

    def due(self, now_s: float) -> list[FrameOut | MarkOut]:
        """What the leg is to be sent now."""
        self._forget_played(now_s)
        out: list[FrameOut | MarkOut] = []
        while max(self._edge_s, now_s) - now_s < self._lead_s - _ROUNDING_S:
            item = self._next_item()
            if item is None:
                break
            self._edge_s = max(self._edge_s, now_s)
            out.append(self._cut_frame(item))
            if self._sends_marks and self._mark_is_due(item):
                out.append(self._mark(item))
        return out

    def overdue(self, now_s: float) -> bool:
        """The leg has nothing more to play although there is audio for it."""
        item = self._next_item() if self._edge_s < now_s else None
        return item is not None and item.sent_ms > 0

    def _next_item(self) -> _Item | None:
        """The item whose audio is next; items with nothing left are passed."""
        for item in self._items:
            if len(item.waiting) >= self._frame_bytes or (item.complete and item.waiting):
                return item
            if not item.complete:
                return None
        return None

    def _cut_frame(self, item: _Item) -> FrameOut:
        audio = bytes(item.waiting[: self._frame_bytes])
        del item.waiting[: self._frame_bytes]
        missing = self._frame_bytes - len(audio)
        first = item.sent_ms == 0
        begins_ms = item.sent_ms
        item.sent_ms += self._format.duration_ms(len(audio)) or 1
        audio += self._format.silence * (missing // self._format.sample_bytes)
        ends_s = self._edge_s + self._ptime_ms / 1000
        self._in_flight.append(_Sent(item, begins_ms, item.sent_ms, self._edge_s, ends_s))
        if self._origin_s is None:
            self._origin_s = self._edge_s
        starts_s, self._edge_s = self._edge_s, ends_s
        timestamp_ms = self._before * self._ptime_ms + round((starts_s - self._origin_s) * 1000)
        self.frames_out += 1
        sequence = self._before + self.frames_out
        return FrameOut(audio, item.item_id, sequence, timestamp_ms, first, starts_s)

    def _mark_is_due(self, item: _Item) -> bool:
        at_end = item.complete and not item.waiting
        return at_end or item.sent_ms - item.marked_ms >= MARK_EVERY_MS

    def _mark(self, item: _Item) -> MarkOut:
        self._mark_number += 1
        name = f"p{self._generation}.{self._mark_number}"
        item.marked_ms = item.sent_ms
        self._marks.append((name, item, item.sent_ms))
        return MarkOut(name)

    # ------------------------------------------------------------- what was heard

    def mark_reached(self, name: str, now_s: float) -> None:
        """The leg's playout reached a mark. Unknown and late names are ignored."""
        if all(name != each for each, _, _ in self._marks):
            return
        reached = ""
        while reached != name:
            reached, item, position_ms = self._marks.popleft()
            item.acked_ms = position_ms
            item.acked_at_s = now_s
        self._forget_played(now_s)

    def _heard_ms(self, item: _Item, now_s: float) -> int:
        """How much of the item was heard; never more than was sent of it."""
        by_clock = self._clock_ms(item, now_s)
        if not self._sends_marks:
            return by_clock
        waiting = [position for _, each, position in self._marks if each is item]
        if not waiting:
            return item.acked_ms if item.acked_ms == item.sent_ms else max(item.acked_ms, by_clock)
        if item.acked_ms == 0:
            return min(by_clock, waiting[0])
        since_ms = round((now_s - item.acked_at_s) * 1000)
        return min(item.acked_ms + since_ms, waiting[0])

    def _clock_ms(self, item: _Item, now_s: float) -> int:
        for sent in self._in_flight:  # only frames that have not ended
            if sent.item is item:
                played_ms = round(max(0.0, now_s - sent.starts_s) * 1000)
                return min(sent.end_ms, sent.begins_ms + played_ms)
        return item.sent_ms

    def _forget_played(self, now_s: float) -> None:
        """Lets go of frames and items that were played to their end, and of
        marks that a leg should have sent back long ago."""
        if now_s > self._edge_s + MARK_PATIENCE_S:
            self._marks.clear()
        while self._in_flight and self._in_flight[0].ends_s <= now_s:
            self._in_flight.popleft()
        while self._items and self._is_played(self._items[0]):
            self._items.popleft()

    def _is_played(self, item: _Item) -> bool:
        if not item.complete or item.waiting:
            return False
        if any(sent.item is item for sent in self._in_flight):
            return False
        return all(each is not item for _, each, _ in self._marks)

    # ------------------------------------------------------------- cutting off

    def interrupt(self, now_s: float) -> list[CutItem]:
        """Drops all that was not heard.

        Returns:
            The items that lost audio, in order: the audible one at what was
            heard of it, later ones at 0. Empty when nothing unheard was
            dropped.
        """
        self._forget_played(now_s)
        cut = [
            CutItem(item.item_id, item.content_index, self._heard_ms(item, now_s))
            for item in self._items
        ]
        self._cut.extend(item.item_id for item in self._items)
        self._items.clear()
        self._in_flight.clear()
        self._marks.clear()
        self._edge_s = now_s
        self._told_drained = True
        return cut

    # ------------------------------------------------------------- being empty

    def take_drained(self, now_s: float) -> bool:
        """True once each time that everything added has been played."""
        self._forget_played(now_s)
        if self._told_drained or self._items:
            return False
        self._told_drained = True
        return True

    @property
    def busy(self) -> bool:
        """There is audio that the caller has not heard."""
        return bool(self._items)
