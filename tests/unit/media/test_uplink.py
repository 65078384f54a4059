"""Which format a call sends its provider: by literal clocks, then on a simulated link."""

from __future__ import annotations

import random

import pytest

from reception.media.codecs import PROVIDER_FORMATS, AudioFormat
from reception.media.uplink import (
    LinkSample,
    UplinkChanged,
    UplinkChooser,
    UplinkRules,
    choose,
    worst,
)

WIDEBAND, TELEPHONE = AudioFormat("l16", 16_000), AudioFormat("l16", 8_000)
OPUS = AudioFormat("opus", 8_000)
QUIET, TIGHT = LinkSample(0.0, 40.0), LinkSample(120.0, 40.0)


def fed(chooser: UplinkChooser, sample: LinkSample, from_s: int, to_s: int) -> list[UplinkChanged]:
    changes = [chooser.observe(sample, float(at_s)) for at_s in range(from_s, to_s)]
    return [change for change in changes if change is not None]


@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.parametrize("codec", ["pcmu", "pcma"])
def test_g711_passes_as_it_is_on_any_link(codec: str, tight: bool) -> None:
    assert choose(AudioFormat(codec, 8_000), tight=tight) == codec


def test_linear_legs_go_wide_where_there_is_room() -> None:
    assert choose(WIDEBAND) == choose(TELEPHONE) == choose(OPUS) == "pcm24k"
    assert choose(WIDEBAND, light=True) == choose(OPUS, light=True) == "pcm24k"
    assert choose(TELEPHONE, light=True) == "pcmu"
    assert choose(WIDEBAND, tight=True) == "pcmu"
    assert {choose(WIDEBAND, tight=True), "pcm24k"} <= PROVIDER_FORMATS.keys()


def test_of_several_sockets_the_fullest_and_the_middle_round_trip_count() -> None:
    links = [LinkSample(5.0, 40.0), LinkSample(80.0), LinkSample(0.0, 60.0), LinkSample(1.0, 50.0)]
    assert worst(links) == LinkSample(80.0, 50.0)
    assert worst([]) == LinkSample(0.0)


def test_a_backlog_that_lasts_makes_the_link_tight_and_calm_frees_it() -> None:
    chooser = UplinkChooser(UplinkRules())
    assert not fed(chooser, TIGHT, 0, 2)
    assert not fed(chooser, QUIET, 2, 3)
    changes = fed(chooser, TIGHT, 3, 10)
    assert chooser.tight
    assert changes == [UplinkChanged(5.0, True, "backlog 120 ms, round trip +0 ms for 2 s")]
    assert not fed(chooser, LinkSample(50.0, 40.0), 10, 500)  # neither tight nor calm
    changes = fed(chooser, QUIET, 500, 700)
    assert changes == [UplinkChanged(620.0, False, "backlog 0 ms, round trip +0 ms for 120 s")]


def test_a_round_trip_that_grew_makes_the_link_tight_a_long_one_does_not() -> None:
    chooser = UplinkChooser(UplinkRules())
    far = LinkSample(0.0, 400.0)
    assert not fed(chooser, far, 0, 100)
    changes = fed(chooser, LinkSample(0.0, 700.0), 100, 110)
    assert [change.tight for change in changes] == [True]
    assert "round trip +" in changes[0].reason


def test_a_longer_route_becomes_the_empty_one_in_time() -> None:
    chooser = UplinkChooser(UplinkRules())
    fed(chooser, LinkSample(0.0, 40.0), 0, 10)
    changes = fed(chooser, LinkSample(0.0, 240.0), 10, 4_000)
    assert [change.tight for change in changes] == [True, False]


def test_without_a_measured_round_trip_the_backlog_decides() -> None:
    chooser = UplinkChooser(UplinkRules())
    assert not fed(chooser, LinkSample(99.0), 0, 100)
    assert fed(chooser, LinkSample(100.0), 100, 110)


@pytest.mark.simulation
def test_a_link_that_carries_one_format_but_not_the_other_does_not_swing() -> None:
    """20 calls on 4 Mbit/s: as PCM they send 10.4 Mbit/s, as G.711 1.8. Calls
    last 60 s on average, so the mix follows the choice slowly. Every return
    fails, so there are two changes in each 120, 240 ... 3,600 s."""
    dice = random.Random(7)
    chooser = UplinkChooser(UplinkRules())
    formats = ["pcm24k"] * 20
    rate_kbits = {"pcm24k": 520, "pcmu": 88}
    backlog_kbit, changes = 0.0, []
    hours = 12
    for at_s in range(hours * 3_600):
        wanted = choose(WIDEBAND, tight=chooser.tight)
        formats = [wanted if dice.random() < 1 / 60 else kept for kept in formats]
        sent = sum(rate_kbits[each] for each in formats)
        backlog_kbit = min(5_000.0, max(0.0, backlog_kbit + sent - 4_000))  # the oldest is dropped
        waits_ms = backlog_kbit / 4_000 * 1_000
        if chooser.observe(LinkSample(waits_ms, 30 + waits_ms), float(at_s)):
            changes.append(at_s)
    assert chooser.tight
    assert len([at_s for at_s in changes if at_s < 3_600]) <= 2 * 6
    assert 1 <= len([at_s for at_s in changes if at_s >= (hours - 4) * 3_600]) <= 2 * 5
