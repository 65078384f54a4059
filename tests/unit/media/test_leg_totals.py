"""Figures of a leg that several workers had."""

from reception.media.leg_totals import LegTotals

FIRST = {
    "frames_in": 300,
    "frames_lost": 10,
    "caller_audio_ms": 6_000,
    "caller_mos_milli": 3_000,
    "caller_clipped_ppm": 900,
    "caller_silent_milli": 500,
    "caller_level_dbov": -20,
}
SECOND = {
    "frames_in": 100,
    "frames_lost": 0,
    "caller_audio_ms": 2_000,
    "caller_mos_milli": 4_400,
    "caller_clipped_ppm": 100,
    "caller_silent_milli": 250,
    "caller_level_dbov": -30,
}


def test_nothing_told_is_nothing() -> None:
    totals = LegTotals()
    totals.worker_lost()
    assert totals.all == {}


def test_the_present_workers_last_word_counts_alone() -> None:
    totals = LegTotals()
    totals.told(SECOND)
    totals.told(FIRST)
    assert totals.all == FIRST


def test_of_several_workers_counts_are_sums_and_shares_are_means_by_what_was_heard() -> None:
    totals = LegTotals()
    totals.told(FIRST)
    totals.worker_lost()
    assert totals.all == FIRST
    totals.told(SECOND)
    assert totals.all == {
        "frames_in": 400,
        "frames_lost": 10,
        "caller_audio_ms": 8_000,
        "caller_mos_milli": 3_350,
        "caller_clipped_ppm": 700,
        "caller_silent_milli": 438,
        "caller_level_dbov": -22,  # 3 s at -20, 1.5 s at -30
    }
    assert LegTotals(*totals.parts).all == totals.all


def test_a_worker_that_heard_nothing_changes_no_mean() -> None:
    silent = dict.fromkeys(FIRST, 0) | {"caller_mos_milli": 4_409, "caller_level_dbov": -127}
    totals = LegTotals(FIRST, silent)
    assert totals.all == FIRST
    assert LegTotals(silent, silent).all["caller_level_dbov"] == -127
    assert LegTotals(silent, FIRST).all == FIRST


def test_figures_that_only_one_has_are_kept() -> None:
    assert LegTotals({"frames_in": 1}, {"frames_out": 2}).all == {"frames_in": 1, "frames_out": 2}
