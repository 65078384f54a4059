"""What must be true of every try, whatever the fault. Pure: a history in, violations out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import TypeVar

from cluster.chaos import history as h
from cluster.chaos.silence import added_silence_ms
from reception.money.case import RESPONSE

PLAIN_HZ = 300  # the provider's voice before it has heard the caller's
AWAY = frozenset({"vanished", "slow", "deaf"})  # whoever is, is to be noticed
IN_ORDER = frozenset({"caller_hangup"})
POLITE = frozenset({"budget", "provider_unavailable", "max_duration", "completed", "transferred"})
MUTE_S = 20.0
FRAME_MS = 20
WAITING_FRAMES = 12  # sent ahead, or in a message that is played
GREETED_S = 5.0  # so soon a call need not have been heard
UNDER_WAY_S = 1.0  # between a response's end and our knowing of it

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Violation:
    """rule: its name in the table below. call_id: "" where it is nobody's."""

    rule: str
    call_id: str
    text: str


@dataclass(slots=True)
class Story:
    """One call of a try."""

    offered: h.Offered
    accepted: list[h.Accepted] = field(default_factory=list)
    heard: list[h.Heard] = field(default_factory=list)
    not_rising: list[h.NotRising] = field(default_factory=list)
    said: list[h.Said] = field(default_factory=list)
    summed: list[h.Summed] = field(default_factory=list)
    records: list[h.Record] = field(default_factory=list)
    gone: h.Gone | None = None

    @property
    def call_id(self) -> str:
        return self.offered.call_id

    @property
    def listened(self) -> list[h.Heard]:
        """What it heard, from the first sound of an answer to its own words on."""
        own = self.offered.tone_hz
        return list(dropwhile(lambda each: each.tone_hz != own, self.heard))

    @property
    def ended(self) -> list[h.Record]:
        """Its records that are complete."""
        return [record for record in self.records if record.state == "ended"]


class Tale:
    """A history, sorted by what it is about."""

    def __init__(self, events: h.History) -> None:
        self._events = events
        self.stories = {each.call_id: Story(each) for each in events if isinstance(each, h.Offered)}
        self.began = self.one(h.Began)
        self.injected = self.one(h.Injected)
        for event in events:
            story = self.stories.get(getattr(event, "call_id", ""))
            if story is None:
                continue
            match event:
                case h.Accepted():
                    story.accepted.append(event)
                case h.Heard():
                    story.heard.append(event)
                case h.NotRising():
                    story.not_rising.append(event)
                case h.Said():
                    story.said.append(event)
                case h.Summed():
                    story.summed.append(event)
                case h.Record():
                    story.records.append(event)
                case h.Gone():
                    story.gone = event

    def all(self, kind: type[E]) -> list[E]:
        """Its events of a kind."""
        return [event for event in self._events if isinstance(event, kind)]

    def one(self, kind: type[E]) -> E | None:
        """The only event of a kind; None if it is missing."""
        return next(iter(self.all(kind)), None)

    @property
    def live(self) -> list[Story]:
        """The calls that were there when the fault came, or came while it went on."""
        return [each for each in self.stories.values() if each.accepted]

    @property
    def refused(self) -> int:
        """Callers whom no door took, however often they asked."""
        return len(self.stories) - len(self.live)

    def refused_with(self, status: str) -> int:
        """Those of them whose last answer was this status."""
        gone = [each.gone for each in self.stories.values() if not each.accepted and each.gone]
        return sum(each.how.startswith(f"{status}:") for each in gone)


def violations(events: h.History) -> list[Violation]:
    """Every breach of every rule, in the order of the rules."""
    tale = Tale(events)
    return [each for rule in RULES for each in rule(tale)]


def _struck(tale: Tale) -> Iterator[Violation]:
    """A try that tries nothing proves nothing."""
    if tale.injected is not None and not tale.injected.hit:
        yield Violation("not struck", "", tale.injected.what)


def _told_when(tale: Tale) -> Iterator[Violation]:
    """Who can't be taken now is told so, and when to come again."""
    for each in tale.all(h.Newcomer):
        if each.status != "UNAVAILABLE" or not each.says_when:
            when = "with" if each.says_when else "without"
            text = f"{each.door} answered {each.status} {when} RetryInfo after {each.took_s:.1f} s"
            yield Violation("wrong refusal", "", text)


# ------------------------------------------------------------------ each call


def _ends_once(tale: Tale) -> Iterator[Violation]:
    for story in tale.live:
        if not story.ended:
            yield Violation("lost", story.call_id, "accepted, and there is no record of its end")
        if len(story.ended) > 1 or len(story.summed) > 1:
            text = f"{len(story.ended)} records and {len(story.summed)} summaries of its end"
            yield Violation("ended twice", story.call_id, text)


def _in_order(tale: Tale) -> Iterator[Violation]:
    """Whoever stayed was served until it hung up, or was told why not."""
    for story in tale.live:
        how = story.gone.how if story.gone is not None else "never told to be over"
        reasons = {record.end_reason for record in story.ended}
        if how in AWAY or (how == "hung up" and reasons <= IN_ORDER):
            continue
        if how == "released" and reasons <= POLITE:
            continue
        text = f"the caller: {how}; the record: {', '.join(sorted(reasons)) or 'none'}"
        yield Violation("cut off", story.call_id, text)


def _goes_on(tale: Tale) -> Iterator[Violation]:
    if tale.injected is None:
        return
    for story in tale.live:
        if story.gone is None or story.gone.how != "hung up":
            continue
        if story.gone.at_s < story.accepted[0].at_s + GREETED_S:
            continue
        since_s = tale.injected.until_s
        if story.gone.at_s <= since_s:  # callers came and went meanwhile
            since_s = story.gone.at_s - MUTE_S
        moments = [each.to_s for each in story.heard] + [each.at_s for each in story.said]
        if not any(at_s > since_s for at_s in moments):
            last_s = max((each.to_s for each in story.heard), default=tale.injected.at_s)
            text = f"heard nothing for its last {story.gone.at_s - last_s:.1f} s"
            yield Violation("mute", story.call_id, text)


def silences_ms(tale: Tale) -> dict[str, float]:
    """Of the listeners who stayed, by call; from the answer on that they listen to."""
    injected = tale.injected
    if injected is None:
        return {}
    found = {}
    for story in tale.live:
        if story.offered.listens and story.gone is not None and story.gone.how not in AWAY:
            silence_ms = added_silence_ms(
                story.listened, injected.at_s, injected.until_s, story.gone.at_s
            )
            if silence_ms is not None:
                found[story.call_id] = silence_ms
    return found


def _late_ms(tale: Tale) -> float:
    """What the driver's own lateness may have been, and is nobody else's."""
    return max((each.late_p99_ms for each in tale.all(h.Driver)), default=0.0)


def _audio_is_whole(tale: Tale) -> Iterator[Violation]:
    """As many frames sounded as came in what is numbered, but for those that wait to sound."""
    injected = tale.injected
    if injected is None or not injected.whole:
        return
    slack = WAITING_FRAMES + _late_ms(tale) / FRAME_MS
    for call_id in injected.hit:
        story = tale.stories[call_id]
        if not story.offered.listens:
            continue
        for heard in story.listened:
            if not heard.from_s < injected.at_s < heard.to_s:
                continue
            numbered = h.FRAMES * (heard.last_sequence - heard.first_sequence + 1)
            if abs(numbered - heard.frames) > slack:
                text = f"{heard.frames} frames sounded of {numbered} that were numbered"
                yield Violation("audio lost", call_id, text)


def _silence_is_bounded(tale: Tale) -> Iterator[Violation]:
    injected = tale.injected
    if injected is None or not injected.most_ms:
        return
    late_ms = _late_ms(tale)
    for call_id, silence_ms in silences_ms(tale).items():
        if call_id in injected.hit and silence_ms > injected.most_ms + late_ms:
            text = f"{silence_ms:.0f} ms of silence were added, {injected.most_ms:.0f} at most"
            yield Violation("silent too long", call_id, text)


def _vanished_end(tale: Tale) -> Iterator[Violation]:
    for story in tale.live:
        if story.gone is None or story.gone.how not in AWAY or tale.began is None:
            continue
        for record in story.ended:
            took_s = record.ended_at_s - story.gone.at_s
            if took_s > tale.began.ends_within_s:
                text = f"ended {took_s:.1f} s after its caller was gone"
                yield Violation("ended late", story.call_id, text)


def _own_audio(tale: Tale) -> Iterator[Violation]:
    """No sound of one call in another. Tones that are nobody's are noise."""
    voices = {story.offered.tone_hz for story in tale.stories.values()}
    for story in tale.stories.values():
        own = story.offered.tone_hz
        for heard in story.heard:
            if heard.tone_hz in voices - {own}:
                text = f"heard {heard.frames} frames of {heard.tone_hz} Hz; its own is {own}"
                yield Violation("foreign audio", story.call_id, text)
        for said in story.said:
            if said.text in {f"tone {each}" for each in voices - {own}}:
                text = f"was sent {said.text!r}; its own is {own}"
                yield Violation("foreign words", story.call_id, text)
        for each in story.not_rising:
            text = f"frame {each.sequence} came after frame {each.before}"
            yield Violation("not rising", story.call_id, text)


# ------------------------------------------------------------------ money


def _billed_once(tale: Tale) -> Iterator[Violation]:
    calls = {each.session_id: each.call_id for each in tale.all(h.Account)}
    bills = {each.response_id: each for each in tale.all(h.Billed)}
    used: dict[str, list[h.Used]] = defaultdict(list)
    for each in tale.all(h.Used):
        if each.kind == RESPONSE:
            used[each.response_id].append(each)
    for response_id, rows in used.items():
        call_id, bill = calls.get(rows[0].session_id, ""), bills.get(response_id)
        if len(rows) > 1:
            yield Violation("billed twice", call_id, f"{response_id}: {len(rows)} times")
        if bill is None:
            yield Violation("billed wrongly", call_id, f"{response_id}: the provider has it not")
            continue
        for row in rows:
            ours = row.input_tokens, row.output_tokens
            if _differ(row, bill) and not _under_way(tale, bill):
                text = (
                    f"{response_id}: {ours[0]} tokens in and {ours[1]} out; the provider counts "
                    f"{bill.input_tokens} and {bill.output_tokens}"
                )
                yield Violation("billed wrongly", call_id, text)
    for response_id, bill in bills.items():
        if response_id not in used and not _under_way(tale, bill):
            yield Violation("not billed", "", f"{response_id} of {bill.provider_session}")


def _differ(row: h.Used, bill: h.Billed) -> bool:
    return (row.input_tokens, row.output_tokens) != (bill.input_tokens, bill.output_tokens)


def _under_way(tale: Tale, bill: h.Billed) -> bool:
    """The fault broke the connection while the provider's word of a response was on it:
    nobody but the provider can know of that."""
    if tale.injected is None or not bill.last:
        return False
    return tale.injected.at_s - UNDER_WAY_S <= bill.at_s <= tale.injected.until_s


def own_count(tale: Tale) -> int:
    """Responses that we billed by what we had heard of them, since their bill was lost."""
    bills = {each.response_id: each for each in tale.all(h.Billed)}
    used = [each for each in tale.all(h.Used) if each.response_id in bills]
    return sum(_differ(each, bills[each.response_id]) for each in used)


def unbilled(tale: Tale) -> int:
    """Responses whose bill the fault took with it."""
    used = {each.response_id for each in tale.all(h.Used)}
    lacking = [each for each in tale.all(h.Billed) if each.response_id not in used]
    return sum(_under_way(tale, each) for each in lacking)


def _accounts_add_up(tale: Tale) -> Iterator[Violation]:
    costs: Counter[str] = Counter()
    for each in tale.all(h.Used):
        costs[each.session_id] += each.cost_micros
    for account in tale.all(h.Account):
        if account.total_micros != costs[account.session_id]:
            text = f"spent {account.total_micros} micros, its bills are {costs[account.session_id]}"
            yield Violation("billed wrongly", account.call_id, text)
    for fault in tale.all(h.LedgerFault):
        yield Violation("ledger", "", fault.text)


def _within_limit(tale: Tale) -> Iterator[Violation]:
    for each in tale.all(h.Money):
        taken = each.posted_micros + each.held_micros - each.overdraft_micros
        if taken > each.limit_micros:
            text = f"{taken} micros posted and held, the limit is {each.limit_micros}"
            yield Violation("over limit", "", text)


# ------------------------------------------------------------------ leases


def _nothing_left(tale: Tale) -> Iterator[Violation]:
    for live in tale.all(h.LeftLive):
        yield Violation("lease leaked", live.call_id, f"still live on node {live.node_id}")
    for account in tale.all(h.Account):
        if account.held_micros or not account.closed:
            text = f"{account.held_micros} micros held, {'closed' if account.closed else 'open'}"
            yield Violation("lease leaked", account.call_id, text)
    for node in tale.all(h.Busy):
        if node.live or node.sessions:
            text = f"node {node.node_id} has {node.live} calls and {node.sessions} sessions"
            yield Violation("lease leaked", "", text)
        if node.to_be_written:
            text = f"node {node.node_id} has {node.to_be_written} deliveries left"
            yield Violation("not written", "", text)


RULES: tuple[Callable[[Tale], Iterator[Violation]], ...] = (
    _struck, _told_when, _ends_once, _in_order, _goes_on, _silence_is_bounded, _audio_is_whole,
    _vanished_end, _own_audio, _billed_once, _accounts_add_up, _within_limit, _nothing_left,
)  # fmt: skip
