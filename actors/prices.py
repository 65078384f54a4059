"""Price tables: the file that comes with the deployment, and what was set since."""

from __future__ import annotations

import yaml

from actors.settings import Settings
from reception.errors import InvalidRequest
from reception.money.prices import PriceTable, parse_prices

MAX_TEXT_CHARS = 1_000_000


def read_prices(text: str, *, regional: bool = False) -> PriceTable:
    """A price table from YAML text.

    Args:
        regional: as of `parse_prices`.

    Raises:
        InvalidRequest: names what is wrong in it.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidRequest(
            f"prices have {len(text)} characters: must have at most {MAX_TEXT_CHARS}",
            field="prices",
        )
    try:
        return parse_prices(yaml.safe_load(text), regional=regional)
    except yaml.YAMLError as error:
        raise InvalidRequest(f"prices are no YAML: {error}", field="prices") from error


def load_prices(settings: Settings) -> PriceTable:
    """The price table of the settings.

    Raises:
        InvalidRequest: names the file and what is wrong in it: also a model for
            calls of which something would be free.
    """
    path = settings.prices_path
    try:
        regional = bool(settings.provider_region)
        table = read_prices(path.read_text(encoding="utf-8"), regional=regional)
        table.check_calls()
        return table
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path}: {error}", field="REALTIME_PRICES_PATH") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error.message}", field=error.field) from error


def later(shipped: PriceTable, text: str | None) -> PriceTable:
    """Which of two tables counts: what was set, unless the file's version is later; where
    the file's prices are those of a region, so are the others."""
    table = shipped if text is None else read_prices(text, regional=shipped.regional)
    return table if table.version >= shipped.version else shipped
