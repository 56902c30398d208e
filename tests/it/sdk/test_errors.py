"""Models, and what the official client makes of refusals."""

import time

import openai
import pytest
from conftest import client
from openai.types import Model

HI = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_models_are_listed_and_found(amina):
    listed = list(amina.models.list())
    assert [type(model) for model in listed] == [Model] and listed[0].object == "model"
    assert amina.models.retrieve(listed[0].id) == listed[0]
    with pytest.raises(openai.NotFoundError) as refused:
        amina.models.retrieve("gpt-nothing")
    assert refused.value.code == "model_not_found"


def test_a_wrong_key_is_an_authentication_error(server):
    with openai.OpenAI(base_url=server.base_url, api_key="sk-wrong") as nobody:
        for call in (nobody.models.list, lambda: nobody.chat.completions.create(**HI)):
            with pytest.raises(openai.AuthenticationError) as refused:
                call()
            assert refused.value.code == "invalid_api_key" and refused.value.request_id
            assert refused.value.body["message"], "it says what to do"


def test_a_wrong_body_is_a_bad_request(amina):
    for wrong in ({"messages": []}, {"messages": [{"role": "robot", "content": "hi"}]}, {"stream": "maybe"}):
        with pytest.raises(openai.BadRequestError) as refused:
            amina.chat.completions.create(**{**HI, **wrong})
        assert refused.value.type == "invalid_request_error"
        assert refused.value.param.startswith(next(iter(wrong)))


def test_an_unknown_path_is_not_found(amina):
    with pytest.raises(openai.NotFoundError) as refused:
        amina.embeddings.create(model="m", input="hi")
    assert set(refused.value.body) == {"message", "type", "param", "code"}


def test_a_body_that_is_too_large_is_refused_once(amina, stage):
    asked = len(stage.seen())
    with pytest.raises(openai.APIStatusError) as refused:
        amina.chat.completions.create(model="m", messages=[{"role": "user", "content": "x" * 20_000_000}])
    assert refused.value.status_code in (400, 413)
    assert len(stage.seen()) == asked


def test_too_many_messages_are_a_rate_limit_with_the_time_to_wait(stage):
    server = stage.server("limits.free.messages_per_minute=2")
    with client(server, max_retries=0) as amina:
        for _ in range(2):
            amina.chat.completions.create(**HI)
        with pytest.raises(openai.RateLimitError) as refused:
            amina.chat.completions.create(**HI)
    headers = refused.value.response.headers
    assert refused.value.code == "rate_limit_exceeded"
    assert 0 < float(headers["retry-after"]) <= 60
    assert 0 < float(headers["retry-after-ms"]) <= 60_000


def test_the_client_waits_as_long_as_it_is_told_and_tries_again(stage, monkeypatch):
    server = stage.server("limits.free.messages_per_minute=60")
    waits = []

    def wait(seconds):
        waits.append(seconds)
        pause(seconds)

    pause = time.sleep
    monkeypatch.setattr(time, "sleep", wait)
    with client(server) as amina:
        for _ in range(62):
            assert amina.chat.completions.create(**HI).choices[0].message.content == "echo: hi"
    assert waits and all(0 < wait <= 1.5 for wait in waits), waits


@pytest.mark.parametrize(
    ("directive", "kind"),
    [("status 500", openai.InternalServerError), ("status 401", openai.InternalServerError)],
)
def test_a_model_that_fails_is_a_fault_of_the_server(stage, directive, kind):
    server = stage.server(rough=True)
    with client(server, max_retries=0) as amina:
        with pytest.raises(kind) as failed:
            amina.chat.completions.create(model="m", messages=[{"role": "user", "content": f"[[{directive}]] x"}])
    assert failed.value.status_code in (502, 503, 504) and failed.value.type == "server_error"


def test_a_model_that_fails_behind_the_first_word_is_an_error_in_the_stream(stage):
    server = stage.server(rough=True)
    with client(server, max_retries=0) as amina:
        stream = amina.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "[[errormid]] one two three"}], stream=True
        )
        with pytest.raises(openai.APIError) as failed:
            for _ in stream:
                pass
    assert failed.value.type == "server_error" and failed.value.message


def test_a_server_that_is_not_there_is_a_connection_error():
    with openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k", max_retries=0) as nobody:
        with pytest.raises(openai.APIConnectionError):
            nobody.models.list()
