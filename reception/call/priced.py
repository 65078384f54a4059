"""Whether every model that a profile names has a price."""

from __future__ import annotations

from collections.abc import Iterable

from reception.call.profile import Profile
from reception.errors import InvalidRequest
from reception.money.prices import PriceTable


def check_models(profiles: Iterable[Profile], prices: PriceTable, at_s: float) -> None:
    """Models that answer have all that a call is billed by, those that only write down what
    was said have a price.

    Raises:
        InvalidRequest: names the profile, its field, the model and what is wrong.
    """
    for profile in profiles:
        for field in ("model", "cheaper_model", "transcription_model"):
            model = getattr(profile, field)
            try:
                if model and field == "transcription_model":
                    prices.price(model, at_s)
                elif model:
                    prices.check_call(model, at_s)
            except InvalidRequest as error:
                where = f"profiles.{profile.name}.{field}"
                raise InvalidRequest(f"{where}: {error.message}", field=where) from error
