"""Chat completions that are stored, by the official client."""

import asyncio

import openai
import pytest
from conftest import client


def store(amina, text, **more):
    return amina.chat.completions.create(
        model="m",
        messages=[{"role": "developer", "content": "be brief"}, {"role": "user", "content": text}],
        store=True,
        **more,
    )


def test_a_stored_completion_is_found_changed_and_deleted(amina):
    made = store(amina, "hi", metadata={"topic": "greeting"})
    found = amina.chat.completions.retrieve(made.id)
    assert (found.id, found.created, found.model, found.choices) == (made.id, made.created, made.model, made.choices)
    assert found.usage == made.usage
    assert found.metadata == {"topic": "greeting"}
    changed = amina.chat.completions.update(made.id, metadata={"topic": "farewell"})
    assert changed.id == made.id and changed.metadata == {"topic": "farewell"}
    assert amina.chat.completions.retrieve(made.id).metadata == {"topic": "farewell"}
    deleted = amina.chat.completions.delete(made.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "chat.completion.deleted")
    for call in (
        lambda: amina.chat.completions.retrieve(made.id),
        lambda: amina.chat.completions.update(made.id, metadata={}),
        lambda: amina.chat.completions.delete(made.id),
        lambda: amina.chat.completions.messages.list(made.id),
    ):
        with pytest.raises(openai.NotFoundError):
            call()


def test_the_messages_of_a_stored_completion_are_listed_page_by_page(amina):
    made = store(amina, "what did I say?")
    first = amina.chat.completions.messages.list(made.id, limit=1, order="asc")
    assert first.has_more and len(first.data) == 1
    assert [(message.role, message.content) for message in first] == [
        ("developer", "be brief"),
        ("user", "what did I say?"),
    ]
    assert all(message.id for message in first)
    backwards = amina.chat.completions.messages.list(made.id, order="desc")
    assert [message.content for message in backwards] == ["what did I say?", "be brief"]


def test_stored_completions_are_listed_page_by_page_and_by_metadata(stage):
    with client(stage.server()) as amina:
        made = [store(amina, f"number {n}", metadata={"even": str(n % 2 == 0)}).id for n in range(5)]
        amina.chat.completions.create(model="m", messages=[{"role": "user", "content": "not stored"}])
        page = amina.chat.completions.list(limit=2, order="asc")
        assert len(page.data) == 2 and page.has_more
        assert [completion.id for completion in page] == made
        assert [completion.id for completion in amina.chat.completions.list()] == made, "oldest first"
        even = amina.chat.completions.list(metadata={"even": "True"}, order="asc")
        assert [completion.id for completion in even] == made[::2]
        model = amina.models.list().data[0].id
        assert len(list(amina.chat.completions.list(model=model))) == 5
        assert list(amina.chat.completions.list(model="gpt-nothing")) == []


def test_stored_completions_are_listed_newest_first(stage):
    with client(stage.server()) as amina:
        made = [store(amina, f"number {n}").id for n in range(5)]
        assert [completion.id for completion in amina.chat.completions.list(order="desc", limit=3)] == made[::-1]


def test_a_stored_stream_has_the_id_under_which_it_is_found(amina):
    with store(amina, "[[tokens 4 1]] one two three", stream=True) as stream:
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "one two three"
    assert amina.chat.completions.retrieve(chunks[0].id).choices[0].message.content == text


def test_a_stored_completion_goes_on_when_its_client_is_gone(amina, stage):
    gate = stage.gate()
    gate.step()
    with store(amina, gate.held("one two three"), stream=True) as stream:
        id = next(iter(stream)).id
    gate.release()
    stage.gone()
    found = amina.chat.completions.retrieve(id)
    assert found.choices[0].message.content == "one two three"


def test_what_is_not_stored_is_not_found(amina):
    made = amina.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.NotFoundError):
        amina.chat.completions.retrieve(made.id)


def test_others_do_not_find_it(amina, bela):
    made = store(amina, "mine")
    for call in (
        lambda: bela.chat.completions.retrieve(made.id),
        lambda: bela.chat.completions.update(made.id, metadata={}),
        lambda: bela.chat.completions.delete(made.id),
        lambda: bela.chat.completions.messages.list(made.id),
    ):
        with pytest.raises(openai.NotFoundError):
            call()
    assert made.id not in [completion.id for completion in bela.chat.completions.list()]
    assert amina.chat.completions.retrieve(made.id).choices[0].message.content == "echo: mine"


def test_the_asynchronous_client_lists_them_too(make):
    async def run():
        async with make() as amina:
            made = await store(amina, "async")
            found = await amina.chat.completions.retrieve(made.id)
            listed = [completion.id async for completion in amina.chat.completions.list(limit=2)]
            messages = [message.content async for message in amina.chat.completions.messages.list(made.id, limit=1)]
            return made, found, listed, messages

    made, found, listed, messages = asyncio.run(run())
    assert found.choices == made.choices and made.id in listed
    assert sorted(messages) == ["async", "be brief"]
