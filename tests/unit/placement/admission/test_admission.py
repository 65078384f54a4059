"""Admission to a node: each budget by itself, then any sequence against a model."""

from __future__ import annotations

from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reception.placement.admission.admission import Admission, AdmissionRules, Occupancy
from reception.placement.admission.answer import Admitted, Answer, Cause, Refused, RetryWindow
from reception.placement.admission.concurrency import AdaptiveLimit, LimitRules, NodeLoad
from reception.placement.admission.priority import Priority, Shares
from reception.placement.sizer import NodeMemory

EMERGENCY, NORMAL, BATCH = Priority
ROOMY = NodeMemory(used_mb=1_000.0, total_mb=8_000.0)
WELL = NodeLoad()


def node(capacity: int = 10, floor: int = 1) -> Admission:
    """Batch calls may fill 7 of 10 places, normal ones 9."""
    return Admission(
        AdmissionRules(
            capacity,
            Shares(70, 95),
            LimitRules(floor=floor),
            memory_percent=80.0,
            call_mb=100.0,
            reserve_s=10.0,
            retry=RetryWindow(1.0, 15.0),
        )
    )


def fill(admission: Admission, live: int, now_s: float = 0.0) -> None:
    for number in range(live):
        assert isinstance(admission.ask(f"live{number}", EMERGENCY, now_s), Admitted)
        assert admission.began(f"live{number}", now_s)


def refusal(answer: Answer) -> tuple[Cause, str]:
    assert isinstance(answer, Refused)
    assert 1.0 <= answer.retry_after_s < 15.0
    return answer.cause, answer.reason


# ---------------------------------------------------------------- a call's place


def test_a_call_has_its_place_from_asking_to_its_end() -> None:
    admission = node()
    assert admission.ask("a", NORMAL, 5.0) == Admitted(15.0)
    assert admission.occupancy(5.0) == Occupancy(live=0, reserved=1, limit=10)
    assert admission.next_deadline_s() == 15.0
    assert admission.began("a", 7.0)
    assert admission.occupancy(100.0) == Occupancy(live=1, reserved=0, limit=10)
    assert admission.next_deadline_s() is None
    admission.ended("a")
    assert admission.occupancy(100.0) == Occupancy(live=0, reserved=0, limit=10)


def test_every_method_may_be_called_twice() -> None:
    admission = node()
    assert admission.ask("a", NORMAL, 5.0) == admission.ask("a", NORMAL, 6.0) == Admitted(15.0)
    assert (admission.began("a", 7.0), admission.began("a", 8.0)) == (True, True)
    assert admission.ask("a", NORMAL, 9.0) == Admitted(inf)
    admission.gave_up("a")
    assert admission.occupancy(9.0) == Occupancy(live=1, reserved=0, limit=10)
    for _ in range(2):
        admission.ended("a")
    assert admission.ask("b", NORMAL, 9.0) == Admitted(19.0)
    for _ in range(2):
        admission.gave_up("b")
    assert admission.occupancy(9.0) == Occupancy(live=0, reserved=0, limit=10)
    tally = admission.tally()
    assert (tally.admitted, tally.refused, tally.expired) == ({NORMAL: 2}, {}, 0)


def test_a_place_that_nobody_took_is_free_after_its_time() -> None:
    admission = node(capacity=1)
    admission.ask("a", NORMAL, 0.0)
    assert isinstance(admission.ask("b", NORMAL, 9.9), Refused)
    assert admission.ask("b", NORMAL, 10.0) == Admitted(20.0)
    assert admission.tally().expired == 1


def test_a_call_that_begins_too_late_has_to_ask_again() -> None:
    admission = node(capacity=1)
    admission.ask("a", NORMAL, 0.0)
    assert not admission.began("a", 10.0)
    assert not admission.began("unknown", 10.0)
    assert admission.occupancy(10.0).live == 0
    admission.ask("a", NORMAL, 11.0)
    assert admission.began("a", 12.0)


def test_a_call_can_end_before_it_begins() -> None:
    admission = node(capacity=1)
    admission.ask("a", NORMAL, 0.0)
    admission.ended("a")
    assert isinstance(admission.ask("b", NORMAL, 0.0), Admitted)


# ---------------------------------------------------------------- budgets


def test_places_are_kept_for_those_above() -> None:
    admission = node(capacity=10)
    fill(admission, 7)
    assert refusal(admission.ask("b", BATCH, 1.0)) == (
        Cause.SESSIONS,
        "the node's sessions: 7 calls, at most 7 for batch calls",
    )
    for number in range(2):
        assert isinstance(admission.ask(f"n{number}", NORMAL, 1.0), Admitted)
    assert refusal(admission.ask("n2", NORMAL, 1.0))[0] is Cause.SESSIONS
    assert isinstance(admission.ask("e", EMERGENCY, 1.0), Admitted)
    assert refusal(admission.ask("e1", EMERGENCY, 1.0))[0] is Cause.SESSIONS
    assert admission.tally().refusals() == [
        {"cause": "sessions", "priority": each, "count": 1}
        for each in ("batch", "emergency", "normal")
    ]
    assert admission.tally().refused == {
        (Cause.SESSIONS, BATCH): 1,
        (Cause.SESSIONS, NORMAL): 1,
        (Cause.SESSIONS, EMERGENCY): 1,
    }


def test_a_draining_node_takes_nobody_new_and_keeps_what_it_has() -> None:
    admission = node()
    admission.ask("a", NORMAL, 0.0)
    admission.drain()
    assert refusal(admission.ask("b", EMERGENCY, 1.0)) == (
        Cause.DRAINING,
        "this node is draining and takes no more calls",
    )
    assert admission.ask("a", NORMAL, 1.0) == Admitted(10.0)
    assert admission.began("a", 2.0)
    admission.resume()
    assert isinstance(admission.ask("b", NORMAL, 3.0), Admitted)


def test_memory_has_room_for_so_many_calls() -> None:
    """6,400 MB may be used: 350 are left, at 100 a call. What was admitted since
    the measurement is not in it yet."""
    admission = node(capacity=1_000)
    admission.observe(WELL, NodeMemory(6_050.0, 8_000.0), 0.0)
    fill(admission, 3)
    assert refusal(admission.ask("e", EMERGENCY, 0.0)) == (
        Cause.MEMORY,
        "the node's memory: 3 calls, at most 3 for emergency calls",
    )
    admission.observe(WELL, NodeMemory(6_050.0, 8_000.0), 1.0)  # the three are in it
    for number in range(3):
        assert isinstance(admission.ask(f"e{number}", EMERGENCY, 1.0), Admitted)
    assert refusal(admission.ask("e3", EMERGENCY, 1.0))[0] is Cause.MEMORY
    admission.observe(WELL, NodeMemory(6_050.0, 8_000.0), 2.0)  # these have not begun
    assert refusal(admission.ask("e3", EMERGENCY, 2.0))[0] is Cause.MEMORY
    admission.gave_up("e0")
    assert isinstance(admission.ask("e3", EMERGENCY, 2.0), Admitted)
    assert isinstance(admission.ask("e4", EMERGENCY, 12.0), Admitted)  # all have expired


def test_a_live_call_that_ends_unweighed_leaves_its_room() -> None:
    admission = node(capacity=1_000)
    admission.observe(WELL, NodeMemory(6_300.0, 8_000.0), 0.0)
    fill(admission, 1)
    assert isinstance(admission.ask("e", EMERGENCY, 0.0), Refused)
    admission.ended("live0")
    assert isinstance(admission.ask("e", EMERGENCY, 0.0), Admitted)


def test_past_the_memory_threshold_nobody_is_taken_and_nobody_shed() -> None:
    admission = node()
    fill(admission, 2)
    admission.observe(WELL, NodeMemory(8_000.0, 8_000.0), 1.0)
    assert refusal(admission.ask("e", EMERGENCY, 1.0))[0] is Cause.MEMORY
    assert admission.occupancy(1.0).live == 2


def test_deadline_misses_refuse_at_once_and_the_least_important_first() -> None:
    admission = node()
    admission.observe(NodeLoad(misses_per_s=4.0), ROOMY, 0.0)
    assert refusal(admission.ask("b", BATCH, 0.0)) == (
        Cause.MISSES,
        "4.0 frames a second miss their deadline, the bound for batch calls is 3.5",
    )
    assert isinstance(admission.ask("n", NORMAL, 0.0), Admitted)
    admission.observe(NodeLoad(misses_per_s=40.0), ROOMY, 1.0)
    assert refusal(admission.ask("n1", NORMAL, 1.0))[0] is Cause.MISSES
    assert isinstance(admission.ask("e", EMERGENCY, 1.0), Admitted)
    admission.observe(WELL, ROOMY, 2.0)
    assert isinstance(admission.ask("b", BATCH, 2.0), Admitted)


def test_past_a_bound_for_long_only_emergencies_are_taken_within_the_limit() -> None:
    admission = node(capacity=10, floor=5)
    fill(admission, 6)
    slow = NodeLoad(lag_p95_ms=31.0)
    for now_s in (0.0, 1.0, 2.0):
        admission.observe(slow, ROOMY, now_s)
    assert refusal(admission.ask("n", NORMAL, 2.0)) == (
        Cause.BOUNDS,
        "this node is past its bounds: lag_p95_ms 31.0 >= 20.0",
    )
    assert admission.occupancy(2.0).limit == 9
    assert isinstance(admission.ask("e", EMERGENCY, 2.0), Admitted)
    for now_s in range(3, 60):
        admission.observe(slow, ROOMY, float(now_s))
    assert admission.occupancy(60.0) == Occupancy(live=6, reserved=0, limit=5)
    assert refusal(admission.ask("e1", EMERGENCY, 60.0)) == (
        Cause.LIMIT,
        "what the node can carry now: 6 calls, at most 5 for emergency calls",
    )


def test_a_live_call_of_a_lost_node_is_kept_out_by_sessions_and_memory_alone() -> None:
    admission = node(capacity=8, floor=5)
    fill(admission, 6)
    for now_s in range(60):
        admission.observe(NodeLoad(misses_per_s=40.0), ROOMY, float(now_s))
    assert refusal(admission.ask("e", EMERGENCY, 60.0))[0] is Cause.LIMIT
    assert isinstance(admission.ask("m1", EMERGENCY, 60.0, moves=True), Admitted)
    assert isinstance(admission.ask("m2", EMERGENCY, 60.0, moves=True), Admitted)
    assert refusal(admission.ask("m3", EMERGENCY, 60.0, moves=True))[0] is Cause.SESSIONS
    admission.gave_up("m2")
    admission.observe(WELL, NodeMemory(8_000.0, 8_000.0), 60.0)
    assert refusal(admission.ask("m3", EMERGENCY, 60.0, moves=True))[0] is Cause.MEMORY


# ---------------------------------------------------------------- any sequence

ids = st.sampled_from([f"call{number}" for number in range(12)])
priorities = st.sampled_from(list(Priority))
loads = st.builds(
    NodeLoad,
    st.sampled_from([0.0, 3.6, 4.8, 9.0]),
    st.sampled_from([1.0, 17.0, 25.0]),
    st.sampled_from([10.0, 90.0]),
)
memories = st.builds(NodeMemory, st.integers(5_000, 6_600).map(float), st.just(8_000.0))


class Sequences(RuleBasedStateMachine):
    """An independent account of who has a place, and of every budget."""

    RULES = AdmissionRules(
        9, Shares(60, 80), LimitRules(floor=2, grow_s=2.0), call_mb=100.0, reserve_s=6.0
    )

    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission(self.RULES)
        self.limit = AdaptiveLimit(self.RULES.limit, self.RULES.capacity)
        self.now_s = 100.0
        self.live: set[str] = set()
        self.reserved: dict[str, float] = {}
        self.weighed: set[str] = set()
        self.load, self.memory = NodeLoad(), NodeMemory(0.0, 8_000.0)
        self.measured = self.draining = False
        self.counted: list[int] = []

    def places(self, priority: Priority) -> int:
        """By the tightest of the budgets."""
        percent = {EMERGENCY: 100, NORMAL: 80, BATCH: 60}[priority]
        capacity = min(9, self.limit.limit)
        if self.measured:
            room = (6_400.0 - self.memory.used_mb) // 100
            capacity = min(capacity, max(0, len(self.weighed) + int(room)))
        return max(capacity * percent // 100, min(1, capacity))

    def takes(self, priority: Priority) -> bool:
        bound = {EMERGENCY: inf, NORMAL: 4.0, BATCH: 3.0}[priority]
        carried = priority is EMERGENCY or not self.limit.past
        well = carried and self.load.misses_per_s < bound
        taken = len(self.live) + len(self.reserved)
        return not self.draining and well and taken < self.places(priority)

    @rule(call_id=ids, priority=priorities)
    def ask(self, call_id: str, priority: Priority) -> None:
        before, takes = self.answers(), self.takes(priority)
        answer = self.admission.ask(call_id, priority, self.now_s)
        if call_id in self.live:
            assert answer == Admitted(inf)
        elif call_id in self.reserved:
            assert answer == Admitted(self.reserved[call_id])
        else:
            assert self.answers() == before + 1
            assert isinstance(answer, Admitted) is takes
            if isinstance(answer, Admitted):
                self.reserved[call_id] = answer.until_s
                assert answer.until_s == self.now_s + 6.0
                assert len(self.live) + len(self.reserved) <= self.places(priority)
            return
        assert self.answers() == before

    @rule(call_id=ids)
    def began(self, call_id: str) -> None:
        self.live |= self.reserved.keys() & {call_id}
        self.reserved.pop(call_id, None)
        assert self.admission.began(call_id, self.now_s) is (call_id in self.live)

    @rule(call_id=ids)
    def gave_up(self, call_id: str) -> None:
        self.admission.gave_up(call_id)
        self.reserved.pop(call_id, None)

    @rule(call_id=ids)
    def ended(self, call_id: str) -> None:
        self.admission.ended(call_id)
        self.reserved.pop(call_id, None)
        self.live.discard(call_id)
        self.weighed.discard(call_id)

    @rule(load=loads, memory=memories)
    def observe(self, load: NodeLoad, memory: NodeMemory) -> None:
        self.admission.observe(load, memory, self.now_s)
        self.limit.observe(load, len(self.live), self.now_s)
        self.load, self.memory, self.measured = load, memory, True
        self.weighed = set(self.live)

    @rule(passed_s=st.sampled_from([0.1, 1.0, 2.0, 5.9, 6.0]))
    def time_passes(self, passed_s: float) -> None:
        self.now_s += passed_s
        self.reserved = {each: at_s for each, at_s in self.reserved.items() if at_s > self.now_s}

    @precondition(lambda self: not self.draining)
    @rule()
    def drain(self) -> None:
        self.admission.drain()
        self.draining = True

    @precondition(lambda self: self.draining)
    @rule()
    def resume(self) -> None:
        self.admission.resume()
        self.draining = False

    def answers(self) -> int:
        tally = self.admission.tally()
        return sum(tally.admitted.values()) + sum(tally.refused.values())

    @invariant()
    def holds_what_the_account_says(self) -> None:
        assert self.admission.occupancy(self.now_s) == Occupancy(
            len(self.live), len(self.reserved), self.limit.limit
        )
        assert self.admission.next_deadline_s() == min(self.reserved.values(), default=None)

    @invariant()
    def takes_a_higher_priority_whenever_it_takes_a_lower_one(self) -> None:
        assert self.takes(EMERGENCY) >= self.takes(NORMAL) >= self.takes(BATCH)

    @invariant()
    def counts_only_up(self) -> None:
        tally = self.admission.tally()
        counted = [tally.expired]
        for priority in Priority:
            counted.append(tally.admitted.get(priority, 0))
            counted += [tally.refused.get((cause, priority), 0) for cause in Cause]
        assert all(now >= then for now, then in zip(counted, self.counted, strict=False))
        self.counted = counted

    def teardown(self) -> None:
        """Nothing is left of calls that are over, or never were."""
        for call_id in list(self.live):
            self.ended(call_id)
        self.time_passes(6.0)
        self.holds_what_the_account_says()
        assert self.admission.occupancy(self.now_s).reserved == 0


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=40, stateful_step_count=50)
