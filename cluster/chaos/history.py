"""What happened in one try of a fault, event by event, as lines of JSON. Pure.

Times are seconds of one clock, that of the driver. Who says what: the callers (their
calls), the run (the fault), and afterwards the cluster's database and the provider.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from reception.errors import InvalidRequest

FRAMES = 3  # of 20 ms in a message: what 30 calls cost the machine is not what is tried


@dataclass(frozen=True, slots=True)
class Began:
    """A try: so many calls, and a fault. ends_within_s: of a call whose caller is gone."""

    fault: str
    number: int
    calls: int
    ends_within_s: float


@dataclass(frozen=True, slots=True)
class Offered:
    """A caller opens a stream at a front door. tone_hz: its voice. listens: to one long
    answer, so that every pause is the fault's; others talk in between."""

    call_id: str
    tone_hz: int
    listens: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """CallAccepted; `again`: for a resume token, at whatever door."""

    call_id: str
    session_id: str
    node_id: str
    again: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """One tone sounded to a caller without a pause. 0: no tone can be told. The sequences
    are those of the last message that had come when it began and when it ended."""

    call_id: str
    tone_hz: int
    frames: int
    from_s: float
    to_s: float
    first_sequence: int = 0
    last_sequence: int = 0


@dataclass(frozen=True, slots=True)
class NotRising:
    """A frame came whose number is not above that of the one before."""

    call_id: str
    sequence: int
    before: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Said:
    """A final transcript that a caller was sent. text: of either speaker."""

    call_id: str
    text: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Broke:
    """A caller lost its stream; it comes back if it can."""

    call_id: str
    status: str
    at_s: float


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A door did not take a caller, who tries the next."""

    call_id: str
    door: str
    status: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Summed:
    """A caller got a CallSummary."""

    call_id: str
    reason: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Gone:
    """A caller is done. how: "hung up", "released", one of `invariants.AWAY`, or the last
    error."""

    call_id: str
    how: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Injected:
    """The fault. hit: whose calls run through what it struck. until_s: silence that
    begins later is not its doing. most_ms: of silence that it may add; 0: it is not said.
    whole: nothing of an answer may be lost, or heard twice."""

    what: str
    hit: tuple[str, ...]
    at_s: float
    until_s: float
    most_ms: float = 0.0
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody called while no call could be taken. status: of the refusal, "OK" if there
    was none; says_when: it has a RetryInfo."""

    door: str
    status: str
    says_when: bool
    took_s: float


@dataclass(frozen=True, slots=True)
class Record:
    """A row of `calls`."""

    call_id: str
    session_id: str
    state: str
    end_reason: str
    ended_at_s: float


@dataclass(frozen=True, slots=True)
class LeftLive:
    """A row of `live_calls` when no call is live any more."""

    call_id: str
    session_id: str
    node_id: str


@dataclass(frozen=True, slots=True)
class Account:
    """A row of `accounts`."""

    call_id: str
    session_id: str
    held_micros: int
    total_micros: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Used:
    """A row of `usage`: what we say that a response (or a transcription) was."""

    session_id: str
    response_id: str
    kind: str
    input_tokens: int
    output_tokens: int
    cost_micros: int


@dataclass(frozen=True, slots=True)
class Billed:
    """What the provider says that a response was. last: of its session."""

    provider_session: str
    response_id: str
    input_tokens: int
    output_tokens: int
    at_s: float
    last: bool


@dataclass(frozen=True, slots=True)
class Money:
    """How a limit stood at one moment."""

    posted_micros: int
    held_micros: int
    overdraft_micros: int
    limit_micros: int
    at_s: float


@dataclass(frozen=True, slots=True)
class OnLease:
    """So many calls of a try began at a node's door while the ledger did not answer."""

    node_id: str
    calls: int


@dataclass(frozen=True, slots=True)
class Busy:
    """What a node has leased when no call is live any more, and still has to write."""

    node_id: str
    live: int
    sessions: int
    to_be_written: int


@dataclass(frozen=True, slots=True)
class Driver:
    """How late the callers' own clock was, at the 99th percentile of its beats: silence
    of this length may be the driver's."""

    late_p99_ms: float


@dataclass(frozen=True, slots=True)
class LedgerFault:
    """What the ledger's own proof says is wrong."""

    text: str


Event = (
    Began | Offered | Accepted | Heard | NotRising | Said | Broke | NotTaken | Summed | Gone
    | Injected | Newcomer | Record | LeftLive | Account | Used | Billed | Money | OnLease | Busy
    | Driver | LedgerFault
)  # fmt: skip
History = tuple[Event, ...]

_KINDS = {kind.__name__: kind for kind in Event.__args__}


def to_line(event: Event) -> str:
    """One line, without its end."""
    return json.dumps({"event": type(event).__name__} | asdict(event))


def read(lines: Iterable[str]) -> Iterator[Event]:
    """The events of lines.

    Raises:
        InvalidRequest: a line is none; says which.
    """
    for number, line in enumerate(lines, 1):
        try:
            fields = json.loads(line)
            kind = _KINDS[fields.pop("event")]
            yield kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidRequest(f"line {number} is no event: {error}", field="history") from None
