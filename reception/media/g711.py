"""ITU-T G.711 as tables: 256 codes to 16-bit samples, and back to the nearest code.

Tables are bytes, so that whoever has NumPy can use them without a copy and the
core needs none.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from functools import cache


def _ulaw(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return 0x84 - magnitude if code & 0x80 else magnitude - 0x84


def _alaw(code: int) -> int:
    code ^= 0x55
    exponent, mantissa = (code & 0x70) >> 4, (code & 0x0F) << 4
    magnitude = mantissa + 8 if exponent == 0 else (mantissa + 0x108) << (exponent - 1)
    return magnitude if code & 0x80 else -magnitude


_LAWS = {"pcmu": _ulaw, "pcma": _alaw}


@cache
def decode_table(law: str) -> bytes:
    """256 native 16-bit samples, by code. law: "pcmu" or "pcma"."""
    return array("h", (_LAWS[law](code) for code in range(256))).tobytes()


@cache
def encode_table(law: str) -> bytes:
    """65,536 codes, by the sample taken as an unsigned 16-bit number."""
    by_value = sorted((_LAWS[law](code), code) for code in range(256))
    values = [value for value, _ in by_value]
    table = bytearray(65536)
    for sample in range(-32768, 32768):
        above = min(max(bisect_left(values, sample), 1), len(values) - 1)
        nearer_below = sample - values[above - 1] <= values[above] - sample
        table[sample & 0xFFFF] = by_value[above - 1 if nearer_below else above][1]
    return bytes(table)
