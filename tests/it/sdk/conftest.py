"""What the tests share: one server, and its users as the official client has them."""

import openai
import pytest
from stage import PATIENCE, Stage


def client(server, key=0, **more):
    return openai.OpenAI(base_url=server.base_url, api_key=server.keys[key], timeout=PATIENCE, **more)


@pytest.fixture(scope="session")
def stage():
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def server(stage):
    return stage.server()


@pytest.fixture
def amina(server):
    with client(server) as amina:
        yield amina


@pytest.fixture
def bela(server):
    with client(server, 1) as bela:
        yield bela


@pytest.fixture
def make(server):
    """Makes an asynchronous client of amina, which belongs to one event loop."""
    return lambda **more: openai.AsyncOpenAI(
        base_url=server.base_url, api_key=server.keys[0], timeout=PATIENCE, **more
    )
