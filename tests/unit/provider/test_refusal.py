"""What became of a dial."""

from __future__ import annotations

import pytest

from reception.provider import base as p
from reception.provider.refusal import REFUSED, Dial, Outcome

SPENT = p.ProviderFault("insufficient_quota", "", fatal=True, healable=False)


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (p.SessionReady("s"), None),
        (p.SessionConfigured(), None),
        (p.ResponseStarted("r"), None),
        (p.ProviderFault("response_cancel_not_active", ""), None),
        (p.ProviderFault("session_expired", "", fatal=True), None),
        (SPENT, Outcome.REFUSED),
        (p.ResponseDone("r", "cancelled"), None),
        (p.ResponseDone("r", "failed", error_code="server_error"), None),
        (p.ResponseDone("r", "failed", healable=False), Outcome.REFUSED),
        (p.ResponseDone("r", "incomplete"), Outcome.UP),
        (p.ResponseDone("r", "completed"), Outcome.UP),
    ],
)
def test_what_the_provider_says_first(event: p.ProviderEvent, outcome: Outcome | None) -> None:
    assert Dial().heard(event) is outcome


def test_no_session_or_one_that_is_closed_before_its_first_answer() -> None:
    assert {Dial().lost(status) for status in REFUSED} == {Outcome.REFUSED}
    assert {Dial().lost(code) for code in (0, 500, 503, 1000, 1011)} == {Outcome.FAILED}


def test_a_call_that_dials_in_vain_again_and_again_is_told_once() -> None:
    first = Dial(Dial())
    assert first.lost(1006) is Outcome.FAILED
    second = Dial(first)
    assert second.lost(503) is None
    assert Dial(second).lost(0) is None
    third = Dial(second)
    assert third.heard(p.ResponseDone("r", "completed")) is Outcome.UP
    assert Dial(third).lost(1006) is Outcome.FAILED
    assert Dial(second).lost(401) is Outcome.REFUSED


def test_it_has_one_outcome() -> None:
    dial = Dial()
    assert dial.heard(SPENT) is Outcome.REFUSED
    assert (dial.heard(SPENT), dial.lost(1000)) == (None, None)
    dial = Dial()
    assert dial.heard(p.ResponseDone("r", "completed")) is Outcome.UP
    assert dial.lost(1006) is None
