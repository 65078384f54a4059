"""From the audio worker's messages to the conversation's events, and to figures."""

from __future__ import annotations

from actors import caller_messages
from protos.link.v1 import link_pb2 as lk
from reception.call import messages as m
from reception.provider.base import ProviderCodec


def events(message: lk.WorkerToSession, codec: ProviderCodec) -> tuple[m.ConversationEvent, ...]:
    """What a message tells the conversation.

    Args:
        codec: of the provider's events.
    """
    match message.WhichOneof("message"):
        case "provider_event":
            return (m.FromProvider(codec.decode(message.provider_event)),)
        case "provider_state":
            state = message.provider_state
            up = m.ProviderUp(state.model)
            return (up if state.up else m.ProviderDown(state.code, state.reason),)
        case "from_caller":
            return tuple(caller_messages.decode(message.from_caller))
        case "answer_audio":
            made = message.answer_audio
            return (m.AnswerAudio(made.response_id, made.audio_ms, made.lost),)
        case "playout":
            return (_playout(message.playout),)
        case "leg_gone":
            return (m.CallerGone(message.leg_gone.reason),)
        case "leg_refused":
            return (m.LegRefused(message.leg_refused.field, message.leg_refused.message),)
        case _:
            return ()


def _playout(playout: lk.Playout) -> m.ConversationEvent:
    match playout.kind:
        case lk.Playout.STARTED:
            return m.PlayoutStarted(playout.item_id)
        case lk.Playout.INTERRUPTED:
            heard = playout.heard if playout.HasField("heard") else None
            return m.PlayoutInterrupted(playout.item_id, playout.heard_ms, heard)
        case lk.Playout.UNSPOKEN:
            return m.Unspoken(playout.item_id)
        case lk.Playout.MEASURED:
            return m.GatewayMeasured(playout.gateway_us, playout.gateway_up_us)
        case _:
            return m.PlayoutDrained()


def figures(stats: lk.LegStats) -> dict[str, int]:
    """What can be summed up over the workers of a call; names and units are LegStats'."""
    return {
        field.name: getattr(stats, field.name)
        for field in stats.DESCRIPTOR.fields
        if field.name != "recording"
    }
