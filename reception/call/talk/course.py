"""The course of a call: all that it has come to, and the small steps that its modules share."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from reception.call import messages as m
from reception.call.profile import Profile
from reception.call.prompt import head_tokens
from reception.call.record import CallSpec, TakenMessage
from reception.call.states import State, check
from reception.call.thrift import Thrift
from reception.call.tool_uses import ToolUses
from reception.call.tools import EndCall, Transfer
from reception.call.transcript import Transcript
from reception.call.turns import Turns
from reception.money.allowance import Allowance, Means
from reception.money.own_count import OwnCount
from reception.provider import base as p


@dataclass(frozen=True, slots=True)
class Given:
    """What each conversation of a call is given, so that no checkpoint has it.

    recorded: texts that there are recordings of, and their length in ms. means: what the
    first answers may cost.
    """

    spec: CallSpec
    profile: Profile
    configuration: p.Configure
    rng: random.Random
    recorded: Mapping[str, int]
    means: Means | None = None


@dataclass(slots=True)
class Connection:
    """The provider's session of the call."""

    up: bool = False
    media: bool = True  # an audio worker has the call
    given_up: bool = False  # for the rest of the call
    healable: bool = True  # no error was told that another session would have too
    dials: int = 1  # since the provider last answered


@dataclass(slots=True)
class Playing:
    """An item that is played. heard: its first audio went to the caller. phrase: the words
    of a recording."""

    item_id: str
    since_s: float
    heard: bool
    phrase: str = ""


@dataclass(slots=True)
class Floor:
    """What the receptionist says, from being asked for to being heard."""

    owed: bool = False  # an answer is awaited, not begun
    response: str | None = None  # being made
    stopping: str = ""  # one that was cancelled, and may still say something
    spoke: bool = False  # the last one had words
    retried: bool = False  # one failed, and was asked for again
    unspoken: str = ""  # one that is being made, and of which nothing is heard
    playing: Playing | None = None
    phrases: int = 0  # played from recordings
    missed: bool = False  # the caller's last words went with a session that broke
    lost: bool = False  # and nobody has their sound, to tell them to the next one

    @property
    def unheard(self) -> str:
        """The item of a recording that is to be played, and is not heard yet."""
        return self.playing.item_id if self.playing and not self.playing.heard else ""


@dataclass(slots=True)
class Bills:
    """What was billed, by which ids, and what our own count needs to know."""

    count: OwnCount
    room: Allowance | None  # None: no limit is over the call
    asked: int = 0  # tokens of words that are to be said exactly, until they begin
    waits: bool = False  # an answer, for what others cost
    billed: set[str] = field(default_factory=set)
    speech: tuple[str, int] | None = None  # the caller's item, and where it began (ms)
    unwritten: dict[str, int] = field(default_factory=dict)  # ms of items not billed yet


class Course:
    """Attributes but `given` are the call's checkpoint: plain values, or classes of such."""

    def __init__(self, given: Given, thrift: Thrift) -> None:
        self.given = given
        self.state = State.CONNECTING
        self.now_s = 0.0
        self.out: list[m.ConversationCommand] = []
        self.under_way: dict[str, m.Work] = {}  # elsewhere: begun again by the next session
        self.story: deque[str] = deque(maxlen=30)
        self.deadlines: dict[str, float] = {}
        self.transcript = Transcript()
        self.turns = Turns(0.0)
        self.tools = ToolUses()
        self.thrift = thrift
        self.connection = Connection()
        self.floor = Floor()
        head = head_tokens(given.configuration)
        self.bills = Bills(OwnCount(head), Allowance(given.means) if given.means else None)
        self.greeted = False
        self.prompted = False  # the silent caller
        self.digits = ""  # pressed, and not acted upon
        self.taken: list[TakenMessage] = []
        self.effect: Transfer | EndCall | None = None  # once all is said
        self.transfer: Transfer | None = None  # under way
        self.transferred_to = ""
        self.unanswered = False  # a question, for which the full model was asked for
        self.wrapping = False  # the money is gone: nothing new is begun
        self.taken_over = False  # by a person, or that was tried
        self.last_words, self.unsaid = "", False
        self.end_reason = ""
        self.finish: m.FinishCall | None = None  # once the call has ended

    @property
    def profile(self) -> Profile:
        return self.given.profile

    @property
    def at_ms(self) -> int:
        """Milliseconds since the call began."""
        return self.turns.at_ms(self.now_s)

    def take(self) -> list[m.ConversationCommand]:
        """The commands so far; none is left."""
        out, self.out = self.out, []
        return out

    def tell(self, command: m.ConversationCommand | None) -> None:
        if command is None:
            return
        self.out.append(command)
        if isinstance(command, m.Work):
            self.under_way[command.key] = command

    def answered(self, key: str) -> None:
        """That work is done, or there is no need of it any more."""
        self.under_way.pop(key, None)

    def tell_provider(self, command: p.ProviderCommand) -> None:
        self.bills.count.told(command)
        self.tell(m.ToProvider(command))

    def later(self, name: str, wait_s: float) -> None:
        """What happens by time alone, unless it is called off before."""
        self.deadlines[name] = self.now_s + wait_s

    def call_off(self, *names: str) -> None:
        for name in names:
            self.deadlines.pop(name, None)

    def go(self, state: State) -> None:
        check(self.state, state, list(self.story))
        self.story.append(f"-> {state}")
        self.state = state
