"""A provider that cannot heal, or does not come back: who takes the call then."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from reception.call import messages as m
from reception.call import tools
from reception.call.conversation import Conversation
from reception.call.profile import Profile
from reception.call.talk.ending import LAST_WORDS_S
from reception.call.talk.provider import CLOSE_S, DIAL_S, DIAL_TRIES
from reception.money.policy import Step
from reception.money.savings.levels import LEVELS, Level
from reception.provider import base as p
from tests.unit.call.example import PHRASES, PROFILE, SPEC
from tests.unit.call.test_conversation import ALONE, TRANSFER, Call, commands, only, tool_call
from tests.unit.call.test_phrases import played

THROUGH = "Putting you through to Anna Berg."
RECORDED = dict.fromkeys((THROUGH, PHRASES.trouble, PHRASES.goodbye), 1_000)
ANNA = [m.TellTransfer("sip:anna@example", "Anna Berg", "the receptionist is not available")]
REFUSED = m.ProviderDown(401, "no")
SPENT = p.ProviderFault("insufficient_quota", "", fatal=True, healable=False)


def ringing(profile: Profile = PROFILE, recorded: dict[str, int] = RECORDED) -> Call:
    call, rng = Call(), random.Random(1)
    decisions = LEVELS[Level.QUALITY]
    call.talk = Conversation(
        SPEC, profile, "m", "pcmu", rng=rng, decisions=decisions, recorded=recorded
    )
    call.talk.start(call.now_s)
    return call


def heard(call: Call, number: int = 1) -> list[m.ConversationCommand]:
    """A recording, to its end."""
    item = f"phrase_{number}"
    out: list[m.ConversationCommand] = call.tell(m.PlayoutStarted(item), m.PlayoutDrained())
    return out


def ends(out: list[m.ConversationCommand]) -> list[tuple[str, bool]]:
    return [(each.reason, each.hangup) for each in only(out, m.FinishCall)]


def transfers(out: list[m.ConversationCommand]) -> list[m.TellTransfer]:
    return [each for each in out if isinstance(each, m.TellTransfer)]


def test_the_caller_is_told_and_put_through_to_the_profiles_person() -> None:
    call = ringing()
    out = call.tell(REFUSED)
    assert played(out) == [THROUGH]
    assert m.Listen(False) in out
    assert transfers(out) == []
    assert transfers(heard(call)) == ANNA
    out = call.tell(m.TransferResult(True))
    assert ends(out) == [("transferred", False)]
    assert call.talk.record().transferred_to == "sip:anna@example"


def test_who_is_put_through_is_whom_the_profile_names() -> None:
    out = ringing(replace(PROFILE, transfer_to="Sales"), {}).tell(REFUSED)
    assert [each.name for each in transfers(out)] == ["Sales"]


def test_without_a_recording_there_is_nothing_to_wait_for() -> None:
    out = ringing(recorded={}).tell(REFUSED)
    assert transfers(out) == ANNA
    assert (played(out), [each for each in commands(out) if isinstance(each, p.Respond)]) == (
        [],
        [],
    )


def test_where_nobody_takes_it_the_caller_hears_of_the_trouble() -> None:
    call = ringing(ALONE)
    out = call.tell(REFUSED)
    assert (played(out), ends(out)) == ([PHRASES.trouble], [])
    assert ends(heard(call)) == [("provider_unavailable", True)]
    assert ends(ringing(ALONE, {}).tell(REFUSED)) == [("provider_unavailable", True)]


def test_a_person_who_does_not_answer_is_followed_by_the_trouble() -> None:
    call = ringing()
    call.tell(REFUSED)
    heard(call)
    out = call.tell(m.TransferResult(False, "busy"))
    assert (played(out), ends(out)) == ([PHRASES.trouble], [])
    assert ends(heard(call, 2)) == [("provider_unavailable", True)]


def test_a_recording_that_is_never_heard_is_not_waited_for() -> None:
    call = ringing()
    call.tell(REFUSED)
    assert transfers(call.wait_for(LAST_WORDS_S)) == ANNA
    assert played(call.wait_for(PROFILE.limits.transfer_wait_s)) == [PHRASES.trouble]
    assert ends(call.wait_for(LAST_WORDS_S)) == [("provider_unavailable", True)]


def test_what_still_sounds_after_the_transfer_is_not_waited_for() -> None:
    call = ringing(recorded={})
    call.tell(REFUSED, m.PlayoutStarted("i1"))
    assert ends(call.tell(m.TransferResult(False))) == []
    assert ends(call.wait_for(LAST_WORDS_S)) == [("provider_unavailable", True)]


def test_a_provider_that_stays_away_is_given_up_after_its_dials() -> None:
    call = ringing().greeted()
    for _ in range(DIAL_TRIES - 1):
        assert only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    assert played(call.tell(m.ProviderDown(1006, ""))) == [THROUGH]


def test_a_dial_that_is_never_answered_is_given_up_and_its_session_not_used() -> None:
    call = ringing()
    [redial] = only(call.tell(m.ProviderDown(1006, "")), m.Redial)
    assert call.talk.awaits(redial)
    assert played(call.wait_for(DIAL_S + 1.0)) == [THROUGH]
    assert not call.talk.awaits(redial)
    assert call.tell(m.ProviderUp()) == []
    assert call.tell(m.ProviderDown(1006, "")) == []
    assert transfers(heard(call)) == ANNA


@pytest.mark.parametrize("closes", [True, False])
def test_a_spent_quota_is_given_up_whether_or_not_the_session_is_closed(closes: bool) -> None:
    call = ringing().greeted()
    assert call.tell(SPENT) == []
    out = call.tell(m.ProviderDown(1000, "")) if closes else call.wait_for(CLOSE_S)
    assert played(out) == [THROUGH]


def test_an_answer_that_no_session_could_make_is_not_asked_for_again() -> None:
    call = ringing().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"))
    failed = p.ResponseDone("r1", "failed", error_code="insufficient_quota", healable=False)
    out = call.tell(failed)
    assert played(out) == [THROUGH]
    assert p.Respond() not in commands(out)
    assert transfers(heard(call)) == ANNA


def test_an_answer_that_is_being_heard_is_cut_off_for_it() -> None:
    call = ringing().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), m.PlayoutStarted("i1"))
    out = call.tell(REFUSED)
    assert m.StopPlayout() in out
    assert played(out) == [THROUGH]
    call.tell(m.PlayoutInterrupted("i1", 300))
    assert transfers(heard(call)) == ANNA


def test_what_the_provider_still_answers_is_waited_for_in_bounds() -> None:
    call = ringing(recorded={}).greeted()
    call.tell(m.CallerPressed("1"))  # whose announcement is being made
    call.tell(SPENT)
    call.tell(p.ResponseStarted("r1"))
    call.tell(m.ProviderDown(1000, ""), p.ResponseStarted("r2"), m.TransferResult(False))
    assert ends(call.wait_for(60.0)) == [("provider_unavailable", True)]


def test_a_transfer_that_was_announced_is_made() -> None:
    call = ringing().greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"), tool_call(), m.ToolFinished("t1", "{}", TRANSFER))
    [told] = transfers(call.tell(REFUSED))
    assert told.name == "Sales"


def test_a_transfer_under_way_goes_on_and_nothing_else_follows_if_it_fails() -> None:
    for ok, end in ((True, ("transferred", False)), (False, ("provider_unavailable", True))):
        call = ringing(recorded={}).greeted()
        call.asked()
        call.tell(p.ResponseStarted("r1"), tool_call(), m.ToolFinished("t1", "{}", TRANSFER))
        call.tell(p.ResponseDone("r1", "completed"))
        call.spoken("r2", "i2")
        assert str(call.state) == "transferring"
        assert call.tell(REFUSED) == []
        assert str(call.state) == "transferring"
        assert ends(call.tell(m.TransferResult(ok))) == [end]


def test_a_goodbye_that_was_being_said_is_the_end() -> None:
    call = ringing(recorded={}).greeted()
    call.asked()
    end = m.ToolFinished("t1", "{}", tools.EndCall("done"))
    call.tell(p.ResponseStarted("r1"), tool_call(), end)
    assert ends(call.tell(REFUSED)) == [("completed", True)]


def test_a_call_whose_money_is_gone_is_put_through_to_nobody() -> None:
    call = ringing(recorded={})
    call.tell(m.MoneyRunsOut((Step.WRAP_UP,)))
    assert ends(call.tell(REFUSED)) == [("provider_unavailable", True)]


def test_a_caller_on_hold_is_put_through_too() -> None:
    call = ringing(recorded={}).greeted()
    call.tell(m.CallerHold(on=True))
    assert transfers(call.tell(REFUSED)) == ANNA


def test_without_an_audio_worker_there_is_nobody_to_say_it() -> None:
    call = ringing().greeted()
    for _ in range(DIAL_TRIES - 1):
        assert only(call.tell(m.MediaLost()), m.Redial)
    out = call.tell(m.MediaLost())
    assert (played(out), ends(out)) == ([], [("provider_unavailable", True)])
    call = ringing().greeted()
    call.tell(m.MediaLost())
    assert ends(call.wait_for(2 * DIAL_S)) == [("provider_unavailable", True)]
    call = ringing()
    call.tell(REFUSED)
    assert ends(call.tell(m.MediaLost())) == [("provider_unavailable", True)]


def test_an_operator_ends_it_politely() -> None:
    call = ringing()
    call.tell(REFUSED)
    assert played(call.tell(m.EndRequested("ended_by_operator"))) == [PHRASES.goodbye]
    assert ends(heard(call, 2)) == [("ended_by_operator", True)]


def test_another_session_goes_on_with_it() -> None:
    call = ringing()
    call.tell(REFUSED)
    state = call.talk.checkpoint()
    other = ringing()
    assert other.talk.resume(state) == []
    assert transfers(heard(other)) == ANNA
