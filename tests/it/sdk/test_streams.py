"""Responses as streams, by the official client: every event once, whatever happens on the way."""

import asyncio

import httpx2
import openai
import pytest
from conftest import client

TEXT = "আমি ক্ষমা চাই। 👨‍👩‍👧‍👦 \"\\\n ok"
WORDS = "one two three four five six seven eight"
BEFORE = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
]
BEHIND = [
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


def whole(events, text, end="response.completed"):
    """Checks that these are all events of a response that said `text`, each once and in order."""
    types = [event.type for event in events]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert types == BEFORE + ["response.output_text.delta"] * len(deltas) + BEHIND[:-1] + [end]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(deltas) == text
    created, started, item, part = events[:4]
    text_done, part_done, item_done, ended = events[-4:]
    assert created.response.status in ("queued", "in_progress") and started.response.status == "in_progress"
    assert created.response.output == [] and item.item.content == [] and part.part.text == ""
    assert text_done.text == part_done.part.text == item_done.item.content[0].text == text
    assert ended.response.output == [item_done.item] and ended.response.output_text == text
    assert created.response.id == started.response.id == ended.response.id
    inner = [event for event in events if hasattr(event, "item_id")]
    assert {event.item_id for event in inner} == {item.item.id} == {item_done.item.id}
    assert {(event.output_index, event.content_index) for event in inner} == {(0, 0)}
    return ended.response


def read_words(stream, events, text):
    """Reads until `text` was said."""
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    while said.strip() != text:
        event = next(stream)
        events.append(event)
        said += event.delta if event.type == "response.output_text.delta" else ""
        assert text.startswith(said.strip()), said


def test_a_stream_has_every_event(amina):
    with amina.responses.create(input=f"[[tokens 6 30]] {TEXT}", stream=True) as stream:
        events = list(stream)
    ended = whole(events, TEXT)
    assert ended.usage.total_tokens > 0
    assert amina.responses.retrieve(ended.id) == ended


def test_a_stream_may_be_told_how_to_come(amina):
    options = {"include_obfuscation": False}
    with amina.responses.create(input="hi", stream=True, stream_options=options) as stream:
        ended = whole(list(stream), "echo: hi")
    with amina.responses.with_streaming_response.retrieve(ended.id, stream=True, include_obfuscation=False) as raw:
        assert raw.headers["content-type"].startswith("text/event-stream")
        assert whole(list(raw.parse()), "echo: hi") == ended


def test_the_helper_puts_a_stream_together(amina):
    with amina.responses.stream(model="m", input=f"[[tokens 6 30]] {TEXT}") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT
    assert [event.text for event in events if event.type == "response.output_text.done"] == [TEXT]
    assert final.output_text == TEXT and final.status == "completed"


def test_a_stream_is_asked_for_again_from_every_place(amina):
    with amina.responses.create(input=f"[[tokens 6 30]] {TEXT}", stream=True) as stream:
        events = list(stream)
    id = events[0].response.id
    with amina.responses.retrieve(id, stream=True) as stream:
        assert list(stream) == events
    for n in range(len(events)):
        with amina.responses.retrieve(id, stream=True, starting_after=n) as stream:
            assert list(stream) == events[n + 1 :], n


@pytest.mark.parametrize("place", [1_000, 2**63 - 1, 2**64 - 1])
def test_a_stream_behind_its_end_is_empty(amina, place):
    made = amina.responses.create(input="hi")
    with amina.responses.retrieve(made.id, stream=True, starting_after=place) as stream:
        assert list(stream) == []


@pytest.mark.parametrize("place", [-1, 2**64])
def test_a_place_that_is_none_is_refused_by_name(amina, place):
    made = amina.responses.create(input="hi")
    with pytest.raises(openai.BadRequestError) as refused:
        amina.responses.retrieve(made.id, stream=True, starting_after=place)
    assert refused.value.param == "starting_after"


def test_a_stream_is_gone_on_with_while_it_runs(amina, bela, stage):
    gate = stage.gate()
    with amina.responses.create(input=gate.held(WORDS), stream=True) as stream:
        events = []
        gate.step()
        gate.step()
        read_words(stream, events, "one two")
    id = events[0].response.id
    with amina.responses.retrieve(id, stream=True, starting_after=events[-1].sequence_number) as stream:
        gate.step()
        read_words(stream, events, "one two three")
        gate.release()
        events += list(stream)
    whole(events, WORDS)


def test_the_helper_goes_on_with_a_stream(amina):
    made = amina.responses.create(input=f"[[say]] {TEXT}")
    with amina.responses.stream(response_id=made.id) as stream:
        assert stream.get_final_response().output_text == TEXT
    with amina.responses.stream(response_id=made.id, starting_after=3) as stream:
        events = list(stream)
    assert events[0].sequence_number == 4 and events[-1].type == "response.completed"


def test_a_stream_in_a_conversation_says_what_the_conversation_holds(amina):
    conversation = amina.conversations.create()
    with amina.responses.create(input=f"[[say]] {TEXT}", conversation=conversation.id, stream=True) as stream:
        ended = whole(list(stream), TEXT)
    assert ended.conversation.id == conversation.id
    item = amina.conversations.items.retrieve(ended.output[0].id, conversation_id=conversation.id)
    assert item.content[0].text == TEXT


def test_a_stream_of_what_is_not_stored_has_every_event(amina):
    with amina.responses.create(input=f"[[tokens 6 5]] {TEXT}", stream=True, store=False) as stream:
        ended = whole(list(stream), TEXT)
    with pytest.raises(openai.NotFoundError):
        amina.responses.retrieve(ended.id, stream=True)


def test_a_background_stream_outlives_its_client(amina, stage):
    gate = stage.gate()
    with amina.responses.create(input=gate.held(WORDS), stream=True, background=True) as stream:
        events = []
        gate.step()
        read_words(stream, events, "one")
    gate.release()
    with amina.responses.retrieve(
        events[0].response.id, stream=True, starting_after=events[-1].sequence_number
    ) as stream:
        events += list(stream)
    whole(events, WORDS)


def test_a_stream_that_is_cancelled_ends(amina, stage):
    gate = stage.gate()
    with amina.responses.create(input=gate.held(WORDS), stream=True, background=True) as stream:
        events = []
        gate.step()
        read_words(stream, events, "one")
        assert amina.responses.cancel(events[0].response.id).status == "cancelled"
        events += list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.status == "cancelled"
    assert amina.responses.retrieve(events[0].response.id).output_text.strip() == "one"


def test_a_model_that_fails_in_the_middle_ends_the_stream_with_a_failed_response(stage):
    with client(stage.server(rough=True), max_retries=0) as amina:
        with amina.responses.create(input="[[errormid]] one two three", stream=True) as stream:
            events = list(stream)
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert events[-1].type == "response.failed" and events[-1].response.error.message
        with amina.responses.retrieve(events[0].response.id, stream=True) as stream:
            assert list(stream) == events


def test_a_reply_that_may_not_be_longer_ends_as_incomplete(amina):
    with amina.responses.create(input="[[length]] cut off", stream=True) as stream:
        ended = whole(list(stream), "cut off", "response.incomplete")
    assert ended.incomplete_details.reason == "max_output_tokens"


def test_the_asynchronous_client_has_streams_too(make):
    async def run():
        async with make() as amina:
            stream = await amina.responses.create(input=f"[[tokens 6 5]] {TEXT}", stream=True)
            events = [event async for event in stream]
            again = await amina.responses.retrieve(events[0].response.id, stream=True, starting_after=5)
            rest = [event async for event in again]
            async with amina.responses.stream(model="m", input="hi") as helper:
                final = await helper.get_final_response()
            return events, rest, final

    events, rest, final = asyncio.run(run())
    whole(events, TEXT)
    assert rest == events[6:] and final.output_text == "echo: hi"


def test_a_stream_goes_on_after_kills_with_every_event_once(stage):
    gate = stage.gate()
    with stage.behaving(f"gate {gate.name}"):  # It holds what is said behind a kill too.
        survives(stage, stage.server(), gate)


def survives(stage, server, gate):
    events, shown = [], ""
    amina = client(server, max_retries=0)
    stream = amina.responses.create(input=gate.held(WORDS), stream=True)
    for kills in range(2):  # A third would end it as failed: a message that kills the server is not tried for ever.
        gate.step()
        gate.step()
        while len(shown.split()) < 2 * (kills + 1):
            events.append(next(stream))
            shown += events[-1].delta if events[-1].type == "response.output_text.delta" else ""
        if kills:
            assert stage.said_to_model()[-2] == ("assistant", before), "the model goes on behind what was shown"
        before = shown
        server.kill()
        with pytest.raises((httpx2.TransportError, openai.APIError)):
            while True:
                events.append(next(stream))
        amina.close()
        amina = client(server, max_retries=0)
        stream = amina.responses.retrieve(
            events[0].response.id, stream=True, starting_after=events[-1].sequence_number
        )
    gate.release()
    events += list(stream)
    role, asked = stage.said_to_model()[-1]
    ended = whole(events, f"{before}echo: {asked}")
    with amina.responses.retrieve(ended.id, stream=True) as stream:
        assert list(stream)[2:] == events[2:]
    assert amina.responses.retrieve(ended.id) == ended
    amina.close()


def test_a_stored_response_is_the_same_after_a_kill(stage):
    server = stage.server()
    with client(server) as amina:
        conversation = amina.conversations.create(metadata={"topic": "umbrella"})
        made = amina.responses.create(input="I lost it", conversation=conversation.id)
        kept = amina.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], store=True)
        with amina.responses.create(input=f"[[tokens 6 30]] {TEXT}", stream=True) as stream:
            events = list(stream)
    server.kill()
    with client(server) as amina:
        assert amina.conversations.retrieve(conversation.id) == conversation
        assert amina.responses.retrieve(made.id) == made
        assert amina.chat.completions.retrieve(kept.id).choices == kept.choices
        with amina.responses.retrieve(events[0].response.id, stream=True) as stream:
            assert list(stream) == events
        assert amina.responses.create(input="and?", previous_response_id=made.id).status == "completed"
