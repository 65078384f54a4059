"""API keys: form, check digits, hashes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.security.keys import ALPHABET, check_of, hash_key, make, matches, parse

PEPPER = b"pepper"
KEY = make("live", random.Random(1).choice)


def test_the_form_of_a_key() -> None:
    prefix, environment, key_id, secret, check = KEY.text.split("_")
    assert (prefix, environment, key_id) == ("air", "live", KEY.key_id)
    assert (len(key_id), len(secret), len(check)) == (12, 30, 6)
    assert set(key_id + secret + check) <= set(ALPHABET)


def test_a_key_is_read_back() -> None:
    assert parse(KEY.text) == KEY


def test_the_check_is_crc32_in_base62() -> None:
    assert check_of("") == "000000"
    assert check_of("123456789") == "3jZRME"  # CRC-32/ISO-HDLC check value 0xCBF43926


@given(st.integers(0, len(KEY.text) - 1), st.sampled_from(ALPHABET + "_- \n"))
def test_any_one_mistyped_character_is_found(index: int, wrong: str) -> None:
    text = KEY.text[:index] + wrong + KEY.text[index + 1 :]
    assert parse(text) == (KEY if text == KEY.text else None)


@given(st.text(max_size=100))
def test_noise_is_no_key(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("text", ["", KEY.text + "\n", " " + KEY.text, KEY.text[:-1]])
def test_nearly_a_key_is_no_key(text: str) -> None:
    assert parse(text) is None


def test_a_key_does_not_show_its_secret() -> None:
    assert repr(KEY) == f"ApiKey(live, {KEY.key_id})"


def test_the_stored_hash_matches_only_this_key_and_pepper() -> None:
    stored = hash_key(KEY, PEPPER)
    other = make("live", random.Random(2).choice)
    assert len(stored) == 32
    assert matches(KEY, stored, PEPPER)
    assert not matches(other, stored, PEPPER)
    assert not matches(KEY, stored, b"another pepper")
    assert not matches(KEY, None, PEPPER)
