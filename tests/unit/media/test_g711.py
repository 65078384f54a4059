"""ITU-T G.711 tables."""

from array import array

import pytest

from reception.media.g711 import decode_table, encode_table


def samples(law):
    return array("h", decode_table(law))


@pytest.mark.parametrize(
    ("law", "code", "sample"),
    [  # tables 1a and 2a of the recommendation, scaled to 16 bits
        ("pcmu", 0xFF, 0), ("pcmu", 0x80, 32124), ("pcmu", 0x00, -32124),
        ("pcma", 0xD5, 8), ("pcma", 0xAA, 32256), ("pcma", 0x2A, -32256),
    ],
)  # fmt: skip
def test_codes_have_the_values_of_the_recommendation(law, code, sample):
    assert samples(law)[code] == sample


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
def test_every_sample_gets_the_nearest_code(law):
    values, table = samples(law), encode_table(law)
    for sample in range(-32768, 32768, 251):
        chosen = abs(values[table[sample & 0xFFFF]] - sample)
        assert chosen == min(abs(value - sample) for value in values)
