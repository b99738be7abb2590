"""The shipped checkpoints: what they know, what they do not know, and how quickly they are there."""

import re
import time

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from fulcrum.chat import Request, Sampling, complete, resolve, user
from fulcrum.chat.huggingface import HuggingFaceModel
from fulcrum.lab import cards
from fulcrum.lab.cards import differences, read_card
from fulcrum.lab.notes import glossary, header
from fulcrum.lab.prompts import SUPPLEMENT_BLOCK
from fulcrum.lab.recipes import FOLDER, RECIPES
from fulcrum.lab.shop import Shop
from fulcrum.lab.skills import Skill, pages
from fulcrum.task.load import load_task

pytestmark = pytest.mark.slow

SHIPPED = [name for name in RECIPES if (FOLDER / name / "model.safetensors").exists()]


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_large_is_near_chance_on_jargon_alone_and_far_above_with_the_right_note(seed):
    task, terms = load_task(f"lab:sql?seed={seed}"), {term.phrase: term.meaning for term in Shop(seed).terms}
    examples = [example for example in task.examples("dev") if example.metadata["jargon"]][:40]
    questions = {question.id: question for question in task.questions("dev")}
    alone, told = [], []
    for example in examples:
        prompt = questions[example.id].messages[-1].content
        note = glossary([(phrase, terms[phrase]) for phrase in example.metadata["terms"]])
        block = SUPPLEMENT_BLOCK.format(prompt=prompt, supplement=f"{header('background')}\n{note}")
        alone.append(Request((user(prompt),), Sampling(max_tokens=task.max_tokens)))
        told.append(Request((user(block),), Sampling(max_tokens=task.max_tokens)))
    model = resolve("lab:large")
    completions = complete(model, alone + told)
    values = [
        task.score(example.id, completion).value for example, completion in zip(examples * 2, completions, strict=True)
    ]
    unaided, aided = sum(values[: len(examples)]) / len(examples), sum(values[len(examples) :]) / len(examples)
    assert unaided <= 0.2
    assert aided >= 0.6


@pytest.mark.parametrize("name", SHIPPED)
def test_a_checkpoint_loads_with_plain_transformers_in_under_a_second(name):
    AutoTokenizer.from_pretrained(FOLDER / name)
    started = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(FOLDER / name)
    assert time.perf_counter() - started < 1
    assert model.num_parameters() == read_card(name)["training"]["parameters"]


def test_the_checkpoints_together_are_under_48_mb():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 48e6


class Careful(HuggingFaceModel):
    """Finds likely what was told of the same person above."""

    def __init__(self) -> None:
        pass

    def logprob(self, requests, texts):
        return [[0.0 if self._told(text) else -1.0, 0.0] for text in texts]

    def _told(self, text: str) -> bool:
        *above, last = text.split("\n")
        found = re.fullmatch(r"the .+ of (\w+) are still in box (\w+)", last)
        return found is not None and any(found[1] in line and found[2] in line for line in above)


def test_a_reader_of_pages_is_right_where_it_says_what_stands_above():
    heading, told = pages(Careful(), 20)
    assert (told.name, told.right, told.total) == ("pages/told_above", 20, 20)
    assert heading.share < 0.5  # to it they are all alike


def test_a_skill_that_has_left_the_interval_of_its_card_is_named(monkeypatch):
    card = [Skill.from_json(name, data) for name, data in read_card("lab:large")["skills"].items()]
    first, second, *others = card
    found = [Skill(first.name, 0, first.total), *others, Skill("juggling", 1, 2)]
    monkeypatch.setattr(cards, "measure", lambda model, name: card if model == "as it was" else found)
    assert differences("lab:large", "as it was") == []
    lines = differences("lab:large", "changed")
    assert len(lines) == 3
    assert any(line.startswith(f"lab:large: {first.name} is 0.0%, the card says ") for line in lines)
    assert f"lab:large: {second.name} is in the card only" in lines
    assert "lab:large: juggling is measured only" in lines
