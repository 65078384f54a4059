"""The main thread's rest, in this process; in Ray's: tests/cluster/test_idle_actors.py."""

from __future__ import annotations

import secrets
import sys
import threading
import time

import pytest

from actors import rest
from actors.rest import Rest, announce


@pytest.fixture
def name(monkeypatch):
    """A name under which this process rests, for a minute unless it is called."""
    monkeypatch.setattr(sys, "is_finalizing", sys.is_finalizing)
    monkeypatch.setattr(rest, "FIRST_AWAKE_S", 0.0)
    monkeypatch.setattr(rest, "REST_S", 60.0)
    name = secrets.token_hex(8)
    resting = Rest(name)
    yield name
    resting._bell.close()


def test_an_announcement_ends_the_rest_and_the_question_is_answered(name):
    threading.Timer(0.05, announce, [name]).start()
    assert sys.is_finalizing() is False


def test_after_an_announcement_the_thread_stays_awake_for_the_call(name, monkeypatch):
    monkeypatch.setattr(rest, "AWAKE_S", 3_600.0)
    announce(name)
    for _ in range(1_000):
        sys.is_finalizing()


def test_it_comes_back_by_itself(monkeypatch):
    monkeypatch.setattr(sys, "is_finalizing", sys.is_finalizing)
    monkeypatch.setattr(rest, "FIRST_AWAKE_S", 0.0)
    monkeypatch.setattr(rest, "REST_S", 0.01)
    resting = Rest(secrets.token_hex(8))
    assert sys.is_finalizing() is False
    resting._bell.close()


def test_other_threads_never_rest(name):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(sys.is_finalizing()))
    thread.start()
    thread.join()
    assert answers == [False]


def test_what_is_announced_to_nobody_or_too_often_is_no_error(name):
    announce("nobody")
    for _ in range(100):
        announce(name)
    began_s = time.monotonic()
    sys.is_finalizing()
    assert time.monotonic() - began_s < 30
