"""What a piece of work takes of memory, counted."""

import sys

from benchmarks.allocations import FRAMES, taken

FRAME = bytes(range(160))


def test_what_is_taken_is_counted_though_it_is_given_back():
    nothing = taken(lambda: None)
    assert (nothing.blocks, nothing.size) == (0.0, 0.0)
    assert nothing.kept < 0.1
    one = taken(lambda: bytes(bytearray(FRAME)))  # the array's head and its bytes
    assert (one.blocks, one.size) == (2.0, sys.getsizeof(bytearray(FRAME)))
    large = taken(lambda: bytes(2_000))
    assert (large.blocks, large.size) == (1.0, sys.getsizeof(bytes(2_000)))


def test_what_a_function_that_is_called_takes_counts_too():
    def copies() -> list[bytearray]:
        return [bytearray(FRAME) for _ in range(10)]

    assert taken(copies).blocks >= 20


def test_what_is_kept_is_told():
    kept = []
    found = taken(lambda: kept.append(bytearray(FRAME)))
    assert 1.9 < found.kept < 2.5
    assert found.blocks >= 2.0
    assert len(kept) >= 3 * FRAMES


def test_tracing_is_as_before():
    before = sys.gettrace()
    taken(lambda: None)
    assert sys.gettrace() is before
