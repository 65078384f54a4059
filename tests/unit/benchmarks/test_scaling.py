"""A small simulated cluster: no call is lost or counted twice, and loads are alike."""

from __future__ import annotations

from dataclasses import asdict
from math import inf
from statistics import fmean

import pytest

from benchmarks.scaling.cluster import Cluster, Outcome
from benchmarks.scaling.measures import BOUND, balanced_after_s, between, joined_after_s
from benchmarks.scaling.model import Model
from benchmarks.scaling.paper import draw, tables
from benchmarks.scaling.singletons import Capacity

pytestmark = pytest.mark.simulation

SMALL = Model(nodes=50, calls=5_000, minutes=3.0, warm_s=50.0)


@pytest.fixture(scope="module")
def finished() -> tuple[Cluster, Outcome]:
    cluster = Cluster(SMALL)
    return cluster, cluster.run()


def test_no_node_has_a_tenth_more_than_the_mean(finished) -> None:
    _, outcome = finished
    calm = between(outcome.samples, outcome.when.warm_s, outcome.when.away_s)
    assert max(each.worst for each in calm) < BOUND
    assert len(calm) == 75


def test_in_proportion_to_headroom_would_not_do() -> None:
    """Calls that come by chance let a node's number vary by sqrt((1 - load) * calls),
    however well the mean is kept; only a choice between nodes is better."""
    model = Model(nodes=50, calls=5_000, minutes=2.0, warm_s=50.0, policy="utilisation",
                  failures=False)  # fmt: skip
    seen = Cluster(model).run().samples[50:]
    assert max(each.worst for each in seen) > 1.12
    assert 0.04 < fmean(each.spread for each in seen) < 0.07


def test_it_began_far_worse(finished) -> None:
    """So that the test above can fail."""
    _, outcome = finished
    assert outcome.samples[0].worst > 1.2


def test_after_a_tenth_died_it_is_balanced_again_and_none_was_dropped(finished) -> None:
    _, outcome = finished
    when, died, then = outcome.when, outcome.tallies["kill"], outcome.tallies["join"]
    assert balanced_after_s(outcome.samples, when.kill_s) < 15
    assert then.moved > 300
    assert then.resumed > 300
    assert then.dropped == 0
    assert then.refused.total() - died.refused.total() < 0.05 * (then.arrived - died.arrived)


def test_slow_and_new_nodes_get_less(finished) -> None:
    _, outcome = finished
    new = [each.joined for each in outcome.samples if each.at_s > outcome.when.join_s + 6]
    assert max(new[:10]) < 0.2 < new[-1]
    assert joined_after_s(outcome.samples, outcome.when.join_s, 0.2) < inf


def test_no_call_is_lost_or_counted_twice(finished) -> None:
    cluster, outcome = finished
    tally, known = cluster.calls.tally, cluster.calls.known.values()
    new = [call for call in known if call.node is None and call.lost_s == inf]
    assert tally.arrived == tally.accepted + tally.refused.total() + len(new)
    begun = SMALL.calls + tally.accepted
    over = tally.ended + tally.hung_up + tally.dropped
    assert begun == over + len(known) - len(new)
    on_nodes = {key for node in cluster.nodes.values() for key in node.live}
    assert on_nodes == {call.key for call in known if call.node is not None}
    assert sum(len(node.live) for node in cluster.nodes.values()) == len(on_nodes)
    assert all(len(node.live) <= node.capacity for node in cluster.nodes.values())
    assert outcome.samples[-1].live <= len(known)


def test_the_same_seed_gives_the_same() -> None:
    tiny = Model(nodes=10, calls=500, minutes=1.0, warm_s=10.0)
    one, two = (Cluster(tiny).run() for _ in range(2))
    assert one.samples == two.samples
    assert [asdict(each) for each in one.tallies.values()] == [
        asdict(each) for each in two.tallies.values()
    ]
    other = Cluster(Model(nodes=10, calls=500, minutes=1.0, warm_s=10.0, seed=2)).run()
    assert other.samples != one.samples


def test_it_is_told_in_tables_and_plots(finished, tmp_path) -> None:
    _, outcome = finished
    text = tables(outcome, {"security": Capacity(100.0, 0.5)})
    for row in ("| nothing goes wrong |", "| nodes die |", "calls dropped | 0", "| security | "):
        assert row in text
    assert "to be measured" in text
    draw(outcome, tmp_path)
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(drawn) == {"balance.svg", "calls.svg", "few.svg", "messages.svg"}
    assert all("some die" in svg and "polyline" in svg for svg in drawn.values())
    assert "nan" not in "".join(drawn.values())
