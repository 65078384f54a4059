"""The error tree."""

import pickle

from reception import errors


def test_an_error_keeps_its_fields_through_pickling():
    error = pickle.loads(
        pickle.dumps(errors.LimitReached("busy", field="calls", retry_after_s=2.5))
    )
    assert (type(error), error.message, error.field, error.retry_after_s) == (
        errors.LimitReached,
        "busy",
        "calls",
        2.5,
    )
    assert error.retryable
    assert not errors.InvalidRequest("no").retryable
