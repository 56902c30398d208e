"""The other side of `stage.rs`: servers, gates and kills for tests that are written in Python."""

import itertools
import json
import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass

# Nothing that a test waits for takes longer, seconds.
PATIENCE = 60


class Stage:
    """A connection to the test that runs this one."""

    def __init__(self):
        host, port = os.environ["BONDHU_STAGE"].rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), PATIENCE)
        self._lines = self._socket.makefile("rw", encoding="utf-8")
        self._gates = itertools.count()

    def close(self):
        self._lines.close()
        self._socket.close()

    def ask(self, what, **more):
        self._lines.write(json.dumps({"do": what, **more}) + "\n")
        self._lines.flush()
        answer = self._lines.readline()
        assert answer, f"the test that was asked to {what} has ended"
        return json.loads(answer)

    def server(self, *settings, rough=False):
        """A server of its own; `rough` where answers of the 500s are wanted."""
        return Server(self, **self.ask("server", settings=list(settings), rough=rough))

    def gate(self, once=False):
        """A gate that no other test has."""
        return Gate(self, f"gate-{os.getpid()}-{next(self._gates)}", once)

    @contextmanager
    def behaving(self, directive):
        """For a while, messages are answered so that do not say it themselves; else by `say`."""
        self.ask("behave", directive=directive)
        try:
            yield
        finally:
            self.ask("behave", directive="say")

    def seen(self):
        """What the model was asked with, request by request."""
        return self.ask("seen")["bodies"]

    def said_to_model(self):
        """The messages of the newest request, as pairs of role and text."""
        return [(message["role"], message["content"]) for message in self.seen()[-1]["messages"]]

    def gone(self):
        """Waits until nobody hears the model any more."""
        self.ask("gone")


@dataclass
class Server:
    stage: Stage
    id: int
    base_url: str
    keys: list

    def kill(self):
        """Ends it by SIGKILL and starts it again on the same data."""
        self.base_url = self.stage.ask("kill", server=self.id)["base_url"]


@dataclass
class Gate:
    """Holds back a reply of the model, word by word."""

    stage: Stage
    name: str
    once: bool

    def held(self, text):
        """A message that is answered with `text`, a word whenever it is let go."""
        return f"[[{'once ' if self.once else ''}gate {self.name}]] {text}"

    def step(self):
        self.stage.ask("step", gate=self.name)

    def release(self):
        self.stage.ask("release", gate=self.name)
