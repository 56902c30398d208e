"""Conversations and their items, by the official client."""

import asyncio

import httpx2
import openai
import pytest
from openai.types.conversations import Conversation, ConversationDeletedResource, Message


def say(role, text):
    return {"type": "message", "role": role, "content": text}


def texts(items):
    return [(item.role, item.content[0].text) for item in items]


def test_a_conversation_is_made_found_changed_and_deleted(amina):
    made = amina.conversations.create(metadata={"topic": "umbrella"})
    assert isinstance(made, Conversation) and made.id.startswith("conv_") and made.object == "conversation"
    assert made.metadata == {"topic": "umbrella"} and isinstance(made.created_at, int)
    assert amina.conversations.retrieve(made.id) == made
    changed = amina.conversations.update(made.id, metadata={"topic": "rain", "found": "no"})
    assert changed.metadata == {"topic": "rain", "found": "no"} and changed.created_at == made.created_at
    assert amina.conversations.retrieve(made.id) == changed
    deleted = amina.conversations.delete(made.id)
    assert isinstance(deleted, ConversationDeletedResource)
    assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "conversation.deleted")
    for call in (amina.conversations.retrieve, amina.conversations.delete, amina.conversations.items.list):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


def test_a_conversation_without_anything_is_empty(amina):
    made = amina.conversations.create()
    assert made.metadata == {}
    listed = amina.conversations.items.list(made.id)
    assert (listed.data, listed.has_more) == ([], False)


def test_items_come_along_and_are_added(amina):
    made = amina.conversations.create(items=[say("system", "be kind"), say("user", "hello")])
    added = amina.conversations.items.create(
        made.id,
        items=[
            {"role": "assistant", "content": [{"type": "output_text", "text": "hi", "annotations": []}]},
            {"role": "user", "content": [{"type": "input_text", "text": text} for text in ("lost ", "it")]},
            {"role": "developer", "content": "listen"},
        ],
    )
    assert all(isinstance(item, Message) and item.id.startswith("msg_") for item in added.data)
    assert {item.status for item in added.data} == {"completed"}
    assert (added.first_id, added.last_id) == (added.data[0].id, added.data[-1].id)
    listed = amina.conversations.items.list(made.id, order="asc")
    assert texts(listed) == [
        ("system", "be kind"),
        ("user", "hello"),
        ("assistant", "hi"),
        ("user", "lost it"),
        ("developer", "listen"),
    ]
    assert [item.content[0].type for item in listed.data] == [
        "input_text",
        "input_text",
        "output_text",
        "input_text",
        "input_text",
    ]
    assert listed.data[2].content[0].annotations == []
    for item in listed.data:
        assert amina.conversations.items.retrieve(item.id, conversation_id=made.id) == item


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_follow_each_other_by_themselves(amina, limit, order):
    made = amina.conversations.create(items=[say("user", str(n)) for n in range(7)])
    page = amina.conversations.items.list(made.id, limit=limit, order=order)
    assert len(page.data) == min(limit, 7) and page.has_more == (limit < 7)
    numbers = [int(item.content[0].text) for item in page]
    assert numbers == (list(range(7)) if order == "asc" else list(range(6, -1, -1)))


def test_the_newest_twenty_come_first_where_nothing_is_said(amina):
    made = amina.conversations.create(items=[say("user", str(n)) for n in range(15)])
    amina.conversations.items.create(made.id, items=[say("user", str(n)) for n in range(15, 25)])
    page = amina.conversations.items.list(made.id)
    assert [int(item.content[0].text) for item in page.data] == list(range(24, 4, -1))
    assert page.has_more


def test_an_item_is_deleted_and_the_others_stay(amina):
    made = amina.conversations.create(items=[say("user", "one"), say("user", "two"), say("user", "three")])
    items = amina.conversations.items.list(made.id, order="asc").data
    left = amina.conversations.items.delete(items[1].id, conversation_id=made.id)
    assert isinstance(left, Conversation) and left.id == made.id
    assert [text for _, text in texts(amina.conversations.items.list(made.id, order="asc"))] == ["one", "three"]
    for call in (amina.conversations.items.retrieve, amina.conversations.items.delete):
        with pytest.raises(openai.NotFoundError):
            call(items[1].id, conversation_id=made.id)


def test_others_see_nothing_of_it(amina, bela):
    made = amina.conversations.create(items=[say("user", "mine")])
    [item] = amina.conversations.items.list(made.id).data
    other = bela.conversations.create()
    for call in (
        lambda: bela.conversations.retrieve(made.id),
        lambda: bela.conversations.update(made.id, metadata={}),
        lambda: bela.conversations.delete(made.id),
        lambda: bela.conversations.items.list(made.id),
        lambda: bela.conversations.items.create(made.id, items=[say("user", "theirs")]),
        lambda: bela.conversations.items.retrieve(item.id, conversation_id=made.id),
        lambda: bela.conversations.items.delete(item.id, conversation_id=made.id),
        lambda: bela.conversations.items.retrieve(item.id, conversation_id=other.id),
        lambda: bela.responses.create(input="hi", conversation=made.id),
    ):
        with pytest.raises(openai.NotFoundError) as refused:
            call()
        assert refused.value.body["message"]
    assert texts(amina.conversations.items.list(made.id)) == [("user", "mine")]


@pytest.mark.parametrize("id", ["conv_0", "conv_" + "0" * 32, "conv_" + "A" * 32, "thread_1", "conv_%2F"])
def test_what_is_no_conversation_is_not_found(amina, id):
    with pytest.raises(openai.NotFoundError):
        amina.conversations.retrieve(id)


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (lambda to: to.create(items=[say("user", "x")] * 21), "items"),
        (lambda to: to.create(items=[say("robot", "x")]), "items[0].role"),
        (lambda to: to.create(metadata={str(n): "x" for n in range(17)}), "metadata"),
        (lambda to: to.create(metadata={"k": "x" * 513}), "metadata"),
        (lambda to: to.create(items=[{"type": "function_call_output", "call_id": "1", "output": "{}"}]), "items[0]"),
        (lambda to: to.items.list(to.create().id, limit=101), "limit"),
        (lambda to: to.items.list(to.create().id, limit=0), "limit"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(amina, call, param):
    with pytest.raises(openai.BadRequestError) as refused:
        call(amina.conversations)
    assert refused.value.param.startswith(param), refused.value.param


def test_what_a_client_adds_shows_on_the_page_and_the_other_way_round(amina, server):
    made = amina.conversations.create(items=[say("user", "from a program")])
    page = httpx2.Client(
        base_url=server.base_url.removesuffix("/v1"), headers={"authorization": f"Bearer {server.keys[0]}"}
    )
    with page:
        sessions = page.get("/api/v1/sessions").json()["sessions"]
        plain = made.id.removeprefix("conv_")
        [session] = [session["id"] for session in sessions if session["id"].replace("-", "") == plain]
        messages = page.get(f"/api/v1/sessions/{session}/messages").json()["messages"]
        assert [(message["role"], message["content"]) for message in messages] == [("user", "from a program")]
        page.post(f"/api/v1/sessions/{session}/messages", json={"content": "from the page"}).raise_for_status()
    assert texts(amina.conversations.items.list(made.id, order="asc")) == [
        ("user", "from a program"),
        ("user", "from the page"),
        ("assistant", "echo: from the page"),
    ]


def test_the_asynchronous_client_holds_them_too(make):
    async def run():
        async with make() as amina:
            made = await amina.conversations.create(items=[say("user", "0")])
            for n in range(1, 6):
                await amina.conversations.items.create(made.id, items=[say("user", str(n))])
            listed = [item async for item in amina.conversations.items.list(made.id, limit=2, order="asc")]
            one = await amina.conversations.items.retrieve(listed[3].id, conversation_id=made.id)
            changed = await amina.conversations.update(made.id, metadata={"a": "b"})
            await amina.conversations.delete(made.id)
            return listed, one, changed

    listed, one, changed = asyncio.run(run())
    assert [text for _, text in texts(listed)] == ["0", "1", "2", "3", "4", "5"]
    assert one == listed[3] and changed.metadata == {"a": "b"}
