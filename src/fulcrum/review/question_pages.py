"""The pages about a society's questions: where votes are split, a person's word fixes, prefers or vetoes."""

import math
from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fulcrum.errors import RunError
from fulcrum.review.feedback import FeedbackQueue, Question, Statement, Word
from fulcrum.review.queue import PAGE
from fulcrum.review.show import segment
from fulcrum.review.site import Fields, Site, see_other

_LIMIT = 20_000
"""Most characters of what a person says."""


class QuestionPages:
    """Handlers for one queue of questions.

    Args:
        site: the frame.
        queue: the questions.
    """

    def __init__(self, site: Site, queue: FeedbackQueue) -> None:
        self._site = site
        self._queue = queue

    def routes(self) -> list[Route]:
        """Return where each page is found."""
        return [
            Route("/questions", self._list, methods=["GET"]),
            Route("/questions/{id:path}/say", self._say, methods=["POST"]),
            Route("/questions/{id:path}", self._show, methods=["GET"]),
        ]

    def _list(self, request: Request) -> Response:
        query = request.query_params
        words = query.get("q", "")[:200].casefold().split()
        found = [one for one in self._queue.questions() if all(word in one.text.casefold() for word in words)]
        pages = max(1, math.ceil(len(found) / PAGE))
        text = query.get("page", "")
        number = min(max(int(text), 1), pages) if text.isdecimal() and len(text) < 7 else 1
        return self._site.page(
            request,
            "questions.html",
            questions=found[(number - 1) * PAGE : number * PAGE],
            count=len(found),
            answered=sum(1 for one in found if one.words),
            words=query.get("q", "")[:200],
            number=number,
            pages=pages,
            address=_address,
            link=urlencode({"q": query.get("q", "")[:200]}),
        )

    def _show(self, request: Request) -> Response:
        questions = self._queue.questions()
        return self._page_of(request, questions, self._index(request, questions))

    def _page_of(
        self,
        request: Request,
        questions: Sequence[Question],
        index: int,
        status: int = 200,
        *,
        problem: str = "",
        missed: Sequence[Word] = (),
        wanted: Word | None = None,
    ) -> Response:
        question = questions[index]
        rounds = sorted({statement.round for statement in question.statements})
        return self._site.page(
            request,
            "question.html",
            status,
            question=question,
            address=_address(question.id),
            number=index + 1,
            of=len(questions),
            before=_address(questions[index - 1].id) if index else None,
            after=_address(questions[index + 1].id) if index + 1 < len(questions) else None,
            votes=sorted(question.votes.items(), key=lambda vote: (-vote[1], vote[0])),
            agents=_by_agent(question),
            silent={agent for agent, said in _last(question).items() if said.failed},
            rounds=len(rounds),
            said=[(word, _told(word)) for word in question.words],
            missed=[(word, _told(word)) for word in missed],
            wanted=wanted and (wanted, _told(wanted)),
            problem=problem,
        )

    def _say(self, request: Request) -> Response:
        questions, fields = self._queue.questions(), Fields(request)
        index, revision = self._index(request, questions), fields.number("revision")
        word = _word(fields, self._site.who(request), questions[index])
        if isinstance(word, str):
            return self._page_of(request, questions, index, 422, problem=word)
        try:
            kept = self._queue.say(questions[index].id, word, revision)
        except RunError as error:
            return self._page_of(request, questions, index, 422, problem=str(error))
        if not kept:
            questions = self._queue.questions()
            index = self._index(request, questions)
            missed = questions[index].words[revision:]
            return self._page_of(request, questions, index, 409, missed=missed, wanted=word)
        onward = word.kind == "label" and index + 1 < len(questions)
        return see_other(_address(questions[index + onward].id))

    def _index(self, request: Request, questions: Sequence[Question]) -> int:
        id = request.path_params["id"]
        for index, question in enumerate(questions):
            if question.id == id:
                return index
        raise HTTPException(404, f"there is no question {id}")


def _by_agent(question: Question) -> dict[str, list[tuple[int, str, str | None]]]:
    agents: dict[str, list[tuple[int, str, str | None]]] = {}
    for said in sorted(question.statements, key=lambda said: said.round):
        agents.setdefault(said.agent, []).append((said.round, said.text, said.answer))
    return agents


def _last(question: Question) -> dict[str, Statement]:
    return {said.agent: said for said in sorted(question.statements, key=lambda said: said.round)}


def _word(fields: Fields, who: str, question: Question) -> Word | str:
    """Return what a form says, or why it says nothing."""
    agent, last = fields.text("agent"), _last(question)
    match fields.text("kind"):
        case "label":
            choice, own = fields.text("choice"), fields.text("own").strip()[:_LIMIT]
            if own and choice != "own":
                return f'you wrote the answer {own}, and chose another; choose "another one", or empty the field'
            if choice == "none":
                return Word("label", who)
            answer = own if choice == "own" else choice.removeprefix("vote:")
            return Word("label", who, answer=answer) if answer else "choose an answer, or write one"
        case _ if agent not in last or not question.steered:
            raise HTTPException(400, "agent: the name of one that took part is needed")
        case "prefer" if last[agent].failed:
            return f"{agent} gave no answer that another could be preferred to; give the right answer, or veto"
        case "prefer":
            chosen = fields.text("chosen").strip()[:_LIMIT]
            if not chosen or chosen == last[agent].text.strip():
                return f"write what {agent} should say in place of what it said"
            return Word("prefer", who, agent=agent, chosen=chosen, rejected=last[agent].text)
        case "veto":
            return Word("veto", who, agent=agent)
        case _:
            raise HTTPException(400, "kind: one of label, prefer, veto is needed")


def _told(word: Word) -> str:
    match word.kind:
        case "label":
            return "said that it has no right answer" if word.answer is None else f"gave the answer {word.answer}"
        case "prefer":
            return f"wrote what {word.agent} should say"
        case "veto":
            return f"kept {word.agent} from learning from it"


def _address(id: str) -> str:
    return f"/questions/{segment(id)}"
