"""Chat completions that are not stored, by the official client."""

import asyncio

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

TEXT = "আমি ক্ষমা চাই। 👨‍👩‍👧‍👦 \"\\\n ok"


def user(text):
    return [{"role": "user", "content": text}]


def test_a_completion_is_typed_and_whole(amina):
    made = amina.chat.completions.create(model="gpt-whatever", messages=user(f"[[say]] {TEXT}"))
    assert isinstance(made, ChatCompletion)
    assert made.object == "chat.completion" and made.id.startswith("chatcmpl-")
    [choice] = made.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert (choice.message.role, choice.message.content, choice.message.refusal) == ("assistant", TEXT, None)
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens > 0
    assert made.model == amina.models.list().data[0].id
    assert made._request_id, "the id of the request comes along"


def test_what_is_sent_reaches_the_model(amina, stage):
    amina.chat.completions.create(
        model="gpt-whatever",
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": "three"},
            {"role": "user", "content": "and?"},
        ],
        temperature=0.5,
        max_completion_tokens=9,
        stop=["END"],
        seed=7,
        user="somebody",
        extra_body={"made_up": {"deep": [1]}},
    )
    assert stage.said_to_model() == [
        ("system", "be brief"),
        ("user", "one two"),
        ("assistant", "three"),
        ("user", "and?"),
    ]
    asked = stage.seen()[-1]
    assert (asked["temperature"], asked["max_tokens"], asked["stop"], asked["seed"]) == (0.5, 9, ["END"], 7)
    assert "made_up" not in asked


def test_a_reply_that_may_not_be_longer_says_so(amina):
    made = amina.chat.completions.create(model="m", messages=user("[[length]] cut off"))
    assert made.choices[0].finish_reason == "length"


@pytest.mark.parametrize("usage", [False, True])
def test_a_stream_has_all_of_it_in_typed_pieces(amina, usage):
    more = {"stream_options": {"include_usage": True}} if usage else {}
    with amina.chat.completions.create(
        model="m", messages=user(f"[[tokens 5 1]] {TEXT}"), stream=True, **more
    ) as stream:
        chunks = list(stream)
    assert all(isinstance(chunk, ChatCompletionChunk) and chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    if usage:
        last = chunks.pop()
        assert last.choices == [] and last.usage.total_tokens > 0
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]


def test_the_helper_for_streams_puts_them_together(amina):
    with amina.chat.completions.stream(
        model="m", messages=user(f"[[tokens 5 1]] {TEXT}"), stream_options={"include_usage": True}
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    assert "".join(event.delta for event in events if event.type == "content.delta") == TEXT
    assert [event.content for event in events if event.type == "content.done"] == [TEXT]
    assert final.choices[0].message.content == TEXT and final.choices[0].finish_reason == "stop"
    assert final.usage.total_tokens > 0


def test_text_comes_while_the_model_still_speaks(amina, stage):
    gate = stage.gate()
    gate.step()  # A stream is answered with its first word: what fails before has a status.
    with amina.chat.completions.create(model="m", messages=user(gate.held("one two three")), stream=True) as stream:
        first = next(chunk for chunk in stream if chunk.choices[0].delta.content)
        assert first.choices[0].delta.content.strip() == "one"
        gate.release()
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream).strip() == "two three"


def test_a_client_that_goes_away_stops_the_model(amina, stage):
    gate = stage.gate()
    gate.step()  # A stream is answered with its first word: what fails before has a status.
    with amina.chat.completions.create(model="m", messages=user(gate.held("one two three")), stream=True) as stream:
        next(chunk for chunk in stream if chunk.choices[0].delta.content)
    stage.gone()  # The gate is still shut.


class Weather(BaseModel):
    place: str
    degrees: int


def test_the_helper_for_forms_reads_the_reply(amina, stage):
    made = amina.chat.completions.parse(
        model="m", messages=user('[[say]] {"place": "Sylhet", "degrees": 31}'), response_format=Weather
    )
    assert made.choices[0].message.parsed == Weather(place="Sylhet", degrees=31)
    asked = stage.seen()[-1]["response_format"]
    assert asked["type"] == "json_schema" and asked["json_schema"]["name"] == "Weather"


def test_raw_answers_have_their_headers(amina):
    raw = amina.chat.completions.with_raw_response.create(model="m", messages=user("hi"))
    assert raw.status_code == 200 and raw.headers["x-request-id"] == raw.request_id
    assert raw.parse().choices[0].message.content == "echo: hi"


def test_the_asynchronous_client_has_both_kinds(make):
    async def run():
        async with make() as amina:
            several = await asyncio.gather(
                *(amina.chat.completions.create(model="m", messages=user(f"number {n}")) for n in range(8))
            )
            stream = await amina.chat.completions.create(model="m", messages=user(f"[[say]] {TEXT}"), stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            async with amina.chat.completions.stream(model="m", messages=user("hi")) as helper:
                final = await helper.get_final_completion()
            return [made.choices[0].message.content for made in several], "".join(pieces), final

    several, text, final = asyncio.run(run())
    assert several == [f"echo: number {n}" for n in range(8)]
    assert text == TEXT and final.choices[0].message.content == "echo: hi"


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "unsupported_parameter"),
        ({"n": 2}, "n", None),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio", "unsupported_parameter"),
        ({"temperature": 3}, "temperature", None),
    ],
)
def test_what_is_not_supported_is_refused_by_name(amina, more, param, code):
    with pytest.raises(openai.BadRequestError) as refused:
        amina.chat.completions.create(model="m", messages=user("hi"), **more)
    assert refused.value.param == param and refused.value.type == "invalid_request_error"
    assert code is None or refused.value.code == code


def test_pictures_are_refused_by_name(amina):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(openai.BadRequestError) as refused:
        amina.chat.completions.create(model="m", messages=[{"role": "user", "content": [picture]}])
    assert refused.value.code == "unsupported_value"
    assert refused.value.param.startswith("messages[0].content[0]")


@pytest.mark.parametrize("store", [False, True])
def test_a_completion_of_which_a_filter_left_nothing(amina, store):
    made = amina.chat.completions.create(model="m", messages=user("[[filter]]"), store=store)
    assert (made.choices[0].message.content, made.choices[0].finish_reason) == ("", "content_filter")
    chunks = list(amina.chat.completions.create(model="m", messages=user("[[filter]]"), store=store, stream=True))
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, "content_filter"]
    # What the library's own helpers make of it.
    with amina.chat.completions.stream(model="m", messages=user("[[filter]]"), store=store) as stream:
        with pytest.raises(openai.ContentFilterFinishReasonError):
            stream.get_final_completion()
    with pytest.raises(openai.ContentFilterFinishReasonError):
        amina.chat.completions.parse(model="m", messages=user("[[filter]]"), response_format=Weather)
