"""Ray's own token, for a cluster that is joined by its address.

Ray shows the machine's token by itself only to a cluster that it has found itself, and
decides that when it is imported: this comes before.
"""

from __future__ import annotations

import os
from pathlib import Path


def bring() -> None:
    """Shows the token that this machine has, unless RAY_AUTH_MODE says otherwise."""
    kept = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()
    if os.environ.get("RAY_AUTH_TOKEN") or kept.is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
