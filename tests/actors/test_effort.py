"""What a worker measures of itself, with literal clocks."""

import asyncio
import time

import pytest

from actors import effort
from actors.effort import AUTO, CHANGES_KEPT, Effort
from reception.errors import InvalidRequest
from reception.media.adaptation import LevelChanged, Targets
from reception.media.suppression import SuppressionChanged
from reception.media.uplink import LinkSample, UplinkChanged
from reception.placement.sizer import NodeMemory

CLEAR = LinkSample(0.0)


@pytest.fixture(autouse=True)
def room(monkeypatch):
    """A node and a process with room; whoever tests it takes it away."""
    monkeypatch.setattr(effort, "node_memory", lambda: NodeMemory(10.0, 100.0))
    monkeypatch.setattr("time.process_time", lambda: 0.0)


def late(worker, seconds, from_s=0):
    """A loop that is 60 ms late for so long; whether the plan changed."""
    changed = False
    for now_s in range(from_s, from_s + seconds):
        worker.woke(0.06)
        changed = worker.observe(CLEAR, float(now_s)) or changed
    return changed


def test_a_late_loop_makes_the_worker_do_less():
    worker = Effort(Targets())
    assert str(worker.plan.level) == "quality"
    assert late(worker, 4)
    assert str(worker.plan.level) == "survival"  # 60 ms is past all bounds
    assert worker.load.lag_p95_ms == pytest.approx(60)


def test_each_measure_is_of_the_time_since_the_last_look():
    worker = Effort(Targets())
    for _ in range(100):
        worker.passed_on(2_000)
        worker.sent()
    for _ in range(3):
        worker.missed()
    worker.observe(CLEAR, 1.0)
    assert (worker.load.added_delay_ms, worker.load.missed_percent) == (2.0, 3.0)
    assert worker.load.memory_percent == 10.0
    worker.observe(CLEAR, 2.0)
    assert (worker.load.added_delay_ms, worker.load.missed_percent) == (0.0, 0.0)


def test_cpu_is_of_one_core(monkeypatch):
    worker = Effort(Targets())
    worker.observe(CLEAR, 1.0)
    monkeypatch.setattr("time.process_time", lambda: 1.5)
    worker.observe(CLEAR, 3.0)
    assert worker.load.cpu_percent == 75.0


async def test_noise_is_not_suppressed_where_the_cpu_passes_its_threshold(monkeypatch):
    worker, busy = Effort(Targets(cpu_percent=70.0, calm_s=30.0)), 0.72

    def goes_on(from_s, to_s):
        seen = []
        for now_s in range(from_s, to_s):
            before = time.process_time()
            monkeypatch.setattr("time.process_time", lambda cpu_s=before + busy: cpu_s)
            seen.append(worker.observe(CLEAR, float(now_s)))
        return seen

    worker.observe(CLEAR, 0.0)
    assert worker.plan.suppression
    assert any(goes_on(1, 4))
    assert not worker.plan.suppression
    assert str(worker.plan.level) == "balanced"
    [level, switch] = (await worker.news(0, 0.0)).changes
    assert isinstance(switch, SuppressionChanged)
    assert (switch.suppression, level.reason) == (False, switch.reason)
    busy = 0.3
    goes_on(4, 36)
    assert (str(worker.plan.level), worker.plan.suppression) == ("quality", False)
    assert goes_on(36, 70).count(True) == 1
    assert worker.plan.suppression


def test_where_memory_is_short_noise_is_suppressed_all_the_same(monkeypatch):
    monkeypatch.setattr(effort, "node_memory", lambda: NodeMemory(85.0, 100.0))
    worker = Effort(Targets())
    for now_s in range(5):
        worker.observe(CLEAR, float(now_s))
    assert (str(worker.plan.level), worker.plan.suppression) == ("balanced", True)


def test_a_level_that_an_operator_sets_has_its_suppression_and_keeps_it(monkeypatch):
    worker = Effort(Targets())
    worker.observe(CLEAR, 0.0)
    for now_s in range(1, 4):
        monkeypatch.setattr("time.process_time", lambda cpu_s=0.75 * now_s: cpu_s)
        worker.observe(CLEAR, float(now_s))
    assert not worker.plan.suppression
    assert worker.set_level("balanced", "k", 4.0)  # the same level, but the plan is another
    assert worker.plan.suppression
    for now_s in range(5, 9):
        monkeypatch.setattr("time.process_time", lambda cpu_s=0.75 * now_s: cpu_s)
        assert not worker.observe(CLEAR, float(now_s))
    assert worker.plan.suppression


async def test_a_change_is_news_with_its_reason():
    worker = Effort(Targets())
    news = await worker.news(-1, 0.0)
    assert (news.number, news.level, news.light, news.changes) == (0, "quality", False, ())
    waiting = asyncio.create_task(worker.news(0, 5.0))
    await asyncio.sleep(0)
    late(worker, 4)
    news = await waiting
    assert (news.level, news.light) == ("survival", True)
    [change] = news.changes
    assert isinstance(change, LevelChanged)
    assert "lag_p95_ms 60.0 >= " in change.reason
    assert (await worker.news(news.number, 0.0)).changes == ()


async def test_an_operator_sets_the_level_until_the_load_may_again():
    worker = Effort(Targets())
    assert worker.set_level("economy", "key k", 1.0)
    news = await worker.news(0, 0.0)
    assert (news.level, news.pinned) == ("economy", True)
    assert [change.reason for change in news.changes] == ["pinned by key k"]
    assert not late(worker, 5, 2)
    assert not worker.set_level(AUTO, "key k", 7.0)
    assert not (await worker.news(news.number, 0.0)).pinned
    assert late(worker, 5, 8)


def test_an_unknown_level_is_refused():
    with pytest.raises(InvalidRequest, match="level is 'fast'"):
        Effort(Targets()).set_level("fast", "k", 0.0)


async def test_a_tight_link_is_news():
    worker = Effort(Targets())
    for now_s in range(5):
        worker.observe(LinkSample(500.0), float(now_s))
    news = await worker.news(0, 0.0)
    assert news.uplink_tight
    assert [type(change) for change in news.changes] == [UplinkChanged]


async def test_no_more_changes_are_kept_than_are_asked_for_in_time():
    worker = Effort(Targets())
    for number in range(CHANGES_KEPT):
        for level in ("economy", "quality"):
            worker.set_level(level, "k", float(number))
    assert len((await worker.news(0, 0.0)).changes) == CHANGES_KEPT
