"""Whether every model that the profiles name has a price."""

from __future__ import annotations

import time

from actors.prices import later, load_prices
from actors.profiles import load_profiles
from actors.settings import Settings
from actors.storage import prices
from actors.storage.engine import Store
from reception.call import priced
from reception.errors import InvalidRequest, ReceptionError
from reception.money.prices import PriceTable


def check_models(settings: Settings) -> None:
    """Before calls are taken: else the bills of a model without a price would be refused.

    Raises:
        InvalidRequest: names the profile, its field, and the model.
    """
    shipped, now_s = load_prices(settings), time.time()
    profiles = load_profiles(settings.receptionist_path).profiles.values()
    try:
        priced.check_models(profiles, shipped, now_s)
    except InvalidRequest:
        table = _set_since(settings, shipped)
        if table is shipped:
            raise
        priced.check_models(profiles, table, now_s)


def _set_since(settings: Settings, shipped: PriceTable) -> PriceTable:
    """The table that counts: another may have been set since."""
    try:
        store = Store.open(settings.database_url)
    except ReceptionError:
        return shipped
    try:
        with store.reading() as connection:
            return later(shipped, prices.current(connection))
    finally:
        store.close()
