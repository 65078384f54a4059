"""An example company for the tests of the conversation."""

from __future__ import annotations

import random
from datetime import date, time

from reception.call.conversation import Conversation
from reception.call.hours import OpeningHours, Span, SpecialDay
from reception.call.profile import Entry, Limits, Phrases, Profile
from reception.call.record import CallSpec
from reception.money.allowance import Means
from reception.money.prices import TokenPrice

OPEN = (Span(time(9), time(17, 30)),)
HOURS = OpeningHours(
    "Europe/Berlin",
    (OPEN, OPEN, OPEN, OPEN, (Span(time(9), time(12)), Span(time(13), time(16))), (), ()),
    {
        date(2026, 12, 24): SpecialDay("Christmas Eve", (Span(time(9), time(12)),)),
        date(2026, 12, 25): SpecialDay("Christmas Day"),
    },
)
PHRASES = Phrases(
    greeting="Example, good day.",
    goodbye="Goodbye then.",
    still_there="Are you still there?",
    silent_goodbye="I can't hear you.",
    time_is_up="Time is up.",
    transferring="Putting you through to {name}.",
    transfer_failed="They don't answer.",
    trouble="Something is wrong.",
)
PROFILE = Profile(
    name="example",
    company="Example",
    phrases=PHRASES,
    hours=HOURS,
    directory=(
        Entry("Sales", "+4930100", "orders", ("sales department",)),
        Entry("Anna Berg", "sip:anna@example", "", (), is_person=True),
    ),
    keys={"1": "Sales", "22": "Anna Berg"},
    limits=Limits(),
)
SPEC = CallSpec(
    call_id="c1",
    session_id="s1",
    lease_id="l1",
    from_uri="+4930200",
    to_uri="+4930300",
    direction="inbound",
    codec="pcmu",
    rate_hz=8_000,
    ptime_ms=20,
    sends_marks=False,
    profile="example",
    metadata={},
    tenant="t",
    key_id="k",
    node_id="n",
    accepted_at_s=1_000.0,
)


class NoJitter(random.Random):
    """Back-off is always as long."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def conversation(
    profile: Profile = PROFILE, rng: random.Random | None = None, full: str = ""
) -> Conversation:
    rng = rng or random.Random(1)
    return Conversation(SPEC, profile, "m", "pcmu", rng=rng, asked_model=full)


def buys(tokens: int, number: int = 0) -> Means:
    """Means for an answer of so many tokens, where only what is made costs something."""
    return Means(tokens, TokenPrice(), TokenPrice(output=1_000_000), number)
