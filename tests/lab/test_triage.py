import itertools
import json
import os
import random
import subprocess
import sys

import pytest

from fulcrum.chat import Completion, user
from fulcrum.errors import TaskError
from fulcrum.lab.instructions import SKILLS, general_rows
from fulcrum.lab.instructions.letters import TOPICS
from fulcrum.lab.shop import Shop
from fulcrum.lab.triage import NESTED_SIZES, QUEUES_IN_USE, load_triage, nested, queues
from fulcrum.task.leakage import find_leakage


@pytest.mark.parametrize("seed", range(5))
def test_smaller_training_sets_are_part_of_larger_ones_and_show_every_code(seed: int) -> None:
    full = load_triage("triage", seed).examples("train")
    codes = set(queues(Shop(seed)).values())
    assert len(codes) == QUEUES_IN_USE
    for smaller, larger in itertools.pairwise(NESTED_SIZES):
        assert list(nested(full, smaller)) == list(nested(full, larger))[:smaller]
        assert len(nested(full, smaller)) == smaller
    first = nested(full, 16)
    assert {example.target["queue"] for example in first} == codes
    assert {example.metadata["topic"] for example in first} == set(TOPICS)
    assert load_triage("triage", seed, train=64).examples("train") == full[:64]


def test_other_sizes_are_refused() -> None:
    with pytest.raises(TaskError, match="train=50"):
        load_triage("triage", 0, train=50)


def test_shops_differ_in_codes_and_in_what_they_stand_for() -> None:
    maps = [queues(Shop(seed)) for seed in range(6)]
    assert len({frozenset(map.values()) for map in maps}) == 6
    groups = [frozenset(frozenset(t for t in map if map[t] == code) for code in map.values()) for map in maps]
    assert len(set(groups)) > 1


def test_gold_answers_are_right_and_every_fact_stands_in_the_letter() -> None:
    task = load_triage("triage", 3)
    for split in ("train", "dev", "test"):
        for example in task.examples(split):
            assert task.score(example.id, Completion(task.gold(example))).solved
            letter, target = example.fields["letter"], example.target
            assert target["item"] in letter
            assert (target["order"] in letter) == (target["order"] != "none")
            assert target["queue"] not in letter
            assert len(letter) + len(task.gold(example)) < 240


def test_validity_is_told_apart_from_correctness() -> None:
    task = load_triage("triage", 0)
    example = task.examples("dev")[0]
    other = json.dumps({**example.target, "queue": "Z00"})
    assert task.score(example.id, Completion(other)).details["valid_json"] is True
    broken = task.score(example.id, Completion(task.gold(example)[:-1]))
    assert broken.verdict == "unparsable"
    assert broken.details["valid_json"] is False


def test_the_general_mixture_has_many_skills_some_of_them_about_letters() -> None:
    rows = list(general_rows(3000))
    assert len(SKILLS) >= 15
    assert sum(name.startswith("letter_") for name in SKILLS) >= 5
    prompts = [messages[0].content for messages, _ in rows]
    assert len(set(prompts)) == len(prompts)
    assert rows[:500] == list(general_rows(500))
    assert rows != list(general_rows(3000, seed=1))
    assert all(answer and len(prompt) + len(answer) < 330 for prompt, (_, answer) in zip(prompts, rows, strict=True))


def test_every_skill_asks_many_different_things() -> None:
    for name, skill in SKILLS.items():
        rng = random.Random(name)
        assert len({skill(rng) for _ in range(200)}) > 60, name


@pytest.mark.slow
def test_twenty_thousand_general_rows_hold_no_letter_and_no_code_of_the_task() -> None:
    rows = list(general_rows())
    assert len(rows) == 20_000
    for seed in (0, 7):
        task = load_triage("triage", seed)
        letters = [example.fields["letter"] for split in ("train", "dev", "test") for example in task.examples(split)]
        assert find_leakage(rows, letters).clean
        codes = set(queues(Shop(seed)).values())
        assert not any(code in answer for _, answer in rows for code in codes)


def test_planted_copies_are_found() -> None:
    letters = [example.fields["letter"] for example in load_triage("triage", 0).examples("test")[:100]]
    long = next(index for index, letter in enumerate(letters) if len(letter.split()) > 15)
    rows = list(general_rows(300))
    rows[10] = ((user(f"who writes?\n{letters[3].upper()}"),), "somebody")
    rows[20] = ((user(letters[long].rsplit(" ", 1)[0] + " altered"),), "an answer")
    rows[30] = ((user("a question"),), letters[5])
    found = find_leakage(rows, letters)
    assert found.exact == ((10, 3), (30, 5))
    assert found.near == ((20, long),)
    assert not found.clean


def test_what_two_long_texts_share_by_chance_is_no_leak() -> None:
    rows = [((user("please cancel the lamp, it is order 1500"),), "yes")]
    assert find_leakage(rows, ["please cancel the rope, it is order 1700 and be quick about it"]).clean


FINGERPRINTS = """
import itertools
from fulcrum.hashing import content_hash
from fulcrum.lab.desk.corpus import desk_dialogues, strategy_writing
from fulcrum.lab.instructions import general_rows
from fulcrum.lab.tasks import load_task
rows = [*desk_dialogues(1000, None, 20), *strategy_writing(1000, 20), *general_rows(200)]
told = [[[message.to_json() for message in messages], answer] for messages, answer in rows]
names = ("lab:triage?seed=5&train=64", "lab:desk?seed=5", "lab:desk?seed=5&customer=b", "lab:desk?seed=6")
print(content_hash(told), *(load_task(name).fingerprint for name in names))
"""


@pytest.mark.slow
def test_tasks_and_training_text_are_the_same_in_every_process() -> None:
    printed = [
        subprocess.run(
            [sys.executable, "-c", FINGERPRINTS],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for hash_seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert len(set(printed[0])) == 5
