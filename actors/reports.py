"""Reports on calls and their money: what is asked for, read and put into plain rows."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy.engine import Connection

from actors.storage import reports as stored
from reception.errors import InvalidRequest
from reception.money import reports
from reception.money.windows import zone_of

MAX_PAGE_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A report; checked by `of`. Times are UNIX seconds."""

    by: str
    since_s: float
    until_s: float
    page_size: int
    after: tuple[float, str] | None
    zone: str

    @classmethod
    def of(
        cls,
        by: str,
        since: str,
        until: str,
        page_size: int,
        page_token: str,
        now_s: float,
        zone: str,
    ) -> Self:
        """From what somebody asks for; a page goes on with the span of the first.

        Raises:
            InvalidRequest: names the argument, its value and its bound.
        """
        reports.check_by(by)
        if not 1 <= page_size <= MAX_PAGE_SIZE:
            raise InvalidRequest(
                f"page_size is {page_size}: must be 1 to {MAX_PAGE_SIZE}", field="page_size"
            )
        if page_token:
            since_s, until_s, began_s, session_id = _parse_token(page_token)
            return cls(by, since_s, until_s, page_size, (began_s, session_id), zone)
        since_s, until_s = reports.span(since, until, now_s, zone_of(zone))
        return cls(by, since_s, until_s, page_size, None, zone)

    def read(self, connection: Connection) -> dict[str, Any]:
        """The report as plain values."""
        rows, left_out, token = self._rows(connection)
        total = stored.whole(connection, self.since_s, self.until_s)
        return {
            "by": self.by,
            "since": reports.utc_time(self.since_s),
            "until": reports.utc_time(self.until_s),
            "zone": self.zone,
            "rows": rows,
            "total": total.plain(),
            "left_out": left_out,
            "next_page_token": token,
        }

    def _rows(self, connection: Connection) -> tuple[list[dict[str, Any]], int, str]:
        if self.by == "call":
            return self._calls(connection)
        left_out = 0
        if self.by in reports.TIMES:
            slots = stored.by_slot(connection, self.since_s, self.until_s)
            lines = reports.by_time(slots, self.by, self.zone, zone_of(self.zone))
        else:
            lines, left_out = stored.by_owner(connection, self.by, self.since_s, self.until_s)
        return [{self.by: key} | line.plain() for key, line in lines], left_out, ""

    def _calls(self, connection: Connection) -> tuple[list[dict[str, Any]], int, str]:
        found = stored.by_call(
            connection, self.since_s, self.until_s, self.after, self.page_size + 1
        )
        page = found[: self.page_size]
        rows = [call_row(call, line) for call, line in page]
        if len(found) <= self.page_size:
            return rows, 0, ""
        last = page[-1][0]
        place = (self.since_s, self.until_s, last["began_at_s"], last["session_id"])
        return rows, 0, base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def call_row(call: Mapping[str, Any], line: reports.Line) -> dict[str, Any]:
    """A call of a report (`stored.by_call`) as plain values."""
    plain = line.plain()
    del plain["calls"]
    began = {"began": reports.utc_time(call["began_at_s"])}
    return {k: v for k, v in call.items() if k != "began_at_s"} | began | plain


def _parse_token(token: str) -> tuple[float, float, float, str]:
    try:
        since_s, until_s, began_s, session_id = json.loads(
            base64.b64decode(token, b"-_", validate=True)
        )
        return float(since_s), float(until_s), float(began_s), str(session_id)
    except (ValueError, TypeError, binascii.Error):
        raise InvalidRequest(
            "page_token was not given by a page: leave it empty for the first", field="page_token"
        ) from None
