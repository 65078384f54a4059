"""Addresses of byte links."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.address import TlsAddress, UnixAddress, parse
from reception.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/w.sock", UnixAddress("/run/w.sock")),
        ("/run/w.sock", UnixAddress("/run/w.sock")),
        ("w:0.sock", UnixAddress("w:0.sock")),
        ("tls:10.0.0.7:4433", TlsAddress("10.0.0.7", 4433)),
        ("tls:node-1:0", TlsAddress("node-1", 0)),
        ("tls:[fd00::7]:65535", TlsAddress("fd00::7", 65535)),
    ],
)
def test_addresses(text, address):
    assert parse(text) == address


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1))
def test_a_path_comes_back(path):
    assert parse(str(UnixAddress(path))) == UnixAddress(path)


@pytest.mark.parametrize("host", ["10.0.0.7", "fd00::7", "::1", "node"])
def test_a_port_comes_back(host):
    assert parse(str(TlsAddress(host, 7))) == TlsAddress(host, 7)


@pytest.mark.parametrize(
    "text",
    ["", "unix:", "/a\0b", "tls:", "tls:host", "tls::7", "tls:h:", "tls:h:x", "tls:h:65536",
     "tls:h:-1", "tls:h:²"],
)  # fmt: skip
def test_what_is_no_address_is_refused_by_name(text):
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    assert caught.value.field == "address"
    assert repr(text) in caught.value.message


def test_names_are_for_people():
    assert parse("/run/reception/w0.sock").name == "w0.sock"
    assert parse("tls:[::1]:7").name == "[::1]:7"
