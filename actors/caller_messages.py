"""Between the public protobuf messages and the conversation's vocabulary.

The front door and the session both speak of calls; this is the one mapping.
"""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from protos.reception.v1 import reception_pb2 as rv
from reception.call import messages as m
from reception.call.record import CallRecord
from reception.money.policy import Step

_STEPS = {
    m.TurnStep.SPEECH_STARTED: rv.TurnEvent.KIND_SPEECH_STARTED,
    m.TurnStep.SPEECH_STOPPED: rv.TurnEvent.KIND_SPEECH_STOPPED,
    m.TurnStep.RESPONSE_STARTED: rv.TurnEvent.KIND_RESPONSE_STARTED,
    m.TurnStep.FIRST_AUDIO: rv.TurnEvent.KIND_FIRST_AUDIO,
    m.TurnStep.DONE: rv.TurnEvent.KIND_DONE,
}
_BUDGET = {
    Step.WARN: rv.BudgetStep.KIND_WARN,
    Step.SHORTEN: rv.BudgetStep.KIND_SHORTEN,
    Step.CHEAPER: rv.BudgetStep.KIND_CHEAPER,
    Step.WRAP_UP: rv.BudgetStep.KIND_WRAP_UP,
    Step.TRANSFER: rv.BudgetStep.KIND_TRANSFER,
}
_SPEAKERS = {
    m.Who.CALLER: rv.SPEAKER_CALLER,
    m.Who.RECEPTION: rv.SPEAKER_RECEPTION,
}
_STATES = {
    "connecting": rv.CALL_STATE_CONNECTING,
    "active": rv.CALL_STATE_ACTIVE,
    "ending": rv.CALL_STATE_ENDING,
    "ended": rv.CALL_STATE_ENDED,
}


def encode(command: m.ConversationCommand) -> bytes:
    """A command for the caller's side as a serialized ReceptionMessage.

    Raises:
        TypeError: the command is not one for the caller's side.
    """
    match command:
        case m.TellTranscript(who, text, final, item_id):
            transcript = rv.Transcript(
                speaker=_SPEAKERS[who], text=text, final=final, item_id=item_id
            )
            message = rv.ReceptionMessage(transcript=transcript)
        case m.TellTurn():
            message = rv.ReceptionMessage(turn=_turn(command))
        case m.TellTransfer(destination, name, reason):
            transfer = rv.Transfer(destination=destination, name=name, reason=reason)
            message = rv.ReceptionMessage(transfer=transfer)
        case m.TellBudget(step, at_ms):
            budget = rv.BudgetStep(kind=_BUDGET[step], at_ms=at_ms)
            message = rv.ReceptionMessage(budget=budget)
        case m.TellDtmf(digits):
            message = rv.ReceptionMessage(send_dtmf=rv.SendDtmf(digits=digits))
        case _:
            raise TypeError(f"{type(command).__name__} is not for the caller's side")
    return message.SerializeToString()


def _turn(turn: m.TellTurn) -> rv.TurnEvent:
    return rv.TurnEvent(
        kind=_STEPS[turn.step],
        turn=turn.turn,
        at_ms=max(0, turn.at_ms),
        latency_ms=max(0, turn.latency_ms),
        gateway_us=max(0, turn.gateway_us),
        interrupted=turn.interrupted,
        gateway_up_us=max(0, turn.gateway_up_us),
    )


def decode(raw: bytes) -> list[m.ConversationEvent]:
    """The conversation events in a serialized CallerMessage; audio has none."""
    message = rv.CallerMessage.FromString(raw)
    match message.WhichOneof("message"):
        case "dtmf":
            return [m.CallerPressed(message.dtmf.digits)]
        case "end":
            return [m.CallerGone("caller_hangup")]
        case "event":
            return _event(message.event)
        case _:
            return []


def _event(event: rv.CallEvent) -> list[m.ConversationEvent]:
    match event.kind:
        case rv.CallEvent.KIND_HOLD:
            return [m.CallerHold(True)]
        case rv.CallEvent.KIND_UNHOLD:
            return [m.CallerHold(False)]
        case rv.CallEvent.KIND_TRANSFER_SUCCEEDED:
            return [m.TransferResult(True, event.detail)]
        case rv.CallEvent.KIND_TRANSFER_FAILED:
            return [m.TransferResult(False, event.detail)]
        case _:
            return []


def call_of(record: CallRecord) -> rv.Call:
    """A call record as the public API shows it."""
    spec = record.spec
    call = rv.Call(
        call_id=spec.call_id,
        session_id=spec.session_id,
        state=_STATES[record.state],
        to=spec.to_uri,
        profile=spec.profile,
        node_id=spec.node_id,
        started_at=_timestamp(spec.accepted_at_s),
        end_reason=record.end_reason,
        transferred_to=record.transferred_to,
        turns=record.turns,
        interruptions=record.interruptions,
        cost_micros=record.cost_micros,
        model=record.model,
        metadata=spec.metadata,
        phase=record.phase,
        budget_steps=record.budget_steps,
    )
    setattr(call, "from", spec.from_uri)
    if record.ended_at_s is not None:
        call.ended_at.CopyFrom(_timestamp(record.ended_at_s))
        call.duration_ms = max(0, round((record.ended_at_s - spec.accepted_at_s) * 1000))
    return call


def _timestamp(at_s: float) -> Timestamp:
    seconds, micros = divmod(round(at_s * 1e6), 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1_000)
