"""API keys with scopes, by the official client."""

import httpx2
import openai
import pytest
from stage import PATIENCE

HI = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def person(server):
    """The user as a person who has logged in: only such a one makes keys."""
    headers = {"authorization": f"Bearer {server.keys[0]}"}
    base_url = server.base_url.removesuffix("/v1") + "/api/v1/auth"
    with httpx2.Client(base_url=base_url, headers=headers, timeout=PATIENCE) as person:
        yield person


@pytest.fixture
def program(server, person):
    """Makes a client that has a key with these scopes, and gives the key's id with it."""
    made = []

    def program(*scopes):
        asked = {"name": " and ".join(scopes), "scopes": scopes}
        key = person.post("/keys", json=asked).raise_for_status().json()
        made.append(openai.OpenAI(base_url=server.base_url, api_key=key["key"], timeout=PATIENCE))
        return made[-1], key["id"]

    yield program
    for client in made:
        client.close()


def refused(call):
    with pytest.raises(openai.PermissionDeniedError) as refused:
        call()
    assert refused.value.code == "out_of_scope" and refused.value.body["message"]
    assert refused.value.response.headers.get("x-should-retry") != "true", "it is no use to try again"


def test_a_key_with_every_scope_does_everything(program):
    client, _ = program("models", "completions", "conversations")
    assert list(client.models.list())
    assert client.chat.completions.create(**HI).choices[0].message.content == "echo: hi"
    kept = client.chat.completions.create(**HI, store=True)
    assert client.chat.completions.retrieve(kept.id).id == kept.id
    conversation = client.conversations.create()
    with client.responses.create(input="hi", conversation=conversation.id, stream=True) as stream:
        assert list(stream)[-1].response.output_text == "echo: hi"
    assert len(list(client.conversations.items.list(conversation.id))) == 2


def test_a_key_is_its_user(program, amina):
    client, _ = program("conversations")
    conversation = client.conversations.create(metadata={"by": "a program"})
    assert amina.conversations.retrieve(conversation.id).metadata == {"by": "a program"}


def test_a_key_does_nothing_beyond_its_scopes(program):
    client, _ = program("models")
    assert list(client.models.list())
    refused(lambda: client.chat.completions.create(**HI))
    refused(lambda: client.responses.create(input="hi"))
    refused(client.conversations.create)
    client, _ = program("completions")
    assert client.chat.completions.create(**HI).choices[0].message.content == "echo: hi"
    refused(client.conversations.create)
    refused(client.chat.completions.list)


def test_a_key_that_may_read_changes_nothing(program, amina):
    client, _ = program("read")
    made = amina.responses.create(input="hi")
    assert client.responses.retrieve(made.id) == made
    refused(lambda: client.responses.create(input="hi"))
    refused(lambda: client.responses.delete(made.id))
    refused(client.conversations.create)


def test_a_key_that_has_ended_is_an_authentication_error(program, person):
    client, id = program("models")
    assert list(client.models.list())
    person.delete(f"/keys/{id}").raise_for_status()
    with pytest.raises(openai.AuthenticationError) as ended:
        client.models.list()
    assert ended.value.code == "invalid_api_key"
