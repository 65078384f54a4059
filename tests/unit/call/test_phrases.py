"""Fixed phrases from recordings, instead of the model's answers."""

from __future__ import annotations

import random
from dataclasses import replace

from reception.call import messages as m
from reception.call import tools
from reception.call.conversation import Conversation
from reception.call.phrases import PREFIX, file_name, fixed
from reception.call.prompt import say_exactly
from reception.money.savings.comparison import Answered
from reception.money.savings.levels import LEVELS, Level
from reception.provider import base as p
from tests.unit.call.example import PHRASES, PROFILE, SPEC
from tests.unit.call.test_conversation import Call, asked_for, commands, kinds, only

LENGTHS = dict.fromkeys((PHRASES.greeting, PHRASES.goodbye, PHRASES.still_there), 2_000)


def ringing(recorded: dict[str, int] = LENGTHS) -> Call:
    call = Call()
    rng, quality = random.Random(1), LEVELS[Level.QUALITY]
    call.talk = Conversation(
        SPEC, PROFILE, "m", "pcmu", rng=rng, decisions=quality, recorded=recorded
    )
    call.talk.start(call.now_s)
    return call


def greeted() -> Call:
    call = ringing()
    call.tell(m.ProviderUp())
    call.tell(m.PlayoutStarted("phrase_1"))
    call.tell(m.PlayoutDrained(), after=2.0)
    return call


def played(out: list[m.ConversationCommand]) -> list[str]:
    return [each.text for each in only(out, m.PlayPhrase)]


def test_all_that_is_said_word_for_word_once_each() -> None:
    texts = fixed(PROFILE)
    assert PHRASES.greeting in texts
    assert "Putting you through to Sales." in texts
    assert "Putting you through to Anna Berg." in texts
    assert not [text for text in texts if "{" in text]
    same = replace(PHRASES, goodbye=PHRASES.trouble)
    assert len(fixed(replace(PROFILE, phrases=same))) == len(texts) - 1


def test_a_file_is_of_one_providers_voice_and_words() -> None:
    names = {file_name(*each) for each in ("abc", "xbc", "axc", "abx")}
    assert len(names) == 4
    assert file_name("a", "b", "c") == file_name("a", "b", "c")


def test_the_greeting_is_played_and_the_model_told_of_it() -> None:
    call = ringing()
    out = call.tell(m.ProviderUp())
    [told] = commands(out)
    assert told == p.AddText("assistant", PHRASES.greeting, f"{PREFIX}1")
    assert played(out) == [PHRASES.greeting]
    [shown] = only(out, m.TellTranscript)
    assert (shown.who, shown.text, shown.final) == (m.Who.RECEPTION, PHRASES.greeting, True)
    assert str(call.state) == "greeting"
    out = call.tell(m.PlayoutStarted("phrase_1"))
    assert [each.step for each in only(out, m.TellTurn)] == [m.TurnStep.FIRST_AUDIO]
    call.tell(m.PlayoutDrained(), after=2.0)
    assert str(call.state) == "listening"
    assert [said.text for said in call.talk.record().transcript] == [PHRASES.greeting]


def test_it_is_in_what_was_saved() -> None:
    [answered] = greeted().talk.answered()[0]
    chars = len(PHRASES.greeting)
    assert answered == Answered("m", "m", phrase_ms=2_000, phrase_chars=chars)


def test_what_there_is_no_recording_of_is_said_by_the_model() -> None:
    out = ringing({}).tell(m.ProviderUp())
    assert asked_for(out) == [say_exactly(PHRASES.greeting)]
    assert played(out) == []


def test_the_goodbye_is_played_to_its_end_and_then_the_call_is_over() -> None:
    call = greeted()
    out = call.tell(m.EndRequested("ended_by_operator"))
    assert played(out) == [PHRASES.goodbye]
    assert call.talk.finish is None
    call.tell(m.PlayoutStarted("phrase_2"))
    assert call.talk.finish is None
    call.tell(m.PlayoutDrained(), after=2.0)
    assert call.talk.finish is not None


def test_what_was_played_before_says_nothing_of_a_recording() -> None:
    """Its own news may come late."""
    call = greeted()
    call.asked()
    call.tell(
        p.ResponseStarted("r1"),
        m.PlayoutStarted("i1"),
        p.ResponseDone("r1", "completed"),
    )
    out = call.tell(m.EndRequested("ended_by_operator"))
    assert played(out) == [PHRASES.goodbye]
    assert m.StopPlayout in kinds(out)
    call.tell(m.PlayoutStarted("i1"), m.PlayoutDrained(), m.PlayoutInterrupted("i1", 300))
    assert call.talk.finish is None
    call.tell(m.PlayoutStarted("phrase_2"), m.PlayoutDrained())
    assert call.talk.finish is not None


def test_while_an_answer_is_being_made_or_owed_the_model_says_it() -> None:
    """Its audio would come after the recording."""
    call = greeted()
    call.asked()
    out = call.tell(m.EndRequested("ended_by_operator"))  # owed
    assert asked_for(out) == [say_exactly(PHRASES.goodbye)]
    call = greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"))
    out = call.tell(m.EndRequested("ended_by_operator"))  # cancelled, and not done yet
    assert asked_for(out) == [say_exactly(PHRASES.goodbye)]


def test_once_a_cancelled_answer_is_done_recordings_are_played_again() -> None:
    call = greeted()
    call.asked()
    call.tell(p.ResponseStarted("r1"))
    call.tell(m.CallerHold(True))
    call.tell(p.ResponseDone("r1", "cancelled"))
    call.tell(m.CallerHold(False))
    assert played(call.wait()) == [PHRASES.still_there]


def test_the_caller_cuts_a_recording_and_is_listened_to() -> None:
    call = ringing()
    call.tell(m.ProviderUp(), m.PlayoutStarted("phrase_1"))
    call.tell(p.SpeechStarted("u1", 0), m.PlayoutInterrupted("phrase_1", 600))
    assert str(call.state) == "caller_speaking"
    [said] = call.talk.record().transcript
    assert (said.interrupted, said.heard_ms) == (True, 600)


def test_a_recording_that_cant_be_read_holds_nothing_up() -> None:
    call = ringing()
    call.tell(m.ProviderUp())
    call.tell(m.PlayoutInterrupted("phrase_1", 0))
    assert str(call.state) == "listening"
    assert call.talk.record().transcript == ()


def test_a_recording_is_played_before_the_call_ends_by_a_function() -> None:
    call = greeted()
    call.asked()
    use = p.ToolCall("r1", "ti", "t1", "end_call", "{}")
    call.tell(p.ResponseStarted("r1"), use, p.ResponseDone("r1", "completed"))
    out = call.tell(m.ToolFinished("t1", "{}", tools.EndCall("")))
    assert played(out) == [PHRASES.goodbye]
    call.tell(m.PlayoutStarted("phrase_2"), m.PlayoutDrained())
    assert call.talk.finish == m.FinishCall("completed", True, 1_000)


def test_another_worker_and_another_session_go_on_after_a_recording() -> None:
    call = ringing()
    call.tell(m.ProviderUp())
    call.tell(m.MediaLost(), after=1.0)
    out = call.tell(m.ProviderUp(), after=1.0)
    assert asked_for(out) == [""]  # the greeting was cut: the model goes on
    call = ringing()
    call.tell(m.ProviderUp())
    next_one = ringing()
    next_one.talk.resume(call.talk.checkpoint())
    next_one.tell(m.PlayoutStarted("phrase_1"), m.PlayoutDrained())
    assert str(next_one.state) == "listening"
    assert played(next_one.wait()) == [PHRASES.still_there]


def test_no_more_than_500_are_counted() -> None:
    call = greeted()
    for _ in range(600):
        call.talk._call.thrift.note_phrase(1, 1)
    assert len(call.talk.answered()[0]) == 500
