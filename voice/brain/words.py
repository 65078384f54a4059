"""What a caller's words mean: intents, names, telephone numbers.

Made for the output of a small recogniser on telephone sound: words may be
wrong, numbers may be digits or words.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_DIGIT_WORDS = {
    "zero": "0", "oh": "0", "o": "0", "one": "1", "two": "2", "to": "2", "too": "2",
    "three": "3", "four": "4", "for": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "ate": "8", "nine": "9",
}  # fmt: skip
_CERTAIN_DIGITS = frozenset(_DIGIT_WORDS) - {"oh", "o", "to", "too", "for", "ate"}
_REPEAT = {"double": 2, "triple": 3}
_NAME = re.compile(
    r"(?:my name is|my name's|this is|i am|i'm|it's|it is|the name is|name is)\s+(.+)", re.I
)
_NOT_IN_A_NAME = re.compile(
    r"\b(?:and|my|from|calling|please|i|you|the|number|would|about|speaking)\b.*", re.I
)

# An intent and what calls it up; the first that matches is meant.
INTENTS: tuple[tuple[str, str], ...] = (
    ("goodbye", r"\b(?:good ?bye|bye|that'?s all|that is all|that'?s it|nothing else|"
                r"that will be all|no,? thank|no thanks|have a nice)\b"),
    ("message", r"\b(?:leave|take|pass|give)\b.*\bmessage\b|\bmessage (?:for|to)\b|"
                r"\bcall me back\b|\bcallback\b"),
    ("hours", r"\b(?:opening hours?|open(?:ing)? times?|business hours|office hours|hours|"
              r"when (?:are|do) you (?:open|close)|are you open|what time|closing time|"
              r"how late|how long are you open)\b"),
    ("transfer", r"\b(?:put me through|through to|transfer|connect|speak (?:to|with)|"
                 r"talk (?:to|with)|reach|department|somebody in|someone in|line to)\b"),
    ("robot", r"\b(?:are you (?:a|an|real)|robot|machine|human|computer|who are you|"
              r"real person)\b"),
    ("repeat", r"\b(?:repeat|say (?:that|it) again|pardon|come again|"
               r"(?:didn'?t|did not) (?:catch|hear|understand))\b"),
    ("about", r"\b(?:tell me|what do you do|what does .* do|about (?:the|your) company|"
              r"explain|how does)\b"),
    ("yes", r"^(?:yes|yeah|yep|sure|correct|right|that'?s right|that is right|exactly|please do|"
            r"ok|okay|of course)\b"),
    ("no", r"^(?:no|nope|wrong|not quite|that'?s wrong)\b"),
    ("thanks", r"\b(?:thank you|thanks|great|perfect|wonderful)\b"),
    ("hello", r"^(?:hello|hi|good (?:morning|afternoon|evening|day))\W*$"),
)  # fmt: skip
_COMPILED = tuple((intent, re.compile(pattern, re.I)) for intent, pattern in INTENTS)
_DAYS = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "today",
    "tomorrow",
]


def intent_of(text: str) -> str:
    """The first intent that the words call up, or ""."""
    clean = text.strip()
    for intent, pattern in _COMPILED:
        if pattern.search(clean):
            return intent
    return ""


def day_in(text: str) -> str:
    """A weekday, "today" or "tomorrow" in the words, or ""."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    return next((day.capitalize() for day in _DAYS if day in words), "").replace(
        "Today", "today"
    ).replace("Tomorrow", "tomorrow")  # fmt: skip


def phone_number(text: str) -> str:
    """The digits of a telephone number said in the words, or "".

    Digits, words for digits, "double five". At least three of them together.
    """
    best, run, pending = "", "", 1
    for token in re.findall(r"\d+|[a-z]+", text.lower().replace("-", " ")):
        if token.isdigit():
            run += token * (pending if len(token) == 1 else 1)
            pending = 1
        elif token in _REPEAT:
            pending = _REPEAT[token]
        elif token in _CERTAIN_DIGITS or (token in _DIGIT_WORDS and run):
            run += _DIGIT_WORDS[token] * pending
            pending = 1
        else:
            best, run, pending = max(best, run, key=len), "", 1
    best = max(best, run, key=len)
    return best if len(best) >= 3 else ""


def person_name(text: str, *, asked: bool) -> str:
    """The name the caller gives, or "".

    Args:
        asked: the caller was just asked for it, so that a bare name counts.
    """
    found = _NAME.search(text)
    if found is None and not asked:
        return ""
    name = found.group(1) if found else text
    name = re.split(r"[.,;!?\d]", name.strip())[0]
    name = _NOT_IN_A_NAME.sub("", name).strip(" -'")
    words = name.split()
    if not 1 <= len(words) <= 4 or intent_of(name):
        return ""
    return " ".join(word[:1].upper() + word[1:] for word in words)


def best_match(text: str, names: tuple[str, ...]) -> str:
    """The name of the directory that is said in the words, or "".

    Whole names first, then parts of names, then words that sound alike.
    """
    words = re.findall(r"[a-z']+", text.lower())
    for name in names:
        if name.lower() in " ".join(words):
            return name
    scored = [(max(_likeness(part, words) for part in name.lower().split()), name)
              for name in names]  # fmt: skip
    score, name = max(scored, default=(0.0, ""))
    return name if score >= 0.78 else ""


def _likeness(part: str, words: list[str]) -> float:
    if len(part) < 3:
        return 0.0
    return max(
        (SequenceMatcher(None, part, word).ratio() for word in words if len(word) >= 3),
        default=0.0,
    )
