"""How long a fault had a caller hear nothing. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cluster.chaos.history import Heard


def added_silence_ms(
    heard: Sequence[Heard], injected_s: float, until_s: float, gone_s: float
) -> float | None:
    """The longest pause that begins with the fault or after it, less the longest one of the
    same call before: what the fault added to what is usual for the call.

    Args:
        heard: what sounded to the caller, in order.
        injected_s: when the fault came.
        until_s: pauses that begin later are not the fault's.
        gone_s: when the caller left; a pause that lasts to then counts.

    Returns:
        None when nothing was heard before the fault.
    """
    if not heard or heard[0].from_s >= injected_s:
        return None
    pauses = [(one.to_s, other.from_s) for one, other in pairwise(heard)]
    if heard[-1].to_s < gone_s:
        pauses.append((heard[-1].to_s, gone_s))
    usual_s = max((end - at for at, end in pauses if end <= injected_s), default=0.0)
    # A pause that the fault cuts into may have been on its way anyway: it counts whole.
    longest_s = max((e - at for at, e in pauses if e > injected_s and at <= until_s), default=0.0)
    return max(0.0, longest_s - usual_s) * 1000
