"""The pages about a society's questions."""

from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from fulcrum.review.app import review_app
from fulcrum.review.feedback import FeedbackQueue, Statement, Word
from review.material import TOKEN, FakeQueue, questions, send, visitor


def open_pages(queue: FeedbackQueue, who: str = "ada") -> TestClient:
    return visitor(review_app(title="society", token=TOKEN, reviewer=who, questions=queue))


def say(client: TestClient, id: str, fields: dict):
    return send(client, client.get(f"/questions/{id}").text, f"/questions/{id}/say", fields)


def test_the_queue_shows_votes_and_label() -> None:
    client = open_pages(questions())
    html = client.get("/questions").text
    assert html.index("what is 2+3*4") < html.index("what is 7-1")
    assert "67 % agree" in html and "(vote)" in html
    assert client.get("/").headers["location"] == "/questions"
    assert "what is 2+3*4" not in client.get("/questions?q=7-1").text.split('id="results"')[1]


def test_a_question_shows_what_each_agent_said_in_each_round() -> None:
    html = open_pages(questions()).get("/questions/q1").text
    assert html.index("first 2+3, so 20") < html.index("they are right: 14")
    assert "round 2, answer <b" in html


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"choice": "vote:20"}, "20"),
        ({"choice": "own", "own": " 15 "}, "15"),
        ({"choice": "none"}, None),
    ],
)
def test_a_label_is_kept_and_the_next_question_follows(fields: dict[str, str], answer: str | None) -> None:
    queue = questions()
    response = say(open_pages(queue), "q1", {"kind": "label"} | fields)
    assert response.headers["location"] == "/questions/q2"
    assert queue.asked[0].words == [Word("label", "ada", answer=answer)]


def test_agents_that_nobody_steers_are_shown_without_the_form() -> None:
    queue = questions()
    steered = open_pages(queue).get("/questions/q1").text
    queue.asked[0] = replace(queue.asked[0], steered=False)
    client = open_pages(queue)
    html = client.get("/questions/q1").text
    assert "or veto" in steered and "or veto" not in html and "they are right: 14" in html
    assert say(client, "q1", {"kind": "veto", "agent": "generator-1"}).status_code == 400
    assert not queue.asked[0].words


def test_prefer_and_veto_name_the_agent_and_what_it_said_last() -> None:
    queue = questions()
    client = open_pages(queue)
    say(client, "q1", {"kind": "prefer", "agent": "critic-1", "chosen": "3*4=12, 12+2=14"})
    say(client, "q1", {"kind": "veto", "agent": "generator-1"})
    prefer, veto = queue.asked[0].words
    assert prefer == Word("prefer", "ada", "critic-1", chosen="3*4=12, 12+2=14", rejected="they are right: 14")
    assert veto == Word("veto", "ada", "generator-1")
    html = client.get("/questions/q1").text
    assert "wrote what critic-1 should say" in html and "kept generator-1 from learning" in html


def test_lines_that_a_browser_sends_are_those_that_were_written() -> None:
    queue = questions()
    steps = Statement("critic-1", "3*4 is 12\n2 and 12 is 14", "14", 3)
    queue.asked[0] = replace(queue.asked[0], statements=(*queue.asked[0].statements, steps))
    client, said = open_pages(queue), {"kind": "prefer", "agent": "critic-1"}
    assert say(client, "q1", said | {"chosen": "3*4 is 12\r\n2 and 12 is 14"}).status_code == 422, "nothing changed"
    say(client, "q1", said | {"chosen": "3*4 = 12\r\n2+12 = 14"})
    (word,) = queue.asked[0].words
    assert (word.chosen, word.rejected) == ("3*4 = 12\n2+12 = 14", steps.text)


def test_a_failed_call_is_no_answer_that_another_could_be_preferred_to() -> None:
    queue = questions()
    broken = Statement("critic-2", "(no answer: timeout: 30 s)", None, 2, failed=True)
    queue.asked[0] = replace(queue.asked[0], statements=(*queue.asked[0].statements, broken))
    client = open_pages(queue)
    form = client.get("/questions/q1").text.partition("<bdi>critic-2</bdi>")[2]
    assert 'value="veto"' in form and 'value="prefer"' not in form and "textarea" not in form
    refused = say(client, "q1", {"kind": "prefer", "agent": "critic-2", "chosen": "14"})
    assert refused.status_code == 422 and "critic-2 gave no answer" in refused.text
    say(client, "q1", {"kind": "veto", "agent": "critic-2"})
    assert queue.asked[0].words == [Word("veto", "ada", "critic-2")]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"kind": "label"}, 422),
        ({"kind": "label", "choice": "own", "own": " "}, 422),
        ({"kind": "label", "choice": "vote:14", "own": "15"}, 422),
        ({"kind": "prefer", "agent": "critic-1", "chosen": " "}, 422),
        ({"kind": "prefer", "agent": "critic-1", "chosen": "they are right: 14"}, 422),
        ({"kind": "prefer", "agent": "nobody", "chosen": "14"}, 400),
        ({"kind": "veto", "agent": "nobody"}, 400),
        ({"kind": "promote", "agent": "critic-1"}, 400),
    ],
)
def test_what_says_nothing_is_refused(fields: dict[str, str], status: int) -> None:
    queue = questions()
    assert say(open_pages(queue), "q1", fields).status_code == status
    assert not queue.asked[0].words


def test_two_people_lose_nothing() -> None:
    queue: FakeQueue = questions()
    ada, ben = open_pages(queue), open_pages(queue, "ben")
    seen = ada.get("/questions/q1").text
    say(ben, "q1", {"kind": "label", "choice": "none"})
    late = send(ada, seen, "/questions/q1/say", {"kind": "label", "choice": "vote:20"})
    assert late.status_code == 409 and len(queue.asked[0].words) == 1
    assert "ben</bdi></b> said that it has no right answer" in late.text
    assert "ada</bdi></b> gave the answer 20" in late.text
    assert send(ada, late.text, "/questions/q1/say", {"kind": "label", "choice": "vote:20"}).status_code == 303
    assert [word.by for word in queue.asked[0].words] == ["ben", "ada"]


def test_a_question_that_is_not_there_is_404() -> None:
    assert open_pages(questions()).get("/questions/q9").status_code == 404
    assert open_pages(questions()).get("/strategies").status_code == 404


def test_many_questions_come_in_pages() -> None:
    client = open_pages(questions(f"question number {number}" for number in range(1, 121)))
    html = client.get("/questions?page=3").text
    assert "question number 101<" in html and "question number 100<" not in html and "page 3 of 3" in html
