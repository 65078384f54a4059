"""Economy is refused where nothing can speak for the model."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.settings import Settings, load_settings
from cluster import bringup, doctor
from cluster.speech import speaks_here
from reception.errors import InvalidRequest

EXAMPLE = Path("config/receptionist.yaml")


def settings(folder: Path, deployment: str, **profile: Any) -> Settings:
    """A deployment whose one profile has these fields besides."""
    raw = yaml.safe_load(EXAMPLE.read_text())
    [example] = raw["profiles"].values()
    example |= profile
    path = folder / "receptionist.yaml"
    path.write_text(yaml.safe_dump(raw))
    return load_settings(savings=deployment, receptionist_path=path)


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without synthesis."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "py_nanotts" else found(name)
    )


@pytest.mark.parametrize(
    ("deployment", "own", "spoken"),
    [
        ("quality", None, False),
        ("economy", None, True),
        ("economy", "thrifty", False),
        ("off", "economy", True),
    ],
)
def test_a_node_speaks_where_a_profile_is_at_economy(
    tmp_path: Path, deployment: str, own: str | None, spoken: bool
) -> None:
    made = settings(tmp_path, deployment, savings=own)
    assert speaks_here(made) is spoken
    finding = doctor.speech(made)
    assert (finding.state, "here" in finding.detail) == ("ok", spoken)


@pytest.mark.usefixtures("mute")
@pytest.mark.parametrize(
    ("deployment", "own", "name"),
    [("economy", None, "REALTIME_SAVINGS"), ("off", "economy", "savings of profile ")],
)
def test_without_synthesis_it_is_refused_at_the_start_by_its_name(
    tmp_path: Path, deployment: str, own: str | None, name: str
) -> None:
    made = settings(tmp_path, deployment, savings=own)
    with pytest.raises(InvalidRequest, match=f"{name}.* is 'economy': there is no speech"):
        bringup.start(bringup.ServeOptions(), made)
    assert doctor.speech(made).state == "fault"


@pytest.mark.usefixtures("mute")
def test_without_synthesis_the_other_levels_are_as_always(tmp_path: Path) -> None:
    assert not speaks_here(settings(tmp_path, "thrifty"))


def test_a_language_that_it_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"REALTIME_SAVINGS is 'economy'.*no 'ja'.*de, en"):
        speaks_here(settings(tmp_path, "economy", language="ja"))
