"""When an alert is sent again, and how it is signed."""

from __future__ import annotations

import random

import pytest

from reception.money import hook


@pytest.mark.parametrize(
    ("status", "taken", "refused"),
    [(200, True, False), (204, True, False), (302, False, False), (400, False, True),
     (401, False, True), (408, False, False), (410, False, True), (425, False, False),
     (429, False, False), (500, False, False), (503, False, False)],
)  # fmt: skip
def test_what_an_answer_means(status: int, taken: bool, refused: bool) -> None:
    assert (hook.is_taken(status), hook.is_refused(status)) == (taken, refused)


def test_waits_grow_twofold_to_a_bound_and_are_never_the_same() -> None:
    rng = random.Random(1)
    for tries, longest_s in ((1, 1.0), (2, 2.0), (5, 16.0), (7, 60.0)):
        waits = [hook.wait_s(tries, rng) for _ in range(50)]
        assert all(each is not None and longest_s / 2 <= each <= longest_s for each in waits)
        assert len(set(waits)) == 50
    assert hook.wait_s(hook.MOST_TRIES, rng) is None


def test_a_signature_by_another_hand() -> None:
    """printf '1700000000.{"id": 1}' | openssl dgst -sha256 -hmac secret"""
    assert hook.signature("secret", b'{"id": 1}', 1_700_000_000) == (
        "t=1700000000,v1=77d49e28a90edb7970a94175a17edbe71cab049fda13f7b92df9679a73eaa5a2"
    )
