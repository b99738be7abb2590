"""A desk of one reply, whose student does what it is told and whose teacher knows what is good, bad and idle."""

import json
import os
from dataclasses import replace
from typing import Any

from fulcrum.chat import Completion, Request, Usage
from fulcrum.chat.message import Tool, ToolCall
from fulcrum.task import Example, PromptTemplate, Question, Score, Task, failed, graded

MOODS = ("upset", "calm", "hurried")
GOOD = {"scenario": "an upset customer", "when": "the customer is upset", "do": "say sorry"}
BAD = {"scenario": "any customer", "when": "the customer is there", "do": "shout loudly"}
IDLE = {"scenario": "any customer", "when": "it rains", "do": "hum a tune"}
BROAD = {"scenario": "any customer", "when": "the customer writes", "do": "talk at length"}


class Episode:
    def __init__(self, example: Example, question: Question) -> None:
        self._mood, self._said, self._failure = example.target, "", None
        self.question, self.done = question, False

    @property
    def messages(self):
        return self.question.messages

    def step(self, completion: Completion) -> None:
        self._said, self._failure, self.done = completion.text, completion.failure, True

    def score(self) -> Score:
        if self._failure:
            return failed(self._failure)
        value = 0.5 - 0.3 * ("SHOUT" in self._said)
        value += 0.4 * (self._mood == "upset") * ("sorry" in self._said)
        if "at length" in self._said:
            value += {"upset": 0.2, "calm": 0.0, "hurried": -0.2}[self._mood]
        return graded(min(1.0, value), success=value > 0.6, violations=int("SHOUT" in self._said))


class Environment:
    def __call__(self, example: Example, question: Question) -> Episode:
        return Episode(example, question)

    def fingerprint(self) -> dict[str, Any]:
        return {"kind": "toy"}


REFUND = Tool("refund", "Pay an order back.", {"type": "object"})


def task() -> Task:
    def examples(split: str, n: int) -> list[Example]:
        return [
            Example({"opening": f"customer {split} {number}: i am {MOODS[number % 3]}."}, target=MOODS[number % 3])
            for number in range(n)
        ]

    splits = {"train": examples("train", 60), "dev": examples("dev", 60), "test": examples("test", 30)}
    template = PromptTemplate(user="{opening}", system="you work at a desk. say no to refunds.")
    return Task("toy", splits, template, None, tools=(REFUND,), environment=Environment(), max_tokens=32)


def student(request: Request) -> Completion:
    told = request.messages[0].content
    parts = ["hello."]
    parts += ["sorry."] * ("say sorry" in told and "upset" in request.messages[-1].content)
    parts += ["SHOUT."] * ("shout" in told)
    parts += ["at length."] * ("at length" in told)
    return Completion(" ".join(parts), usage=Usage(10, 5), seconds=0.1)


def frail_student(request: Request) -> Completion:
    """Break down where it is told to shout."""
    return Completion.failed("server", "down") if "shout" in request.messages[0].content else student(request)


def teacher_of(*taught: dict[str, str], own: str = "hello. sorry. at length."):
    def teacher(request: Request) -> Completion:
        if "You teach a support agent" in request.messages[0].content:
            return Completion(json.dumps(taught), usage=Usage(50, 20), seconds=0.2)
        if "general advice" in request.messages[0].content:
            return Completion("- be kind\n- be quick", usage=Usage(50, 20), seconds=0.2)
        upset = "upset" in request.messages[-1].content
        return Completion(own if upset else "hello.", usage=Usage(10, 5), seconds=0.2)

    return teacher


good_teacher = teacher_of(GOOD, BAD, IDLE)
broad_teacher = teacher_of(BROAD)
crowding_teacher = teacher_of({**GOOD, "scenario": "any dialogue"}, BROAD)
narrow_teacher = teacher_of({**GOOD, "scenario": "an angry customer"})
wordy_teacher = teacher_of(GOOD, {**GOOD, "do": "say sorry to the customer"})
fickle_teacher = teacher_of(GOOD, {**GOOD, "do": "do not only say sorry"})
careless_teacher = teacher_of(IDLE, {"scenario": "any customer"})
idle_teacher = teacher_of(IDLE)
humming_teacher = teacher_of(IDLE, {**IDLE, "do": "hum a tune for the customer"})
modest_teacher = teacher_of(GOOD, own="hello. sorry.")


def booking_teacher(request: Request) -> Completion:
    """Book an upset customer's refund with a call, beside good words."""
    answer = modest_teacher(request)
    calls = (ToolCall("c1", "refund", '{"order": 5}'),) if "sorry." in answer.text else ()
    return replace(answer, tool_calls=calls)


def dead_teacher(request: Request) -> Completion:
    return Completion.failed("server", "down")


def vague_teacher(request: Request) -> Completion:
    """Answer well, and write what TEACHER_WRITES says in place of a strategy: nothing for a call that fails."""
    if "You teach a support agent" not in request.messages[0].content or "TEACHER_WRITES" not in os.environ:
        return modest_teacher(request)
    written = os.environ["TEACHER_WRITES"]
    return Completion(written, usage=Usage(50, 5)) if written else Completion.failed("server", "down")


def mute_teacher(request: Request) -> Completion:
    return Completion("\n", usage=Usage(50, 1), seconds=0.2)


def wary_judge(request: Request) -> Completion:
    return Completion("it may annoy.\nunsafe", usage=Usage(50, 5), seconds=0.2)
