"""Responses, by the official client."""

import asyncio

import openai
import pytest
from conftest import client
from openai.types.responses import Response, ResponseOutputMessage
from pydantic import BaseModel


def texts(items):
    return [(item.role, item.content[0].text) for item in items]


def test_a_response_is_typed_and_whole(amina):
    made = amina.responses.create(model="gpt-whatever", input="hi", metadata={"topic": "greeting"}, temperature=0.5)
    assert isinstance(made, Response) and made.id.startswith("resp_") and made.object == "response"
    assert (made.status, made.error, made.incomplete_details) == ("completed", None, None)
    [message] = made.output
    assert isinstance(message, ResponseOutputMessage) and message.id.startswith("msg_")
    assert (message.role, message.status, message.content[0].annotations) == ("assistant", "completed", [])
    assert made.output_text == "echo: hi"
    assert made.usage.input_tokens + made.usage.output_tokens == made.usage.total_tokens > 0
    assert made.usage.input_tokens_details.cached_tokens == 0
    assert made.usage.output_tokens_details.reasoning_tokens == 0
    assert made.metadata == {"topic": "greeting"} and made.temperature == 0.5
    assert (made.tools, made.tool_choice, made.parallel_tool_calls) == ([], "auto", True)
    assert made.previous_response_id is None and made.instructions is None
    assert made.model == amina.models.list().data[0].id
    assert amina.responses.retrieve(made.id) == made


def test_a_conversation_is_remembered(amina, stage):
    conversation = amina.conversations.create(items=[{"role": "user", "content": "I am Amina"}])
    first = amina.responses.create(input="I lost my umbrella", conversation=conversation.id)
    second = amina.responses.create(input="What did I lose?", conversation={"id": conversation.id})
    assert first.conversation.id == second.conversation.id == conversation.id
    said = [line for line in stage.said_to_model() if line[0] != "system"]
    assert said == [
        ("user", "I am Amina"),
        ("user", "I lost my umbrella"),
        ("assistant", "echo: I lost my umbrella"),
        ("user", "What did I lose?"),
    ]
    listed = amina.conversations.items.list(conversation.id, order="asc").data
    assert texts(listed) == said + [("assistant", "echo: What did I lose?")]
    assert [listed[2].id, listed[4].id] == [first.output[0].id, second.output[0].id]
    assert amina.conversations.items.retrieve(first.output[0].id, conversation_id=conversation.id) == listed[2]


def test_previous_responses_are_remembered_and_may_fork(amina, stage):
    first = amina.responses.create(input="one")
    second = amina.responses.create(input="two", previous_response_id=first.id)
    other = amina.responses.create(input="another two", previous_response_id=first.id)
    assert second.previous_response_id == other.previous_response_id == first.id
    amina.responses.create(input="three", previous_response_id=second.id)
    said = [line for line in stage.said_to_model() if line[0] != "system"]
    assert said == [
        ("user", "one"),
        ("assistant", "echo: one"),
        ("user", "two"),
        ("assistant", "echo: two"),
        ("user", "three"),
    ]
    amina.responses.create(input="another three", previous_response_id=other.id)
    assert [text for _, text in stage.said_to_model()][-3:] == ["another two", "echo: another two", "another three"]


def test_instructions_are_of_one_response_only(amina, stage):
    first = amina.responses.create(input="one", instructions="speak like a pirate")
    assert first.instructions == "speak like a pirate"
    assert ("system", "speak like a pirate") in stage.said_to_model()
    second = amina.responses.create(input="two", previous_response_id=first.id)
    assert second.instructions is None
    assert ("system", "speak like a pirate") not in stage.said_to_model()


def test_input_is_a_text_or_items(amina, stage):
    made = amina.responses.create(
        input=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "two", "annotations": []}]},
            {"type": "message", "role": "user", "content": "three"},
        ],
    )
    assert made.output_text == "echo: three"
    assert [text for _, text in stage.said_to_model()][-4:] == ["be brief", "one", "two", "three"]
    listed = amina.responses.input_items.list(made.id, order="asc")
    assert texts(listed) == [("developer", "be brief"), ("user", "one"), ("assistant", "two"), ("user", "three")]
    assert [text for _, text in texts(amina.responses.input_items.list(made.id))] == ["three", "two", "one", "be brief"]
    assert [text for _, text in texts(amina.responses.input_items.list(made.id, limit=1, order="asc"))] == [
        "be brief",
        "one",
        "two",
        "three",
    ]


def test_the_input_in_a_conversation_is_what_came_with_the_request(amina):
    conversation = amina.conversations.create(items=[{"role": "user", "content": "before"}])
    amina.responses.create(input="one", conversation=conversation.id)
    made = amina.responses.create(
        input=[{"role": "developer", "content": "be brief"}, {"role": "user", "content": "two"}],
        conversation=conversation.id,
    )
    assert texts(amina.responses.input_items.list(made.id)) == [("user", "two"), ("developer", "be brief")]


def test_a_page_behind_nothing_is_refused_by_name(amina):
    made = amina.responses.create(input="hi")
    for call in (
        lambda: amina.responses.input_items.list(made.id, after="msg_0"),
        lambda: amina.conversations.items.list(amina.conversations.create().id, after=made.output[0].id),
        lambda: amina.chat.completions.list(after="chatcmpl-0"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            call()
        assert refused.value.param == "after"


def test_an_answer_may_be_handed_back_as_it_came(amina, stage):
    first = amina.responses.create(input="one", store=False)
    history = [{"role": "user", "content": "one"}, *(item.model_dump() for item in first.output)]
    amina.responses.create(input=[*history, {"role": "user", "content": "two"}], store=False)
    said = [line for line in stage.said_to_model() if line[0] != "system"]
    assert said == [("user", "one"), ("assistant", "echo: one"), ("user", "two")]


def test_items_may_be_named_by_their_ids(amina, stage):
    first = amina.responses.create(input="one")
    amina.responses.create(
        input=[
            {"role": "user", "content": "one"},
            {"type": "item_reference", "id": first.output[0].id},
            {"role": "user", "content": "two"},
        ]
    )
    said = [line for line in stage.said_to_model() if line[0] != "system"]
    assert said == [("user", "one"), ("assistant", "echo: one"), ("user", "two")]


def test_what_is_not_stored_is_answered_and_not_found(amina, stage):
    made = amina.responses.create(input="hi", store=False)
    assert made.output_text == "echo: hi" and made.store is False
    with pytest.raises(openai.NotFoundError):
        amina.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        amina.responses.create(input="and?", previous_response_id=made.id)
    kept = amina.responses.create(input="one")
    behind = amina.responses.create(input="two", previous_response_id=kept.id, store=False)
    assert [text for _, text in stage.said_to_model()][-3:] == ["one", "echo: one", "two"]
    with pytest.raises(openai.NotFoundError):
        amina.responses.retrieve(behind.id)


def test_a_response_is_deleted(amina):
    made = amina.responses.create(input="hi")
    assert amina.responses.delete(made.id) is None
    for call in (
        amina.responses.retrieve,
        amina.responses.delete,
        amina.responses.cancel,
        lambda id: amina.responses.input_items.list(id),
        lambda id: amina.responses.create(input="and?", previous_response_id=id),
    ):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


def test_a_deleted_response_leaves_what_was_said_in_its_conversation(amina):
    conversation = amina.conversations.create()
    made = amina.responses.create(input="hi", conversation=conversation.id)
    amina.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        amina.responses.retrieve(made.id)
    assert texts(amina.conversations.items.list(conversation.id, order="asc")) == [
        ("user", "hi"),
        ("assistant", "echo: hi"),
    ]


def test_a_background_response_is_begun_asked_after_and_done(amina, stage):
    gate = stage.gate()
    begun = amina.responses.create(input=gate.held("one two three"), background=True)
    assert begun.status in ("queued", "in_progress") and begun.background is True
    assert amina.responses.retrieve(begun.id).status in ("queued", "in_progress")
    gate.release()
    with amina.responses.retrieve(begun.id, stream=True) as stream:
        events = list(stream)
    assert events[-1].type == "response.completed"
    done = amina.responses.retrieve(begun.id)
    assert done.status == "completed" and done.output_text == "one two three"


def test_a_background_response_is_cancelled(amina, stage):
    gate = stage.gate()
    begun = amina.responses.create(input=gate.held("one two three"), background=True)
    cancelled = amina.responses.cancel(begun.id)
    assert cancelled.id == begun.id and cancelled.status == "cancelled"
    stage.gone()  # The gate is still shut.
    assert amina.responses.retrieve(begun.id).status == "cancelled"
    assert amina.responses.cancel(begun.id).status == "cancelled", "twice is once"


def test_a_reply_that_may_not_be_longer_is_incomplete(amina):
    made = amina.responses.create(input="[[length]] cut off", max_output_tokens=16)
    assert made.status == "incomplete" and made.incomplete_details.reason == "max_output_tokens"
    assert made.output_text == "cut off" and made.max_output_tokens == 16


def test_a_model_that_fails_makes_a_failed_response(stage):
    with client(stage.server(rough=True), max_retries=0) as amina:
        begun = amina.responses.create(input="[[status 400]] x", background=True)
        with amina.responses.retrieve(begun.id, stream=True) as stream:
            last = list(stream)[-1]
        assert last.type == "response.failed"
        failed = amina.responses.retrieve(begun.id)
    assert failed.status == "failed" and failed.error.code and failed.error.message
    assert failed.output == [] or failed.output[0].status == "incomplete"


class Weather(BaseModel):
    place: str
    degrees: int


def test_the_helper_for_forms_reads_the_reply(amina, stage):
    made = amina.responses.parse(
        model="m", input='[[say]] {"place": "Sylhet", "degrees": 31}', text_format=Weather, max_output_tokens=99
    )
    assert made.output_parsed == Weather(place="Sylhet", degrees=31)
    asked = stage.seen()[-1]
    assert asked["response_format"]["type"] == "json_schema"
    assert asked["response_format"]["json_schema"]["name"] == "Weather"
    assert asked["max_tokens"] == 99


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}, "input[0]"),
        ({"background": True, "store": False}, None),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"input": []}, "input"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(amina, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        amina.responses.create(**{"model": "m", "input": "hi", **more})
    assert refused.value.type == "invalid_request_error" and refused.value.body["message"]
    assert param is None or refused.value.param.startswith(param), refused.value.param


def test_a_place_is_named_in_one_way_only(amina):
    conversation = amina.conversations.create()
    made = amina.responses.create(input="hi", conversation=conversation.id)
    for more in ({"previous_response_id": made.id}, {"store": False}):
        with pytest.raises(openai.BadRequestError):
            amina.responses.create(input="and?", conversation=conversation.id, **more)


def test_others_do_not_find_it(amina, bela):
    made = amina.responses.create(input="mine")
    for call in (
        bela.responses.retrieve,
        bela.responses.delete,
        bela.responses.cancel,
        lambda id: bela.responses.input_items.list(id),
        lambda id: bela.responses.retrieve(id, stream=True),
        lambda id: bela.responses.create(input="and?", previous_response_id=id),
        lambda id: bela.responses.create(input=[{"type": "item_reference", "id": made.output[0].id}]),
    ):
        with pytest.raises((openai.NotFoundError, openai.BadRequestError)) as refused:
            call(made.id)
        assert "mine" not in refused.value.body["message"]
    assert amina.responses.retrieve(made.id).output_text == "echo: mine"


@pytest.mark.parametrize("id", ["resp_0", "resp_" + "0" * 40, "resp_" + "0" * 32, "chatcmpl-1"])
def test_what_is_no_response_is_not_found(amina, id):
    with pytest.raises(openai.NotFoundError):
        amina.responses.retrieve(id)


def test_the_asynchronous_client_has_them_too(make):
    async def run():
        async with make() as amina:
            conversation = await amina.conversations.create()
            several = await asyncio.gather(
                *(amina.responses.create(input=f"number {n}", conversation=conversation.id) for n in range(5))
            )
            items = [item async for item in amina.conversations.items.list(conversation.id, limit=3)]
            found = await amina.responses.retrieve(several[0].id)
            inputs = [item async for item in amina.responses.input_items.list(found.id)]
            await amina.responses.delete(found.id)
            return several, items, found, inputs

    several, items, found, inputs = asyncio.run(run())
    assert [made.output_text for made in several] == [f"echo: number {n}" for n in range(5)]
    assert len(items) == 10 and found == several[0]
    assert texts(inputs) == [("user", "number 0")]


@pytest.mark.parametrize("store", [False, True])
def test_a_response_of_which_a_filter_left_nothing(amina, store):
    made = amina.responses.create(input="[[filter]]", store=store)
    assert (made.status, made.incomplete_details.reason) == ("incomplete", "content_filter")
    assert (made.output, made.output_text, made.error) == ([], "", None)
    with amina.responses.create(input="[[filter]]", store=store, stream=True) as stream:
        events = list(stream)
    assert [event.type for event in events] == ["response.created", "response.in_progress", "response.incomplete"]
    assert events[-1].response.incomplete_details.reason == "content_filter"
    if store:
        assert amina.responses.retrieve(made.id) == made


def test_what_is_not_to_be_cut_is_refused(stage):
    server = stage.server("reply.openai.context_tokens=1024", "reply.openai.max_tokens=512")
    with client(server) as amina:
        conversation = amina.conversations.create()
        with pytest.raises(openai.BadRequestError) as refused:
            amina.responses.create(input="word " * 400, conversation=conversation.id, truncation="disabled")
        assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "input")
        assert list(amina.conversations.items.list(conversation.id)) == []
        made = amina.responses.create(input="hi", conversation=conversation.id)
        assert made.truncation == "auto", "what is done where nobody says anything"


def test_a_long_document_is_kept(amina):
    document = "দীর্ঘ " * 16_000
    conversation = amina.conversations.create(items=[{"role": "developer", "content": document}])
    amina.responses.create(input=document, conversation=conversation.id)
    assert [text for _, text in texts(amina.conversations.items.list(conversation.id, order="asc"))][:2] == [document] * 2
