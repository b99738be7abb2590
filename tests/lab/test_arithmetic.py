import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.lab import arithmetic_text, corpus
from fulcrum.lab.arithmetic import fresh
from fulcrum.task import SPLITS
from fulcrum.task.load import load_task

numbers = st.tuples(*[st.integers(0, 29)] * 6)


@pytest.fixture(scope="module")
def task():
    return load_task("lab:arithmetic")


def test_targets_are_the_values_of_the_expressions(task):
    assert [len(task.examples(split)) for split in SPLITS] == [500, 150, 500]
    for example in task.examples("test"):
        assert eval(example.fields["expression"]) == example.target
        assert task.scorer.score(example, task.scorer.gold(example)).solved


def test_fresh_sums_stand_in_no_split_and_change_with_the_seed(task):
    known = {example.id for split in SPLITS for example in task.examples(split)}
    first, second = fresh(300, 1, task), fresh(300, 2, task)
    assert len({example.id for example in first} - known) == 300
    assert {example.id for example in first} != {example.id for example in second}


@given(numbers, st.integers())
def test_careful_work_is_right_in_every_step(sum_, seed):
    worked = arithmetic_text.work(random.Random(seed), sum_, "careful")
    assert arithmetic_text.final_answer(worked) == str(arithmetic_text.value(sum_))
    for step in worked.partition(" \\boxed")[0].removesuffix(".").split(". "):
        assert len({eval(side) for side in step.split("=")}) == 1


def test_brisk_work_slips_and_rash_work_forgets_precedence():
    right = Counter()
    for seed in range(600):
        rng = random.Random(seed)
        sum_ = arithmetic_text.random_sum(rng)
        for manner in arithmetic_text.MANNERS:
            worked = arithmetic_text.work(rng, sum_, manner)
            right[manner] += arithmetic_text.final_answer(worked) == str(arithmetic_text.value(sum_))
    assert right["careful"] == 600
    assert 0.5 < right["brisk"] / 600 < 0.7
    assert right["rash"] / 600 < 0.1


def test_each_wrong_reading_is_worked_as_it_says():
    readings = {
        "left to right": lambda a, b, c, d, e, f: ((a + b) * c + d - e) * f,
        "sums first": lambda a, b, c, d, e, f: (a + b) * (c + d) - e * f,
        "in pairs": lambda a, b, c, d, e, f: a + b * c + (d - e) * f,
    }
    assert tuple(readings) == arithmetic_text.READINGS
    exact = Counter()
    for seed in range(600):
        rng = random.Random(seed)
        sum_ = arithmetic_text.random_sum(rng)
        worked = arithmetic_text.work(rng, sum_, "rash")
        reading = worked.removeprefix("quick, ").partition(".")[0]
        exact[reading] += arithmetic_text.final_answer(worked) == str(readings[reading](*sum_))
    assert all(exact[reading] > 100 for reading in readings)  # 200 of each, some with a slip


def test_long_sums_are_worked_in_a_hurry_and_a_vote_still_finds_the_answer():
    rash, votes = Counter(), Counter()
    sums = Counter()
    for seed in range(400):
        rng = random.Random(seed)
        sum_ = arithmetic_text.random_sum(rng)
        long = arithmetic_text.is_long(sum_)
        worked = [arithmetic_text.work(rng, sum_) for _ in range(9)]
        sums[long] += 1
        rash[long] += sum(one.startswith("quick") for one in worked) > 4
        ((said, _),) = Counter(map(arithmetic_text.final_answer, worked)).most_common(1)
        votes[long] += said == str(arithmetic_text.value(sum_))
    assert rash[True] / sums[True] > 0.6 > 0.1 > rash[False] / sums[False]
    assert votes[True] / sums[True] > 0.6


@given(st.integers())
def test_an_update_takes_over_what_two_of_three_say(seed):
    dialogue = corpus.debate(random.Random(seed))
    finals = [arithmetic_text.final_answer(dialogue[place].content) for place in (1, 3)]
    if f"2 say {finals[0]}." in dialogue[2].content:
        assert finals[1] == finals[0]
    if (said := dialogue[2].content.partition("2 say ")[2].partition(".")[0]) and "box" not in said:
        assert finals[1] == said


def test_steps_of_sums_are_worked_without_a_slip() -> None:
    for seed in range(100):
        said = corpus.steps(random.Random(seed))
        for question, answer in zip(said[::2], said[1::2], strict=True):
            asked = question.content.removeprefix("what is ").removesuffix("?")
            parts = answer.content.removesuffix(".").split("=")
            assert parts[0] == asked
            assert len({eval(part) for part in parts}) == 1
