"""What waits to be sent, and what is put out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.backlog import Backlog

MAX_AUDIO, MAX_OTHER = 3, 4
steps = st.lists(st.sampled_from(["audio", "other", "take"]), max_size=60)


@given(steps)
def test_order_is_kept_the_oldest_audio_goes_and_nothing_else(steps):
    backlog: Backlog[tuple[int, bool]] = Backlog(MAX_AUDIO, MAX_OTHER)
    model: list[tuple[int, bool]] = []
    dropped = 0
    for number, step in enumerate(steps):
        if step == "take":
            if model:
                assert backlog.take() == model.pop(0)
        else:
            audio = step == "audio"
            backlog.add((number, audio), audio)
            model.append((number, audio))
            waiting = [each for each in model if each[1]]
            if len(waiting) > MAX_AUDIO:
                model.remove(waiting[0])
                dropped += 1
        assert backlog.audio_waiting == sum(audio for _, audio in model)
        others = sum(not audio for _, audio in model)
        assert backlog.overfull == (others > MAX_OTHER)
        assert (len(backlog), bool(backlog)) == (len(model), bool(model))
        assert backlog.dropped_audio == dropped


def test_a_cleared_backlog_is_empty_and_keeps_its_count():
    backlog: Backlog[int] = Backlog(1, 1)
    for number in range(3):
        backlog.add(number, audio=True)
    backlog.add(3, audio=False)
    backlog.clear()
    assert not backlog
    assert backlog.dropped_audio == 2
    with pytest.raises(IndexError):
        backlog.take()
