"""How a profile file says how the receptionist listens."""

from pathlib import Path

import pytest
import yaml

from actors.profiles import load_profiles
from reception.errors import InvalidRequest
from reception.media.hearing import Hearing

EXAMPLE = Path("config/receptionist.yaml")


@pytest.fixture
def load(tmp_path):
    """Loads the example with another `hearing`, given as YAML text or None."""

    def make(hearing):
        raw = yaml.safe_load(EXAMPLE.read_text())
        [profile] = raw["profiles"].values()
        del profile["hearing"]
        if hearing is not None:
            profile["hearing"] = yaml.safe_load(hearing)
        path = tmp_path / "receptionist.yaml"
        path.write_text(yaml.safe_dump(raw))
        return load_profiles(path).choose("", "").hearing

    return make


def test_the_example_spells_out_the_defaults():
    assert load_profiles(EXAMPLE).choose("", "").hearing == Hearing()


def test_a_profile_of_before_there_was_hearing_is_as_it_was(load):
    assert load(None) == Hearing()


def test_everything_can_be_set(load):
    text = "{barge_in: local, min_speech_ms: 400, noise_suppression: full, gain: true,"
    assert load(text + " dtmf_inband: true}") == Hearing("local", 400, "full", True, True)


def test_a_bare_off_which_yaml_reads_as_false_is_off(load):
    assert load("{noise_suppression: off}") == Hearing()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{barge_in: never}", r"hearing\.barge_in = 'never'.*'provider' or 'local'"),
        ("{min_speech_ms: 2001}", r"hearing\.min_speech_ms = '2001'.*2000"),
        ("{noise_suppression: on}", r"hearing\.noise_suppression = 'True'.*'light'"),
        ("{loudness: 3}", r"hearing\.loudness"),
    ],
)
def test_a_bad_value_is_named_with_its_bound(load, text, words):
    with pytest.raises(InvalidRequest, match=words):
        load(text)
