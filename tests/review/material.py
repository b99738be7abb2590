"""Libraries, questions and clients for the tests of the review page."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path

from starlette.applications import Starlette
from starlette.testclient import TestClient

from fulcrum.review.feedback import Question, Statement, Word
from fulcrum.strategies.library import Library
from fulcrum.strategies.records import Advice, Effect, Evidence, Proposed, Said

TOKEN = "a-token-for-tests"
HERE = "http://127.0.0.1:8710"


def advice(do: str = "say sorry first", scenario: str = "an upset customer waits for a late order") -> Advice:
    return Advice(scenario=scenario, when="the customer is upset", do=do, avoid="blaming the courier", why="calm first")


def effect(estimate: float = 0.2, half: float = 0.1, measure: str = "on-off") -> Effect:
    return Effect(measure=measure, estimate=estimate, low=estimate - half, high=estimate + half, n=40)


EVIDENCE = Evidence(
    dialogue="desk-17",
    turn=1,
    messages=(
        Said(role="user", content="my parcel is ten days late and nobody answers"),
        Said(role="assistant", content="hello, what is your order?"),
        Said(role="user", content="i gave it twice already: 41. this is a joke"),
    ),
    student="your order is late.",
    teacher="i am sorry that you had to ask twice. order 41 left rome on monday; i will refund the shipping.",
    verdict="the teacher's reply was preferred in both orders",
    models={"student": "lab:small", "teacher": "lab:teacher"},
)


def small_library(path: Path) -> Library:
    """Three proposed strategies, by effect: `sorry` 0.3, `name` 0.1 and unclear, `apologise` not measured."""
    library = Library(path)
    for do, estimate in (
        ("say sorry before asking", 0.3),
        ("use the customer's name", 0.05),
        ("say sorry first", None),
    ):
        strategy = library.propose(advice(do), who="teacher", evidence=EVIDENCE)
        if estimate is not None:
            library.record_effect(strategy.id, effect(estimate), who="fulcrum")
        library.record_checks(strategy.id, [], who="fulcrum")
    return library


def large_library(path: Path, count: int) -> Library:
    """Write a library of many strategies at once."""
    words = ["late", "order", "refund", "parcel", "voice", "angry", "address", "cancel", "twice", "broken"]
    with path.open("w") as file:
        for number in range(count):
            scenario = f"case {number}: {words[number % 10]} {words[number // 10 % 10]} {words[number // 100 % 10]}"
            said = Advice(scenario=scenario, do=f"answer way {chr(97 + number % 26)}{number}")
            event = Proposed(strategy=said.id, who="teacher", at="round 1", advice=said, evidence=EVIDENCE)
            file.write(event.model_dump_json() + "\n")
    return Library(path)


def visitor(app: Starlette, *, token: bool = True, **options: object) -> TestClient:
    client = TestClient(app, base_url=HERE, follow_redirects=False, **options)  # type: ignore[arg-type]
    if token:
        assert client.get(f"/?token={TOKEN}").status_code == 200
    return client


def hidden(html: str, name: str) -> str:
    """Return the value of a hidden field of the page."""
    found = re.search(rf'<input type="hidden"[^>]*name="{re.escape(name)}" value="([^"]*)"', html)
    assert found, f"no field {name}"
    return unescape(found[1])


def send(client: TestClient, page: str, to: str, fields: dict[str, str | list[str]], **headers: str):
    """Send a form as the browser would, with the hidden fields of the page that it stands on."""
    own: dict[str, str | list[str]] = {"csrf": hidden(page, "csrf")}
    if 'name="revision"' in page:
        own["revision"] = hidden(page, "revision")
    return client.post(to, data=own | fields, headers={"origin": HERE} | headers)


@dataclass
class FakeQueue:
    """Questions in memory."""

    asked: list[Question] = field(default_factory=list[Question])

    def questions(self) -> Sequence[Question]:
        return self.asked

    def say(self, id: str, word: Word, revision: int) -> bool:
        (index,) = [index for index, question in enumerate(self.asked) if question.id == id]
        question = self.asked[index]
        if question.revision != revision:
            return False
        self.asked[index] = replace(question, words=[*question.words, word])
        return True


def questions(texts: Iterable[str] = ("what is 2+3*4", "what is 7-1")) -> FakeQueue:
    return FakeQueue(
        [
            Question(
                f"q{number}",
                text,
                votes={"14": 2, "20": 1},
                label="14",
                source="vote",
                statements=(
                    Statement("generator-1", "3*4 is 12, and 2 is 14", "14", 1),
                    Statement("critic-1", "first 2+3, so 20", "20", 1),
                    Statement("critic-1", "they are right: 14", "14", 2),
                ),
            )
            for number, text in enumerate(texts, start=1)
        ]
    )
