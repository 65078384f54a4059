"""Voice providers: one vocabulary (`base`), one codec for each wire form."""

from __future__ import annotations

from reception.errors import InvalidRequest
from reception.provider.base import ProviderCodec
from reception.provider.realtime import RealtimeCodec

_CODECS: dict[str, ProviderCodec] = {
    "openai": RealtimeCodec(),
    "embedded": RealtimeCodec(),
}


def codec_for(provider: str) -> ProviderCodec:
    """The codec of a provider by its name. Raises InvalidRequest."""
    if provider not in _CODECS:
        known = ", ".join(sorted(_CODECS))
        raise InvalidRequest(f"provider {provider!r} is not one of {known}", field="provider")
    return _CODECS[provider]
