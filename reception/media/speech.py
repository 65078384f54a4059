"""Answers that come as text and are spoken here: piece by piece, and what was heard of them."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

CHARS_PER_S = 15.0  # of speech, where its length is not known
LONG_CHARS = 200  # a sentence that is longer is spoken in parts
_ITEMS_KEPT = 16
_CUTS_KEPT = 64
_END = re.compile(r"[.!?…:;]['\")\]]*\s+|\n+")
_NO_END = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|No|Nr|e\.g|i\.e|z\.B|\d|[A-Z])\.\s+$")
_MARKUP = str.maketrans("", "", "*_#`")


@dataclass(frozen=True, slots=True)
class Piece:
    """Words of an item that are spoken at once; without any: the item has no more."""

    item_id: str
    text: str = ""


@dataclass(slots=True)
class _Sounding:
    text: str
    audio_ms: float = 0.0
    whole: bool = False

    @property
    def length_ms(self) -> float:
        """Of all of it."""
        return self.audio_ms if self.whole else max(self.audio_ms, speech_ms(len(self.text)))


@dataclass(slots=True)
class _Item:
    waiting: str = ""
    pieces: list[_Sounding] = field(default_factory=list)
    finished: bool = False


class Speech:
    """The texts of one call's answers."""

    def __init__(self) -> None:
        self._items: dict[str, _Item] = {}
        self._cut: deque[str] = deque(maxlen=_CUTS_KEPT)

    def say(self, item_id: str, text: str) -> list[Piece]:
        """The next words of an item; what of them can be spoken now. Words of an item
        that was cut, or has no more, are ignored."""
        if item_id in self._cut:
            return []
        item = self._item(item_id)
        if item.finished:
            return []
        item.waiting += text
        pieces = []
        while (end := _end_of_piece(item.waiting)) > 0:
            pieces += self._piece(item_id, item.waiting[:end])
            item.waiting = item.waiting[end:]
        return pieces

    def finish(self, item_id: str) -> list[Piece]:
        """An item has no more words: the rest of them."""
        item = self._items.get(item_id)
        if item is None or item.finished or item_id in self._cut:
            return []
        pieces = self._piece(item_id, item.waiting)
        item.waiting, item.finished = "", True
        return [*pieces, Piece(item_id)]

    def finish_all(self) -> list[Piece]:
        """No item has more words."""
        return [piece for item_id in list(self._items) for piece in self.finish(item_id)]

    def spoken(self, piece: Piece, audio_ms: float, *, whole: bool) -> None:
        """So much more sound was made of a piece.

        Args:
            whole: that was the last of it.
        """
        item = self._items.get(piece.item_id)
        for sounding in item.pieces if item else ():
            if not sounding.whole:
                sounding.audio_ms += audio_ms
                sounding.whole = whole
                return

    def knows(self, item_id: str) -> bool:
        """It is an item of these."""
        return item_id in self._items

    def begun(self, item_id: str) -> bool:
        """Sound was made of the piece of an item that is being spoken."""
        item = self._items.get(item_id)
        return any(
            not piece.whole and piece.audio_ms > 0 for piece in (item.pieces if item else ())
        )

    def cut(self, item_id: str) -> None:
        """Nothing more is said of an item."""
        self._cut.append(item_id)

    @property
    def unfinished(self) -> list[str]:
        """Items of which more words are awaited."""
        return [
            item_id
            for item_id, item in self._items.items()
            if not item.finished and item_id not in self._cut
        ]

    def heard(self, item_id: str, heard_ms: float) -> tuple[str, bool]:
        """The words that were heard in so much of an item's sound, and whether that is all
        that there was to say."""
        item = self._items.get(item_id, _Item())
        words, left_ms = [], heard_ms
        for piece in item.pieces:
            if piece.whole and left_ms >= piece.audio_ms:
                words += [piece.text] if piece.audio_ms else []
                left_ms -= piece.audio_ms
                continue
            chars = int(len(piece.text) * left_ms / piece.length_ms)
            words.append(piece.text[:chars].rpartition(" ")[0])
            break
        else:
            if item.finished:
                return " ".join(words), True
        text = " ".join(word for word in words if word)
        return (f"{text} …" if text else ""), False

    def _item(self, item_id: str) -> _Item:
        if item_id not in self._items:
            while len(self._items) >= _ITEMS_KEPT:
                del self._items[next(iter(self._items))]
            self._items[item_id] = _Item()
        return self._items[item_id]

    def _piece(self, item_id: str, text: str) -> list[Piece]:
        text = " ".join(text.translate(_MARKUP).split())
        if not any(char.isalnum() for char in text):
            return []
        self._items[item_id].pieces.append(_Sounding(text))
        return [Piece(item_id, text)]


def speech_ms(chars: int) -> float:
    """About how long it takes to say so many characters."""
    return chars / CHARS_PER_S * 1000


def _end_of_piece(text: str) -> int:
    """Where the first sentence ends, or a part of one that is too long; 0: not yet."""
    for found in _END.finditer(text):
        if not _NO_END.search(text[: found.end()]):
            return found.end()
    if len(text) <= LONG_CHARS:
        return 0
    comma = text.rfind(", ", 0, LONG_CHARS)
    return comma + 2 if comma > 0 else text.rfind(" ", 0, LONG_CHARS) + 1
