from pathlib import Path

import pytest

from fulcrum.calls import Budget, CallStore, Ledger, RecordedModel
from fulcrum.chat import Request, complete, resolve, user
from fulcrum.errors import ModelError
from support.scripted import ScriptedModel


def record(path: Path, name: str, *texts: str) -> None:
    with CallStore(path) as store:
        model = RecordedModel(ScriptedModel(name=name), "actor", store, Ledger(), Budget())
        complete(model, [Request((user(text),)) for text in texts])


def test_a_recording_answers_what_was_asked_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    record(path, "http://a/v1#m", "one", "two")
    model = resolve(f"replay:{path}")
    known, unknown = complete(model, [Request((user("two"),)), Request((user("three"),))])
    assert known.text == "TWO"
    assert unknown.failure is not None and "not in the recording" in unknown.failure.detail


def test_a_recording_of_several_models_wants_one_picked(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    record(path, "http://a/v1#m", "one")
    record(path, "http://a/v1#n", "one")
    with pytest.raises(ModelError, match="pick one of the recorded models: http://a/v1#m, http://a/v1#n"):
        resolve(f"replay:{path}")
    (answer,) = complete(resolve(f"replay:{path}#http://a/v1#n"), [Request((user("one"),))])
    assert answer.text == "ONE"


def test_how_an_endpoint_was_called_makes_no_other_model_of_it(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    record(path, "http://a/v1?timeout=60#m", "one")
    record(path, "http://a/v1?timeout=90&retries=1#m", "two")
    answers = complete(resolve(f"replay:{path}"), [Request((user(text),)) for text in ("one", "two")])
    assert [answer.text for answer in answers] == ["ONE", "TWO"]


def test_answers_of_several_adapters_are_never_mixed_up(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with CallStore(path) as store:
        model = RecordedModel(ScriptedModel(name="hf:m"), "actor", store, Ledger(), Budget())
        complete(model, [Request((user("one"),), adapter=adapter) for adapter in ("a", "b")])
    (answer,) = complete(resolve(f"replay:{path}"), [Request((user("one"),))])
    assert answer.failure is not None and "several adapters" in answer.failure.detail


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such call store"):
        resolve(f"replay:{tmp_path / 'none.sqlite'}")
