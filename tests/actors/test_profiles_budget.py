"""How a profile file says what becomes of a call whose money is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from actors.profiles import load_profiles
from reception.call.profile import Profile
from reception.errors import InvalidRequest

EXAMPLE = Path("config/receptionist.yaml")


def load(folder: Path, **fields: str) -> Profile:
    raw = yaml.safe_load(EXAMPLE.read_text())
    [profile] = raw["profiles"].values()
    profile.update(fields)
    path = folder / "receptionist.yaml"
    path.write_text(yaml.safe_dump(raw))
    return load_profiles(path).choose("", "")


def test_it_names_a_model_and_somebody(tmp_path: Path) -> None:
    profile = load(tmp_path, cheaper_model="mini", transfer_to="Sales")
    person = profile.person()
    assert person is not None
    assert (profile.cheaper_model, person.name) == ("mini", "Sales")


def test_without_a_name_it_is_the_first_person(tmp_path: Path) -> None:
    profile = load(tmp_path)
    person = profile.person()
    assert person is not None
    assert person == next(entry for entry in profile.directory if entry.is_person)


def test_who_is_not_in_the_directory_can_not_be_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="transfer_to is 'Nobody'"):
        load(tmp_path, transfer_to="Nobody")
