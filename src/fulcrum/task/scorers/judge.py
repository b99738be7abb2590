"""A chat model says what an answer is worth."""

import re
from collections.abc import Mapping
from threading import Lock
from typing import Self

from pydantic import PositiveInt, PrivateAttr, field_validator, model_validator

from fulcrum.chat import ChatModel, Message, Request, Sampling, complete, resolve, system, user
from fulcrum.errors import TaskError
from fulcrum.task.example import Example
from fulcrum.task.prompt import PromptTemplate
from fulcrum.task.score import Score, failed, graded
from fulcrum.task.scorers.scorer import ConfiguredScorer, target_text

_COMPARE = """You compare two answers to the same question. {standard}
Neither their order nor their length matters. Think briefly, then end with one line: "Verdict: 1" if answer 1 is \
better, "Verdict: 2" if answer 2 is better, "Verdict: tie" if neither is."""
_RATE = """You judge an answer to a question. {standard}
Think briefly, then end with one line: {options}."""
_OPTIONS = ('"Verdict: yes" if it does', '"Verdict: partly" if it does in part', '"Verdict: no" if it does not')
_VERDICT = re.compile(r"\bverdict\W*(?:answer\W*)?(1|2|tie|yes|partly|no)\b", re.IGNORECASE)
_OPENING = Lock()

_Asked = tuple[tuple[Message, ...], Mapping[str, float]]
"""A prompt for the judge, and what each of its verdicts is worth."""


class JudgeScorer(ConfiguredScorer):
    """Asks a model twice, with what has an order in both orders, and takes the mean of the two.

    With `reference` the answer is compared with the target: 1 if the judge prefers the answer, 0 if it prefers the
    target, 0.5 for a tie. Without it the answer is rated by the rubric alone: 1 if it meets it, 0.5 in part, 0 not.
    Where the judge fails or gives no verdict, the score is `failed`, never 0.

    Attributes:
        model: name of the judge, as `fulcrum.chat.resolve` understands it.
        question: template of the question as the judge shall read it; by default every field on its own line.
        rubric: what makes an answer good.
        reference: compare with the target.
        max_tokens: limit for the judge's reply.
    """

    kind = "judge"
    model: str
    question: str | None = None
    rubric: str | None = None
    reference: bool = True
    max_tokens: PositiveInt = 512
    _judge: ChatModel | None = PrivateAttr(default=None)

    @field_validator("question")
    @classmethod
    def _is_template(cls, question: str | None) -> str | None:
        if question is not None:
            try:
                PromptTemplate(question)
            except TaskError as error:
                raise ValueError(str(error)) from error
        return question

    @model_validator(mode="after")
    def _has_a_standard(self) -> Self:
        if not self.reference and not self.rubric:
            raise ValueError("the judge has nothing to judge by; set rubric, or reference = true")
        return self

    @property
    def needs_target(self) -> bool:
        """True if the answer is compared with the target."""
        return self.reference

    def with_model(self, judge: ChatModel) -> Self:
        """Return the scorer with a model that is open already, such as one that records its calls."""
        scorer = self.model_copy(update={"model": judge.name})
        scorer._judge = judge
        return scorer

    def score(self, example: Example, text: str) -> Score:
        """Return the mean of both orders, or a failure if one of the two gave no verdict."""
        with _OPENING:  # many answers may be scored at once
            judge = self._judge = self._judge or resolve(self.model)
        asked = self._comparisons(example, text) if self.reference else self._ratings(example, text)
        sampling = Sampling(max_tokens=self.max_tokens)
        replies = complete(judge, [Request(prompt, sampling) for prompt, _ in asked])
        worths: list[float] = []
        for reply, (_, worth) in zip(replies, asked, strict=True):
            if reply.failure is not None:
                return failed(reply.failure, of="judge")
            verdicts = _VERDICT.findall(reply.text)
            if not verdicts or verdicts[-1].lower() not in worth:
                said = f"the judge gave no verdict: {reply.text!r:.200}"
                return Score(None, "failed", said, {"failure": "judge", "of": "judge"})
            worths.append(worth[verdicts[-1].lower()])
        return graded(sum(worths) / 2, "\n\n".join(reply.text for reply in replies), orders=worths)

    def check(self, example: Example) -> None:
        """See that the judge can be asked about an example.

        Raises:
            TaskError: `question` names a field that it has not, or its target is none to compare with.
        """
        _ = self._comparisons(example, "") if self.reference else self._ratings(example, "")

    def gold(self, example: Example) -> str:
        """Return the target; what it is worth only the judge can say."""
        return target_text(example)

    def _comparisons(self, example: Example, text: str) -> list[_Asked]:
        reference = target_text(example)
        task = _COMPARE.format(standard=f"The better one meets this best: {self.rubric}" if self.rubric else "")
        return [
            (self._prompt(task, example, {"answer 1": text, "answer 2": reference}), {"1": 1, "2": 0, "tie": 0.5}),
            (self._prompt(task, example, {"answer 1": reference, "answer 2": text}), {"1": 0, "2": 1, "tie": 0.5}),
        ]

    def _ratings(self, example: Example, text: str) -> list[_Asked]:
        standard = f"Does it meet this: {self.rubric}"
        tasks = [_RATE.format(standard=standard, options=", ".join(each)) for each in (_OPTIONS, _OPTIONS[::-1])]
        worth = {"yes": 1, "partly": 0.5, "no": 0}
        return [(self._prompt(task, example, {"answer": text}), worth) for task in tasks]

    def _prompt(self, task: str, example: Example, answers: Mapping[str, str]) -> tuple[Message, ...]:
        if self.question is None:
            question = "\n".join(f"{name}: {value}" for name, value in example.fields.items())
        else:
            question = PromptTemplate(self.question).messages(example.fields)[0].content
        parts = {"question": question, **answers}
        return system(task), user("\n\n".join(f"<{name}>\n{part}\n</{name}>" for name, part in parts.items()))
