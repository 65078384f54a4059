"""How a profile file says what becomes of a call whose money is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from actors.profiles import load_profiles
from reception.call.profile import Profile, ProfileBook
from reception.errors import InvalidRequest

EXAMPLE = Path("config/receptionist.yaml")


def load(folder: Path, **fields: str) -> Profile:
    raw = yaml.safe_load(EXAMPLE.read_text())
    [profile] = raw["profiles"].values()
    profile.update(fields)
    path = folder / "receptionist.yaml"
    path.write_text(yaml.safe_dump(raw))
    return load_profiles(path).choose("", "")


def book(folder: Path, numbers: object) -> ProfileBook:
    raw = yaml.safe_load(EXAMPLE.read_text()) | {"emergency_numbers": numbers}
    path = folder / "receptionist.yaml"
    path.write_text(yaml.safe_dump(raw))
    return load_profiles(path)


def test_numbers_of_emergencies_are_the_deployments(tmp_path: Path) -> None:
    found = book(tmp_path, ["112", "+15559110"])
    assert found.is_emergency("tel:112")
    assert found.is_emergency("+15559110")
    assert not found.is_emergency("911")
    assert not load_profiles(EXAMPLE).is_emergency("112")


@pytest.mark.parametrize("numbers", [["tel:112"], [112], ["1"], ["1" * 16], "112", ["112"] * 101])
def test_what_is_no_number_is_refused_by_place(tmp_path: Path, numbers: object) -> None:
    with pytest.raises(InvalidRequest, match="emergency_numbers"):
        book(tmp_path, numbers)


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
