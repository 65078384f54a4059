"""What nodes tell of themselves and are told, through the management API."""

from __future__ import annotations

from typing import Any

import httpx

from cluster.local import Member
from reception.errors import Unavailable

ASK_S = 10.0
FRESH_S = 3.0  # reports come each second


async def status(node: Member) -> dict[str, Any]:
    """What a node tells of itself. Raises Unavailable."""
    return await _told(node, "status")


async def known_to(node: Member) -> set[str]:
    """The nodes that a node has just heard of. Raises Unavailable."""
    found = (await _told(node, "cluster"))["nodes"]
    return {str(each["node_id"]) for each in found if each["age_s"] < FRESH_S}


async def manage(node: Member, what: str, values: dict[str, Any]) -> None:
    """Has something set, as the management API names it. Raises Unavailable."""
    await _asked(node, "PUT", what, values)


async def _told(node: Member, what: str) -> dict[str, Any]:
    return await _asked(node, "GET", what, None)


async def _asked(
    node: Member, method: str, what: str, values: dict[str, Any] | None
) -> dict[str, Any]:
    url = f"{node.said['http']}/api/v3/management/{what}"
    try:
        async with httpx.AsyncClient(timeout=ASK_S) as client:
            answer = await client.request(method, url, json=values)
            found: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable(f"node {node.node_id} does not answer {what}: {error}") from error
    if answer.is_error:
        raise Unavailable(f"node {node.node_id} refuses {what}: {found.get('detail', found)}")
    return found
