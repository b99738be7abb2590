import os
from dataclasses import replace
from pathlib import Path

import pytest

from fulcrum.chat import Completion, user
from fulcrum.errors import TaskError
from fulcrum.task import SPLITS, Example, PromptTemplate, Task, graded
from fulcrum.task.load import load_task
from fulcrum.task.scorers import JudgeScorer, NumberScorer, PythonScorer
from fulcrum.task.validate import gaps, unchecked, validate

DATA = Path(os.environ.get("FULCRUM_DATA", Path(__file__).parents[3] / "shared" / "data"))


def items(*targets):
    return [Example({"text": str(place)}, target, source=f"t.jsonl:{place}") for place, target in enumerate(targets, 1)]


def task(scorer, template="{text}", **splits):
    return Task("t", splits, PromptTemplate(template), scorer)


def test_a_sound_task_has_no_problem():
    assert validate(task(NumberScorer(), train=items(1, "2"))) == []


def test_every_example_whose_gold_answer_fails_is_named():
    problems = validate(task(NumberScorer(), dev=items(1, "two", None)))
    assert [(problem.source, problem.split) for problem in problems] == [("t.jsonl:2", "dev"), ("t.jsonl:3", "dev")]
    assert str(problems[0]).startswith("t.jsonl:2: target 'two'; the scorer needs a number")


def test_train_questions_without_an_answer_are_no_fault_but_counted():
    unlabelled = task(NumberScorer(), train=items(None, 2, None), test=[Example({"text": "9"}, 1)])
    assert validate(unlabelled) == []
    assert unchecked(unlabelled).startswith("2 train examples have no target")
    with pytest.raises(TaskError, match=r"2 train examples have no target \(t\.jsonl:1 is the first\)"):
        unlabelled.require_targets("train")


def mean(text, target, fields):
    return graded(0.5, "only half")


def test_a_gold_answer_that_scores_less_is_named_with_the_feedback():
    (problem,) = validate(task(PythonScorer(function=f"{__name__}:mean"), test=items("x")))
    assert str(problem) == "t.jsonl:1: the gold answer 'x' scores 0.5 (partial): only half"


def test_a_prompt_that_cannot_be_made_is_named():
    (problem,) = validate(task(NumberScorer(), template="{other}", dev=items(1)))
    assert "no field 'other'" in problem.message


def test_a_task_without_examples_is_no_sound_task():
    (problem,) = validate(task(NumberScorer(), train=[]))
    assert "no example in any split" in problem.message


def test_a_judge_is_not_called_and_that_is_said():
    judge = JudgeScorer(model="python:nowhere:none")
    judged = task(judge, dev=[*items("reference"), Example({"text": "no reference"}, source="t.jsonl:2")])
    assert "the judge is a model" in unchecked(judged)
    assert [problem.source for problem in validate(judged)] == ["t.jsonl:2"]
    rater = JudgeScorer(model="python:nowhere:none", rubric="kind", reference=False, question="{txt}")
    rated = task(rater, train=items("reference"))
    assert all("has no field 'txt'" in problem.message for problem in validate(rated)) and validate(rated)


def test_splits_that_are_empty_or_small_are_told_before_anything_is_paid():
    told = gaps(task(NumberScorer(), train=items("1"), dev=[], test=[Example({"text": "other"}, "1")]))
    assert [said.partition(":")[0] for said in told] == [
        "there are no dev examples",
        "1 test examples tell a score to within 98 points",
    ]


def test_a_prompt_that_stands_in_two_splits_is_told_with_both_places():
    def example(number, text):
        return Example({"id": number, "text": text}, "1", source=f"t.jsonl:{number}")

    def told(other):
        return [said for said in gaps(other) if "another split" in said]

    shared = task(NumberScorer(), train=[example(1, "a")], dev=[example(2, "b")], test=[example(3, "a")])
    (said,) = told(shared)
    assert said.startswith("1 examples have a prompt that stands in another split (such as t.jsonl:1 and t.jsonl:3)")
    assert not told(replace(shared, template=PromptTemplate("{id} {text}")))
    dialogues = replace(dialogue(None, 1), splits=shared.splits, template=shared.template)
    assert not told(dialogues), "customers may open alike and want different things"


class Countdown:
    """A dialogue that is won by counting down from the target to 0."""

    def __init__(self, example, question):
        self.question = question
        self.left = example.target
        self.messages = question.messages

    @property
    def done(self):
        return self.left == 0

    def step(self, completion):
        self.left -= int(completion.text)
        self.messages = (*self.messages, completion.message(), user("go on"))

    def score(self):
        return graded(1.0 if len(self.messages) < 8 else 0.5, f"{len(self.messages)} messages")


class CountdownEnvironment:
    def __call__(self, example, question):
        return Countdown(example, question)

    def fingerprint(self):
        return {}


def dialogue(expert, *targets):
    return Task("t", {"test": items(*targets)}, PromptTemplate("x"), None, (), CountdownEnvironment(), expert)


def test_the_expert_plays_every_dialogue_to_its_end():
    problems = validate(dialogue(lambda episode: Completion("1"), 2, 3, 9, -1))
    assert [str(problem) for problem in problems] == [
        "t.jsonl:3: the expert scores 0.5 (partial): 19 messages",
        "t.jsonl:4: the dialogue with the expert does not end in 200 turns",
    ]


def test_a_dialogue_task_without_an_expert_says_so():
    assert validate(dialogue(None, 2)) == []
    assert "no expert" in unchecked(dialogue(None, 2))
    assert unchecked(dialogue(lambda episode: Completion("1"), 2)) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("gsm8k", {"train": 6747, "dev": 726, "test": 1319}),
        ("banking77", {"train": 8996, "dev": 996, "test": 3080}),
    ],
)
def test_public_data_sets_pass(name, sizes):
    if not (DATA / name).is_dir():
        pytest.skip(f"no folder {name} in {DATA}; FULCRUM_DATA names another place for public data sets")
    task = load_task(f"{name}:{DATA / name}")
    assert {split: len(task.examples(split)) for split in SPLITS} == sizes
    assert validate(task) == []
    small = load_task(f"{name}:{DATA / name}?train=30&dev=20&test=10&seed=0")
    for split, count in (("train", 30), ("dev", 20), ("test", 10)):
        drawn = {example.id for example in small.examples(split)}
        assert len(drawn) == count
        assert drawn < {example.id for example in task.examples(split)}
