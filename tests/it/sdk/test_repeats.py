"""Repeated requests, by the official client: a retry never says anything twice, a person may."""

import time

import httpx2
import openai
import pytest
from conftest import client


class LosesAnswers(httpx2.HTTPTransport):
    """The first answers are lost behind the server: their clients see a broken connection."""

    def __init__(self, count):
        super().__init__()
        self.left = count
        self.asked = 0

    def handle_request(self, request):
        self.asked += 1
        answer = super().handle_request(request)
        if not self.left:
            return answer
        self.left -= 1
        answer.read()
        answer.close()
        raise httpx2.ReadError("lost", request=request)


passing = pytest.mark.xfail(strict=True, reason="a completion that is not stored is not known again")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The client need not wait between its tries."""
    monkeypatch.setattr(openai._base_client.BaseClient, "_calculate_retry_timeout", lambda *_: 0)


def flaky(server, count):
    transport = LosesAnswers(count)
    return transport, client(server, http_client=openai.DefaultHttpxClient(transport=transport))


def texts(amina, conversation):
    return [item.content[0].text for item in amina.conversations.items.list(conversation.id, order="asc")]


@pytest.mark.parametrize("lost", [1, 2])
def test_a_retry_of_the_client_is_the_same_response(server, amina, stage, lost):
    conversation = amina.conversations.create()
    asked = len(stage.seen())
    transport, unlucky = flaky(server, lost)
    with unlucky:
        made = unlucky.responses.create(input="hi", conversation=conversation.id)
    assert transport.asked == lost + 1
    assert texts(amina, conversation) == ["hi", "echo: hi"] and len(stage.seen()) == asked + 1
    assert amina.responses.retrieve(made.id) == made


def test_a_retry_of_the_client_makes_one_conversation_and_adds_items_once(server, amina):
    transport, unlucky = flaky(server, 1)
    with unlucky:
        made = unlucky.conversations.create(items=[{"role": "user", "content": "one"}])
        transport.left = 1
        unlucky.conversations.items.create(made.id, items=[{"role": "user", "content": "two"}])
    assert texts(amina, made) == ["one", "two"]


def test_a_retry_of_the_client_has_the_stream_from_its_beginning(server, amina, stage):
    asked = len(stage.seen())
    _, unlucky = flaky(server, 1)
    with unlucky, unlucky.responses.create(input="[[tokens 3 1]] one two three", stream=True) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.output_text == "one two three" and len(stage.seen()) == asked + 1


@pytest.mark.parametrize("store", [True, pytest.param(False, marks=passing)])
@pytest.mark.parametrize("stream", [True, False])
def test_a_retry_of_the_client_is_the_same_completion(server, stage, store, stream):
    asked = len(stage.seen())
    _, unlucky = flaky(server, 1)
    with unlucky:
        made = unlucky.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], store=store, stream=stream
        )
        text = (
            "".join(chunk.choices[0].delta.content or "" for chunk in made)
            if stream
            else made.choices[0].message.content
        )
    assert text == "echo: hi" and len(stage.seen()) == asked + 1


def test_a_retry_while_the_first_try_still_runs_waits_with_it(server, amina, stage, monkeypatch):
    conversation = amina.conversations.create()
    asked = len(stage.seen())
    gate = stage.gate()
    monkeypatch.setattr(time, "sleep", lambda _: gate.release())  # Between the first try and the second.
    with client(server) as hasty:
        made = hasty.responses.create(
            input=gate.held("one two"), conversation=conversation.id, timeout=httpx2.Timeout(30, read=1)
        )
    assert made.output_text == "one two" and len(stage.seen()) == asked + 1
    assert texts(amina, conversation)[1:] == ["one two"]


def test_who_says_the_same_again_is_heard_again(amina, stage):
    conversation = amina.conversations.create()
    for _ in range(2):
        amina.responses.create(input="no", conversation=conversation.id)
    assert texts(amina, conversation) == ["no", "echo: no"] * 2


def test_a_key_makes_it_the_same_response(amina, stage):
    conversation = amina.conversations.create()
    key = {"Idempotency-Key": "the-first-one"}
    one, same = (amina.responses.create(input="hi", conversation=conversation.id, extra_headers=key) for _ in range(2))
    assert one == same and texts(amina, conversation) == ["hi", "echo: hi"]
    with pytest.raises(openai.UnprocessableEntityError):
        amina.responses.create(input="something else", conversation=conversation.id, extra_headers=key)
    assert texts(amina, conversation) == ["hi", "echo: hi"]


def test_a_key_is_known_after_a_kill(stage):
    server = stage.server()
    key = {"Idempotency-Key": "before-the-kill"}
    with client(server) as amina:
        one = amina.responses.create(input="hi", extra_headers=key)
    server.kill()
    with client(server) as amina:
        assert amina.responses.create(input="hi", extra_headers=key) == one


def test_a_key_is_of_its_user_alone(amina, bela):
    key = {"Idempotency-Key": "everybody-has-it"}
    mine, hers = (user.responses.create(input="hi", extra_headers=key) for user in (amina, bela))
    assert mine.id != hers.id and amina.responses.retrieve(mine.id) == mine


@pytest.mark.parametrize("store", [True, pytest.param(False, marks=passing)])
def test_a_key_makes_it_the_same_completion(amina, stage, store):
    asked = len(stage.seen())
    key = {"Idempotency-Key": f"completion-{store}"}
    hi = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "store": store}
    one, same = (amina.chat.completions.create(**hi, extra_headers=key) for _ in range(2))
    assert one.id == same.id and one.choices == same.choices and len(stage.seen()) == asked + 1


def test_a_key_makes_one_conversation_and_adds_items_once(amina):
    key = {"Idempotency-Key": "a-conversation"}
    one, same = (amina.conversations.create(extra_headers=key) for _ in range(2))
    assert one.id == same.id
    key = {"Idempotency-Key": "an-item"}
    item = {"role": "user", "content": "once"}
    added, again = (amina.conversations.items.create(one.id, items=[item], extra_headers=key) for _ in range(2))
    assert added.first_id == again.first_id and texts(amina, one) == ["once"]
