"""Calls put into a store; importable by a process that a test starts."""

from pathlib import Path

from fulcrum.calls import CallStore, call_key
from fulcrum.chat import Completion, Request, Sampling, user
from support.scripted import ScriptedModel

MODEL = ScriptedModel()


def request(text: str, **sampling: object) -> Request:
    return Request((user(text),), Sampling(**sampling))  # pyright: ignore[reportArgumentType]


def key(asked: Request) -> str:
    return call_key(MODEL.identity(asked), asked)


def put(store: CallStore, text: str, completion: Completion) -> str:
    asked = request(text)
    store.put(MODEL, "actor", [(key(asked), asked, completion)])
    return key(asked)


def write_range(path: Path, start: int, stop: int) -> None:
    with CallStore(path) as store:
        for index in range(start, stop):
            put(store, str(index), Completion(f"answer {index}"))
