import sys

import pytest

from fulcrum.chat import Completion, Failure, Request, complete, resolve, user
from fulcrum.errors import ModelError

SOURCE = """
from fulcrum.chat import Completion, Usage

def shout(request):
    return request.messages[-1].content.upper()

def whole(request):
    return Completion("yes", usage=Usage(3, 1))

def breaks(request):
    raise KeyError("city")

def numbers(request):
    return 3

def silent(request):
    return " "

constant = 3
"""


@pytest.fixture
def rules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "house_rules.py").write_text(SOURCE)
    yield tmp_path
    sys.modules.pop("house_rules", None)


def ask(name, *texts):
    return complete(resolve(name), [Request((user(text),)) for text in texts])


def test_a_function_of_the_current_folder_answers(rules):
    assert [completion.text for completion in ask("python:house_rules:shout", "a", "b")] == ["A", "B"]


def test_a_function_may_return_a_whole_completion(rules):
    (completion,) = ask("python:house_rules:whole", "a")
    assert (completion.text, completion.usage.total) == ("yes", 4)


@pytest.mark.parametrize(
    ("function", "failure"),
    [
        ("breaks", Failure("server", "KeyError: 'city'")),
        ("numbers", Failure("server", "the function returned int; it must return str or Completion")),
        ("silent", Failure("empty", "the function returned no text")),
    ],
)
def test_a_bad_call_is_a_failure(rules, function, failure):
    assert [completion.failure for completion in ask(f"python:house_rules:{function}", "a", "b")] == [failure] * 2


def test_answers_come_one_by_one_as_they_are_asked_for(rules):
    asked = []

    def requests():
        for text in "abc":
            asked.append(text)
            yield Request((user(text),))

    group = next(resolve("python:house_rules:shout").generate(requests()))
    assert [(index, completion.text) for index, completion in group] == [(0, "A")]
    assert asked == ["a"]


def test_identity_follows_the_source(rules):
    request = Request((user("a"),))
    before = resolve("python:house_rules:shout").identity(request)
    assert before == resolve("python:house_rules:shout").identity(request)
    assert before != resolve("python:house_rules:silent").identity(request)
    (rules / "house_rules.py").write_text(SOURCE.replace("upper", "title  "))
    sys.modules.pop("house_rules")
    assert before != resolve("python:house_rules:shout").identity(request)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("python:house_rules", "python:MODULE:FUNCTION"),
        ("python:house_rulez:shout", "no module 'house_rulez'"),
        ("python:house_rules:shuot", "no function 'shuot'; did you mean 'shout'"),
        ("python:house_rules:constant", "no function 'constant'"),
        ("python:needs:thing", "needs 'missing_package'"),
        ("python:house_rules:shout?x=1", "no option 'x'"),
    ],
)
def test_wrong_names_are_explained(rules, name, message):
    (rules / "needs.py").write_text("import missing_package")
    with pytest.raises(ModelError, match=message):
        resolve(name)


def test_completion_of_a_function_is_named_after_it(rules):
    (completion,) = ask("python:house_rules:shout", "a")
    assert completion == Completion("A", model="python:house_rules:shout", seconds=completion.seconds)
