"""How a deployment and a profile say how a call saves, and the model that comes of it."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
import yaml

from actors.assignment import ProviderConfig
from actors.profiles import load_profiles
from actors.settings import load_settings
from reception.call.phrases import Recorded, fixed
from reception.call.profile import Profile
from reception.errors import InvalidRequest
from reception.money.savings.levels import Level
from tests.actors.test_agent import House
from tests.unit.call.example import PROFILE, SPEC

EXAMPLE = Path("config/receptionist.yaml")


def profile(folder: Path, text: str) -> Profile:
    """The example with these lines instead of its own."""
    raw = yaml.safe_load(EXAMPLE.read_text())
    [example] = raw["profiles"].values()
    for name in ("savings", "full_model"):
        example.pop(name, None)
    example |= yaml.safe_load(text) or {}
    path = folder / "receptionist.yaml"
    path.write_text(yaml.safe_dump(raw))
    return load_profiles(path).choose("", "")


def test_a_profile_follows_the_deployment_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert profile(tmp_path, "").savings is None
    assert profile(tmp_path, "savings: off").savings is Level.OFF
    balanced = profile(tmp_path, "{savings: balanced, full_model: true}")
    assert (balanced.savings, balanced.full_model) == (Level.BALANCED, True)
    example = load_profiles(EXAMPLE).choose("", "")
    assert (example.savings, example.full_model) == (None, False)


def test_a_level_that_calls_do_not_follow_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidRequest, match=r"savings = 'free'.*'thrifty' or 'economy'"):
        profile(tmp_path, "savings: free")
    monkeypatch.setenv("REALTIME_SAVINGS", "free")
    with pytest.raises(InvalidRequest, match=r"REALTIME_SAVINGS is 'free'.*'economy'"):
        load_settings()


def test_where_answers_are_spoken_here_so_are_fixed_words(tmp_path: Path) -> None:
    assigner = House(tmp_path, 1).agent._assigner
    assigner.provider = ProviderConfig("openai", "", "gpt-realtime-2.1", savings=Level.ECONOMY)
    given = assigner.assignment(SPEC, PROFILE, "w0")
    assert (given.level, given.phrases) == (Level.THRIFTY, {})  # nobody speaks at this node
    assigner._config = replace(assigner._config, synthesizer="/speech.sock")
    given = assigner.assignment(SPEC, PROFILE, "w0")
    assert (given.level, given.model) == (Level.ECONOMY, "gpt-realtime-2.1-mini")
    assert given.synthesizer == "/speech.sock"
    assert given.phrases[PROFILE.phrases.goodbye] == Recorded("", 867)  # 13 characters
    assert set(given.phrases) == set(fixed(PROFILE))


def test_nothing_that_is_owed_ends_an_emergency(tmp_path: Path) -> None:
    assigner = House(tmp_path, 1).agent._assigner
    assigner.provider = ProviderConfig("openai", "", "gpt-realtime-2.1")
    assigner._config = replace(assigner._config, unbilled_s=30.0)
    assert assigner.assignment(SPEC, PROFILE, "w0").unbilled_s == 30.0
    spec = replace(SPEC, metadata={"priority": "emergency"})
    assert assigner.assignment(spec, PROFILE, "w0").unbilled_s == inf


def test_callers_notice_nothing_unless_it_is_set() -> None:
    assert load_settings().savings == "quality"


@pytest.mark.parametrize(
    ("own", "level", "model"),
    [
        (None, Level.QUALITY, "gpt-realtime-2.1"),
        (Level.THRIFTY, Level.THRIFTY, "gpt-realtime-2.1-mini"),
    ],
)
def test_a_session_is_given_the_level_and_its_model(
    tmp_path: Path, own: Level | None, level: Level, model: str
) -> None:
    assigner = House(tmp_path, 1).agent._assigner
    assigner.provider = ProviderConfig("openai", "", "gpt-realtime-2.1", savings=Level.QUALITY)
    given = assigner.assignment(SPEC, replace(PROFILE, savings=own), "w0")
    assert (given.level, given.model) == (level, model)
