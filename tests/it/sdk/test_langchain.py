"""LangChain, which is told a base URL and a key and nothing else."""

import asyncio

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_openai import ChatOpenAI


@pytest.fixture(autouse=True)
def told(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_BASE", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", server.keys[0])


def spoken(stage):
    return [line for line in stage.said_to_model() if line[0] != "system"]


def test_a_chain_answers_at_once_and_piece_by_piece(stage):
    prompt = ChatPromptTemplate.from_messages([("system", "be kind"), ("user", "{words}")])
    chain = prompt | ChatOpenAI(model="gpt-4o-mini") | StrOutputParser()
    assert chain.invoke({"words": "hello"}) == "echo: hello"
    assert stage.said_to_model() == [("system", "be kind"), ("user", "hello")]
    assert "".join(chain.stream({"words": "[[tokens 4 1]] one two three"})) == "one two three"
    assert asyncio.run(chain.ainvoke({"words": "hello"})) == "echo: hello"
    assert sorted(chain.batch([{"words": "a"}, {"words": "b"}])) == ["echo: a", "echo: b"]


def test_an_answer_says_what_it_took():
    answer = ChatOpenAI(model="gpt-4o-mini").invoke("hello")
    assert isinstance(answer, AIMessage) and answer.usage_metadata["total_tokens"] > 0
    assert answer.response_metadata["finish_reason"] == "stop"


def test_memory_of_its_own(stage):
    """The history lives in the program, and comes along every time."""
    history = []
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("user", "{words}")])
    chain = prompt | ChatOpenAI(model="gpt-4o-mini")
    for words in ("I am Amina", "who am I?"):
        answer = chain.invoke({"history": history, "words": words})
        history += [HumanMessage(words), answer]
    assert spoken(stage) == [("user", "I am Amina"), ("assistant", "echo: I am Amina"), ("user", "who am I?")]


@pytest.mark.parametrize("version", ["v0", "responses/v1"])
def test_memory_of_the_server_by_the_response_before(stage, version):
    """Only what is new goes over the wire: the rest is behind `previous_response_id`."""
    model = ChatOpenAI(
        model="gpt-4o-mini", use_responses_api=True, use_previous_response_id=True, output_version=version
    )
    said = [SystemMessage("be kind"), HumanMessage("I am Amina")]
    said.append(model.invoke(said))
    assert said[-1].text == "echo: I am Amina" and said[-1].response_metadata["id"].startswith("resp_")
    said.append(HumanMessage("who am I?"))
    assert model.invoke(said).text == "echo: who am I?"
    assert spoken(stage) == [("user", "I am Amina"), ("assistant", "echo: I am Amina"), ("user", "who am I?")]


@pytest.mark.parametrize("version", ["v0", "responses/v1"])
def test_responses_with_a_history_that_comes_along(stage, version):
    model = ChatOpenAI(model="gpt-4o-mini", use_responses_api=True, output_version=version)
    said = [HumanMessage("I am Amina")]
    said.append(model.invoke(said))
    said.append(HumanMessage("who am I?"))
    pieces = list(model.stream(said))
    assert "".join(piece.text for piece in pieces) == "echo: who am I?"
    assert spoken(stage) == [("user", "I am Amina"), ("assistant", "echo: I am Amina"), ("user", "who am I?")]
