"""Text made ready for a synthesizer: sentences, numbers said digit by digit."""

from __future__ import annotations

import re

_SENTENCE = re.compile(r"(?<=[.!?…])\s+")
_NUMBER = re.compile(r"\+?\d[\d\s-]{3,}\d")
_SHORT = {
    "Mr.": "Mister", "Mrs.": "Missis", "Dr.": "Doctor", "St.": "Street",
    "e.g.": "for example", "&": "and",
}  # fmt: skip


def sentences(text: str) -> list[str]:
    """The sentences of a text, none empty."""
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def speakable(text: str) -> str:
    """The text as it is to be read aloud."""
    for short, full in _SHORT.items():
        text = text.replace(short, full)
    return _NUMBER.sub(lambda found: _digits(found.group()), text)


def _digits(number: str) -> str:
    plus = "plus " if number.startswith("+") else ""
    return plus + " ".join(char for char in number if char.isdigit())
