"""The `llm` command, which is told a base URL and a key and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def llm(server, tmp_path):
    program = Path(sys.executable).with_name("llm")
    told = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LLM_USER_PATH": str(tmp_path),
        "OPENAI_BASE_URL": server.base_url,
        "OPENAI_API_KEY": server.keys[0],
    }

    def run(*words):
        ran = subprocess.run([program, *words], env=told, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    return run


def test_a_conversation_goes_on(llm, stage):
    assert llm("-m", "gpt-4o-mini", "-s", "be kind", "I am Amina") == "echo: I am Amina"
    assert llm("-c", "who am I?") == "echo: who am I?"
    assert [line for line in stage.said_to_model() if line[0] != "system"] == [
        ("user", "I am Amina"),
        ("assistant", "echo: I am Amina"),
        ("user", "who am I?"),
    ]


def test_an_answer_need_not_come_in_pieces(llm):
    assert llm("-m", "gpt-4o-mini", "--no-stream", "hello") == "echo: hello"
