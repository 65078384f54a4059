"""The engine's Realtime protocol over a real WebSocket; the client checks every event."""

import asyncio
import base64
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.fakes.voice import MS_PER_CHARACTER, silence, speech
from tests.voice.client import audio_of
from tests.waiting import patience
from voice.interfaces import CallTool, Say

PCMU = {"format": {"type": "audio/pcmu"}}
MANUAL = {"input": {"turn_detection": None}}
TOOL = {
    "type": "function",
    "name": "get_opening_hours",
    "description": "The opening hours.",
    "parameters": {"type": "object", "properties": {"day": {"type": "string"}}},
}


async def say(client, ms=1000):
    """A caller's whole turn: speech, then enough silence to end it."""
    await client.hear(silence(300) + speech(ms) + silence(800))


def only(events, event_type):
    return [event for event in events if event["type"] == event_type]


def user_text(text, **item):
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "content": content} | item


def assistant_id(events):
    return only(events, "response.output_audio.done")[0]["item_id"]


# ---------------------------------------------------------------- a spoken turn


async def test_a_spoken_turn_has_the_protocols_events_in_their_order(engine):
    e = await engine()
    client = await e.client()
    transcription = {"model": "whisper-1", "language": "en", "prompt": "Opening hours?"}
    await client.configure(audio={"input": {"transcription": transcription}})
    e.ears.transcripts.append("what are your hours")
    e.brain.answers.append([Say("We open at nine.")])
    await say(client)
    events = await client.turn()
    types = [event["type"] for event in events]
    order = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    assert [types.index(each) for each in order] == sorted(types.index(each) for each in order)
    assert types.count("conversation.item.added") == types.count("conversation.item.done") == 2
    completed = only(events, "conversation.item.input_audio_transcription.completed")[0]
    assert completed["transcript"] == "what are your hours"
    assert e.ears.prompts == ["Opening hours?"]
    assert completed["usage"]["type"] in ("tokens", "duration")
    assert [turn.text for turn in e.brain.asked[0].turns] == ["what are your hours"]
    done = only(events, "response.done")[0]["response"]
    assert done["status"] == "completed"
    assert done["output"][0]["content"][0]["transcript"] == "We open at nine."
    sound_ms = len(audio_of(events)) / 48
    assert sound_ms == pytest.approx(16 * MS_PER_CHARACTER, abs=20)


async def test_speech_is_found_where_it_is(engine):
    e = await engine()
    client = await e.client()
    await client.hear(silence(1000) + speech(1000) + silence(800))
    started = await client.until("input_audio_buffer.speech_started")
    stopped = await client.until("input_audio_buffer.speech_stopped")
    committed = await client.until("input_audio_buffer.committed")
    await client.until("response.done")
    assert started["item_id"] == stopped["item_id"] == committed["item_id"]
    assert 600 <= started["audio_start_ms"] <= 1050  # up to prefix_padding_ms earlier
    assert 1950 <= stopped["audio_end_ms"] <= 2550
    heard_ms = e.ears.heard[0][0] / 2 / e.ears.heard[0][1] * 1000
    assert 1200 <= heard_ms <= 1900


@pytest.mark.parametrize("piece_bytes", [2, 333, 4800, 1_000_000])
async def test_pieces_of_any_size_make_the_same_turn(engine, piece_bytes):
    e = await engine()
    client = await e.client()
    audio = silence(300) + speech(600) + silence(800)
    if piece_bytes < 100:  # thousands of tiny events add nothing
        audio, tail = audio[:400], audio[400:]
        await client.hear(audio, piece_bytes)
        await client.hear(tail)
    else:
        await client.hear(audio, piece_bytes)
    events = await client.turn()
    assert len(only(events, "input_audio_buffer.speech_started")) == 1
    assert len(only(events, "input_audio_buffer.speech_stopped")) == 1


@pytest.mark.parametrize(("kind", "bytes_per_ms"), [("pcmu", 8), ("pcma", 8), ("pcm", 48)])
async def test_answers_come_in_the_chosen_format_in_small_pieces(engine, kind, bytes_per_ms):
    e = await engine()
    client = await e.client()
    await client.configure(
        audio={
            "output": {
                "format": {"type": f"audio/{kind}", "rate": 24000}
                if kind == "pcm"
                else {"type": f"audio/{kind}"}
            }
        }
    )
    e.brain.answers.append([Say("twenty characters...")])
    await client.send("response.create")
    events = await client.turn()
    assert len(audio_of(events)) / bytes_per_ms == pytest.approx(1000, abs=20)
    for delta in only(events, "response.output_audio.delta"):
        assert len(base64.b64decode(delta["delta"])) <= 200 * bytes_per_ms


async def test_g711_speech_is_understood(engine):
    e = await engine()
    client = await e.client()
    await client.configure(audio={"input": PCMU})
    from voice.audio import decode, encode

    linear = silence(300, 8000) + speech(800, 8000) + silence(800, 8000)
    await client.hear(encode(decode(linear, "l16"), "pcmu"), 160)
    events = await client.turn()
    assert only(events, "input_audio_buffer.speech_started")


async def test_a_function_call_and_the_answer_from_its_result(engine):
    e = await engine()
    client = await e.client()
    await client.configure(tools=[TOOL])
    e.brain.answers.append([Say("One moment."), CallTool("get_opening_hours", '{"day":"Monday"}')])
    e.brain.answers.append([Say("Nine to five.")])
    await say(client)
    events = await client.turn()
    call = only(events, "response.function_call_arguments.done")[0]
    pieces = only(events, "response.function_call_arguments.delta")
    assert "".join(each["delta"] for each in pieces) == call["arguments"] == '{"day":"Monday"}'
    done = events[-1]["response"]
    assert [item["type"] for item in done["output"]] == ["message", "function_call"]
    assert done["output"][1]["call_id"] == call["call_id"]
    await client.send(
        "conversation.item.create",
        item={"type": "function_call_output", "call_id": call["call_id"], "output": "{}"},
    )
    await client.send("response.create")
    events = await client.turn()
    assert events[-1]["response"]["output"][0]["content"][0]["transcript"] == "Nine to five."
    kinds = [turn.kind for turn in e.brain.asked[1].turns]
    assert kinds == ["user", "assistant", "tool_call", "tool_result"]
    assert e.brain.asked[0].tools[0]["name"] == "get_opening_hours"


async def test_a_text_only_response_has_no_sound(engine):
    e = await engine()
    client = await e.client()
    await client.configure(output_modalities=["text"])
    e.brain.answers.append([Say("Written.")])
    await client.send("response.create")
    events = await client.turn()
    assert only(events, "response.output_text.done")[0]["text"] == "Written."
    assert not audio_of(events)
    assert not e.mouth.spoken
    assert events[-1]["response"]["usage"]["output_token_details"]["audio_tokens"] == 0


async def test_voice_speed_and_language_reach_the_synthesizer(engine):
    e = await engine()
    client = await e.client()
    await client.configure(
        audio={
            "output": {"voice": "cedar", "speed": 1.25},
            "input": {"transcription": {"model": "whisper-1", "language": "de"}},
        }
    )
    await client.send("response.create")
    await client.turn()
    assert e.mouth.spoken == [("ok", "cedar", 1.25, "de")]


# ------------------------------------------------ interruption, cancel, truncation


async def test_speech_cancels_the_answer_under_way(engine):
    e = await engine()
    client = await e.client()
    e.mouth.second_piece.clear()
    e.brain.answers.append([Say("A very long answer that goes on and on.")])
    await client.send("response.create")
    await client.until("response.output_audio.delta")
    before = len(client.events)
    await client.hear(silence(300) + speech(400))
    done = (await client.until("response.done"))["response"]
    assert "input_audio_buffer.speech_started" in client.types()[before:]
    assert done["status"] == "cancelled"
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["output"][0]["status"] == "incomplete"
    made_ms = len(audio_of(client.events)) / 48
    assert done["usage"]["output_token_details"]["audio_tokens"] == -(-round(made_ms) // 50)
    e.mouth.second_piece.set()
    await client.hear(silence(800))
    events = await client.turn()
    assert events[-1]["response"]["status"] == "completed"
    async with patience():
        while e.mouth.closed < 2:
            await asyncio.sleep(0)


async def test_speech_lets_the_answer_go_on_where_interruption_is_off(engine):
    e = await engine()
    client = await e.client()
    turns = {"type": "server_vad", "interrupt_response": False, "create_response": False}
    await client.configure(audio={"input": {"turn_detection": turns}})
    e.mouth.second_piece.clear()
    await client.send("response.create")
    await client.until("response.output_audio.delta")
    await client.hear(silence(300) + speech(400))
    await client.until("input_audio_buffer.speech_started")
    e.mouth.second_piece.set()
    assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_no_answer_by_itself_where_create_response_is_off(engine):
    e = await engine()
    client = await e.client()
    turns = {"type": "server_vad", "create_response": False}
    await client.configure(audio={"input": {"turn_detection": turns}})
    await say(client)
    await client.until("input_audio_buffer.committed")
    await client.send("conversation.item.create", item=user_text("fence", id="fence"))
    while (await client.until("conversation.item.done"))["item"]["id"] != "fence":
        pass
    assert "response.created" not in client.types()


async def test_cancel_ends_the_answer_as_the_clients_wish(engine):
    e = await engine()
    client = await e.client()
    e.mouth.second_piece.clear()
    await client.send("response.create")
    created = await client.until("response.created")
    await client.until("response.output_audio.delta")
    await client.send("response.cancel", response_id=created["response"]["id"])
    done = (await client.until("response.done"))["response"]
    assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    await client.send("response.cancel", event_id="mine")
    error = await client.refused()
    assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "mine")


async def test_a_truncated_answer_keeps_what_was_heard(engine):
    e = await engine()
    client = await e.client()
    e.brain.answers.append([Say("One two three four five six seven eight.")])
    await client.send("response.create")
    item_id = assistant_id(await client.turn())
    await client.send(
        "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1000
    )
    truncated = await client.until("conversation.item.truncated")
    assert (truncated["item_id"], truncated["audio_end_ms"]) == (item_id, 1000)
    await client.send("conversation.item.create", item=user_text("Sorry?"))
    await client.send("response.create")
    await client.turn()
    kept = e.brain.asked[1].turns[0].text
    assert "One two three four five six seven eight.".startswith(kept.strip())
    assert 10 <= len(kept) <= 30


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"item_id": "nobody"}, "item_id"),
        ({"audio_end_ms": 90_000}, "audio_end_ms"),
        ({"audio_end_ms": -1}, "audio_end_ms"),
        ({"content_index": 3}, "content_index"),
    ],
)
async def test_what_cant_be_truncated_is_refused(engine, change, param):
    e = await engine()
    client = await e.client()
    await client.send("response.create")
    item_id = assistant_id(await client.turn())
    wish = {"item_id": item_id, "content_index": 0, "audio_end_ms": 0} | change
    await client.send("conversation.item.truncate", event_id="mine", **wish)
    error = await client.refused()
    assert error["type"] == "invalid_request_error"
    assert error["event_id"] == "mine"
    assert param in (error["param"] or "")


async def test_only_answers_with_sound_can_be_truncated(engine):
    e = await engine()
    client = await e.client()
    await client.send("conversation.item.create", item=user_text("hi", id="u1"))
    await client.send("conversation.item.truncate", item_id="u1", content_index=0, audio_end_ms=0)
    error = await client.refused()
    assert error["code"] == "invalid_value"
    assert "Only model output audio messages can be truncated" in error["message"]


# --------------------------------------------------------- manual turns, the buffer


async def test_manual_commit_makes_an_item_and_no_answer(engine):
    e = await engine()
    client = await e.client()
    await client.configure(audio=MANUAL)
    await client.hear(speech(500))
    await client.send("input_audio_buffer.commit")
    item_id = (await client.until("input_audio_buffer.committed"))["item_id"]
    assert (await client.until("conversation.item.added"))["item"]["id"] == item_id
    await client.send("response.create")
    await client.turn()
    assert [turn.text for turn in e.brain.asked[0].turns] == ["hello"]
    assert e.ears.heard


async def test_an_empty_buffer_cannot_be_committed(engine):
    e = await engine()
    client = await e.client()
    await client.configure(audio=MANUAL)
    await client.hear(speech(500))
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")
    await client.send("input_audio_buffer.commit")
    assert (await client.refused())["code"] == "input_audio_buffer_commit_empty"


async def test_an_idle_caller_is_prompted(engine):
    e = await engine()
    client = await e.client()
    turns = {"type": "server_vad", "idle_timeout_ms": 5000}
    await client.configure(audio={"input": {"turn_detection": turns}})
    await client.send("response.create")
    await client.turn()
    await client.hear(silence(1000))
    event = await client.until("input_audio_buffer.timeout_triggered")
    assert event["audio_start_ms"] <= event["audio_end_ms"]
    assert (await client.until("response.done"))["response"]["status"] == "completed"


# ----------------------------------------------------------- items and responses


async def test_items_are_inserted_retrieved_and_deleted(engine):
    e = await engine()
    client = await e.client()
    await client.send("conversation.item.create", item=user_text("two", id="i2"))
    await client.send(
        "conversation.item.create", item=user_text("one", id="i1"), previous_item_id="root"
    )
    await client.until("conversation.item.done")
    added = await client.until("conversation.item.added")
    assert added["previous_item_id"] is None
    await client.send("conversation.item.retrieve", item_id="i1")
    retrieved = await client.until("conversation.item.retrieved")
    assert retrieved["item"]["content"][0]["text"] == "one"
    await client.send("conversation.item.delete", item_id="i1")
    assert (await client.until("conversation.item.deleted"))["item_id"] == "i1"
    await client.send("conversation.item.delete", item_id="i1")
    assert (await client.refused())["code"] in ("item_not_found", "item_delete_invalid_item_id")
    await client.send("response.create")
    await client.turn()
    assert [turn.text for turn in e.brain.asked[0].turns] == ["two"]


async def test_an_out_of_band_response_leaves_the_conversation_alone(engine):
    e = await engine()
    client = await e.client()
    await client.send("conversation.item.create", item=user_text("hi"))
    await client.send(
        "response.create",
        response={
            "conversation": "none",
            "metadata": {"topic": "sort"},
            "output_modalities": ["text"],
            "input": [user_text("classify this")],
            "instructions": "One word.",
        },
    )
    events = await client.turn()
    done = events[-1]["response"]
    assert (done["conversation_id"], done["metadata"]) == (None, {"topic": "sort"})
    assert [turn.text for turn in e.brain.asked[0].turns] == ["classify this"]
    assert e.brain.asked[0].override == "One word."
    await client.send("response.create")
    await client.turn()
    assert [turn.text for turn in e.brain.asked[1].turns] == ["hi"]


async def test_a_second_response_at_once_is_refused(engine):
    e = await engine()
    client = await e.client()
    e.mouth.second_piece.clear()
    await client.send("response.create")
    await client.until("response.output_audio.delta")
    await client.send("response.create", event_id="mine")
    error = await client.refused()
    assert error["code"] == "conversation_already_has_active_response"
    assert error["event_id"] == "mine"
    e.mouth.second_piece.set()
    assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_an_answer_over_its_bound_of_tokens_is_incomplete(engine):
    e = await engine()
    client = await e.client()
    e.brain.answers.append([Say("x" * 100), Say("y" * 100)])
    await client.send("response.create", response={"max_output_tokens": 20})
    done = (await client.until("response.done"))["response"]
    assert done["status"] == "incomplete"
    assert done["status_details"]["reason"] == "max_output_tokens"


async def test_tool_choice_none_hides_the_tools(engine):
    e = await engine()
    client = await e.client()
    await client.configure(tools=[TOOL])
    await client.send("response.create", response={"tool_choice": "none"})
    await client.turn()
    assert list(e.brain.asked[0].tools) == []


@pytest.mark.parametrize("part", ["brain", "mouth"])
async def test_a_failing_part_fails_the_response_and_not_the_session(engine, part):
    e = await engine()
    client = await e.client()
    getattr(e, part).failure = RuntimeError("secret detail")
    await client.send("response.create")
    done = (await client.until("response.done"))["response"]
    assert done["status"] == "failed"
    assert "secret detail" not in json.dumps(client.events)
    getattr(e, part).failure = None
    await client.send("response.create")
    assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_a_failing_recognizer_is_told(engine):
    e = await engine()
    client = await e.client()
    await client.configure(audio={"input": {"transcription": {"model": "whisper-1"}}})
    e.ears.failure = RuntimeError("secret detail")
    await say(client)
    await client.until("conversation.item.input_audio_transcription.failed")
    assert "secret detail" not in json.dumps(client.events)


# ------------------------------------------------------------------------- usage


async def test_the_whole_conversation_is_billed_each_time_less_what_is_cached(engine):
    e = await engine()
    client = await e.client()
    await client.configure(instructions="x" * 4 * 100)
    await client.send("conversation.item.create", item=user_text("y" * 40))
    e.brain.answers.append([Say("z" * 20)])
    await client.send("response.create")
    first = (await client.until("response.done"))["response"]["usage"]
    assert first["input_token_details"]["cached_tokens"] == 0
    assert 110 <= first["input_tokens"] <= 120
    assert first["output_token_details"]["audio_tokens"] == 20
    await client.send("response.create")
    second = (await client.until("response.done"))["response"]["usage"]
    details = second["input_token_details"]
    assert details["cached_tokens"] == 64
    assert second["input_tokens"] == details["text_tokens"] + details["audio_tokens"]
    assert details["audio_tokens"] == 20
    assert second["total_tokens"] == second["input_tokens"] + second["output_tokens"]
    invoice = list(e.server.invoices)[-1]
    invoice = e.server.invoices[invoice] if isinstance(e.server.invoices, dict) else invoice
    assert len(getattr(invoice, "usages", invoice)) == 2


async def test_changed_instructions_break_the_cache(engine):
    e = await engine()
    client = await e.client()
    await client.configure(instructions="x" * 4 * 100)
    await client.send("response.create")
    await client.turn()
    await client.configure(instructions="w" * 4 * 100)
    await client.send("response.create")
    usage = (await client.until("response.done"))["response"]["usage"]
    assert usage["input_token_details"]["cached_tokens"] == 0


async def test_words_that_are_to_be_said_exactly_leave_the_cache_as_it_is(engine):
    """As an item; as instructions of a response they break it."""
    say = 'Say exactly: "Are you \\"there\\"?"'
    e = await engine()
    client = await e.client()
    await client.configure(instructions="x" * 4 * 100)

    async def cached(**response):
        await client.send("response.create", response=response)
        usage = (await client.until("response.done"))["response"]["usage"]
        return usage["input_token_details"]["cached_tokens"]

    assert await cached() == 0
    item = user_text(say) | {"role": "system"}
    await client.send("conversation.item.create", item=item)
    assert await cached() == 64
    assert e.brain.asked[-1].exactly == 'Are you "there"?'
    assert await cached(instructions=say) == 0
    assert e.brain.asked[-1].exactly == 'Are you "there"?'
    await client.send("conversation.item.create", item=user_text("Yes"))
    await cached()
    assert e.brain.asked[-1].exactly == ""


async def test_a_long_conversation_is_cut_back_from_its_beginning(engine):
    e = await engine()
    client = await e.client()
    truncation = {
        "type": "retention_ratio",
        "retention_ratio": 0.5,
        "token_limits": {"post_instructions": 100},
    }
    await client.configure(instructions="x" * 4 * 100, truncation=truncation)
    for text in ("a" * 160, "b" * 160):
        await client.send("conversation.item.create", item=user_text(text))
    await client.send("response.create", response={"output_modalities": ["text"]})
    usage = (await client.until("response.done"))["response"]["usage"]
    assert 180 <= usage["input_tokens"] < 190  # 80 of 100
    assert len(e.brain.asked[-1].turns) == 2
    await client.send("conversation.item.create", item=user_text("c" * 160))
    await client.send("response.create", response={"output_modalities": ["text"]})
    usage = (await client.until("response.done"))["response"]["usage"]
    assert [turn.text[0] for turn in e.brain.asked[-1].turns] == ["o", "c"]  # "ok" and the last
    assert 140 <= usage["input_tokens"] < 150  # 120 were too many: at most 50 stay
    first = next(each for each in client.events if each["type"] == "conversation.item.added")
    await client.send("conversation.item.retrieve", item_id=first["item"]["id"])
    await client.until("conversation.item.retrieved")  # it is there, only not read


async def test_caller_audio_costs_a_token_for_each_100_ms(engine):
    e = await engine()
    client = await e.client()
    await client.configure(audio=MANUAL)
    await client.hear(speech(2000))
    await client.send("input_audio_buffer.commit")
    await client.send("response.create")
    usage = (await client.until("response.done"))["response"]["usage"]
    assert usage["input_token_details"]["audio_tokens"] == 20


# ----------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "nonsense", "event_id": "mine"}, "invalid_value"),
        ({"event_id": "mine"}, "missing_required_parameter"),
        ({"type": "input_audio_buffer.append", "event_id": "mine"}, "missing_required_parameter"),
        ({"type": "input_audio_buffer.append", "audio": "§§", "event_id": "mine"}, "invalid_value"),
        ({"type": "session.update", "event_id": "mine"}, "missing_required_parameter"),
        ({"type": "conversation.item.create", "event_id": "mine"}, "missing_required_parameter"),
        (
            {"type": "session.update", "event_id": "mine", "session": {"type": "realtime", "x": 1}},
            "unknown_parameter",
        ),
    ],
)
async def test_bad_events_are_refused_and_the_session_goes_on(engine, event, code):
    e = await engine()
    client = await e.client()
    await client.connection.send(json.dumps(event))
    error = await client.refused()
    assert (error["type"], error["code"], error["event_id"]) == (
        "invalid_request_error",
        code,
        "mine",
    )
    assert error["message"]
    await client.send("response.create")
    await client.until("response.done")


@pytest.mark.parametrize("raw", ["{", "[]", "7", '"x"', "null", "[" * 5000, b"\xff\xfe"])
async def test_what_is_no_event_is_refused(engine, raw):
    e = await engine()
    client = await e.client()
    await client.connection.send(raw)
    assert (await client.refused())["type"] == "invalid_request_error"
    await client.configure(instructions="still here")


@pytest.mark.parametrize(
    "session",
    [
        {"output_modalities": ["audio", "text"]},
        {"output_modalities": 3},
        {"max_output_tokens": 0},
        {"max_output_tokens": True},
        {"tools": "none"},
        {"tools": [3]},
        {"tool_choice": "perhaps"},
        {"instructions": 5},
        {"truncation": "sometimes"},
        {"truncation": {"type": "retention_ratio"}},
        {"truncation": {"type": "retention_ratio", "retention_ratio": 1.2}},
        {"truncation": {"type": "retention_ratio", "retention_ratio": 0.5, "what": 1}},
        {
            "truncation": {
                "type": "retention_ratio",
                "retention_ratio": 0.5,
                "token_limits": {"post_instructions": 0},
            }
        },
        {"audio": 5},
        {"audio": {"input": 5}},
        {"audio": {"input": {"format": {"type": "audio/mp3"}}}},
        {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 8000}}}},
        {"audio": {"input": {"format": {"type": ["audio/pcm"]}}}},
        {"audio": {"input": {"turn_detection": {"type": "psychic"}}}},
        {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}}},
        {"audio": {"input": {"turn_detection": {"type": "server_vad", "what": 2}}}},
        {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": []}}}},
        {"audio": {"input": {"transcription": 5}}},
        {"audio": {"output": {"speed": 9}}},
        {"audio": {"output": {"voice": 9}}},
    ],
)
async def test_bad_configurations_are_refused_by_their_name(engine, session):
    e = await engine()
    client = await e.client()
    await client.send("session.update", session={"type": "realtime"} | session)
    error = await client.refused()
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith("session.")
    await client.configure(instructions="still here")
    assert client.events[-1]["session"]["output_modalities"] == ["audio"]


async def test_the_format_stays_once_audio_came(engine):
    e = await engine()
    client = await e.client()
    await client.hear(silence(100))
    await client.send("session.update", session={"type": "realtime", "audio": {"input": PCMU}})
    assert (await client.refused())["type"] == "invalid_request_error"


# -------------------------------------------------------------------- connections


async def test_a_wrong_key_is_refused_where_one_is_set(engine):
    e = await engine(api_key="right")
    await e.client(key="right")
    for key in ("wrong", None):
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            await e.client(key=key)


async def test_another_path_is_not_found(engine):
    e = await engine()
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{e.port}/v2/what")
    assert refused.value.response.status_code == 404


async def test_connections_do_not_disturb_each_other(engine):
    e = await engine()
    one, two = await e.client(), await e.client()
    assert e.server.sessions == 2
    e.mouth.second_piece.clear()
    await one.send("response.create")
    await one.until("response.output_audio.delta")
    await one.connection.close()
    e.mouth.second_piece.set()
    await two.send("response.create")
    assert (await two.until("response.done"))["response"]["status"] == "completed"
    async with patience():
        while e.server.sessions > 1:
            await asyncio.sleep(0)


async def test_a_session_ends_when_its_time_is_up(engine):
    e = await engine(max_session_s=0.2)
    client = await e.client()
    assert (await client.refused())["code"] == "session_expired"
    with pytest.raises(ConnectionClosed) as closed:
        await client.connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
