"""The cases of Open Responses, over plain HTTP, written from its specification: its own suite is in no registry.

What bondhu does not do stands here as what fails, each with its reason: README has the same list.
"""

import json

import httpx2
import pytest
from stage import PATIENCE

TEXT = "one two three four five six"

# What every response has, and of which type.
NULL = type(None)
RESPONSE = {
    "id": str,
    "object": str,
    "created_at": int,
    "completed_at": (int, NULL),
    "status": str,
    "incomplete_details": (dict, NULL),
    "model": str,
    "previous_response_id": (str, NULL),
    "instructions": (str, list, NULL),
    "output": list,
    "error": (dict, NULL),
    "tools": list,
    "tool_choice": (str, dict),
    "truncation": str,
    "parallel_tool_calls": bool,
    "text": dict,
    "top_p": (int, float),
    "presence_penalty": (int, float),
    "frequency_penalty": (int, float),
    "top_logprobs": int,
    "temperature": (int, float),
    "reasoning": (dict, NULL),
    "user": (str, NULL),
    "usage": (dict, NULL),
    "max_output_tokens": (int, NULL),
    "max_tool_calls": (int, NULL),
    "store": bool,
    "background": bool,
    "service_tier": str,
    "metadata": dict,
    "safety_identifier": (str, NULL),
    "prompt_cache_key": (str, NULL),
}
MESSAGE = {"id": str, "type": str, "role": str, "status": str, "content": list}
PART = {"type": str, "text": str, "annotations": list}
COUNTS = {
    "input_tokens": int,
    "output_tokens": int,
    "total_tokens": int,
    "input_tokens_details": dict,
    "output_tokens_details": dict,
}
AT = {"item_id": str, "output_index": int, "content_index": int}
EVENTS = {
    "response.created": {"response": dict},
    "response.queued": {"response": dict},
    "response.in_progress": {"response": dict},
    "response.output_item.added": {"output_index": int, "item": dict},
    "response.content_part.added": {**AT, "part": dict},
    "response.output_text.delta": {**AT, "delta": str, "logprobs": list},
    "response.output_text.done": {**AT, "text": str, "logprobs": list},
    "response.content_part.done": {**AT, "part": dict},
    "response.output_item.done": {"output_index": int, "item": dict},
    "response.completed": {"response": dict},
    "response.incomplete": {"response": dict},
    "response.failed": {"response": dict},
    "error": {"error": dict},
}
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather at a place",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
tools = pytest.mark.xfail(strict=True, reason="bondhu has no tools: it refuses them by name")
media = pytest.mark.xfail(strict=True, reason="bondhu takes text only: it refuses anything else by name")


def has(thing, wanted):
    """Every member that is wanted, of its type."""
    missing = [name for name in wanted if name not in thing]
    assert not missing, f"{missing} not in {thing}"
    for name, kind in wanted.items():
        wrong = isinstance(thing[name], bool) and kind is not bool
        assert isinstance(thing[name], kind) and not wrong, f"{name} is {thing[name]!r}"


def message(item):
    has(item, MESSAGE)
    assert item["type"] == "message" and item["role"] == "assistant"
    assert item["status"] in ("in_progress", "completed", "incomplete")
    for part in item["content"]:
        has(part, PART)
        assert part["type"] == "output_text"


def response(thing):
    has(thing, RESPONSE)
    assert thing["object"] == "response"
    assert thing["status"] in ("queued", "in_progress", "completed", "incomplete", "failed", "cancelled")
    assert thing["truncation"] in ("auto", "disabled") and thing["text"]["format"]["type"] == "text"
    for item in thing["output"]:
        message(item)
    if thing["usage"]:
        has(thing["usage"], COUNTS)
        assert isinstance(thing["usage"]["input_tokens_details"]["cached_tokens"], int)
        assert isinstance(thing["usage"]["output_tokens_details"]["reasoning_tokens"], int)
    if thing["status"] == "completed":
        assert thing["completed_at"] >= thing["created_at"] and thing["error"] is None
        assert thing["output"] and all(item["status"] == "completed" for item in thing["output"])
    return thing


@pytest.fixture(scope="module")
def http(server):
    headers = {"authorization": f"Bearer {server.keys[0]}"}
    with httpx2.Client(base_url=server.base_url, headers=headers, timeout=PATIENCE) as http:
        yield http


@pytest.fixture
def ask(http):
    def ask(**body):
        answer = http.post("/responses", json={"model": "m", **body})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].split(";")[0] == "application/json"
        return response(answer.json())

    return ask


@pytest.fixture
def lines(http):
    """The events of a stream as they came: the name and the data of each."""

    def lines(**body):
        with http.stream("POST", "/responses", json={"model": "m", "stream": True, **body}) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].split(";")[0] == "text/event-stream"
            frames = answer.read().decode().strip().split("\n\n")
        events = []
        for frame in frames:
            fields = [line.split(":", 1) for line in frame.split("\n") if not line.startswith(":")]
            fields = {name: value.removeprefix(" ") for name, value in fields}
            if fields:
                events.append((fields.pop("event", None), fields.pop("data")))
            assert not fields, f"no other fields: {fields}"
        return events

    return lines


@pytest.fixture
def stream(lines):
    """The events of a stream, each as it should be."""

    def stream(**body):
        events = []
        for name, data in lines(**body):
            if data == "[DONE]":
                continue
            event = json.loads(data)
            assert event["type"] == name, "the field `event` is the type"
            has(event, {"sequence_number": int, **EVENTS[name]})
            if "response" in event:
                response(event["response"])
            if "item" in event:
                message(event["item"])
            if "part" in event:
                has(event["part"], PART)
            events.append(event)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        return events

    return stream


def user(content):
    return {"type": "message", "role": "user", "content": content}


def test_basic_text(ask):
    made = ask(input=[user("Say hello in three words.")])
    assert made["status"] == "completed" and made["output"][0]["content"][0]["text"].startswith("echo: ")


def test_text_is_a_message_of_the_user(ask, stage):
    assert ask(input="hello")["output"][0]["content"][0]["text"] == "echo: hello"
    assert stage.said_to_model()[-1] == ("user", "hello")


def test_streaming(stream):
    events = stream(input=[user(f"[[tokens 6 30]] {TEXT}")])
    assert events[0]["type"] == "response.created" and events[-1]["type"] == "response.completed"
    assert "".join(event.get("delta", "") for event in events) == TEXT
    assert events[-1]["response"]["status"] == "completed"


def test_streams_open_what_they_close(stream):
    """Item, part, deltas, part, item: nothing is told of what is not open, and everything is closed."""
    events = stream(input=[user(f"[[tokens 6 30]] {TEXT}")])
    types = [event["type"].removeprefix("response.") for event in events]
    order = ["output_item.added", "content_part.added", "output_text.delta"]
    order += ["output_text.done", "content_part.done", "output_item.done", "completed"]
    places = [types.index(kind) for kind in order]
    assert places == sorted(places)
    last_delta = len(types) - 1 - types[::-1].index("output_text.delta")
    assert last_delta < types.index("output_text.done")
    added = events[places[0]]["item"]
    assert (added["status"], added["content"]) == ("in_progress", [])
    assert events[places[-2]]["item"]["status"] == "completed"
    assert [event["response"]["status"] for event in events if "response" in event][-2:] == ["in_progress", "completed"]


def test_a_reply_that_may_not_be_longer_is_incomplete_with_its_item(stream):
    ended = stream(input=[user("[[length]] cut off")])[-1]
    assert ended["type"] == "response.incomplete" and ended["response"]["status"] == "incomplete"
    assert ended["response"]["output"][-1]["status"] == "incomplete"
    assert ended["response"]["incomplete_details"]["reason"] == "max_output_tokens"


def test_system_prompt(ask, stage):
    made = ask(input=[{"type": "message", "role": "system", "content": "Speak like a pirate."}, user("Say hello.")])
    assert made["status"] == "completed"
    assert stage.said_to_model()[-2:] == [("system", "Speak like a pirate."), ("user", "Say hello.")]


def test_multi_turn(ask, stage):
    answer = {"type": "message", "role": "assistant", "content": "Hello Alice!"}
    said = [user("My name is Alice."), answer, user("Who am I?")]
    assert ask(input=said)["status"] == "completed"
    assert [text for _, text in stage.said_to_model()][-3:] == ["My name is Alice.", "Hello Alice!", "Who am I?"]


def test_stateful_conversations(ask, stage):
    """The input before, its output, the new input: in this order."""
    first = ask(input="I lost my umbrella")
    second = ask(input="What did I lose?", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    assert [text for _, text in stage.said_to_model()][-3:] == [
        "I lost my umbrella",
        "echo: I lost my umbrella",
        "What did I lose?",
    ]


def test_a_response_names_its_conversation(http, ask):
    conversation = http.post("/conversations", json={}).json()["id"]
    assert ask(input="hi", conversation=conversation)["conversation"] == {"id": conversation}
    assert ask(input="hi", conversation={"id": conversation})["conversation"] == {"id": conversation}


def test_what_was_asked_comes_back(ask):
    made = ask(
        input="hi",
        instructions="be brief",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=99,
        metadata={"a": "b"},
        store=False,
    )
    assert (made["instructions"], made["temperature"], made["top_p"]) == ("be brief", 0.5, 0.9)
    assert (made["max_output_tokens"], made["metadata"], made["store"]) == (99, {"a": "b"}, False)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"input": 7}, 400),
        ({"input": [{"type": "message", "role": "nobody", "content": "hi"}]}, 400),
        ({"input": "hi", "temperature": "hot"}, 400),
        ({"input": "hi", "previous_response_id": "resp_gone"}, 404),
        ({"input": "hi", "tools": [TOOL]}, 400),
    ],
)
def test_errors_have_their_shape(http, body, status):
    answer = http.post("/responses", json={"model": "m", **body})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].split(";")[0] == "application/json"
    has(answer.json()["error"], {"message": str, "type": str, "param": (str, NULL), "code": (str, NULL)})


def test_who_does_not_say_who_he_is_is_refused(server):
    answer = httpx2.post(f"{server.base_url}/responses", json={"model": "m", "input": "hi"})
    assert answer.status_code == 401
    has(answer.json()["error"], {"message": str, "type": str, "param": (str, NULL), "code": (str, NULL)})


@tools
def test_tool_calling(ask):
    assert any(item["type"] == "function_call" for item in ask(input=[user("The weather?")], tools=[TOOL])["output"])


@tools
def test_tool_calling_streaming(lines):
    assert any(name == "response.function_call_arguments.done" for name, _ in lines(input="The weather?", tools=[TOOL]))


@media
def test_image_input(ask):
    picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    ask(input=[user([{"type": "input_text", "text": "What is this?"}, picture])])


@media
def test_file_input(ask):
    file = {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}
    ask(input=[user([{"type": "input_text", "text": "What is this?"}, file])])


@pytest.mark.parametrize(
    "body", [{}, {"store": False}, {"input": "[[length]] cut off"}, {"input": "[[errormid]] one two"}, {"input": "[[filter]]"}]
)
def test_streams_end_with_done(lines, body):
    told = lines(**{"input": "hi", **body})
    assert told[-1] == (None, "[DONE]") and [data for _, data in told].count("[DONE]") == 1


def test_a_stream_that_is_asked_for_again_ends_with_done(http, ask):
    id = ask(input="hi")["id"]
    for seen in (None, 4, 1000):
        query = {"stream": "true"} | ({} if seen is None else {"starting_after": seen})
        told = http.get(f"/responses/{id}", params=query).text
        assert told.endswith("data: [DONE]\n\n") and told.count("[DONE]") == 1
