"""The E-model against values the recommendations print, and the counters."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.media.quality import (
    G711_WITH_CONCEALMENT,
    G711_WITHOUT_CONCEALMENT,
    OPUS,
    Codec,
    QualityCounter,
    effective_impairment,
    mean_opinion,
    rating,
)


def test_a_connection_of_default_values_is_rated_as_g107_says():
    assert rating() == pytest.approx(93.2, abs=0.05)  # G.107, clause 7.7
    assert mean_opinion(rating()) == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(  # G.107, table B.1: lower limits of what users call satisfied
    ("r", "mos"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)]
)
def test_opinion_of_a_rating(r, mos):
    assert mean_opinion(r) == pytest.approx(mos, abs=0.0065)  # it prints 4.03 for 4.024


@pytest.mark.parametrize(("r", "mos"), [(-5, 1.0), (0, 1.0), (3, 1.0), (100, 4.5), (120, 4.5)])
def test_opinion_has_ends(r, mos):
    assert mean_opinion(r) == mos


@pytest.mark.parametrize(  # G.113, appendix I (2001): G.711 with appendix I, random loss
    ("loss_percent", "impairment"), [(0, 0), (1, 5), (2, 7), (3, 10), (5, 15), (7, 20), (10, 25)]
)
def test_random_loss_with_concealment_impairs_as_was_measured(loss_percent, impairment):
    assert effective_impairment(G711_WITH_CONCEALMENT, loss_percent) == pytest.approx(
        impairment, abs=2.2
    )


@pytest.mark.parametrize(  # the same, G.711 without concealment
    ("loss_percent", "impairment"), [(1, 25), (2, 35), (3, 45), (5, 55)]
)
def test_loss_without_concealment_is_far_worse(loss_percent, impairment):
    # The formula was fitted to more than this table's rounded values.
    assert effective_impairment(G711_WITHOUT_CONCEALMENT, loss_percent) == pytest.approx(
        impairment, abs=8
    )


def test_opus_without_loss_is_as_good_as_the_telephone_gets_and_less_robust_than_g711():
    assert rating(codec=OPUS) == rating()
    assert effective_impairment(OPUS, 1) == pytest.approx(8.3, abs=0.1)
    assert effective_impairment(OPUS, 1) > effective_impairment(G711_WITH_CONCEALMENT, 1)


@pytest.mark.parametrize("one_way_ms", [0, 50, 100, 150, 200, 250, 300, 350])
def test_delay_impairs_like_the_published_fit(one_way_ms):
    """Cole and Rosenbluth (2001) fitted the same model: 0.024 d + 0.11 (d - 177.3)+."""
    fit = 93.2 - 0.024 * one_way_ms - 0.11 * max(0.0, one_way_ms - 177.3)
    assert rating(one_way_ms=one_way_ms) == pytest.approx(fit, abs=3)


def test_delay_below_the_threshold_impairs_only_by_echo():
    assert rating(one_way_ms=100) == pytest.approx(90.7, abs=0.1)
    assert rating(one_way_ms=0.5) == pytest.approx(93.2, abs=0.1)


def test_losses_in_bursts_are_worse_than_random_ones():
    at_random = rating(loss_percent=2, burst_ratio=1)
    assert rating(loss_percent=2, burst_ratio=2) < at_random
    assert rating(loss_percent=2, burst_ratio=0.3) == at_random
    assert rating(loss_percent=2, burst_ratio=50) == rating(loss_percent=2, burst_ratio=8)


@given(
    st.floats(0, 100), st.floats(0, 100), st.floats(0.1, 20), st.floats(0, 1000), st.floats(1, 40)
)
def test_more_loss_never_sounds_better(one, other, burst_ratio, one_way_ms, robustness):
    worse, better = (
        rating(
            loss_percent=loss,
            burst_ratio=burst_ratio,
            one_way_ms=one_way_ms,
            codec=Codec(0, robustness),
        )
        for loss in (max(one, other), min(one, other))
    )
    assert worse <= better + 1e-9
    assert 1 <= mean_opinion(worse) <= mean_opinion(better) <= 4.5


def test_a_leg_without_a_frame_has_no_flaw():
    quality = QualityCounter().estimate()
    assert (quality.frames, quality.loss_percent, quality.burst_ratio) == (0, 0.0, 1.0)
    assert quality.rating == rating()
    assert quality.level_dbov == -127.0


def test_counters_give_shares():
    counter = QualityCounter()
    for number in range(10):
        silent = number >= 6
        power = 1e-7 if silent else 2e-3 if number % 2 else 0.0
        counter.frame(160, power=power, clipped=8 if number == 0 else 0, silent=silent)
    quality = counter.estimate()
    assert quality.level_dbov == pytest.approx(-30)  # of what is not silent
    assert quality.clipped_share == pytest.approx(8 / 1600)
    assert quality.silent_share == pytest.approx(0.4)
    assert quality.mos == pytest.approx(4.41, abs=0.005)


def test_random_losses_have_a_burst_ratio_of_one_and_runs_one_of_their_length():
    rng = random.Random(3)
    at_random, in_runs, run = QualityCounter(), QualityCounter(), 0
    for number in range(20_000):
        if rng.random() < 0.1:
            run += 1
            continue
        if run:
            at_random.loss(run)
            run = 0
        at_random.frame(160, power=0.1, clipped=0, silent=False)
        if number % 100 == 0:
            in_runs.loss(5)
        in_runs.frame(160, power=0.1, clipped=0, silent=False)
    assert at_random.estimate().loss_percent == pytest.approx(10, abs=0.5)
    assert at_random.estimate().burst_ratio == pytest.approx(1, abs=0.05)
    quality = in_runs.estimate(one_way_ms=120)
    assert quality.burst_ratio == pytest.approx(5, rel=0.06)
    assert quality.rating == rating(
        loss_percent=quality.loss_percent, burst_ratio=quality.burst_ratio, one_way_ms=120
    )
